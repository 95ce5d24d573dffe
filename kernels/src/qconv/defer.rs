//! The micro-kernel for high tiles: the sums of one are left in memory, and made bytes of while the next one's products
//! are made.
//!
//! Registers do not hold the sums of two such tiles: [`stream`](super::stream) halves them for that, and reads twice the
//! weights for each product. Where these come from the second cache, memory holds the sums: 24 stores and loads for a
//! tile of 12x32, 2 % of its products on Zen 5 where there are 1024 input channels. What is left of a tile stays until
//! the next one comes, over whatever panels.
//!
//! The loop over lines needs nearly all registers for the addresses of its rows. So four lines go in a round, which lie a
//! known number of bytes apart (a tile's panels are a whole band), and whatever else is done happens between rounds.

use super::layout::{COLUMNS, LINE};
use super::requantize::{Epilogue, Requantize};
use super::tile::{Columns16, Place, Tiles, leave_pair, start, step};
use crate::prefetch::{Cache, prefetch};
use std::mem::MaybeUninit;
use std::ptr::null;

/// Panels of a tile.
const NV: usize = 2;
/// Rows that are finished together.
const PAIR: usize = 2;
/// Lines of a panel between two such pairs.
const PACE: usize = 16;
/// Lines of a panel that are gone through in one round of the loop.
const ROUND: usize = 4;
/// The most rows of a tile.
const ROWS: usize = 12;

/// A tile whose outputs are still to be made.
pub(crate) struct Left {
    sums: Sums,
    /// Its rows; none: nothing is left.
    rows: usize,
    headers: *const u8,
    offsets: *const f32,
    y: *mut u8,
    y_step: usize,
    columns: usize,
    /// What is asked for next, into the second cache, and how many bytes of it with every [`PACE`] lines.
    next: *const u8,
    next_step: usize,
}

/// `[ROWS][NV]` sums of 16 columns.
#[repr(align(64))]
struct Sums([MaybeUninit<u8>; ROWS * NV * LINE]);

impl Left {
    /// Nothing is left.
    pub fn none() -> Left {
        Left {
            sums: Sums([const { MaybeUninit::uninit() }; ROWS * NV * LINE]),
            rows: 0,
            headers: null(),
            offsets: null(),
            y: std::ptr::null_mut(),
            y_step: 0,
            columns: 0,
            next: null(),
            next_step: 0,
        }
    }

    /// While so many `taps`, of all tiles together, are gone through, `bytes` from `next` on are asked for: weights that
    /// come from memory or the third cache would be waited for.
    pub fn ask(&mut self, next: *const u8, bytes: usize, taps: usize, quads: usize) {
        let pauses = taps * quads.div_ceil(PACE);
        (self.next, self.next_step) = (next, bytes.div_ceil(pauses.max(1)));
    }

    /// Asks for some of it.
    #[inline(always)]
    fn ask_on(&mut self) {
        let end = self.next.wrapping_add(self.next_step);
        while self.next < end {
            prefetch(self.next, Cache::Second);
            self.next = self.next.wrapping_add(LINE);
        }
        self.next = end;
    }

    /// Pairs of rows.
    fn pairs(&self) -> usize {
        self.rows.div_ceil(PAIR)
    }

    /// Leaves the sums of the tile at `place`.
    ///
    /// # Safety
    /// As for [`defer`].
    #[inline(always)]
    unsafe fn keep<S: Columns16, const MR: usize>(
        &mut self,
        sums: &[[S::Acc; NV]; MR],
        t: &Tiles<'_>,
        place: &Place,
    ) {
        const { assert!(MR <= ROWS && size_of::<S::Acc>() <= LINE && align_of::<S::Acc>() <= LINE) };
        let to = self.sums.0.as_mut_ptr().cast::<[S::Acc; NV]>();
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: there is room for as many rows.
            unsafe { to.add(i).write(*sums) };
        }
        self.rows = MR;
        (self.headers, self.offsets) = (t.headers, t.offsets);
        self.y = place.y.wrapping_add(t.y_offset);
        (self.y_step, self.columns) = (t.y_step, t.columns);
    }

    /// Makes bytes of the sums of a pair of rows, or of a last single one, and writes them.
    ///
    /// # Safety
    /// As for [`finish`]; there is this pair.
    #[inline(always)]
    unsafe fn pair<S: Columns16>(&self, pair: usize, out: &Requantize) {
        // SAFETY: the caller's promise; whether there are offsets is asked once.
        unsafe {
            match self.offsets.is_null() {
                true => self.write::<S>(pair, [null(); NV], out),
                false => self.write::<S>(pair, [self.offsets, self.offsets.add(COLUMNS)], out),
            }
        }
    }

    /// [`pair`](Self::pair), with these offsets.
    ///
    /// # Safety
    /// As for [`pair`](Self::pair).
    #[inline(always)]
    unsafe fn write<S: Columns16>(&self, pair: usize, offsets: [*const f32; NV], out: &Requantize) {
        let row = pair * PAIR;
        // SAFETY: the caller's promise.
        unsafe {
            let sums = self.sums.0.as_ptr().cast::<[S::Acc; NV]>().add(row);
            let below = if row + 1 < self.rows { Some(sums.add(1).read()) } else { None };
            let y = (self.y.add(row * self.y_step), self.y_step);
            leave_pair::<S>(sums.read(), below, (self.headers, offsets), out, y, self.columns);
        }
    }
}

