//! Lines of one block of channels, tile by tile: words into scratch, then products.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::{Vectors, store_four};
use super::lines::{Call, Span, rows};
use super::{Words, packed_lines, phases};

/// Computes the lines of `span`, whose first output is at `y`.
///
/// Safety: the processor has `V`'s instruction set; the lines are those of a convolution whose input is `call.x`, and `y`
/// has them.
#[inline(always)]
pub(in super::super) unsafe fn tiles<V: Vectors, const K: usize, const S: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    y: *mut u8,
) {
    let (conv, s) = (call.conv, &call.conv.shape);
    let (packed, quarter) = (span.block.quarters.as_ptr(), call.windows.quarter());
    let (offsets, offsets_step) = if conv.offsets {
        (packed.wrapping_add(call.windows.offsets_at()), quarter)
    } else {
        ([0; 64].as_ptr(), 0)
    };
    for left in (0..s.ow).step_by(call.windows.tile) {
        let width = call.windows.tile.min(s.ow - left);
        // SAFETY: the caller's promise; scratch has room for a tile's words.
        unsafe {
            match span.block.pieces {
                1 => fill::<V, K, S, 1>(call, span, left, width),
                2 => fill::<V, K, S, 2>(call, span, left, width),
                _ => fill::<V, K, S, 4>(call, span, left, width),
            }
        }
        let tile = Tile {
            call,
            span,
            quarter,
            plain: !span.block.large && !conv.offsets,
            offsets,
            offsets_step,
            outer: call.words.wrapping_add(call.windows.columns_len),
            y: y.wrapping_add(left * conv.y_stride),
            width,
        };
        // Line by line, although a pair's weights meet the same words: sums of both would not fit the registers.
        for l in 0..span.each {
            let mut pixel = 0;
            while width - pixel > 2 {
                // SAFETY: the words of these pixels have just been made (behind `width` any bytes do, and are in scratch),
                // `y` has the lines, and the caller has the instruction set.
                unsafe { tile.pixels::<K, S, 4>(l, pixel) };
                pixel = width.min(pixel + 4);
            }
            if pixel < width {
                // SAFETY: as above.
                unsafe { tile.pixels::<K, S, 2>(l, pixel) };
            }
        }
    }
}

/// Makes the words that `width` output pixels from `left` on need.
///
/// Safety: as [`tiles`]; `call.words` has room for them.
#[inline(always)]
unsafe fn fill<V: Vectors, const K: usize, const S: usize, const PIECES: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    left: usize,
    width: usize,
) {
    let s = &call.conv.shape;
    let (pad, step) = (s.pad[1], s.c);
    let rows = rows::<V, K, S, PIECES>(call, span);
    let words = Words::new(V::TAPS, K);
    // Columns are counted from the left edge of the padding.
    let (first, count) = (left * S, (width - 1) * S + K);
    let before = pad.clamp(first, first + count) - first;
    let inside = (pad + s.w).clamp(first + before, first + count) - first - before;
    let (quad, quads) = (4 * V::BYTES, (width - 1) * S / 4 + 2);
    debug_assert!(count * words.groups * quad <= call.windows.columns_len);
    // SAFETY: the caller's promise.
    unsafe {
        let border = V::interleave([V::load(call.border); 4]);
        for group in 0..words.groups {
            let base = usize::from(words.outer) + group * V::TAPS;
            let sources = [0, 1, 2, 3].map(|t| rows[base + t % V::TAPS]);
            let mut to = call.words.add(group * quad);
            for _ in 0..before {
                store_four::<V>(border, to);
                to = to.wrapping_add(words.groups * quad);
            }
            let mut offset = (first + before).wrapping_sub(pad).wrapping_mul(step);
            for _ in 0..inside {
                let mut bytes = [V::load(call.border); 4];
                for t in 0..V::TAPS {
                    bytes[t] = V::gather::<PIECES>(sources[t], offset);
                }
                store_four::<V>(V::interleave(bytes), to);
                offset = offset.wrapping_add(step);
                to = to.wrapping_add(words.groups * quad);
            }
            for _ in before + inside..count {
                store_four::<V>(border, to);
                to = to.wrapping_add(words.groups * quad);
            }
        }
    }
    if !words.outer {
        return;
    }
    debug_assert!(quads * quad <= call.windows.outer_len);
    for line in 0..span.each {
        let source = rows[line * K];
        // SAFETY: the caller's promise.
        unsafe {
            let outer = call.words.add(call.windows.columns_len + line * call.windows.outer_len);
            for at in 0..quads {
                let mut bytes = [V::load(call.border); 4];
                for t in 0..4 {
                    let ix = (first + 4 * at + t).wrapping_sub(pad);
                    if ix < s.w {
                        bytes[t] = V::gather::<PIECES>(source, ix * step);
                    }
                }
                store_four::<V>(V::interleave(bytes), outer.add(at * quad));
            }
        }
    }
}

