//! Lines of one block of channels, windows of 3x3, without memory in between.
//!
//! The words of a column are made once, meet the weights of all three kernel columns in registers, and are forgotten: a
//! column is the right of one window, the middle of the next and the left of the one after. That takes registers for
//! twelve words of weights and as many sums, so only instruction sets that have 32 do it. Offsets, large multipliers and
//! further parts of weights are seldom, and have functions of their own: the usual one has no register to spare.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::Vectors;
use super::lines::{Call, Span, rows};
use super::packed_lines;

/// Kernel columns.
const COLUMNS: usize = 3;

/// What sums of a block need: one part of weights, no offsets, and no large multiplier.
pub(super) const PLAIN: u8 = 0;

/// One part of weights; offsets or large multipliers.
pub(super) const SHIFTED: u8 = 1;

/// Any number of parts, of which all but the first are read from memory each time.
pub(super) const PARTED: u8 = 2;

/// Four vectors of words.
type Four<V> = [<V as Vectors>::Word; 4];

/// What a line of one block of channels is made of: values, so that they need not be read again after each write.
///
/// `SUMS` is one of [`PLAIN`], [`SHIFTED`] and [`PARTED`].
struct Line<V: Vectors, const PIECES: usize, const SUMS: u8> {
    /// Where the bytes of the kernel rows are.
    sources: [[*const u8; PIECES]; COLUMNS],
    /// Columns in front of the image, of it, and bytes of one.
    pad: usize,
    width: usize,
    step: usize,
    /// The words of a column beside the image.
    border: Four<V>,
    bias: Four<V>,
    multipliers: Four<V>,
    /// For each kernel column, those of the first part.
    weights: [Four<V>; COLUMNS],
    parts: usize,
    /// The first part in memory, and bytes from one of four vectors to the next and from one part to the next.
    packed: *const u8,
    quarter: usize,
    part: usize,
    /// 0 if there are none.
    offsets: Four<V>,
    bounds: V::Bounds,
    y: *mut u8,
    /// Bytes from one output pixel to the next, and from one line to the next.
    y_stride: usize,
    y_line: usize,
    channels: usize,
    /// Pieces that are written.
    lines: usize,
}

/// Computes the lines of `span`, one of each piece; the first output is at `y`.
///
/// Safety: the processor has `V`'s instruction set; the block's sums need no more than `SUMS`, and `y` has the lines.
#[inline(always)]
pub(in super::super) unsafe fn stream<V: Vectors, const S: usize, const PIECES: usize, const SUMS: u8>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    y: *mut u8,
) {
    let (conv, s) = (call.conv, &call.conv.shape);
    let [a, b, c, ..] = rows::<V, COLUMNS, S, PIECES>(call, span, 0, 1);
    let (packed, quarter) = (span.block.quarters.as_ptr(), call.windows.quarter());
    // SAFETY: the caller's promise: a block holds bias, multipliers and the weights of three columns for each vector of
    // words; the border is a vector at least.
    unsafe {
        let bias = vectors::<V>(packed, quarter);
        let mut weights = [bias; COLUMNS];
        for kx in 0..COLUMNS {
            weights[kx] = vectors::<V>(packed.add((2 + kx * packed_lines(S)) * V::BYTES), quarter);
        }
        let mut offsets = [V::load([0; 64].as_ptr()); 4];
        if conv.offsets {
            offsets = vectors::<V>(packed.add(call.windows.offsets_at()), quarter);
        }
        let line = Line::<V, PIECES, SUMS> {
            sources: [a, b, c],
            pad: s.pad[1],
            width: s.w,
            step: s.c,
            border: [V::load(call.border); 4],
            bias,
            multipliers: vectors::<V>(packed.add(V::BYTES), quarter),
            weights,
            parts: span.block.parts,
            packed: packed.add(2 * V::BYTES),
            quarter,
            part: call.windows.part * V::BYTES,
            offsets,
            bounds: call.bounds,
            y,
            y_stride: conv.y_stride,
            y_line: s.ow * conv.y_stride,
            channels: span.block.channels,
            lines: span.count,
        };
        line.windows::<S>(s.ow);
    }
}

