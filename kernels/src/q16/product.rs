//! Convolutions, transposed ones and matrix products.
//!
//! An output's products come in runs: elements of the input that lie one behind the other, against weights that do.
//! Each run is a dot product, summed in i32 by blocks that can't overflow, which compilers make of multiply-adds of
//! pairs.

use super::{BLOCK, Epilogue};
use crate::multiversion::multiversion;
use crate::{ConvShape, ConvTransposeShape, Isa};
use std::ops::Range;

/// A product with everything decided but its input.
#[derive(Clone, Debug)]
pub struct Product {
    isa: Isa,
    geometry: Geometry,
    epilogue: Epilogue,
}

/// Where the products of an output lie.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    shape: ConvShape,
    /// The shape is that of a transposed convolution.
    transposed: bool,
}

impl Geometry {
    /// The input's row (axis 0) or column (axis 1) that tap `k` of output position `o` reads, if there is one.
    #[inline(always)]
    fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let s = &self.shape;
        let reach = k * s.dilations[axis];
        let at = if self.transposed {
            let from = (o + s.pad[axis]).checked_sub(reach)?;
            if from % s.strides[axis] != 0 {
                return None;
            }
            from / s.strides[axis]
        } else {
            (o * s.strides[axis] + reach).checked_sub(s.pad[axis])?
        };
        if at < [s.h, s.w][axis] { Some(at) } else { None }
    }

    /// Taps from `k` on, of the pixel in column `x`, whose inputs lie behind each other.
    #[inline(always)]
    fn run(&self, k: usize, x: usize) -> usize {
        let s = &self.shape;
        let adjacent = !self.transposed && s.dilations[1] == 1 && s.groups == 1;
        if adjacent { (s.kernel[1] - k).min(s.w - x) } else { 1 }
    }
}

impl Product {
    /// A convolution or, of [`ConvShape::linear`], a matrix product. Panics if the epilogue has another number of
    /// channels.
    pub fn conv(isa: Isa, shape: &ConvShape, epilogue: Epilogue) -> Product {
        Product::new(isa, Geometry { shape: *shape, transposed: false }, epilogue)
    }

    /// A transposed convolution. Panics if the epilogue has another number of channels.
    pub fn transposed(isa: Isa, s: &ConvTransposeShape, epilogue: Epilogue) -> Product {
        let shape = ConvShape {
            n: s.n,
            h: s.h,
            w: s.w,
            c: s.c,
            oc: s.oc,
            kernel: s.kernel,
            strides: s.strides,
            dilations: s.dilations,
            pad: s.pad,
            oh: s.oh,
            ow: s.ow,
            groups: s.groups,
        };
        Product::new(isa, Geometry { shape, transposed: true }, epilogue)
    }

    fn new(isa: Isa, mut geometry: Geometry, epilogue: Epilogue) -> Product {
        epilogue.check(geometry.shape.oc);
        geometry.shape.groups = geometry.shape.groups.max(1);
        Product { isa, geometry, epilogue }
    }

    /// Computes these output pixels, counted over all images. `weights` are `[O][KH][KW][C / groups]`, `x` is
    /// `[N][H][W][C]`, `y` starts with the first of the pixels.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, weights: &[i8], x: &[i16], pixels: Range<usize>, y: &mut [i16]) {
        product(self.isa, self, weights, x, pixels, y);
    }
}

multiversion! {
    fn product(p: &Product, weights: &[i8], x: &[i16], pixels: Range<usize>, y: &mut [i16]) => product_body
}

