//! Float convolution and matrix product over NHWC.

use crate::{ConvShape, Isa};
use std::ops::Range;

/// A float convolution (grouped or not, not depthwise) or matrix product, with everything decided but the data.
#[derive(Clone, Debug)]
pub struct FConv {
    isa: Isa,
    shape: ConvShape,
    clamp: [f32; 2],
    y_stride: usize,
}

impl FConv {
    /// `clamp`: lowest and highest result. `y_stride` >= `shape.oc`: elements between output pixels.
    pub fn new(isa: Isa, shape: ConvShape, clamp: [f32; 2], y_stride: usize) -> FConv {
        FConv { isa, shape, clamp, y_stride }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        "fconv"
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.shape.oc * (self.shape.k() + 1)
    }

    /// Packs `[oc][kh][kw][c/groups]` weights and `bias[oc]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let (b, w) = packed.split_at_mut(self.shape.oc);
        if bias.is_empty() {
            b.fill(0.0)
        } else {
            b.copy_from_slice(&bias[..self.shape.oc])
        }
        let len = self.shape.oc * self.shape.k();
        w[..len].copy_from_slice(&weights[..len]);
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        let _ = self.isa;
        0
    }

    /// Computes output pixels `rows` of `shape.rows()`. `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, scratch: &mut [f32]) {
        let _ = scratch;
        let s = &self.shape;
        let (bias, weights) = packed.split_at(s.oc);
        let (cg, og) = (s.c / s.groups, s.oc / s.groups);
        for (row, y) in rows.zip(y.chunks_mut(self.y_stride)) {
            let (image, oy, ox) = (row / s.ow / s.oh, row / s.ow % s.oh, row % s.ow);
            for (o, y) in y[..s.oc].iter_mut().enumerate() {
                let mut sum = bias[o];
                for ky in 0..s.kernel[0] {
                    for kx in 0..s.kernel[1] {
                        let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                        let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                        if iy >= s.h || ix >= s.w {
                            continue;
                        }
                        let x = &x[((image * s.h + iy) * s.w + ix) * s.c + o / og * cg..][..cg];
                        let w = &weights[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * cg..][..cg];
                        for (x, w) in x.iter().zip(w) {
                            sum += x * w;
                        }
                    }
                }
                *y = crate::math::clip(sum, self.clamp[0], self.clamp[1]);
            }
        }
    }
}