/// Makes the outputs of what is left. Panics if outputs are not bytes.
///
/// # Safety
/// The processor has the instruction set it was compiled for. If tiles were [deferred](defer), it was with the same
/// instruction set, and their headers, offsets and outputs are still there.
pub(crate) type FinishFn = unsafe fn(&mut Left, &Epilogue);

/// A [`FinishFn`].
///
/// # Safety
/// As for that.
#[inline(always)]
pub(crate) unsafe fn finish<S: Columns16>(left: &mut Left, out: &Epilogue) {
    let Epilogue::Bytes(out) = *out else { panic!("bytes are left to be made") };
    for pair in 0..left.pairs() {
        // SAFETY: the caller's promise.
        unsafe { left.pair::<S>(pair, &out) };
    }
    left.rows = 0;
}

/// The micro-kernel of `MR` rows, at most 12, and 2 panels: finishes what is left, and leaves the last tile. Panics if
/// outputs are not bytes.
///
/// # Safety
/// As for [`TileFn`](super::tile::TileFn) and [`FinishFn`]; the panels are a band; `left` leads to what is left, and
/// nothing else does.
#[inline(always)]
pub(crate) unsafe fn defer<S: Columns16, const MR: usize>(t: &Tiles<'_>) {
    // A copy: what is written could be what a reference leads to, but not this.
    let Epilogue::Bytes(out) = *t.out else { panic!("bytes are left to be made") };
    // SAFETY: the caller's promise.
    unsafe {
        let left = &mut *t.left;
        let mut places = t.places.iter().zip(0..);
        if t.ahead > 0
            && let Some(first) = places.next()
        {
            one::<S, MR, true>(t, first, left, &out);
        }
        for place in places {
            one::<S, MR, false>(t, place, left, &out);
        }
    }
}

/// One tile. `ASK`: weights [ahead](Tiles::ahead) are asked for.
///
/// # Safety
/// As for [`defer`].
#[inline(always)]
unsafe fn one<S: Columns16, const MR: usize, const ASK: bool>(
    t: &Tiles<'_>,
    (place, index): (&Place, usize),
    left: &mut Left,
    out: &Requantize,
) {
    // SAFETY: the caller's promise; the loops read `taps * quads` lines of each panel and `quads` quads of each row and
    // tap.
    unsafe {
        let mut sums = start::<S, MR, NV>(t, index);
        let (mut line, mut pair, pairs) = (t.lines, 0, left.pairs());
        for tap in 0..t.taps {
            let rows = t.rows.tap::<MR>(place, tap);
            let mut quad = 0;
            while quad < t.quads {
                let end = (quad + PACE).min(t.quads);
                while quad + ROUND <= end {
                    if ASK {
                        for i in 0..ROUND * NV {
                            prefetch(line.wrapping_add(t.ahead + i * LINE), Cache::First);
                        }
                    }
                    for i in 0..ROUND {
                        step::<S, MR, NV>(&mut sums, &rows, quad + i, line.add(i * NV * LINE));
                    }
                    quad += ROUND;
                    line = line.add(ROUND * NV * LINE);
                }
                while quad < end {
                    step::<S, MR, NV>(&mut sums, &rows, quad, line);
                    quad += 1;
                    line = line.add(NV * LINE);
                }
                left.ask_on();
                if pair < pairs {
                    left.pair::<S>(pair, out);
                    pair += 1;
                }
            }
        }
        while pair < pairs {
            left.pair::<S>(pair, out);
            pair += 1;
        }
        left.keep::<S, MR>(&sums, t, place);
    }
}
