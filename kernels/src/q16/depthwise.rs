//! Convolutions in which every output channel reads the input channel of its number.

use super::{BLOCK, Epilogue};
use crate::multiversion::multiversion;
use crate::{ConvShape, Isa};
use std::ops::Range;

/// A depthwise convolution with everything decided but its input.
#[derive(Clone, Debug)]
pub struct Depthwise {
    isa: Isa,
    shape: ConvShape,
    /// `[KH * KW][C]`: channels side by side.
    weights: Vec<i8>,
    epilogue: Epilogue,
}

/// Channels that are summed side by side.
const LANES: usize = 16;

impl Depthwise {
    /// Of weights `[C][KH][KW]`. `None` if the shape is not depthwise, or the sums of its window could leave an i32: it
    /// is for [`Product`](super::product::Product) then.
    ///
    /// Panics if the epilogue or the weights belong to another number of channels.
    pub fn new(isa: Isa, shape: ConvShape, weights: &[i8], epilogue: Epilogue) -> Option<Depthwise> {
        let taps = shape.kernel[0] * shape.kernel[1];
        if !shape.is_depthwise() || taps > BLOCK {
            return None;
        }
        epilogue.check(shape.c);
        assert_eq!(weights.len(), taps * shape.c, "weights of a depthwise convolution");
        let weights = (0..taps).flat_map(|tap| weights.iter().skip(tap).step_by(taps).copied()).collect();
        Some(Depthwise { isa, shape, weights, epilogue })
    }

    /// Computes these output pixels, counted over all images; `y` starts with the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, x: &[i16], pixels: Range<usize>, y: &mut [i16]) {
        depthwise(self.isa, self, x, pixels, y);
    }
}

multiversion! {
    fn depthwise(d: &Depthwise, x: &[i16], pixels: Range<usize>, y: &mut [i16]) => depthwise_body
}

#[inline(always)]
fn depthwise_body(d: &Depthwise, x: &[i16], pixels: Range<usize>, y: &mut [i16]) {
    for (pixel, y) in pixels.zip(y.chunks_exact_mut(d.shape.c)) {
        let (whole, rest) = y.as_chunks_mut::<LANES>();
        let mut channel = 0;
        for y in whole {
            channels(d, x, pixel, channel, y);
            channel += LANES;
        }
        for y in rest {
            channels(d, x, pixel, channel, std::array::from_mut(y));
            channel += 1;
        }
    }
}

/// `L` channels of a pixel, from `channel` on.
#[inline(always)]
fn channels<const L: usize>(d: &Depthwise, x: &[i16], pixel: usize, channel: usize, y: &mut [i16; L]) {
    let s = &d.shape;
    let (line, ox) = (pixel / s.ow, pixel % s.ow);
    let (image, oy) = (line / s.oh, line % s.oh);
    let mut sums = [0i32; L];
    for ky in 0..s.kernel[0] {
        // Above the image this wraps to far below it.
        let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
        if iy >= s.h {
            continue;
        }
        for kx in 0..s.kernel[1] {
            let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
            if ix >= s.w {
                continue;
            }
            let x = &x[((image * s.h + iy) * s.w + ix) * s.c + channel..][..L];
            let w = &d.weights[(ky * s.kernel[1] + kx) * s.c + channel..][..L];
            for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                *sum += i32::from(x) * i32::from(w);
            }
        }
    }
    for (i, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
        *y = d.epilogue.finish(channel + i, i64::from(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Factors, product::Product, tests};
    use super::*;
    use crate::fixed::SumMultiplier;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn equals_the_product_in_groups() {
        let mut random = Random::new(8);
        for c in [2, 15, 16, 17, 50] {
            for (kernel, strides, dilations, pad) in [
                ([3, 3], [1, 1], [1, 1], [1, 1]),
                ([2, 5], [2, 3], [2, 1], [1, 4]),
                ([1, 1], [1, 1], [1, 1], [0, 0]),
            ] {
                let (n, h, w) = (2, 5, 6);
                let out = |len: usize, i: usize| {
                    (len + 2 * pad[i] - (kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1
                };
                let (oh, ow) = (out(h, 0), out(w, 1));
                let shape =
                    ConvShape { n, h, w, c, oc: c, kernel, strides, dilations, pad, oh, ow, groups: c };
                let x = tests::values(&mut random, shape.x_len());
                let weights: Vec<i8> =
                    random.bytes(c * kernel[0] * kernel[1]).into_iter().map(|b| b as i8).collect();
                let epilogue = Epilogue {
                    bias: (0..c as i64).map(|c| c * 9999 - 50_000).collect(),
                    factors: Factors::Wide(
                        (1..=c).map(|c| SumMultiplier::new(0.02 / c as f64).unwrap()).collect(),
                    ),
                    range: [-32768, 30000],
                };
                let mut want = vec![0; shape.y_len()];
                Product::conv(Isa::SCALAR, &shape, epilogue.clone()).run(
                    &weights,
                    &x,
                    0..shape.rows(),
                    &mut want,
                );
                on_every_isa(|isa| {
                    let d = Depthwise::new(isa, shape, &weights, epilogue.clone()).unwrap();
                    let mut y = vec![0; shape.y_len()];
                    let (first, second) = y.split_at_mut(3 * c);
                    d.run(&x, 0..3, first);
                    d.run(&x, 3..shape.rows(), second);
                    assert_eq!(y, want, "{isa} {shape:?}");
                });
            }
        }
    }
}
