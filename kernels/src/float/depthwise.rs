//! Rows of a depthwise convolution: one vector of channels by several output pixels.
//!
//! Packed, per vector of channels: the bias, then the weights of every tap; missing channels are 0.
#![allow(clippy::needless_range_loop)]

use super::Floats;
use crate::ConvShape;
use std::ops::Range;

/// Most output pixels computed together: enough chains to hide the latency of a multiply-add.
const PIXELS: usize = 8;

/// Geometry, clamp and output stride of a call.
pub(crate) struct Depthwise<'a> {
    pub(crate) shape: &'a ConvShape,
    pub(crate) clamp: [f32; 2],
    pub(crate) y_stride: usize,
}

/// Taps of a kernel that lie in the image, and where the first pixel's first one is read.
struct Window {
    ky: Range<usize>,
    kx: Range<usize>,
    x: usize,
}

/// The taps of an axis that output place `o` finds in the image.
#[inline(always)]
fn inside(s: &ConvShape, axis: usize, len: usize, o: usize) -> Range<usize> {
    let (stride, dilation) = (s.strides[axis], s.dilations[axis]);
    let start = o * stride;
    let first = s.pad[axis].saturating_sub(start).div_ceil(dilation).min(s.kernel[axis]);
    let end = (s.pad[axis] + len).saturating_sub(start).div_ceil(dilation).min(s.kernel[axis]);
    first..end.max(first)
}

/// Computes output rows `rows` of `n * oh`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn run<V: Floats>(
    call: &Depthwise<'_>,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
    rows: Range<usize>,
) {
    let s = call.shape;
    let taps = s.kernel[0] * s.kernel[1];
    // Output pixels whose windows lie between the left and the right edge.
    let start = s.pad[1].div_ceil(s.strides[1]).min(s.ow);
    let room = (s.w + s.pad[1]).checked_sub((s.kernel[1] - 1) * s.dilations[1] + 1);
    let end = room.map_or(0, |r| r / s.strides[1] + 1).clamp(start, s.ow);
    for (i, row) in rows.enumerate() {
        let (image, oy) = (row / s.oh, row % s.oh);
        let ky = inside(s, 0, s.h, oy);
        let top = image * s.h + (oy * s.strides[0] + ky.start * s.dilations[0]).saturating_sub(s.pad[0]);
        for (b, packed) in packed.chunks_exact((taps + 1) * V::LANES).enumerate() {
            let c = b * V::LANES;
            let mut ox = 0;
            while ox < s.ow {
                // Where windows are whole, as many pixels as fit of 8, 4, 2, 1.
                let whole = if (start..end).contains(&ox) { end - ox } else { 1 };
                let count = 1 << whole.min(PIXELS).ilog2();
                let kx = inside(s, 1, s.w, ox);
                let left = (ox * s.strides[1] + kx.start * s.dilations[1]).saturating_sub(s.pad[1]);
                let window = Window { ky: ky.clone(), kx, x: (top * s.w + left) * s.c + c };
                let y = &mut y[(i * s.ow + ox) * call.y_stride + c..];
                // SAFETY: the instruction set is the caller's promise.
                unsafe {
                    if s.c - c >= V::LANES {
                        some_pixels::<V, false>(call, &window, count, V::LANES, packed, x, y);
                    } else {
                        some_pixels::<V, true>(call, &window, count, s.c - c, packed, x, y);
                    }
                }
                ox += count;
            }
        }
    }
}

/// `count` pixels (8, 4, 2 or 1) with the same taps; `channels` are less than a vector if `PART`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn some_pixels<V: Floats, const PART: bool>(
    call: &Depthwise<'_>,
    window: &Window,
    count: usize,
    channels: usize,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        match count {
            8 => pixels::<V, 8, PART>(call, window, channels, packed, x, y),
            4 => pixels::<V, 4, PART>(call, window, channels, packed, x, y),
            2 => pixels::<V, 2, PART>(call, window, channels, packed, x, y),
            _ => pixels::<V, 1, PART>(call, window, channels, packed, x, y),
        }
    }
}

/// `M` pixels with the same taps; `channels` are left, less than a vector if `PART`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn pixels<V: Floats, const M: usize, const PART: bool>(
    call: &Depthwise<'_>,
    window: &Window,
    channels: usize,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    let s = call.shape;
    let channels = if PART { channels } else { V::LANES };
    let (x_stride, column, row) = (s.strides[1] * s.c, s.dilations[1] * s.c, s.dilations[0] * s.w * s.c);
    let (rows, columns) = (window.ky.len(), window.kx.len());
    assert!(channels <= V::LANES);
    assert!(packed.len() >= (s.kernel[0] * s.kernel[1] + 1) * V::LANES);
    assert!(window.ky.end <= s.kernel[0] && window.kx.end <= s.kernel[1]);
    if rows > 0 && columns > 0 {
        let last = window.x + (M - 1) * x_stride + (rows - 1) * row + (columns - 1) * column;
        assert!(last + channels <= x.len());
    }
    assert!(y.len() >= (M - 1) * call.y_stride + channels);
    // SAFETY: the caller has the instruction set; by the asserts, bias and taps lie in `packed`, `channels` elements
    // of every tap of every pixel in `x`, and `channels` elements of every pixel in `y`.
    unsafe {
        let mut sums = [V::load(packed.as_ptr()); M];
        for i in 0..rows {
            for j in 0..columns {
                let tap = (window.ky.start + i) * s.kernel[1] + window.kx.start + j;
                let w = V::load(packed.as_ptr().add((tap + 1) * V::LANES));
                let x = x.as_ptr().add(window.x + i * row + j * column);
                for m in 0..M {
                    let x = x.add(m * x_stride);
                    let v = if PART { V::load_part(x, channels) } else { V::load(x) };
                    sums[m] = V::multiply_add(v, w, sums[m]);
                }
            }
        }
        let (min, max) = (V::splat(call.clamp[0]), V::splat(call.clamp[1]));
        for m in 0..M {
            let to = y.as_mut_ptr().add(m * call.y_stride);
            let sum = V::clamp(sums[m], min, max);
            if PART { V::store_part(sum, to, channels) } else { V::store(sum, to) }
        }
    }
}
