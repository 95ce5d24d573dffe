//! Words of the input, made in scratch.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::{Vectors, store_four};
use super::lines::Call;
use std::ops::Range;

/// Makes the words of some patches that lie side by side, each `ACROSS` columns wide and so many rows high that a word
/// holds all of it; `rows` are where these begin. `first` is the first column, counted from the left edge of the padding,
/// `count` the number of patches; their quads are `step` bytes apart.
///
/// Safety: the processor has `V`'s instruction set; rows are those of `call.x` or the border, and `to` has room.
#[inline(always)]
pub(super) unsafe fn make<V: Vectors, const PIECES: usize, const ACROSS: usize>(
    call: &Call<'_, V>,
    rows: [[*const u8; PIECES]; 4],
    [first, count]: [usize; 2],
    to: *mut u8,
    step: usize,
) {
    let s = &call.conv.shape;
    // Patches that lie in the image with all their columns.
    let begin = s.pad[1].saturating_sub(first).div_ceil(ACROSS).min(count);
    let end = ((s.pad[1] + s.w).saturating_sub(first) / ACROSS).clamp(begin, count);
    // SAFETY: the caller's promise.
    unsafe {
        edges::<V, PIECES, ACROSS>(call, rows, first, 0..begin, to, step);
        let mut offset = (first + ACROSS * begin).wrapping_sub(s.pad[1]).wrapping_mul(s.c);
        let mut inside = to.wrapping_add(begin * step);
        for _ in begin..end {
            let mut bytes = [V::gather::<PIECES>(rows[0], offset); 4];
            for t in 1..V::TAPS {
                bytes[t] = V::gather::<PIECES>(rows[t / ACROSS], offset + t % ACROSS * s.c);
            }
            store_four::<V>(V::interleave(bytes), inside);
            offset += ACROSS * s.c;
            inside = inside.wrapping_add(step);
        }
        edges::<V, PIECES, ACROSS>(call, rows, first, end..count, to, step);
    }
}

/// Makes the words of patches that lie beside the image, or half in it.
///
/// Safety: as [`make`].
#[inline(always)]
unsafe fn edges<V: Vectors, const PIECES: usize, const ACROSS: usize>(
    call: &Call<'_, V>,
    rows: [[*const u8; PIECES]; 4],
    first: usize,
    patches: Range<usize>,
    to: *mut u8,
    step: usize,
) {
    let s = &call.conv.shape;
    // SAFETY: the caller's promise.
    unsafe {
        let border = V::load(call.border);
        let beside = V::interleave([border; 4]);
        for at in patches {
            if ACROSS == 1 {
                store_four::<V>(beside, to.add(at * step));
                continue;
            }
            let mut bytes = [border; 4];
            for t in 0..V::TAPS {
                let ix = (first + ACROSS * at + t % ACROSS).wrapping_sub(s.pad[1]);
                if ix < s.w {
                    bytes[t] = V::gather::<PIECES>(rows[t / ACROSS], ix * s.c);
                }
            }
            store_four::<V>(V::interleave(bytes), to.add(at * step));
        }
    }
}