/// A tile whose words are made.
struct Tile<'a, V: Vectors> {
    call: &'a Call<'a, V>,
    span: &'a Span<'a>,
    /// Bytes from one of four vectors of words to the next, with its weights.
    quarter: usize,
    /// No large multiplier and no offsets.
    plain: bool,
    /// Offsets of the first of four vectors of words, and how far the next are: 0 if there are none.
    offsets: *const u8,
    offsets_step: usize,
    /// The outer words of the first line.
    outer: *const u8,
    y: *mut u8,
    /// Pixels that are written.
    width: usize,
}

impl<V: Vectors> Tile<'_, V> {
    /// Computes `P` pixels (or what there is of them) of line `l` of each piece. `pixel` is a multiple of 4.
    ///
    /// Safety: the processor has `V`'s instruction set; words and outputs are there.
    #[inline(always)]
    unsafe fn pixels<const K: usize, const S: usize, const P: usize>(&self, l: usize, pixel: usize) {
        let conv = self.call.conv;
        let (line, y_stride) = (conv.shape.ow * conv.y_stride, conv.y_stride);
        // SAFETY: the caller's promise.
        unsafe {
            let low = self.half::<K, S, P>(l, pixel, 0);
            let high = self.half::<K, S, P>(l, pixel, 2);
            let mut results = low;
            for p in 0..P {
                results[p] = V::whole(low[p], high[p], self.call.bounds);
            }
            let to = self.y.add(l * line + pixel * y_stride);
            let width = (self.width - pixel).min(P);
            let (n, pieces) = (self.span.block.channels, self.span.block.pieces);
            if n == V::BYTES && width == P {
                for p in 0..P {
                    V::store(results[p], to.add(p * y_stride));
                }
                return;
            }
            // Behind the last line pieces are empty.
            let each = self.span.each;
            let lines = (self.span.count - l).div_ceil(each).min(pieces);
            for p in 0..width {
                let to = to.add(p * y_stride);
                if n == V::BYTES {
                    V::store(results[p], to);
                } else if pieces == 1 {
                    V::store_part(results[p], to, n);
                } else {
                    V::scatter(results[p], pieces, to, each * line, lines, n);
                }
            }
        }
    }

    /// 16 bits of vectors `v` and `v + 1` of four of the words of each pixel.
    ///
    /// Safety: as [`pixels`](Self::pixels).
    #[inline(always)]
    unsafe fn half<const K: usize, const S: usize, const P: usize>(
        &self,
        l: usize,
        pixel: usize,
        v: usize,
    ) -> [V::Word; P] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut a = self.scaled::<K, S, P>(l, pixel, v);
            let b = self.scaled::<K, S, P>(l, pixel, v + 1);
            for p in 0..P {
                a[p] = V::half(a[p], b[p], self.call.bounds);
            }
            a
        }
    }

    /// Vector `v` of four of the words of each pixel: window sums, scaled.
    ///
    /// Safety: as [`pixels`](Self::pixels).
    #[inline(always)]
    unsafe fn scaled<const K: usize, const S: usize, const P: usize>(
        &self,
        l: usize,
        pixel: usize,
        v: usize,
    ) -> [V::Word; P] {
        let words = Words::new(V::TAPS, K);
        let quad = 4 * V::BYTES;
        // SAFETY: the caller's promise; a quarter of a block holds what is read here (see the head of the module above).
        unsafe {
            let packed = self.span.block.quarters.as_ptr().add(v * self.quarter);
            let columns = self.call.words.add(pixel * S * words.groups * quad + v * V::BYTES);
            let outer = self.outer.add(l * self.call.windows.outer_len + pixel * S / 4 * quad + v * V::BYTES);
            let mut sums = [V::load(packed); P];
            let mut weights = packed.add(2 * V::BYTES);
            for _ in 0..self.span.block.parts {
                for group in 0..words.groups {
                    for kx in 0..K {
                        let w = V::load(weights.add(l * V::BYTES));
                        for p in 0..P {
                            let x = V::load(columns.add(((p * S + kx) * words.groups + group) * quad));
                            sums[p] = V::dot(sums[p], x, w);
                        }
                        weights = weights.add(packed_lines(S) * V::BYTES);
                    }
                }
                if words.outer {
                    let turns = weights.add(l * phases(S) * 2 * V::BYTES);
                    for p in 0..P {
                        let (first, phase) = (p * S / 4, p * S % 4 / S);
                        for half in 0..2 {
                            let x = V::load(outer.add((first + half) * quad));
                            let w = V::load(turns.add((phase * 2 + half) * V::BYTES));
                            sums[p] = V::dot(sums[p], x, w);
                        }
                    }
                    weights = weights.add(packed_lines(S) * phases(S) * 2 * V::BYTES);
                }
            }
            let multiplier = V::load(packed.add(V::BYTES));
            if self.plain {
                for p in 0..P {
                    sums[p] = V::scale(sums[p], multiplier, false, self.call.bounds);
                }
                return sums;
            }
            let offset = V::load(self.offsets.wrapping_add(v * self.offsets_step));
            for p in 0..P {
                sums[p] = V::scale_and_add(sums[p], multiplier, offset, self.call.bounds);
            }
            sums
        }
    }
}
