//! Windows at stride 1, tile by tile: words of columns into scratch, then products.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::Vectors;
use super::lines::{Ahead, Call, Span, rows};
use super::packed_lines;
use super::tile::{Tile, Words};
use super::words::make;

/// Places within a word of four columns where windows start.
pub(super) const PHASES: usize = 4;

/// Lines whose weights are packed.
const LINES: usize = packed_lines(1);

/// How rows of a window become words of columns.
#[derive(Clone, Copy)]
pub(super) struct ColumnWords {
    /// Words of a column.
    pub groups: usize,
    /// Each line has an outer row: its words hold four columns.
    pub outer: bool,
}

impl ColumnWords {
    /// For words of `taps` bytes and windows `k` high.
    #[inline(always)]
    pub const fn new(taps: usize, k: usize) -> ColumnWords {
        let outer = taps == 4 && k == 5;
        ColumnWords { groups: if outer { 1 } else { (k + 1).div_ceil(taps) }, outer }
    }
}

/// Computes the lines of `span`, whose first output is at `y`.
///
/// Safety: the processor has `V`'s instruction set; the lines are those of a convolution whose input is `call.x`, and `y`
/// has them.
#[inline(always)]
pub(super) unsafe fn columns<V: Vectors, const K: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    ahead: &mut Ahead<'_>,
    y: *mut u8,
) {
    let s = &call.conv.shape;
    for first in (0..span.each).step_by(LINES) {
        let lines = LINES.min(span.each - first);
        ahead.ask(lines * span.block.pieces);
        for left in (0..s.ow).step_by(call.windows.tile) {
            let width = call.windows.tile.min(s.ow - left);
            // SAFETY: the caller's promise; scratch has room for a tile's words.
            unsafe {
                match span.block.pieces {
                    1 => fill::<V, K, 1>(call, span, [first, lines], [left, width]),
                    2 => fill::<V, K, 2>(call, span, [first, lines], [left, width]),
                    _ => fill::<V, K, 4>(call, span, [first, lines], [left, width]),
                }
            }
            // Line by line, although a pair's weights meet the same words: sums of both would not fit the registers.
            for line in 0..lines {
                let outer = call.words.wrapping_add(call.windows.words_len + line * call.windows.outer_len);
                let columns = Columns::<K> { columns: call.words, outer, line };
                let tile = Tile::new(call, span, columns, y, [left, width]);
                // SAFETY: the words have just been made, `y` has the lines, and the caller has the instruction set.
                unsafe { tile.line(first + line) };
            }
        }
    }
}

/// Makes the words that `width` output pixels from `left` on need, of some lines from the first on.
///
/// Safety: as [`columns`]; `call.words` has room for them.
#[inline(always)]
unsafe fn fill<V: Vectors, const K: usize, const PIECES: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    [first, lines]: [usize; 2],
    [left, width]: [usize; 2],
) {
    let rows = rows::<V, K, 1, PIECES>(call, span, first, lines);
    let words = ColumnWords::new(V::TAPS, K);
    let (quad, count) = (4 * V::BYTES, width - 1 + K);
    debug_assert!(count * words.groups * quad <= call.windows.words_len);
    for group in 0..words.groups {
        let base = usize::from(words.outer) + group * V::TAPS;
        let rows = [0, 1, 2, 3].map(|t| rows[base + t % V::TAPS]);
        let to = call.words.wrapping_add(group * quad);
        // SAFETY: the caller's promise.
        unsafe { make::<V, PIECES, 1>(call, rows, [left, count], to, words.groups * quad) };
    }
    if !words.outer {
        return;
    }
    let count = (width - 1) / PHASES + 2;
    debug_assert!(count * quad <= call.windows.outer_len);
    for line in 0..lines {
        let to = call.words.wrapping_add(call.windows.words_len + line * call.windows.outer_len);
        // SAFETY: the caller's promise.
        unsafe { make::<V, PIECES, PHASES>(call, [rows[line * K]; 4], [left, count], to, quad) };
    }
}

/// A tile's words of columns, and the outer words of one line of a pair.
struct Columns<const K: usize> {
    columns: *const u8,
    outer: *const u8,
    line: usize,
}

impl<V: Vectors, const K: usize> Words<V> for Columns<K> {
    #[inline(always)]
    unsafe fn add<const P: usize>(
        &self,
        mut sums: [V::Word; P],
        pixel: usize,
        v: usize,
        mut weights: *const u8,
    ) -> [V::Word; P] {
        let words = ColumnWords::new(V::TAPS, K);
        let quad = 4 * V::BYTES;
        // SAFETY: the caller's promise.
        unsafe {
            let columns = self.columns.add(pixel * words.groups * quad + v * V::BYTES);
            let outer = self.outer.wrapping_add(pixel / PHASES * quad + v * V::BYTES);
            for group in 0..words.groups {
                for kx in 0..K {
                    let w = V::load(weights.add(self.line * V::BYTES));
                    for p in 0..P {
                        let x = V::load(columns.add(((p + kx) * words.groups + group) * quad));
                        sums[p] = V::dot(sums[p], x, w);
                    }
                    weights = weights.add(LINES * V::BYTES);
                }
            }
            if words.outer {
                let turns = weights.add(self.line * PHASES * 2 * V::BYTES);
                for p in 0..P {
                    let (first, phase) = (p / PHASES, p % PHASES);
                    for half in 0..2 {
                        let x = V::load(outer.add((first + half) * quad));
                        let w = V::load(turns.add((phase * 2 + half) * V::BYTES));
                        sums[p] = V::dot(sums[p], x, w);
                    }
                }
            }
            sums
        }
    }
}
