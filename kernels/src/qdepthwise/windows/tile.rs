//! Products of words with weights, some pixels at a time, requantized and written.

#![allow(clippy::needless_range_loop)]

use super::super::vectors::Vectors;
use super::lines::{Call, Span};
use super::stream::{PARTED, PLAIN, SHIFTED};

/// Words of the input that windows read, in scratch.
pub(super) trait Words<V: Vectors> {
    /// Adds the products of the windows from `pixel` on with the weights of one part, in vector `v` of four of the words.
    ///
    /// Safety: the processor has `V`'s instruction set; the words of these pixels are made, and the weights are there.
    unsafe fn add<const P: usize>(
        &self,
        sums: [V::Word; P],
        pixel: usize,
        v: usize,
        weights: *const u8,
    ) -> [V::Word; P];
}

/// A tile whose words are made.
pub(super) struct Tile<'a, V: Vectors, W: Words<V>> {
    call: &'a Call<'a, V>,
    span: &'a Span<'a>,
    /// Bytes from one of four vectors of words to the next, with its weights.
    quarter: usize,
    /// Offsets of the first of four vectors of words, and how far the next are: 0 if there are none.
    offsets: *const u8,
    offsets_step: usize,
    words: W,
    y: *mut u8,
    /// Pixels that are written.
    width: usize,
}

impl<'a, V: Vectors, W: Words<V>> Tile<'a, V, W> {
    /// The tile of `span` that begins with output pixel `left` and is `width` wide; the first line is at `y`.
    #[inline(always)]
    pub fn new(
        call: &'a Call<'a, V>,
        span: &'a Span<'a>,
        words: W,
        y: *mut u8,
        [left, width]: [usize; 2],
    ) -> Self {
        let (conv, windows) = (call.conv, call.windows);
        let quarter = windows.quarter();
        let (offsets, offsets_step) = if conv.offsets {
            (span.block.quarters.as_ptr().wrapping_add(windows.offsets_at()), quarter)
        } else {
            ([0; 64].as_ptr(), 0)
        };
        let y = y.wrapping_add(left * conv.y_stride);
        Tile { call, span, quarter, offsets, offsets_step, words, y, width }
    }

    /// Computes line `l` of each piece, four pixels at a time.
    ///
    /// Safety: the processor has `V`'s instruction set; the words of `width` pixels are made (behind them any bytes do, and
    /// are in scratch up to a multiple of four), and outputs are there.
    #[inline(always)]
    pub unsafe fn line(&self, l: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.span.sums {
                PLAIN => self.line_of::<PLAIN>(l),
                SHIFTED => self.line_of::<SHIFTED>(l),
                _ => self.line_of::<PARTED>(l),
            }
        }
    }

    /// [`line`](Self::line), where the sums need no more than `SUMS`.
    ///
    /// Safety: as there.
    #[inline(always)]
    unsafe fn line_of<const SUMS: u8>(&self, l: usize) {
        for pixel in (0..self.width).step_by(4) {
            // SAFETY: the caller's promise.
            unsafe {
                match self.width - pixel {
                    1..=2 => self.pixels::<2, SUMS>(l, pixel),
                    3 => self.pixels::<3, SUMS>(l, pixel),
                    _ => self.pixels::<4, SUMS>(l, pixel),
                }
            }
        }
    }

    /// Computes `P` pixels (or what there is of them) of line `l` of each piece. `pixel` is a multiple of 4.
    ///
    /// Safety: the processor has `V`'s instruction set; words and outputs are there.
    #[inline(always)]
    unsafe fn pixels<const P: usize, const SUMS: u8>(&self, l: usize, pixel: usize) {
        let conv = self.call.conv;
        let (line, y_stride) = (conv.shape.ow * conv.y_stride, conv.y_stride);
        // SAFETY: the caller's promise.
        unsafe {
            let low = self.half::<P, SUMS>(pixel, 0);
            let high = self.half::<P, SUMS>(pixel, 2);
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
    unsafe fn half<const P: usize, const SUMS: u8>(&self, pixel: usize, v: usize) -> [V::Word; P] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut a = self.scaled::<P, SUMS>(pixel, v);
            let b = self.scaled::<P, SUMS>(pixel, v + 1);
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
    unsafe fn scaled<const P: usize, const SUMS: u8>(&self, pixel: usize, v: usize) -> [V::Word; P] {
        // SAFETY: the caller's promise; a quarter of a block holds what is read here (see the head of the module above).
        unsafe {
            let packed = self.span.block.quarters.as_ptr().add(v * self.quarter);
            let mut weights = packed.add(2 * V::BYTES);
            let mut sums = [V::load(packed); P];
            for _ in 0..if SUMS == PARTED { self.span.block.parts } else { 1 } {
                sums = self.words.add::<P>(sums, pixel, v, weights);
                weights = weights.add(self.call.windows.part * V::BYTES);
            }
            let multiplier = V::load(packed.add(V::BYTES));
            if SUMS == PLAIN {
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
