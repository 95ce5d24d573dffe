//! Float depthwise convolution over NHWC.

use crate::math::clip;
use crate::multiversion::multiversion;
use crate::{ConvShape, Isa};
use std::ops::Range;

/// A float depthwise convolution with everything decided but the data.
///
/// The sum takes taps row by row, left to right, starting from the bias; multiplications and additions are rounded
/// one by one.
#[derive(Clone, Debug)]
pub struct FDepthwise {
    isa: Isa,
    shape: ConvShape,
    clamp: [f32; 2],
    y_stride: usize,
}

impl FDepthwise {
    /// `clamp`: lowest and highest result. `y_stride` >= `shape.oc`: elements between output pixels.
    ///
    /// Panics if the shape is not depthwise.
    pub fn new(isa: Isa, shape: ConvShape, clamp: [f32; 2], y_stride: usize) -> FDepthwise {
        assert!(shape.groups == shape.c && shape.c == shape.oc, "not depthwise");
        assert!(y_stride >= shape.oc, "output pixels overlap");
        FDepthwise { isa, shape, clamp, y_stride }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        "fdepthwise"
    }

    /// f32 elements of the packed weights: `bias[c]`, then `[kh][kw][c]`.
    pub fn packed_len(&self) -> usize {
        self.shape.c * (1 + self.shape.kernel[0] * self.shape.kernel[1])
    }

    /// Packs `[c][kh][kw]` weights and `bias[c]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let c = self.shape.c;
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        let (b, w) = packed.split_at_mut(c);
        if bias.is_empty() {
            b.fill(0.0)
        } else {
            b.copy_from_slice(&bias[..c])
        }
        for (tap, w) in w[..taps * c].chunks_exact_mut(c.max(1)).enumerate() {
            for (i, w) in w.iter_mut().enumerate() {
                *w = weights[i * taps + tap];
            }
        }
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        0
    }

    /// Computes output rows `rows` of `n * oh`; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, scratch: &mut [f32]) {
        let _ = scratch;
        run(self.isa, self, packed, x, y, rows);
    }
}

multiversion! {
    fn run(conv: &FDepthwise, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>) => run_body
}

#[inline(always)]
fn run_body(conv: &FDepthwise, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>) {
    let s = &conv.shape;
    let c = s.c;
    let (bias, weights) = packed.split_at(c);
    for (i, y) in y.chunks_mut(conv.y_stride).take(rows.len() * s.ow).enumerate() {
        let (row, ox) = (rows.start + i / s.ow, i % s.ow);
        let (image, oy) = (row / s.oh, row % s.oh);
        let y = &mut y[..c];
        y.copy_from_slice(bias);
        for ky in 0..s.kernel[0] {
            for kx in 0..s.kernel[1] {
                let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                if iy >= s.h || ix >= s.w {
                    continue;
                }
                let x = &x[((image * s.h + iy) * s.w + ix) * c..][..c];
                let w = &weights[(ky * s.kernel[1] + kx) * c..][..c];
                for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                    *y += x * w;
                }
            }
        }
        for y in y {
            *y = clip(*y, conv.clamp[0], conv.clamp[1]);
        }
    }
}
