//! The micro-kernel for tiles that follow each other: a tile is finished while the next one's products are made.
//!
//! Making bytes of a sum takes as many instructions as a few products. Behind each other, neither hides the other: a
//! processor's schedulers hold about a hundred vector operations, and those that wait for the last products of a tile
//! fill them. So the sums of two tiles are held at a time, half as many of each, and after every few lines of weights
//! two rows of the tile before are finished.
//!
//! 6x32 on AVX-512 VNNI (Zen 5: two products, two loads a cycle): a line of each panel and a quad of each row are 8 loads
//! and 12 products, 6 cycles. To finish a tile takes 72 more vector instructions, of which only the 12 multiplications
//! by the scales go where products go, 6 cycles: of a tile of 64 input channels products have 94 % at most (86 to 88
//! measured), of one of 512 99 (95 to 97).

use super::layout::{COLUMNS, LINE};
use super::requantize::{Epilogue, Requantize};
use super::tile::{Columns16, Tiles, leave_pair, start, step};
use crate::prefetch::{Cache, prefetch};
use std::ptr::null;

/// Panels of a tile.
const NV: usize = 2;
/// Rows that are finished together.
const PAIR: usize = 2;
/// Pairs of rows of the highest tile.
const PAIRS: usize = 3;

/// Some lines of weights of a tap.
#[derive(Clone, Copy)]
struct Piece {
    tap: usize,
    /// From this one to before that one.
    quads: [usize; 2],
}

/// What is gone through before each pair is finished: the first taps, or about equal parts of fewer.
fn pieces(taps: usize, quads: usize) -> [Piece; PAIRS] {
    // Even numbers: lines are taken by twos.
    let [third, half] = [quads / 6 * 2, quads / 4 * 2];
    match taps {
        1 => [[0, third], [third, 2 * third], [2 * third, 3 * third]].map(|quads| Piece { tap: 0, quads }),
        2 => [(0, [0, quads]), (1, [0, half]), (1, [half, quads])].map(|(tap, quads)| Piece { tap, quads }),
        _ => [0, 1, 2].map(|tap| Piece { tap, quads: [0, quads] }),
    }
}

/// The micro-kernel of `MR` rows, at most 6, and 2 panels. Panics if outputs are not bytes.
///
/// # Safety
/// As for [`TileFn`](super::tile::TileFn), there is at least one tap, and the panels are a band.
#[inline(always)]
pub(crate) unsafe fn stream<S: Columns16, const MR: usize>(t: &Tiles<'_>) {
    const { assert!(MR <= PAIRS * PAIR) };
    // A copy: what is written could be what a reference leads to, but not this.
    let Epilogue::Bytes(out) = *t.out else { panic!("streams make bytes") };
    // SAFETY: the caller's promise.
    unsafe {
        match (t.taps, t.offsets.is_null()) {
            (1, true) => overlap::<S, MR, true, false>(t, &out),
            (1, false) => overlap::<S, MR, true, true>(t, &out),
            (_, true) => overlap::<S, MR, false, false>(t, &out),
            (_, false) => overlap::<S, MR, false, true>(t, &out),
        }
    }
}

/// [`stream`] of windows of one tap or of more: the former find their rows once a tile. Whether there are offsets is
/// known when it is compiled: where there are none, nothing asks.
///
/// # Safety
/// As for [`stream`]; `ONE`: there is one tap; `OFFSETS`: there are offsets.
#[inline(always)]
unsafe fn overlap<S: Columns16, const MR: usize, const ONE: bool, const OFFSETS: bool>(
    t: &Tiles<'_>,
    out: &Requantize,
) {
    let [first, second, third] = pieces(t.taps, t.quads);
    // SAFETY: the caller vouches for the instruction set and for the pointers. The lines of each tile are gone
    // through once: those of the pieces, and what is left.
    unsafe {
        let mut before = start::<S, MR, NV>(t, 0);
        let mut line = t.lines;
        for tap in 0..t.taps {
            let rows = t.rows.tap::<MR>(&t.places[0], tap);
            line = products::<S, MR, true>(&mut before, t, &rows, [0, t.quads], line);
        }
        let mut y = t.places[0].y.add(t.y_offset);
        for (i, place) in t.places.iter().enumerate().skip(1) {
            let mut sums = start::<S, MR, NV>(t, i);
            let mut rows = t.rows.tap::<MR>(place, 0);
            line = products::<S, MR, false>(&mut sums, t, &rows, first.quads, t.lines);
            finish::<S, MR, 0, OFFSETS>(&before, t, out, y);
            if !ONE {
                rows = t.rows.tap::<MR>(place, second.tap);
            }
            line = products::<S, MR, false>(&mut sums, t, &rows, second.quads, line);
            finish::<S, MR, 1, OFFSETS>(&before, t, out, y);
            if !ONE {
                rows = t.rows.tap::<MR>(place, third.tap);
            }
            line = products::<S, MR, false>(&mut sums, t, &rows, third.quads, line);
            finish::<S, MR, 2, OFFSETS>(&before, t, out, y);
            if ONE {
                products::<S, MR, false>(&mut sums, t, &rows, [third.quads[1], t.quads], line);
            }
            for tap in third.tap + 1..t.taps {
                rows = t.rows.tap::<MR>(place, tap);
                line = products::<S, MR, false>(&mut sums, t, &rows, [0, t.quads], line);
            }
            (before, y) = (sums, place.y.add(t.y_offset));
        }
        finish::<S, MR, 0, OFFSETS>(&before, t, out, y);
        finish::<S, MR, 1, OFFSETS>(&before, t, out, y);
        finish::<S, MR, 2, OFFSETS>(&before, t, out, y);
    }
}

/// The products of some quads of the rows of a tap, whose weights start at `line`; where the next ones do. `ASK`: weights
/// [ahead](Tiles::ahead) are asked for.
///
/// # Safety
/// As for [`stream`].
#[inline(always)]
unsafe fn products<S: Columns16, const MR: usize, const ASK: bool>(
    sums: &mut [[S::Acc; NV]; MR],
    t: &Tiles<'_>,
    rows: &[*const u8; MR],
    [mut quad, end]: [usize; 2],
    mut line: *const u8,
) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe {
        while quad + 2 <= end {
            if ASK {
                for i in 0..2 * NV {
                    prefetch(line.wrapping_add(t.ahead + i * LINE), Cache::First);
                }
            }
            step::<S, MR, NV>(sums, rows, quad, line);
            step::<S, MR, NV>(sums, rows, quad + 1, line.add(NV * LINE));
            quad += 2;
            line = line.add(2 * NV * LINE);
        }
        if quad < end {
            step::<S, MR, NV>(sums, rows, quad, line);
            line = line.add(NV * LINE);
        }
        line
    }
}

/// Makes bytes of the sums of a pair of rows, or of a last single one, and writes them to their places in a tile's
/// outputs `y`.
///
/// # Safety
/// As for [`stream`].
#[inline(always)]
unsafe fn finish<S: Columns16, const MR: usize, const INDEX: usize, const OFFSETS: bool>(
    sums: &[[S::Acc; NV]; MR],
    t: &Tiles<'_>,
    out: &Requantize,
    y: *mut u8,
) {
    let row = INDEX * PAIR;
    if row >= MR {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let offsets = if OFFSETS { [t.offsets, t.offsets.add(COLUMNS)] } else { [null(); NV] };
        let below = if row + 1 < MR { Some(sums[(row + 1) % MR]) } else { None };
        let y = y.add(row * t.y_step);
        leave_pair::<S>(sums[row], below, (t.headers, offsets), out, (y, t.y_step), t.columns);
    }
}