#[inline(always)]
fn product_body(p: &Product, weights: &[i8], x: &[i16], pixels: Range<usize>, y: &mut [i16]) {
    let (g, s) = (&p.geometry, &p.geometry.shape);
    let per_group = s.oc / s.groups;
    for (pixel, y) in pixels.zip(y.chunks_exact_mut(s.oc.max(1))) {
        for group in 0..s.groups {
            let (mut channel, end) = (group * per_group, (group + 1) * per_group);
            while channel + 4 <= end {
                let sums = sums::<4>(g, weights, x, pixel, group, channel);
                for (i, &sum) in sums.iter().enumerate() {
                    y[channel + i] = p.epilogue.finish(channel + i, sum);
                }
                channel += 4;
            }
            while channel < end {
                let [sum] = sums::<1>(g, weights, x, pixel, group, channel);
                y[channel] = p.epilogue.finish(channel, sum);
                channel += 1;
            }
        }
    }
}

/// The sums of `L` output channels of a pixel, from `channel` on.
#[inline(always)]
fn sums<const L: usize>(
    g: &Geometry,
    weights: &[i8],
    x: &[i16],
    pixel: usize,
    group: usize,
    channel: usize,
) -> [i64; L] {
    let s = &g.shape;
    let depth = s.c / s.groups;
    let row = s.kernel[0] * s.kernel[1] * depth;
    let (line, ox) = (pixel / s.ow, pixel % s.ow);
    let (image, oy) = (line / s.oh, line % s.oh);
    let mut sums = [0; L];
    for ky in 0..s.kernel[0] {
        let Some(iy) = g.source(0, oy, ky) else { continue };
        let mut kx = 0;
        while kx < s.kernel[1] {
            let Some(ix) = g.source(1, ox, kx) else {
                kx += 1;
                continue;
            };
            let run = g.run(kx, ix);
            let at = ((image * s.h + iy) * s.w + ix) * s.c + group * depth;
            let from = channel * row + (ky * s.kernel[1] + kx) * depth;
            add_dots(&x[at..at + run * depth], &weights[from..], row, &mut sums);
            kx += run;
        }
    }
    sums
}

