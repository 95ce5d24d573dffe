//! Float depthwise convolution over NHWC.

use crate::float::{Depthwise, Variant, Windows};
use crate::shape::assert_window;
use crate::{ConvShape, Isa};
use std::ops::Range;

/// A float depthwise convolution with everything decided but the data.
///
/// Every output is one chain of multiply-adds: the bias, then the taps of the lines that lie in the image, row by row,
/// left to right; those beside the image count as 0 or not at all. Between instruction sets results differ where one of
/// them has no fused multiply-add.
#[derive(Clone, Debug)]
pub struct FDepthwise {
    variant: Variant,
    shape: ConvShape,
    clamp: [f32; 2],
    y_stride: usize,
    /// Windows of the usual widths have a driver of their own.
    windows: Option<Windows>,
}

impl FDepthwise {
    /// `clamp`: lowest and highest result. `y_stride` >= `shape.oc`: elements between output pixels.
    ///
    /// Panics if the shape is not depthwise or has a stride, dilation or kernel of 0, or output pixels overlap.
    pub fn new(isa: Isa, shape: ConvShape, clamp: [f32; 2], y_stride: usize) -> FDepthwise {
        assert!(shape.groups == shape.c && shape.c == shape.oc, "not depthwise");
        assert_window(shape.kernel, shape.strides, shape.dilations);
        assert!(y_stride >= shape.oc, "output pixels overlap");
        let variant = Variant::new(isa);
        let windows = Windows::new(variant, &shape, y_stride);
        FDepthwise { variant, shape, clamp, y_stride, windows }
    }

