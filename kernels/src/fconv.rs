//! Float convolution and matrix product over NHWC.

use crate::float::{Panels, Row, Taps, Tile, Variant, cover};
use crate::shape::assert_window;
use crate::{ConvShape, Isa};
use std::ops::Range;

/// A float convolution (grouped or not, not depthwise) or matrix product, with everything decided but the data.
///
/// It works on blocks of output pixels whose input stays in the second-level cache; each panel of weights is read
/// once per block. Where windows hang over the image, the block's input is copied with its border of zeros first,
/// so that the loops know no borders.
#[derive(Clone, Debug)]
pub struct FConv {
    variant: Variant,
    shape: ConvShape,
    clamp: [f32; 2],
    y_stride: usize,
    block: Block,
    padded: bool,
}

/// Output pixels that are computed at a time.
#[derive(Clone, Copy, Debug)]
struct Block {
    lines: usize,
    columns: usize,
}

/// Elements of input that a block may need, and that one of several rows of it may need.
const BLOCK_ELEMENTS: usize = 96 << 10;
const LINE_ELEMENTS: usize = 8 << 10;

/// Input elements behind each other that `count` output pixels need along an axis.
fn reach(shape: &ConvShape, axis: usize, count: usize) -> usize {
    (count - 1) * shape.strides[axis] + (shape.kernel[axis] - 1) * shape.dilations[axis] + 1
}

impl FConv {
    /// `clamp`: lowest and highest result. `y_stride` >= `shape.oc`: elements between output pixels.
    ///
    /// Panics if the groups don't divide the channels, a stride, dilation or kernel is 0, or output pixels overlap.
    pub fn new(isa: Isa, shape: ConvShape, clamp: [f32; 2], y_stride: usize) -> FConv {
        assert!(
            shape.groups > 0 && shape.c.is_multiple_of(shape.groups) && shape.oc.is_multiple_of(shape.groups)
        );
        assert_window(shape.kernel, shape.strides, shape.dilations);
        assert!(y_stride >= shape.oc, "output pixels overlap");
        let shape = if shape.is_pointwise() {
            // The pixels of all rows and images are one row.
            let linear = ConvShape::linear(1, shape.c, shape.oc);
            ConvShape { w: shape.rows(), ow: shape.rows(), ..linear }
        } else {
            shape
        };
        let inside = |axis: usize, len: usize, out: usize| {
            shape.pad[axis] == 0 && (out == 0 || reach(&shape, axis, out) <= len)
        };
        let padded = !(inside(0, shape.h, shape.oh) && inside(1, shape.w, shape.ow));
        let variant = Variant::new(isa);
        let fit =
            |room: usize, axis: usize| room.saturating_sub(reach(&shape, axis, 1)) / shape.strides[axis] + 1;
        let room = if shape.oh == 1 { BLOCK_ELEMENTS } else { LINE_ELEMENTS };
        let columns = fit(room / shape.c.max(1), 1).next_multiple_of(variant.rows());
        let columns = columns.min(shape.ow).max(1);
        let line = reach(&shape, 1, columns) * shape.c.max(1);
        let lines = fit(BLOCK_ELEMENTS / line, 0).min(shape.oh).max(1);
        FConv { variant, shape, clamp, y_stride, block: Block { lines, columns }, padded }
    }

