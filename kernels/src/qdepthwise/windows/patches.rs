//! Windows at stride 2 from words of patches, two columns wide: with two rows where words hold four bytes.
//!
//! A window starts where a patch starts, so a patch has one place in each window that it is part of, and its words are made
//! once for all of them.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::Vectors;
use super::lines::{Ahead, Call, Span};
use super::tile::{Tile, Words};
use super::words::make;

/// Patches side by side under a window.
#[inline(always)]
pub(super) const fn across(k: usize) -> usize {
    k.div_ceil(2)
}

/// Most of them one above the other.
const MOST_DOWN: usize = 5;

/// Rows of a patch.
#[inline(always)]
pub(super) const fn patch_rows(taps: usize) -> usize {
    taps / 2
}

/// Patches one above the other under a window.
#[inline(always)]
pub(super) const fn down(taps: usize, k: usize) -> usize {
    k.div_ceil(patch_rows(taps))
}

/// Computes the lines of `span`, whose first output is at `y`.
///
/// Safety: the processor has `V`'s instruction set; the lines are those of a convolution whose input is `call.x`, and `y`
/// has them.
#[inline(always)]
pub(super) unsafe fn patches<V: Vectors, const K: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    ahead: &mut Ahead<'_>,
    y: *mut u8,
) {
    let s = &call.conv.shape;
    let down = down(V::TAPS, K);
    let row_len = call.windows.words_len / down;
    // Rows of patches take turns.
    let place = |row: usize| call.words.wrapping_add(row % down * row_len);
    for left in (0..s.ow).step_by(call.windows.tile) {
        let width = call.windows.tile.min(s.ow - left);
        let mut made = 0;
        for l in 0..span.each {
            if left == 0 {
                ahead.ask(span.block.pieces);
            }
            let first = l * 2 / patch_rows(V::TAPS);
            for row in made..first + down {
                // SAFETY: the caller's promise; scratch has room for the words of so many rows.
                unsafe {
                    match span.block.pieces {
                        1 => fill::<V, K, 1>(call, span, row, [left, width], place(row)),
                        2 => fill::<V, K, 2>(call, span, row, [left, width], place(row)),
                        _ => fill::<V, K, 4>(call, span, row, [left, width], place(row)),
                    }
                }
            }
            made = first + down;
            let mut rows = [call.words.cast_const(); MOST_DOWN];
            for d in 0..down {
                rows[d] = place(first + d);
            }
            let tile = Tile::new(call, span, Patches::<K>(rows), y, [left, width]);
            // SAFETY: the words have just been made, `y` has the lines, and the caller has the instruction set.
            unsafe { tile.line(l) };
        }
    }
}

/// Makes the words of row `row` of patches, counted from the first under the lines of each piece, that `width` output
/// pixels from `left` on need.
///
/// Safety: as [`patches`]; `to` has room for them.
#[inline(always)]
unsafe fn fill<V: Vectors, const K: usize, const PIECES: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    row: usize,
    [left, width]: [usize; 2],
    to: *mut u8,
) {
    let mut rows = [[call.border; PIECES]; 4];
    for (r, starts) in rows.iter_mut().enumerate().take(patch_rows(V::TAPS)) {
        for (piece, start) in starts.iter_mut().enumerate() {
            let first = 2 * (span.oy + piece * span.each);
            *start = call.row(span, first + row * patch_rows(V::TAPS) + r);
        }
    }
    let (first, count) = (2 * left, width + across(K) - 1);
    // SAFETY: the caller's promise.
    unsafe { make::<V, PIECES, 2>(call, rows, [first, count], to, 4 * V::BYTES) };
}

/// The rows of patches under a line.
struct Patches<const K: usize>([*const u8; MOST_DOWN]);

impl<V: Vectors, const K: usize> Words<V> for Patches<K> {
    #[inline(always)]
    unsafe fn add<const P: usize>(
        &self,
        mut sums: [V::Word; P],
        pixel: usize,
        v: usize,
        weights: *const u8,
    ) -> [V::Word; P] {
        for d in 0..down(V::TAPS, K) {
            for a in 0..across(K) {
                // SAFETY: the caller's promise.
                unsafe {
                    let w = V::load(weights.add((d * across(K) + a) * V::BYTES));
                    let words = self.0[d].add((pixel + a) * 4 * V::BYTES + v * V::BYTES);
                    for p in 0..P {
                        sums[p] = V::dot(sums[p], V::load(words.add(p * 4 * V::BYTES)), w);
                    }
                }
            }
        }
        sums
    }
}
