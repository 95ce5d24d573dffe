//! Float transposed convolution over NHWC.

use crate::fconv::FConv;
use crate::math::clip;
use crate::shape::assert_window;
use crate::{ConvShape, ConvTransposeShape, Isa};
use std::ops::Range;

/// A float transposed convolution with everything decided but the data.
///
/// For every output row and each kernel row that reaches it, one matrix product makes the contributions of an input
/// row; they are then added to the output row in the order of kernel rows, kernel columns and input pixels. Where
/// windows cover the output side by side, so that every output has one contribution, products write it in place.
#[derive(Clone, Debug)]
pub struct FConvTranspose {
    shape: ConvTransposeShape,
    clamp: [f32; 2],
    y_stride: usize,
    /// Input row `[w][c]` times weights of one kernel row: `[w]`, then per group `[kw][oc/groups]`. In place: times
    /// weights of a kernel row, or of a tap where room is left between output pixels.
    product: FConv,
    in_place: bool,
}

impl FConvTranspose {
    /// `clamp`: lowest and highest result. `y_stride` >= `shape.oc`: elements between output pixels.
    ///
    /// Panics if the groups don't divide the channels, a stride, dilation or kernel is 0, or output pixels overlap.
    pub fn new(isa: Isa, shape: ConvTransposeShape, clamp: [f32; 2], y_stride: usize) -> FConvTranspose {
        assert!(y_stride >= shape.oc, "output pixels overlap");
        assert!(shape.groups > 0 && shape.oc.is_multiple_of(shape.groups));
        assert_window(shape.kernel, shape.strides, shape.dilations);
        let beside = |axis: usize, len: usize, out: usize| {
            let kernel = shape.kernel[axis];
            let adjoining = shape.strides[axis] == kernel && (shape.dilations[axis] == 1 || kernel == 1);
            adjoining && shape.pad[axis] == 0 && len.checked_mul(kernel) == Some(out)
        };
        let in_place = shape.groups == 1 && beside(0, shape.h, shape.oh) && beside(1, shape.w, shape.ow);
        let line = |n| {
            let linear = ConvShape::linear(1, shape.c, n);
            ConvShape { w: shape.w, ow: shape.w, groups: shape.groups, ..linear }
        };
        let row = shape.oc * shape.kernel[1];
        let product = if in_place {
            let n = if y_stride == shape.oc { row } else { shape.oc };
            FConv::new(isa, line(n), clamp, y_stride * shape.kernel[1])
        } else {
            FConv::new(isa, line(row), [f32::NEG_INFINITY, f32::INFINITY], row)
        };
        FConvTranspose { shape, clamp, y_stride, product, in_place }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        "float transposed conv"
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.bias_len() + self.shape.kernel[0] * self.products() * self.product.packed_len()
    }

    /// Elements of the bias that lies in front of the packed weights, if it is not among them.
    fn bias_len(&self) -> usize {
        if self.in_place { 0 } else { self.shape.oc }
    }

    /// Products of a kernel row.
    fn products(&self) -> usize {
        if self.in_place && self.y_stride != self.shape.oc { self.shape.kernel[1] } else { 1 }
    }

    /// Packs `[oc][kh][kw][c/groups]` weights and `bias[oc]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let s = &self.shape;
        let ([kh, kw], cg, og) = (s.kernel, s.c / s.groups, s.oc / s.groups);
        let (to_bias, packed) = packed.split_at_mut(self.bias_len());
        let bias = if bias.is_empty() { vec![0.0; s.oc] } else { bias[..s.oc].to_vec() };
        to_bias.copy_from_slice(&bias[..to_bias.len()]);
        let bias = if self.in_place { bias.repeat(kw / self.products()) } else { vec![] };
        // One kernel row, as the weights [group][kw][oc/groups][c/groups] of a matrix product.
        let mut row = vec![0.0; s.oc * kw * cg];
        let product = row.len() / self.products();
        let mut packed = packed.chunks_exact_mut(self.product.packed_len().max(1));
        for ky in 0..kh {
            for (i, to) in row.chunks_exact_mut(cg.max(1)).enumerate() {
                let (g, kx, o) = (i / (kw * og), i / og % kw, i % og);
                to.copy_from_slice(&weights[(((g * og + o) * kh + ky) * kw + kx) * cg..][..cg]);
            }
            for (kx, packed) in packed.by_ref().take(self.products()).enumerate() {
                self.product.pack(&row[kx * product..][..product], &bias, packed);
            }
        }
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        if self.in_place {
            return 0;
        }
        self.shape.w * self.shape.oc * self.shape.kernel[1]
    }

    /// Computes output rows `rows` of `n * oh`; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, scratch: &mut [f32]) {
        let s = &self.shape;
        assert!(rows.end <= s.n * s.oh, "no such output rows");
        let (bias, packed) = packed.split_at(self.bias_len());
        let scratch = &mut scratch[..self.scratch_len()];
        if s.ow * s.oc == 0 {
            return;
        }
        assert!(
            rows.is_empty() || y.len() >= (rows.len() * s.ow - 1) * self.y_stride + s.oc,
            "the output is too short"
        );
        let weights = |at: usize| &packed[at * self.product.packed_len()..][..self.product.packed_len()];
        let source_row = |image: usize, iy: usize| &x[(image * s.h + iy) * s.w * s.c..][..s.w * s.c];
        for (row, y) in rows.zip(y.chunks_mut(s.ow * self.y_stride)) {
            if self.in_place {
                let (image, oy) = (row / s.oh, row % s.oh);
                let (x, ky) = (source_row(image, oy / s.kernel[0]), oy % s.kernel[0]);
                for kx in 0..self.products() {
                    let packed = weights(ky * self.products() + kx);
                    self.product.run(packed, x, &mut y[kx * self.y_stride..], 0..s.w, &mut []);
                }
                continue;
            }
            for y in y.chunks_mut(self.y_stride) {
                y[..s.oc].copy_from_slice(bias);
            }
            for ky in 0..s.kernel[0] {
                let reached = row % s.oh + s.pad[0];
                let Some(iy) = source(reached, ky * s.dilations[0], s.strides[0], s.h) else { continue };
                self.product.run(weights(ky), source_row(row / s.oh, iy), scratch, 0..s.w, &mut []);
                self.add(scratch, y);
            }
            for y in y.chunks_mut(self.y_stride) {
                for y in &mut y[..s.oc] {
                    *y = clip(*y, self.clamp[0], self.clamp[1]);
                }
            }
        }
    }

    /// Adds the contributions of one input row to an output row.
    fn add(&self, contributions: &[f32], y: &mut [f32]) {
        let s = &self.shape;
        let (kw, og) = (s.kernel[1], s.oc / s.groups);
        for (ix, from) in contributions.chunks_exact(s.oc * kw).enumerate() {
            for kx in 0..kw {
                let at = (ix * s.strides[1] + kx * s.dilations[1]).checked_sub(s.pad[1]);
                let Some(ox) = at.filter(|&ox| ox < s.ow) else { continue };
                for g in 0..s.groups {
                    let from = &from[(g * kw + kx) * og..][..og];
                    for (y, v) in y[ox * self.y_stride + g * og..].iter_mut().zip(from) {
                        *y += v;
                    }
                }
            }
        }
    }
}