    /// What runs, for people: operation, vectors.
    pub fn kernel(&self) -> &'static str {
        match (self.shape.k() == self.shape.c, self.variant.name()) {
            (true, "avx512") => "float gemm avx512",
            (true, "avx2") => "float gemm avx2",
            (true, _) => "float gemm scalar",
            (false, "avx512") => "float conv avx512",
            (false, "avx2") => "float conv avx2",
            (false, _) => "float conv scalar",
        }
    }

    /// How the weights of one group are packed.
    fn panels(&self) -> Panels {
        Panels { lanes: self.variant.lanes(), k: self.shape.k(), n: self.shape.oc / self.shape.groups }
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.shape.groups * self.panels().len()
    }

    /// Packs `[oc][kh][kw][c/groups]` weights and `bias[oc]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let panels = self.panels();
        for (g, packed) in packed.chunks_exact_mut(panels.len().max(1)).take(self.shape.groups).enumerate() {
            let first = g * panels.n;
            let bias = if bias.is_empty() { bias } else { &bias[first..] };
            panels.pack(bias, |o, k| weights[(first + o) * panels.k + k], packed);
        }
    }

    /// Parts of the output that are computed apart best start at pixels that are multiples of this.
    pub fn grain(&self) -> usize {
        // Whole lines make blocks that copy as little as possible twice.
        if self.shape.oh > 1 { self.shape.ow.max(1) } else { self.variant.rows() }
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        if !self.padded {
            return 0;
        }
        reach(&self.shape, 0, self.block.lines) * reach(&self.shape, 1, self.block.columns) * self.shape.c
    }

    /// Computes output pixels `rows` of `shape.rows()`. `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], rows: Range<usize>, scratch: &mut [f32]) {
        let s = &self.shape;
        assert!(rows.end <= s.rows(), "no such output pixels");
        let first = rows.start;
        if rows.len() == 1 && s.is_pointwise() {
            let (panels, x) = (self.panels(), &x[first * s.c..][..s.c]);
            let row = Row { x, panels, clamp: self.clamp };
            return self.variant.run_row(&row, &packed[..panels.len()], 0..panels.count(), y);
        }
        let mut at = first;
        while at < rows.end {
            let (line, left) = (at / s.ow, at % s.ow);
            let (image, top) = (line / s.oh, line % s.oh);
            let whole = ((rows.end - at) / s.ow).min(self.block.lines).min(s.oh - top);
            // A part of a line, or as many whole lines as make a block.
            let (lines, right) =
                if left > 0 || whole == 0 { (1, s.ow.min(left + rows.end - at)) } else { (whole, s.ow) };
            for from in (left..right).step_by(self.block.columns) {
                let to = right.min(from + self.block.columns);
                let part = Part { image, lines: top..top + lines, columns: from..to };
                let y = &mut y[(at - first + from - left) * self.y_stride..];
                self.run_part(&part, packed, x, y, scratch);
            }
            at += lines * (right - left);
        }
    }

    fn run_part(&self, part: &Part, packed: &[f32], x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        let s = &self.shape;
        let (top, left) = (part.lines.start * s.strides[0], part.columns.start * s.strides[1]);
        let (x, x_line) = if self.padded {
            let width = reach(s, 1, part.columns.len()) * s.c;
            self.copy_padded(part, width, x, scratch);
            (&*scratch, width)
        } else {
            (&x[((part.image * s.h + top) * s.w + left) * s.c..], s.w * s.c)
        };
        let (kh, kw, cg) = (s.kernel[0], s.kernel[1], s.c / s.groups);
        let contiguous = s.groups == 1 && s.dilations[1] == 1;
        let taps = Taps {
            rows: kh,
            row_stride: s.dilations[0] * x_line,
            columns: if contiguous { 1 } else { kw },
            column_stride: s.dilations[1] * s.c,
            run: if contiguous { kw * cg } else { cg },
        };
        let (panels, tiles) = (self.panels(), cover(part.columns.len(), self.variant.rows()));
        for (g, packed) in packed.chunks_exact(panels.len().max(1)).take(s.groups).enumerate() {
            for (first, channels, range) in panels.iter() {
                for line in 0..part.lines.len() {
                    for (rows, at) in tiles.clone() {
                        let x = &x[line * s.strides[0] * x_line + at * s.strides[1] * s.c + g * cg..];
                        let y = &mut y[(line * s.ow + at) * self.y_stride + g * panels.n + first..];
                        let tile = Tile {
                            x,
                            taps,
                            rows,
                            x_stride: s.strides[1] * s.c,
                            y_stride: self.y_stride,
                            clamp: self.clamp,
                        };
                        self.variant.run(&tile, &packed[range.clone()], channels, y);
                    }
                }
            }
        }
    }

    /// Copies the input of a part, with zeros where it lies outside the image.
    fn copy_padded(&self, part: &Part, width: usize, x: &[f32], to: &mut [f32]) {
        let s = &self.shape;
        let top = part.lines.start * s.strides[0];
        let left = part.columns.start * s.strides[1];
        let columns = width / s.c.max(1);
        // The columns of the copy that are in the image.
        let start = s.pad[1].saturating_sub(left).min(columns);
        let end = (s.w + s.pad[1]).saturating_sub(left).clamp(start, columns);
        let rows = reach(s, 0, part.lines.len());
        for (i, to) in to.chunks_exact_mut(width.max(1)).take(rows).enumerate() {
            match (top + i).checked_sub(s.pad[0]) {
                Some(iy) if iy < s.h && start < end => {
                    let from = ((part.image * s.h + iy) * s.w + left + start - s.pad[1]) * s.c;
                    to[..start * s.c].fill(0.0);
                    to[start * s.c..end * s.c].copy_from_slice(&x[from..from + (end - start) * s.c]);
                    to[end * s.c..].fill(0.0);
                }
                _ => to.fill(0.0),
            }
        }
    }
}

/// Output pixels of one image.
struct Part {
    image: usize,
    lines: Range<usize>,
    columns: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::clip;
    use crate::testing::{Random, on_every_isa};

