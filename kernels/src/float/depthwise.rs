//! Rows of a depthwise convolution: one vector of channels by several output pixels.
//!
//! Packed, per vector of channels: the bias, then the weights of every tap; missing channels are 0.
#![allow(clippy::needless_range_loop)]

use super::Floats;
use crate::ConvShape;
use std::ops::Range;

/// Most output pixels computed together: enough chains to hide the latency of a multiply-add.
const PIXELS: usize = 8;

/// Vectors of channels whose pixels are gone through before those of the next ones: enough to go together where there
/// is one pixel only, few enough for their weights to stay in the first cache.
pub(super) const VECTORS: usize = 4;

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

/// The lines of taps that output row `row` of `n * oh` finds in its image, and the line of the input of the first.
#[inline(always)]
pub(super) fn lines(s: &ConvShape, row: usize) -> (Range<usize>, usize) {
    let (image, oy) = (row / s.oh, row % s.oh);
    let ky = inside(s, 0, s.h, oy);
    let top = (oy * s.strides[0] + ky.start * s.dilations[0]).saturating_sub(s.pad[0]);
    (ky, image * s.h + top)
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
        let (ky, top) = lines(s, row);
        for (b, packed) in packed.chunks(VECTORS * (taps + 1) * V::LANES).enumerate() {
            let c = b * VECTORS * V::LANES;
            let mut ox = 0;
            while ox < s.ow {
                // Where windows are whole, as many pixels as fit of 8, 4, 2, 1.
                let whole = if (start..end).contains(&ox) { end - ox } else { 1 };
                let count = 1 << whole.min(PIXELS).ilog2();
                let kx = inside(s, 1, s.w, ox);
                let left = (ox * s.strides[1] + kx.start * s.dilations[1]).saturating_sub(s.pad[1]);
                let window = Window { ky: ky.clone(), kx, x: (top * s.w + left) * s.c + c };
                let y = &mut y[(i * s.ow + ox) * call.y_stride + c..];
                let channels = (s.c - c).min(VECTORS * V::LANES);
                // SAFETY: the instruction set is the caller's promise.
                unsafe { some_pixels::<V>(call, window, count, channels, packed, x, y) };
                ox += count;
            }
        }
    }
}

/// `count` pixels (8, 4, 2 or 1) with the same taps by `channels`, of which there is at least one and at most
/// [`VECTORS`] vectors; `packed` and `y` start at the first. The fewer the pixels, the more vectors go together.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn some_pixels<V: Floats>(
    call: &Depthwise<'_>,
    mut window: Window,
    count: usize,
    channels: usize,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    let vector = (call.shape.kernel[0] * call.shape.kernel[1] + 1) * V::LANES;
    let mut done = 0;
    while done < channels {
        let (packed, y) = (&packed[done / V::LANES * vector..], &mut y[done..]);
        let left = channels - done;
        // SAFETY: the caller's promise.
        let vectors = unsafe {
            match (count, left / V::LANES) {
                (8, 1..) => pixels::<V, 8, 1, false>(call, &window, V::LANES, packed, x, y),
                (4, 2..) => pixels::<V, 4, 2, false>(call, &window, V::LANES, packed, x, y),
                (4, 1) => pixels::<V, 4, 1, false>(call, &window, V::LANES, packed, x, y),
                (2, 4..) => pixels::<V, 2, 4, false>(call, &window, V::LANES, packed, x, y),
                (2, 1..) => pixels::<V, 2, 1, false>(call, &window, V::LANES, packed, x, y),
                (1, 4..) => pixels::<V, 1, 4, false>(call, &window, V::LANES, packed, x, y),
                (1, 1..) => pixels::<V, 1, 1, false>(call, &window, V::LANES, packed, x, y),
                (8, _) => pixels::<V, 8, 1, true>(call, &window, left, packed, x, y),
                (4, _) => pixels::<V, 4, 1, true>(call, &window, left, packed, x, y),
                (2, _) => pixels::<V, 2, 1, true>(call, &window, left, packed, x, y),
                _ => pixels::<V, 1, 1, true>(call, &window, left, packed, x, y),
            }
        };
        done += vectors * V::LANES;
        window.x += vectors * V::LANES;
    }
}

/// `M` pixels with the same taps by `B` vectors, and returns `B`; `channels` are left, less than a vector if `PART`, and
/// `B` is 1 then.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn pixels<V: Floats, const M: usize, const B: usize, const PART: bool>(
    call: &Depthwise<'_>,
    window: &Window,
    channels: usize,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
) -> usize {
    let s = call.shape;
    let channels = if PART { channels } else { B * V::LANES };
    let (x_stride, column, row) = (s.strides[1] * s.c, s.dilations[1] * s.c, s.dilations[0] * s.w * s.c);
    let (rows, columns) = (window.ky.len(), window.kx.len());
    let vector = (s.kernel[0] * s.kernel[1] + 1) * V::LANES;
    assert!(channels <= B * V::LANES && packed.len() >= B * vector);
    assert!(window.ky.end <= s.kernel[0] && window.kx.end <= s.kernel[1]);
    if rows > 0 && columns > 0 {
        let last = window.x + (M - 1) * x_stride + (rows - 1) * row + (columns - 1) * column;
        assert!(last + channels <= x.len());
    }
    assert!(y.len() >= (M - 1) * call.y_stride + channels);
    // SAFETY: the caller has the instruction set; by the asserts, bias and taps lie in `packed`, `channels` elements
    // of every tap of every pixel in `x`, and `channels` elements of every pixel in `y`.
    unsafe {
        let mut sums = [[V::splat(0.0); M]; B];
        for b in 0..B {
            sums[b] = [V::load(packed.as_ptr().add(b * vector)); M];
        }
        for i in 0..rows {
            for j in 0..columns {
                let tap = (window.ky.start + i) * s.kernel[1] + window.kx.start + j;
                let w = packed.as_ptr().add((tap + 1) * V::LANES);
                let x = x.as_ptr().add(window.x + i * row + j * column);
                for b in 0..B {
                    let w = V::load(w.add(b * vector));
                    for m in 0..M {
                        let x = x.add(m * x_stride + b * V::LANES);
                        let v = if PART { V::load_part(x, channels) } else { V::load(x) };
                        sums[b][m] = V::multiply_add(v, w, sums[b][m]);
                    }
                }
            }
        }
        let (min, max) = (V::splat(call.clamp[0]), V::splat(call.clamp[1]));
        for b in 0..B {
            for m in 0..M {
                let to = y.as_mut_ptr().add(m * call.y_stride + b * V::LANES);
                let sum = V::clamp(sums[b][m], min, max);
                if PART { V::store_part(sum, to, channels) } else { V::store(sum, to) }
            }
        }
    }
    B
}