/// Adds the dot products of `x` with `L` runs of weights, `step` apart.
#[inline(always)]
fn add_dots<const L: usize>(x: &[i16], weights: &[i8], step: usize, sums: &mut [i64; L]) {
    let mut done = 0;
    for x in x.chunks(BLOCK) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let w = &weights[i * step + done..][..x.len()];
            let mut part = 0;
            for (&x, &w) in x.iter().zip(w) {
                part += i32::from(x) * i32::from(w);
            }
            *sum += i64::from(part);
        }
        done += x.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Factors, tests};
    use super::*;
    use crate::fixed::{Multiplier, SumMultiplier};
    use crate::testing::{Random, on_every_isa};

    fn epilogue(oc: usize, kind: usize) -> Epilogue {
        let factor = |c: usize| 3e-6 * (1 + c % 5) as f64;
        let factors = match kind {
            0 => Factors::Wide((0..oc).map(|c| SumMultiplier::new(factor(c)).unwrap()).collect()),
            1 => Factors::Narrow((0..oc).map(|c| Multiplier::new(factor(c)).unwrap()).collect()),
            _ => Factors::Real((0..oc).map(factor).collect()),
        };
        Epilogue {
            bias: (0..oc).map(|c| c as i64 * 70_001 - 200_000).collect(),
            factors,
            range: [-30000, 32000],
        }
    }

    #[test]
    fn convolutions_equal_the_definition() {
        let mut random = Random::new(5);
        for (c, oc, groups) in [(1, 1, 1), (3, 5, 1), (8, 6, 2), (40, 9, 1), (130, 4, 1), (4, 8, 4)] {
            for (kernel, strides, dilations, pad) in [
                ([1, 1], [1, 1], [1, 1], [0, 0]),
                ([3, 2], [2, 1], [1, 1], [1, 1]),
                ([2, 3], [1, 2], [2, 2], [2, 3]),
            ] {
                for transposed in [false, true] {
                    let (n, h, w) = (2, 4, 5);
                    let out = |len: usize, i: usize| match transposed {
                        true => (len - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 2 - pad[i],
                        false => (len + 2 * pad[i] - (kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1,
                    };
                    let (oh, ow) = (out(h, 0), out(w, 1));
                    let shape = ConvShape { n, h, w, c, oc, kernel, strides, dilations, pad, oh, ow, groups };
                    let g = Geometry { shape, transposed };
                    let x = tests::values(&mut random, n * h * w * c);
                    let weights: Vec<i8> = random
                        .bytes(oc * kernel[0] * kernel[1] * c / groups)
                        .into_iter()
                        .map(|b| b as i8)
                        .collect();
                    for kind in 0..3 {
                        let e = epilogue(oc, kind);
                        let want = definition(&g, &e, &weights, &x);
                        on_every_isa(|isa| {
                            let p = Product { isa, geometry: g, epilogue: e.clone() };
                            let mut y = vec![0; n * oh * ow * oc];
                            let half = n * oh * ow / 2;
                            let (first, second) = y.split_at_mut(half * oc);
                            p.run(&weights, &x, 0..half, first);
                            p.run(&weights, &x, half..n * oh * ow, second);
                            assert_eq!(y, want, "{isa} {g:?}");
                        });
                    }
                }
            }
        }
    }

    /// Every product on its own, from the input's side where the convolution is transposed.
    fn definition(g: &Geometry, e: &Epilogue, weights: &[i8], x: &[i16]) -> Vec<i16> {
        let s = &g.shape;
        let ConvShape { n, h, w, oh, ow, .. } = *s;
        let (depth, per_group) = (s.c / s.groups, s.oc / s.groups);
        let mut sums = vec![0i64; n * oh * ow * s.oc];
        let (rows, columns) = if g.transposed { (h, w) } else { (oh, ow) };
        for i in 0..n * rows * columns * s.kernel[0] * s.kernel[1] {
            let (kx, i) = (i % s.kernel[1], i / s.kernel[1]);
            let (ky, i) = (i % s.kernel[0], i / s.kernel[0]);
            let (column, row, image) = (i % columns, i / columns % rows, i / columns / rows);
            let y = row * s.strides[0] + ky * s.dilations[0];
            let x_at = column * s.strides[1] + kx * s.dilations[1];
            let (Some(far_y), Some(far_x)) = (y.checked_sub(s.pad[0]), x_at.checked_sub(s.pad[1])) else {
                continue;
            };
            let [iy, ix, oy, ox] =
                if g.transposed { [row, column, far_y, far_x] } else { [far_y, far_x, row, column] };
            if iy >= h || ix >= w || oy >= oh || ox >= ow {
                continue;
            }
            for o in 0..s.oc {
                for k in 0..depth {
                    let x = x[((image * h + iy) * w + ix) * s.c + o / per_group * depth + k];
                    let w = weights[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * depth + k];
                    sums[((image * oh + oy) * ow + ox) * s.oc + o] += i64::from(x) * i64::from(w);
                }
            }
        }
        sums.iter().enumerate().map(|(i, &sum)| e.finish(i % s.oc, sum)).collect()
    }

    /// The longest runs of the largest products.
    #[test]
    fn extremes_do_not_overflow() {
        let k = 3 * BLOCK + 1;
        for (x, w) in [(i16::MIN, i8::MIN), (i16::MIN, i8::MAX), (i16::MAX, i8::MIN)] {
            let e = Epilogue {
                bias: vec![0],
                factors: Factors::Wide(vec![SumMultiplier::new(1e-6).unwrap()]),
                range: [i16::MIN, i16::MAX],
            };
            let sum = i64::from(x) * i64::from(w) * k as i64;
            let want = e.finish(0, sum);
            on_every_isa(|isa| {
                let p = Product::conv(isa, &ConvShape::linear(1, k, 1), e.clone());
                let mut y = [0];
                p.run(&vec![w; k], &vec![x; k], 0..1, &mut y);
                assert_eq!(y, [want], "{isa}");
            });
        }
    }
}