    /// What runs, for people: operation, vectors.
    pub fn kernel(&self) -> &'static str {
        match self.variant.name() {
            "avx512" => "float depthwise avx512",
            "avx2" => "float depthwise avx2",
            _ => "float depthwise scalar",
        }
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        self.shape.c.next_multiple_of(self.variant.lanes()).saturating_mul(taps + 1)
    }

    /// Packs `[c][kh][kw]` weights and `bias[c]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let (taps, lanes) = (self.shape.kernel[0] * self.shape.kernel[1], self.variant.lanes());
        let packed = &mut packed[..self.packed_len()];
        packed.fill(0.0);
        for (b, packed) in packed.chunks_exact_mut((taps + 1) * lanes).enumerate() {
            for i in 0..lanes {
                let c = match &self.windows {
                    Some(windows) => windows.channel(&self.shape, b, i),
                    None => b * lanes + i,
                };
                if c >= self.shape.c {
                    break;
                }
                packed[i] = if bias.is_empty() { 0.0 } else { bias[c] };
                for tap in 0..taps {
                    packed[(tap + 1) * lanes + i] = weights[c * taps + tap];
                }
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
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, _scratch: &mut [f32]) {
        assert!(rows.end <= self.shape.n * self.shape.oh, "no such output rows");
        let call = Depthwise { shape: &self.shape, clamp: self.clamp, y_stride: self.y_stride };
        let packed = &packed[..self.packed_len()];
        match &self.windows {
            Some(windows) => windows.run(&call, packed, x, y, rows),
            None => self.variant.run_depthwise(&call, packed, x, y, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::clip;
    use crate::testing::{Random, on_every_isa};

    /// The definition, in f64.
    fn oracle(s: &ConvShape, weights: &[f32], bias: &[f32], clamp: [f32; 2], x: &[f32]) -> Vec<f32> {
        let mut y = Vec::new();
        for i in 0..s.y_len() {
            let (pixel, c) = (i / s.c, i % s.c);
            let (image, oy, ox) = (pixel / s.ow / s.oh, pixel / s.ow % s.oh, pixel % s.ow);
            let mut sum = f64::from(bias[c]);
            for ky in 0..s.kernel[0] {
                for kx in 0..s.kernel[1] {
                    let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                    let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                    if iy < s.h && ix < s.w {
                        let w = weights[(c * s.kernel[0] + ky) * s.kernel[1] + kx];
                        sum += f64::from(x[((image * s.h + iy) * s.w + ix) * s.c + c]) * f64::from(w);
                    }
                }
            }
            y.push(clip(sum as f32, clamp[0], clamp[1]));
        }
        y
    }

    fn check(s: ConvShape, extra: usize) {
        let mut random = Random::new(s.c as u64);
        let taps = s.kernel[0] * s.kernel[1];
        let weights = random.floats(s.c * taps, 1.0);
        let bias = random.floats(s.c, 1.0);
        let x = random.floats(s.x_len(), 1.0);
        let clamp = [-1.5, 2.0];
        let expected = oracle(&s, &weights, &bias, clamp, &x);
        on_every_isa(|isa| {
            let conv = FDepthwise::new(isa, s, clamp, s.c + extra);
            let mut packed = vec![f32::NAN; conv.packed_len()];
            conv.pack(&weights, &bias, &mut packed);
            let mut y = vec![77.0; s.rows() * conv.y_stride];
            for row in 0..s.n * s.oh {
                conv.run(&packed, &x, &mut y[row * s.ow * conv.y_stride..], row..row + 1, &mut []);
            }
            for (y, e) in y.chunks_exact(conv.y_stride).zip(expected.chunks_exact(s.c)) {
                assert!(y[s.c..].iter().all(|&v| v == 77.0));
                for (y, e) in y.iter().zip(e) {
                    assert!(
                        (y - e).abs() <= 1e-7 * (taps + 1) as f32 * taps as f32,
                        "{isa} {s:?}: {y} for {e}"
                    );
                }
            }
        });
    }

    /// A window over an image of so many lines and columns.
    fn window(
        [h, w]: [usize; 2],
        c: usize,
        kernel: [usize; 2],
        [strides, dilations, pad]: [[usize; 2]; 3],
    ) -> ConvShape {
        let out =
            |len: usize, i: usize| (len + 2 * pad[i] - (kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1;
        let (oh, ow) = (out(h, 0), out(w, 1));
        let linear = ConvShape::linear(1, c, c);
        ConvShape { n: 2, h, w, oh, ow, kernel, strides, dilations, pad, groups: c, ..linear }
    }

    #[test]
    fn equals_the_definition() {
        for c in [2, 7, 8, 9, 15, 16, 17, 24, 33, 48, 100] {
            for kernel in [[3, 3], [1, 1], [5, 5], [2, 4]] {
                for steps in [
                    [[1, 1], [1, 1], [1, 1]],
                    [[2, 2], [1, 1], [0, 1]],
                    [[1, 3], [2, 1], [3, 2]],
                    [[1, 1], [1, 2], [0, 0]],
                ] {
                    check(window([9, 23], c, kernel, steps), c % 3);
                }
            }
        }
    }

    #[test]
    fn lines_of_all_widths() {
        for c in [4, 8, 16, 20] {
            for columns in [3, 5] {
                for w in columns..=columns + 20 {
                    for stride in [1, 2] {
                        for pad in 0..columns {
                            let steps = [[1, stride], [1, 1], [1, pad]];
                            check(window([4, w], c, [3, columns], steps), 0);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn image_smaller_than_kernel() {
        let linear = ConvShape::linear(1, 9, 9);
        check(ConvShape { kernel: [5, 5], pad: [2, 2], groups: 9, ..linear }, 0);
        check(ConvShape { kernel: [5, 5], pad: [4, 4], oh: 5, ow: 5, groups: 9, ..linear }, 0);
        // Two pixels of eight channels, or of four, are a vector.
        for c in [4, 8] {
            let linear = ConvShape::linear(1, c, c);
            for w in 1..5 {
                let shape = ConvShape { kernel: [5, 5], pad: [2, 2], w, ow: w, groups: c, ..linear };
                check(shape, 0);
                check(shape, 1);
                check(ConvShape { pad: [1, 4], ow: w + 4, ..shape }, 0);
            }
        }
    }
}
