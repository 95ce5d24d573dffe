//! Normalization of rows: to mean 0 and variance 1, or to mean square 1.
//!
//! Definition, for a row of n values (n is exact in f32 up to 2^24; lane `j` of 32 sums
//! the elements `j, j + 32, ...`, the lanes are added in halves):
//!
//! ```text
//! mean = sum(x) / n                       (0 where only the mean square is wanted)
//! d    = x - mean
//! r    = 1 / sqrt(sum(d * d) / n + epsilon)
//! y    = d * r * scale + bias
//! ```

use crate::math::lane_sum;
use crate::multiversion::multiversion;

const LANES: usize = 32;

/// What every row is multiplied by and added; empty: nothing.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// A factor per element of a row.
    pub scale: &'a [f32],
    /// An addend per element of a row.
    pub bias: &'a [f32],
}

/// How rows are normalized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Added to the variance.
    pub epsilon: f32,
    /// The mean is not taken off: root-mean-square normalization.
    pub rms: bool,
}

multiversion! {
    /// Normalizes rows of `len` values.
    ///
    /// Panics if the lengths do not fit.
    pub fn layer_norm(norm: Norm, len: usize, affine: Affine<'_>, x: &[f32], y: &mut [f32]) => body
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    for i in 0..rest.len() {
        lanes[i] += rest[i];
    }
    lane_sum(lanes)
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn square_sum(x: &[f32], mean: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            let d = chunk[i] - mean;
            lanes[i] += d * d;
        }
    }
    for i in 0..rest.len() {
        let d = rest[i] - mean;
        lanes[i] += d * d;
    }
    lane_sum(lanes)
}

#[inline(always)]
fn body(norm: Norm, len: usize, affine: Affine<'_>, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    assert!(affine.scale.is_empty() || affine.scale.len() == len);
    assert!(affine.bias.is_empty() || affine.bias.len() == len);
    if len == 0 {
        return;
    }
    let n = len as f32;
    for (x, y) in x.chunks_exact(len).zip(y.chunks_exact_mut(len)) {
        let mean = if norm.rms { 0.0 } else { sum(x) / n };
        let r = 1.0 / (square_sum(x, mean) / n + norm.epsilon).sqrt();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - mean) * r;
        }
        if !affine.scale.is_empty() {
            for (y, &scale) in y.iter_mut().zip(affine.scale) {
                *y *= scale;
            }
        }
        if !affine.bias.is_empty() {
            for (y, &bias) in y.iter_mut().zip(affine.bias) {
                *y += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn rows_are_normalized_alike_everywhere() {
        let mut random = Random::new(3);
        for len in (1..70).chain([128, 384, 1000]) {
            for rms in [false, true] {
                let norm = Norm { epsilon: 1e-5, rms };
                let x: Vec<f32> = random.floats(3 * len, 2.0).iter().map(|v| v + 1.0).collect();
                let (scale, bias) = (random.floats(len, 1.0), random.floats(len, 1.0));
                for affine in [Affine { scale: &scale, bias: &bias }, Affine { scale: &[], bias: &[] }] {
                    let mut first: Option<Vec<f32>> = None;
                    on_every_isa(|isa| {
                        let mut y = vec![f32::NAN; 3 * len];
                        layer_norm(isa, norm, len, affine, &x, &mut y);
                        let expected = first.get_or_insert_with(|| y.clone());
                        assert_eq!(&y, expected, "{isa} {len}");
                    });
                    for (x, y) in x.chunks(len).zip(first.unwrap_or_default().chunks(len)) {
                        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                        let mean = if rms { 0.0 } else { x.iter().sum::<f64>() / len as f64 };
                        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / len as f64;
                        for (i, (&y, x)) in y.iter().zip(&x).enumerate() {
                            let exact = (x - mean) / (variance + f64::from(norm.epsilon)).sqrt();
                            let scale = affine.scale.get(i).map_or(1.0, |&s| f64::from(s));
                            let exact = exact * scale + affine.bias.get(i).map_or(0.0, |&b| f64::from(b));
                            // One value alone is its own mean; its tiny difference is blown up by epsilon.
                            assert!((f64::from(y) - exact).abs() < 1e-4, "{len} {i}: {y} for {exact}");
                        }
                    }
                }
            }
        }
    }
}