/// A vector of each of four.
///
/// Safety: they are there, `step` bytes apart.
#[inline(always)]
unsafe fn vectors<V: Vectors>(from: *const u8, step: usize) -> Four<V> {
    // SAFETY: the caller's promise.
    unsafe {
        [V::load(from), V::load(from.add(step)), V::load(from.add(2 * step)), V::load(from.add(3 * step))]
    }
}

impl<V: Vectors, const PIECES: usize, const SUMS: u8> Line<V, PIECES, SUMS> {
    /// Computes `width` output pixels.
    ///
    /// Safety: as [`stream`].
    #[inline(always)]
    unsafe fn windows<const S: usize>(&self, width: usize) {
        let [left, middle, right] = [0, 1, 2];
        // SAFETY: the caller's promise.
        unsafe {
            // What the windows at hand have added up: the first lacks its right column, the next two columns.
            let mut first = self.dot::<S>(self.bias, self.column(0), left);
            let mut next = self.bias;
            if S == 1 {
                let words = self.column(1);
                first = self.dot::<S>(first, words, middle);
                next = self.dot::<S>(self.bias, words, left);
            }
            for pixel in 0..width {
                let at = S * pixel + 2;
                if S == 2 {
                    first = self.dot::<S>(first, self.column(at - 1), middle);
                }
                let words = self.column(at);
                let sums = self.dot::<S>(first, words, right);
                if S == 1 {
                    first = self.dot::<S>(next, words, middle);
                    next = self.dot::<S>(self.bias, words, left);
                } else {
                    first = self.dot::<S>(self.bias, words, left);
                }
                self.finish(sums, pixel);
            }
        }
    }

    /// Sums, and the products of a column's words with weights of kernel column `kx`.
    ///
    /// Safety: as [`stream`].
    #[inline(always)]
    unsafe fn dot<const S: usize>(&self, sums: Four<V>, words: Four<V>, kx: usize) -> Four<V> {
        // SAFETY: the caller's promise: the block has these parts.
        unsafe {
            let mut sums = dot::<V>(sums, words, self.weights[kx]);
            if SUMS == PARTED {
                for part in 1..self.parts {
                    let at = part * self.part + kx * packed_lines(S) * V::BYTES;
                    sums = dot::<V>(sums, words, vectors::<V>(self.packed.add(at), self.quarter));
                }
            }
            sums
        }
    }

    /// The words of a column, counted from the left edge of the padding.
    ///
    /// Safety: the processor has `V`'s instruction set; sources are good for every column of the image.
    #[inline(always)]
    unsafe fn column(&self, column: usize) -> Four<V> {
        let ix = column.wrapping_sub(self.pad);
        if ix >= self.width {
            return self.border;
        }
        let ([a, b, c], offset) = (self.sources, ix * self.step);
        // SAFETY: the caller's promise.
        unsafe {
            let last = V::gather::<PIECES>(c, offset);
            // What would be a fourth row has weights of 0.
            V::interleave([V::gather::<PIECES>(a, offset), V::gather::<PIECES>(b, offset), last, last])
        }
    }

    /// Requantizes the sums of an output pixel and writes them.
    ///
    /// Safety: as [`stream`]; the pixel is one of the output.
    #[inline(always)]
    unsafe fn finish(&self, mut sums: Four<V>, pixel: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..4 {
                sums[v] = if SUMS == PLAIN {
                    V::scale(sums[v], self.multipliers[v], false, self.bounds)
                } else {
                    V::scale_and_add(sums[v], self.multipliers[v], self.offsets[v], self.bounds)
                };
            }
            let [a, b, c, d] = sums;
            let low = V::half(a, b, self.bounds);
            let result = V::whole(low, V::half(c, d, self.bounds), self.bounds);
            let to = self.y.add(pixel * self.y_stride);
            if PIECES > 1 {
                V::scatter(result, PIECES, to, self.y_line, self.lines, self.channels);
            } else if self.channels == V::BYTES {
                V::store(result, to);
            } else {
                V::store_part(result, to, self.channels);
            }
        }
    }
}

/// Four times `sum + dot(x, w)`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn dot<V: Vectors>(mut sums: Four<V>, x: Four<V>, w: Four<V>) -> Four<V> {
    for v in 0..4 {
        // SAFETY: the caller's promise.
        sums[v] = unsafe { V::dot(sums[v], x[v], w[v]) };
    }
    sums
}
