//! Float transposed convolution over NHWC.

use crate::{ConvTransposeShape, Isa};
use crate::math::clip;
use std::ops::Range;

/// A float transposed convolution with everything decided but the data.
#[derive(Clone, Debug)]
pub struct FConvTranspose {
    isa: Isa,
    shape: ConvTransposeShape,
    clamp: [f32; 2],
}

impl FConvTranspose {
    /// `clamp`: lowest and highest result.
    pub fn new(isa: Isa, shape: ConvTransposeShape, clamp: [f32; 2]) -> FConvTranspose {
        FConvTranspose { isa, shape, clamp }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        "fconv_transpose"
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        let s = &self.shape;
        s.oc * (1 + s.kernel[0] * s.kernel[1] * (s.c / s.groups))
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
        let len = w.len();
        w.copy_from_slice(&weights[..len]);
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        let _ = self.isa;
        0
    }

    /// Computes output rows `rows` of `n * oh`; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, scratch: &mut [f32]) {
        let _ = scratch;
        let s = &self.shape;
        let (bias, weights) = packed.split_at(s.oc);
        let (cg, og) = (s.c / s.groups, s.oc / s.groups);
        let pixels = rows.flat_map(|row| (0..s.ow).map(move |ox| (row / s.oh, row % s.oh, ox)));
        for ((image, oy, ox), y) in pixels.zip(y.chunks_exact_mut(s.oc)) {
            for (o, y) in y.iter_mut().enumerate() {
                let mut sum = bias[o];
                for ky in 0..s.kernel[0] {
                    for kx in 0..s.kernel[1] {
                        let Some(iy) = source(oy + s.pad[0], ky * s.dilations[0], s.strides[0], s.h) else {
                            continue;
                        };
                        let Some(ix) = source(ox + s.pad[1], kx * s.dilations[1], s.strides[1], s.w) else {
                            continue;
                        };
                        let x = &x[((image * s.h + iy) * s.w + ix) * s.c + o / og * cg..][..cg];
                        let w = &weights[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * cg..][..cg];
                        for (x, w) in x.iter().zip(w) {
                            sum += x * w;
                        }
                    }
                }
                *y = clip(sum, self.clamp[0], self.clamp[1]);
            }
        }
    }
}

/// The input place that reaches place `at` of the full output through a tap at `tap`.
fn source(at: usize, tap: usize, stride: usize, len: usize) -> Option<usize> {
    let scaled = at.checked_sub(tap)?;
    (scaled % stride == 0 && scaled / stride < len).then_some(scaled / stride)
}