    /// The definition, in f64.
    fn oracle(s: &ConvShape, weights: &[f32], bias: &[f32], clamp: [f32; 2], x: &[f32]) -> Vec<f32> {
        let (cg, og) = (s.c / s.groups, s.oc / s.groups);
        let mut y = Vec::new();
        for row in 0..s.rows() {
            let (image, oy, ox) = (row / s.ow / s.oh, row / s.ow % s.oh, row % s.ow);
            for o in 0..s.oc {
                let mut sum = f64::from(bias[o]);
                for ky in 0..s.kernel[0] {
                    for kx in 0..s.kernel[1] {
                        let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                        let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                        if iy >= s.h || ix >= s.w {
                            continue;
                        }
                        for i in 0..cg {
                            let x = x[((image * s.h + iy) * s.w + ix) * s.c + o / og * cg + i];
                            let w = weights[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * cg + i];
                            sum += f64::from(x) * f64::from(w);
                        }
                    }
                }
                y.push(clip(sum as f32, clamp[0], clamp[1]));
            }
        }
        y
    }

    fn check(s: ConvShape, extra: usize, seed: u64) {
        let mut random = Random::new(seed);
        let weights = random.floats(s.oc * s.k(), 1.0);
        let bias = random.floats(s.oc, 1.0);
        let x = random.floats(s.x_len(), 1.0);
        let clamp = [-0.9 * (s.k() as f32).sqrt(), 1e9];
        let expected = oracle(&s, &weights, &bias, clamp, &x);
        on_every_isa(|isa| {
            let conv = FConv::new(isa, s, clamp, s.oc + extra);
            let mut packed = vec![f32::NAN; conv.packed_len()];
            conv.pack(&weights, &bias, &mut packed);
            let mut scratch = vec![f32::NAN; conv.scratch_len()];
            let mut whole = Vec::new();
            for at_once in [1, 7, s.rows().max(1)] {
                let mut y = vec![77.0; s.rows() * conv.y_stride];
                for from in (0..s.rows()).step_by(at_once) {
                    let to = s.rows().min(from + at_once);
                    conv.run(&packed, &x, &mut y[from * conv.y_stride..], from..to, &mut scratch);
                }
                for (y, e) in y.chunks_exact(conv.y_stride).zip(expected.chunks_exact(s.oc)) {
                    assert!(y[s.oc..].iter().all(|&v| v == 77.0));
                    for (y, e) in y.iter().zip(e) {
                        // Rounding of a chain of k sums, each below k in size.
                        let bound = 1e-7 * (s.k() as f32 + 1.0) * (s.k() as f32).sqrt().max(1.0);
                        assert!((y - e).abs() <= bound, "{isa} {s:?}: {y} for {e}");
                    }
                }
                if whole.is_empty() {
                    whole = y;
                } else {
                    assert!(y == whole, "{isa} {s:?}: the split shows");
                }
            }
        });
    }

    fn shape(n: usize, [h, w]: [usize; 2], c: usize, oc: usize, kernel: [usize; 2]) -> ConvShape {
        let linear = ConvShape::linear(1, c, oc);
        ConvShape { n, h, w, kernel, ..linear }
    }

    fn fit(mut s: ConvShape, strides: [usize; 2], dilations: [usize; 2], pad: [usize; 2]) -> ConvShape {
        (s.strides, s.dilations, s.pad) = (strides, dilations, pad);
        let out =
            |len: usize, i: usize| (len + 2 * pad[i] - (s.kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1;
        (s.oh, s.ow) = (out(s.h, 0), out(s.w, 1));
        s
    }

    #[test]
    fn linear_sizes() {
        for m in [1, 2, 3, 5, 6, 7, 11, 12, 13, 25, 40] {
            for n in [1, 7, 8, 9, 16, 17, 31, 32, 33, 65] {
                for k in [1, 5, 64] {
                    check(ConvShape::linear(m, k, n), n % 3, (m * n * k) as u64);
                }
            }
        }
        check(ConvShape::linear(0, 3, 3), 0, 1);
    }

    #[test]
    fn convolutions() {
        for (c, oc) in [(1, 5), (3, 32), (17, 40)] {
            for kernel in [[1, 1], [3, 3], [1, 4], [5, 2]] {
                for strides in [[1, 1], [2, 2], [1, 3]] {
                    for (dilations, pad) in [([1, 1], [0, 0]), ([1, 1], [1, 2]), ([2, 2], [2, 2])] {
                        check(fit(shape(2, [9, 14], c, oc, kernel), strides, dilations, pad), 1, c as u64);
                    }
                }
            }
        }
    }

    #[test]
    fn groups() {
        for (c, oc, groups) in [(6, 4, 2), (24, 40, 4), (8, 16, 8)] {
            let mut s = shape(1, [6, 5], c, oc, [3, 3]);
            s.groups = groups;
            check(fit(s, [1, 1], [1, 1], [1, 1]), 0, 3);
        }
    }

    #[test]
    fn lines_longer_than_a_block() {
        check(fit(shape(1, [9, 70], 600, 4, [3, 3]), [1, 1], [1, 1], [1, 1]), 0, 5);
        check(fit(shape(1, [5, 70], 600, 4, [2, 2]), [2, 2], [1, 1], [0, 0]), 0, 5);
    }
}
