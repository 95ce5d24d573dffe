//! A line of a depthwise convolution, three kernel columns wide, without memory in between.
//!
//! The words of a column are made once, meet the weights of all three kernel columns in registers, and are forgotten:
//! a column is the right of one window, the middle of the next and the left of the one after. That takes registers for
//! twelve words of weights and as many sums, so only instruction sets that have 32 do it.

#![allow(clippy::needless_range_loop)]

use super::blocked::{BLOCK_HEADER, Call, RowSource, Vectors, load_four};
use super::scales::Scales;

/// Kernel columns.
pub(super) const COLUMNS: usize = 3;

/// What one output line of one block of channels is made of.
struct Line<'a, V: Vectors> {
    /// Where the bytes of the kernel rows are.
    sources: [RowSource; 4],
    /// Columns in front of the image, and of it.
    image: [usize; 2],
    /// The words of a column beside the image.
    border: [V::Word; 4],
    bias: *const u8,
    weights: *const u8,
    scales: Scales<'a, V>,
    y: *mut u8,
    /// Bytes from one output pixel to the next.
    y_stride: usize,
    /// Channels that are written.
    channels: usize,
}

impl<V: Vectors> Line<'_, V> {
    /// The words of a column, counted from the left edge of the padding.
    ///
    /// Safety: the processor has `V`'s instruction set; sources are good for every column of the image.
    #[inline(always)]
    unsafe fn column(&self, column: usize) -> [V::Word; 4] {
        let [pad, width] = self.image;
        let ix = column.wrapping_sub(pad);
        if ix >= width {
            return self.border;
        }
        let [a, b, c, d] = &self.sources;
        // SAFETY: the caller's promise.
        unsafe {
            V::interleave([
                V::load(a.start.add(ix * a.step)),
                V::load(b.start.add(ix * b.step)),
                V::load(c.start.add(ix * c.step)),
                V::load(d.start.add(ix * d.step)),
            ])
        }
    }

    /// Requantizes the sums of an output pixel and writes them.
    ///
    /// Safety: the processor has `V`'s instruction set, and the pixel is one of the output.
    #[inline(always)]
    unsafe fn finish(&self, sums: [V::Word; 4], pixel: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let result = self.scales.requantize(sums);
            let to = self.y.add(pixel * self.y_stride);
            if self.channels == V::BYTES {
                V::store(result, to);
            } else {
                V::store_part(result, to, self.channels);
            }
        }
    }
}

/// Computes one output line of one block; `y` starts with its first output.
///
/// Safety: the processor has `V`'s instruction set; every source that is a row of the image has `w * c` bytes (less the
/// block's start) and [`SLACK`](crate::SLACK) behind the image.
#[inline(always)]
pub(super) unsafe fn run<V: Vectors>(
    call: &Call<'_, V>,
    packed: &[u8],
    sources: [RowSource; 4],
    channels: usize,
    y: &mut [u8],
) {
    let (conv, s) = (call.conv, &call.conv.shape);
    let packed = &packed[BLOCK_HEADER..];
    assert!(packed.len() >= call.layout.weights + 4 * COLUMNS * V::BYTES && channels <= V::BYTES);
    assert!(y.len() >= (s.ow - 1) * conv.y_stride + channels);
    let bias = packed.as_ptr();
    let (scales, weights) = (Scales::new(call, packed), bias.wrapping_add(call.layout.weights));
    // SAFETY: by the asserts there are bias and weights, and room for the outputs; the rest is the
    // caller's promise.
    unsafe {
        let border = [V::load(call.border.start); 4];
        let (y, y_stride) = (y.as_mut_ptr(), conv.y_stride);
        let image = [s.pad[1], s.w];
        let line = Line { sources, image, border, bias, weights, scales, y, y_stride, channels };
        match s.strides[1] {
            1 => windows::<V, 1>(&line, s.ow),
            _ => windows::<V, 2>(&line, s.ow),
        }
    }
}

/// Computes one output line of one block of channels, windows [`COLUMNS`] wide and `STRIDE` (1 or 2) columns apart.
///
/// Safety: the processor has `V`'s instruction set; `line` is good for `width` output pixels.
#[inline(always)]
unsafe fn windows<V: Vectors, const STRIDE: usize>(line: &Line<'_, V>, width: usize) {
    // SAFETY: the caller's promise; a block holds bias and the weights of three columns.
    unsafe {
        let bias = load_four::<V>(line.bias);
        let mut weights = [bias; COLUMNS];
        for kx in 0..COLUMNS {
            weights[kx] = load_four::<V>(line.weights.add(kx * 4 * V::BYTES));
        }
        let [left, middle, right] = weights;
        // What the windows at hand have added up: the first lacks its right column, the next two columns.
        let mut first = dot_four::<V>(bias, line.column(0), left);
        let mut next = bias;
        if STRIDE == 1 {
            let words = line.column(1);
            first = dot_four::<V>(first, words, middle);
            next = dot_four::<V>(bias, words, left);
        }
        for pixel in 0..width {
            let at = STRIDE * pixel + 2;
            if STRIDE == 2 {
                first = dot_four::<V>(first, line.column(at - 1), middle);
            }
            let words = line.column(at);
            let sums = dot_four::<V>(first, words, right);
            if STRIDE == 1 {
                first = dot_four::<V>(next, words, middle);
                next = dot_four::<V>(bias, words, left);
            } else {
                first = dot_four::<V>(bias, words, left);
            }
            line.finish(sums, pixel);
        }
    }
}

/// Four times `sum + dot(x, w)`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn dot_four<V: Vectors>(mut sums: [V::Word; 4], x: [V::Word; 4], w: [V::Word; 4]) -> [V::Word; 4] {
    for v in 0..4 {
        // SAFETY: the caller's promise.
        sums[v] = unsafe { V::dot(sums[v], x[v], w[v]) };
    }
    sums
}