/// The input place that reaches place `at` of the full output through a tap at `tap`.
fn source(at: usize, tap: usize, stride: usize, len: usize) -> Option<usize> {
    let scaled = at.checked_sub(tap)?;
    (scaled.is_multiple_of(stride) && scaled / stride < len).then_some(scaled / stride)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    /// The definition: every input element goes to every tap, in f64.
    fn oracle(s: &ConvTransposeShape, weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f64> {
        let (cg, og) = (s.c / s.groups, s.oc / s.groups);
        let mut y: Vec<f64> = (0..s.y_len()).map(|i| f64::from(bias[i % s.oc])).collect();
        for (i, &v) in x.iter().enumerate() {
            let (pixel, c) = (i / s.c, i % s.c);
            let (image, iy, ix) = (pixel / s.w / s.h, pixel / s.w % s.h, pixel % s.w);
            for ky in 0..s.kernel[0] {
                for kx in 0..s.kernel[1] {
                    let oy = (iy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                    let ox = (ix * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                    if oy >= s.oh || ox >= s.ow {
                        continue;
                    }
                    for o in c / cg * og..(c / cg + 1) * og {
                        let w = weights[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * cg + c % cg];
                        y[((image * s.oh + oy) * s.ow + ox) * s.oc + o] += f64::from(v) * f64::from(w);
                    }
                }
            }
        }
        y
    }

    #[test]
    fn equals_the_definition() {
        for (c, oc, groups) in [(1, 1, 1), (5, 3, 1), (16, 33, 1), (6, 4, 2), (4, 4, 4)] {
            for (kernel, strides, dilations, pad, extra) in [
                ([2, 2], [2, 2], [1, 1], [0, 0], 0),
                ([3, 3], [2, 2], [1, 1], [1, 1], 1),
                ([4, 3], [1, 3], [2, 1], [2, 0], 0),
                ([1, 1], [3, 2], [1, 1], [0, 0], 1),
                ([2, 2], [2, 2], [1, 1], [0, 0], 1),
                ([3, 1], [3, 1], [1, 2], [0, 0], 0),
            ] {
                let out = |len: usize, i: usize| {
                    (len - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 + extra - 2 * pad[i]
                };
                let (n, h, w) = (2, 4, 5);
                let (oh, ow) = (out(h, 0), out(w, 1));
                let s =
                    ConvTransposeShape { n, h, w, c, oc, kernel, strides, dilations, pad, oh, ow, groups };
                let mut random = Random::new(c as u64);
                let weights = random.floats(oc * kernel[0] * kernel[1] * c / groups, 1.0);
                let (bias, x) = (random.floats(oc, 1.0), random.floats(s.x_len(), 1.0));
                let expected = oracle(&s, &weights, &bias, &x);
                let spaced = [0, 3].into_iter().filter(|&room| room > 0 || groups == 1);
                on_every_isa(|isa| {
                    for room in spaced.clone() {
                        let y_stride = oc + room;
                        let conv = FConvTranspose::new(isa, s, [-0.5, 1.5], y_stride);
                        let mut packed = vec![f32::NAN; conv.packed_len()];
                        conv.pack(&weights, &bias, &mut packed);
                        let mut scratch = vec![f32::NAN; conv.scratch_len()];
                        let mut y = vec![77.0; s.n * oh * ow * y_stride];
                        let (half, line) = (oh + 1, ow * y_stride);
                        conv.run(&packed, &x, &mut y[..half * line], 0..half, &mut scratch);
                        conv.run(&packed, &x, &mut y[half * line..], half..2 * oh, &mut scratch);
                        for (y, e) in y.chunks_exact(y_stride).zip(expected.chunks_exact(oc)) {
                            assert!(y[oc..].iter().all(|&v| v == 77.0));
                            for (y, e) in y.iter().zip(e) {
                                assert!(
                                    (f64::from(*y) - e.clamp(-0.5, 1.5)).abs() < 1e-5,
                                    "{isa} {s:?}: {y} for {e}"
                                );
                            }
                        }
                    }
                });
            }
        }
    }
}
