//! Rows of an output, shared out among the threads of a team.

use super::Team;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of an output that one kernel computes.
pub struct Rows<'a> {
    /// How many.
    pub count: usize,
    /// A part starts at a multiple of this (tiles stay whole).
    pub grain: usize,
    /// Bytes from one row of the output to the next.
    pub stride: usize,
    /// The output: `count` rows, the last one possibly shorter than `stride`.
    pub y: &'a mut [u8],
    /// Bytes of scratch of one thread.
    pub scratch_len: usize,
    /// Room for as many as there are threads.
    pub scratch: &'a mut [u8],
}

impl Team {
    /// Calls `work(rows, y, scratch)` on parts that together are all rows, `y` being those of the output, in at most
    /// so many `units` that are not divided.
    ///
    /// Panics if `scratch` is too short, or with what `work` panicked with.
    pub fn split(
        &self,
        rows: Rows<'_>,
        units: usize,
        work: &(impl Fn(Range<usize>, &mut [u8], &mut [u8]) + Sync),
    ) {
        let Rows { count, grain, stride, y, scratch_len, scratch } = rows;
        let unit = count.div_ceil(units.max(1)).next_multiple_of(grain.max(1)).max(1);
        assert!(scratch.len() / self.members() >= scratch_len, "every thread has scratch");
        let (y, scratch) = (Exclusive::new(y), Exclusive::new(scratch));
        self.share(count.div_ceil(unit), &|member, units| {
            let rows = units.start * unit..count.min(units.end * unit);
            let from = y.len.min(rows.start * stride);
            let to = if rows.end == count { y.len } else { y.len.min(rows.end * stride) };
            // SAFETY: the team gives every unit to one call, so these rows are no other call's.
            let y = unsafe { y.part(from..to) };
            // SAFETY: calls that run at the same time have different members.
            let scratch = unsafe { scratch.part(member * scratch_len..(member + 1) * scratch_len) };
            work(rows, y, scratch);
        });
    }
}

impl Team {
    /// Calls `work(units, y, scratch)` on ranges that together are `0..units`, with an equal part of the scratch for
    /// every thread, a multiple of 64 bytes.
    ///
    /// Panics with what `work` panicked with.
    ///
    /// # Safety
    /// Calls with different units touch different cells of `y`.
    pub(crate) unsafe fn share_cells(
        &self,
        units: usize,
        y: &mut [u8],
        scratch: &mut [u8],
        work: &(impl Fn(Range<usize>, &[Cell<u8>], &mut [u8]) + Sync),
    ) {
        let each = scratch.len() / self.members() / 64 * 64;
        let (y, scratch) = (Exclusive::new(y), Exclusive::new(scratch));
        self.share(units, &|member, units| {
            // SAFETY: no two threads touch the same cell, says the caller.
            let y = unsafe { y.cells() };
            // SAFETY: calls that run at the same time have different members.
            let scratch = unsafe { scratch.part(member * each..(member + 1) * each) };
            work(units, y, scratch);
        });
    }
}

/// Bytes that nobody else has, to be cut into parts by several threads.
struct Exclusive<'a> {
    start: *mut u8,
    len: usize,
    bytes: PhantomData<&'a mut [u8]>,
}

// SAFETY: parts are handed out by `part` only, whose callers see to it that they are disjoint; bytes may be written by
// any thread.
unsafe impl Sync for Exclusive<'_> {}

impl<'a> Exclusive<'a> {
    fn new(bytes: &'a mut [u8]) -> Exclusive<'a> {
        Exclusive { start: bytes.as_mut_ptr(), len: bytes.len(), bytes: PhantomData }
    }

    /// Some of the bytes. Panics if they are outside.
    ///
    /// # Safety
    /// As long as the result is used, no other part overlaps it.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part(&self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len, "a part is inside");
        // SAFETY: inside by the assertion, and nobody else's by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// All of the bytes.
    ///
    /// # Safety
    /// As long as the result is used, no other thread touches the same cells.
    unsafe fn cells(&self) -> &[Cell<u8>] {
        // SAFETY: these are the bytes that `new` was given; others may see cells that are written.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.len) }
    }
}
