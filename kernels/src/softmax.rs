//! Softmax along one dimension of `x[outer][len][inner]`.
//!
//! Definition: `e[i] = exp(x[i] - max)`; the sum takes elements in order where the dimension is strided
//! (`inner > 1`), and where it is contiguous lane `j` of 16 takes elements `j, j + 16, ...`, the lanes being added
//! in halves; `y[i] = e[i] / sum`, 0 where that is below the least normal number (products with denormal ones take a
//! hundred times as long on many processors), or `x[i] - max - ln(sum)`.

use crate::math::{exp, exp_f64, lane_sum, ln};
use crate::multiversion::multiversion;
use crate::quantize::Quantizer;

const LANES: usize = 16;
/// Columns worked on at a time where the dimension is strided.
const BLOCK: usize = 64;

multiversion! {
    /// Softmax, or its logarithm.
    ///
    /// Panics if a slice is too short.
    pub fn softmax_f32(dims: [usize; 3], log: bool, x: &[f32], y: &mut [f32]) => softmax_f32_body
}

#[inline(always)]
fn softmax_f32_body(dims: [usize; 3], log: bool, x: &[f32], y: &mut [f32]) {
    let [outer, len, inner] = dims;
    let size = len * inner;
    if size == 0 {
        return;
    }
    for (x, y) in x[..outer * size].chunks_exact(size).zip(y[..outer * size].chunks_exact_mut(size)) {
        if inner == 1 {
            contiguous(log, x, y);
        } else {
            for from in (0..inner).step_by(BLOCK) {
                strided(log, inner, from..inner.min(from + BLOCK), x, y);
            }
        }
    }
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn share(e: f32, sum: f32) -> f32 {
    let share = e / sum;
    if share < f32::MIN_POSITIVE { 0.0 } else { share }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn contiguous(log: bool, x: &[f32], y: &mut [f32]) {
    // Whole chunks have a constant length: they become one vector operation.
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            lanes[i] = greater(lanes[i], chunk[i]);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = greater(*lane, v);
    }
    let max = lanes.iter().fold(f32::NEG_INFINITY, |a, &b| greater(a, b));
    let mut sums = [0f32; LANES];
    let (whole_y, rest_y) = y.as_chunks_mut::<LANES>();
    for (x, y) in whole.iter().zip(whole_y) {
        for i in 0..LANES {
            y[i] = exp(x[i] - max);
            sums[i] += y[i];
        }
    }
    for ((sum, &x), y) in sums.iter_mut().zip(rest).zip(rest_y) {
        *y = exp(x - max);
        *sum += *y;
    }
    let sum = lane_sum(sums);
    if log {
        let ln_sum = ln(sum);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x - max - ln_sum;
        }
    } else {
        for y in y {
            *y = share(*y, sum);
        }
    }
}

#[inline(always)]
fn strided(log: bool, inner: usize, columns: std::ops::Range<usize>, x: &[f32], y: &mut [f32]) {
    let mut max = [f32::NEG_INFINITY; BLOCK];
    for x in x.chunks_exact(inner) {
        for (max, &x) in max.iter_mut().zip(&x[columns.clone()]) {
            *max = greater(*max, x);
        }
    }
    let mut sum = [0f32; BLOCK];
    for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
        let (x, y) = (&x[columns.clone()], &mut y[columns.clone()]);
        for (((y, &x), sum), &max) in y.iter_mut().zip(x).zip(&mut sum).zip(&max) {
            *y = exp(x - max);
            *sum += *y;
        }
    }
    if log {
        for sum in &mut sum {
            *sum = ln(*sum);
        }
    }
    for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
        let (x, y) = (&x[columns.clone()], &mut y[columns.clone()]);
        let statistics = max.iter().zip(&sum);
        for ((y, &x), (&max, &sum)) in y.iter_mut().zip(x).zip(statistics) {
            *y = if log { x - max - sum } else { share(*y, sum) };
        }
    }
}

/// Softmax of quantized values: `quantize(e / sum)` with `e = exp(-scale * (max - x))` from a table.
#[derive(Clone, Debug)]
pub struct QSoftmax {
    /// `e` by difference from the maximum.
    exp: [f32; 256],
    out: Quantizer,
}

impl QSoftmax {
    /// For inputs of this scale and an output of this scale and zero point.
    pub fn new(x_scale: f32, y_scale: f32, y_zero_point: u8) -> QSoftmax {
        let exp = std::array::from_fn(|d| exp_f64(-f64::from(x_scale) * d as f64) as f32);
        QSoftmax { exp, out: Quantizer::new(y_scale, y_zero_point) }
    }

    /// Along the middle dimension of `x[outer][len][inner]`; sums take elements in order.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, dims: [usize; 3], x: &[u8], y: &mut [u8]) {
        let [outer, len, inner] = dims;
        for o in 0..outer {
            for i in 0..inner {
                let start = o * len * inner + i;
                let places = || (0..len).map(|j| start + j * inner);
                let max = places().map(|at| x[at]).max().unwrap_or(0);
                let e = |at: usize| self.exp[usize::from(max - x[at])];
                let sum = places().fold(0.0, |sum, at| sum + e(at));
                if len < 256 {
                    for at in places() {
                        y[at] = self.out.apply(e(at) / sum);
                    }
                } else {
                    // Fewer divisions than elements.
                    let results = self.exp.map(|e| self.out.apply::<u8>(e / sum));
                    for at in places() {
                        y[at] = results[usize::from(max - x[at])];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::testing::{Random, on_every_isa};

    const SHAPES: [[usize; 3]; 8] =
        [[1, 1, 1], [3, 5, 1], [2, 16, 1], [4, 1000, 1], [2, 7, 3], [3, 4, 64], [1, 21, 150], [2, 1, 9]];

    /// By the standard library in f64.
    fn reference([outer, len, inner]: [usize; 3], log: bool, x: &[f32]) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for start in (0..outer).flat_map(|o| (0..inner).map(move |i| o * len * inner + i)) {
            let at = |j: usize| start + j * inner;
            let max = (0..len).map(|j| x[at(j)]).fold(f32::NEG_INFINITY, f32::max);
            let e = |j: usize| f64::from(x[at(j)]) - f64::from(max);
            let sum: f64 = (0..len).map(|j| e(j).exp()).sum();
            for j in 0..len {
                y[at(j)] = if log { e(j) - sum.ln() } else { e(j).exp() / sum };
            }
        }
        y
    }

    #[test]
    fn floats() {
        for dims in SHAPES {
            for log in [false, true] {
                let x = Random::new(dims[1] as u64).floats(dims.iter().product(), 30.0);
                let exact = reference(dims, log, &x);
                let mut scalar = vec![0.0; x.len()];
                softmax_f32(crate::Isa::SCALAR, dims, log, &x, &mut scalar);
                for (y, e) in scalar.iter().zip(&exact) {
                    // Each addition to the sum (1 to len) is rounded, which its logarithm shows as it is.
                    let bound = 1e-6 * e.abs() + if log { 6e-8 * dims[1] as f64 } else { 1e-9 };
                    assert!((f64::from(*y) - e).abs() <= bound, "{dims:?} {log}: {y} for {e}");
                }
                on_every_isa(|isa| {
                    let mut y = vec![0.0; x.len()];
                    softmax_f32(isa, dims, log, &x, &mut y);
                    assert_eq!(y, scalar, "{isa} {dims:?} {log}");
                });
            }
        }
    }

    #[test]
    fn no_share_is_denormal() {
        // Shares from 1 down to far below the least number.
        let x: Vec<f32> = (0..1300).map(|i| i as f32 * -0.1).collect();
        for isa in Isa::available() {
            for dims in [[1, 1300, 1], [1, 650, 2]] {
                let mut y = vec![f32::NAN; 1300];
                softmax_f32(isa, dims, false, &x, &mut y);
                assert!(y.iter().all(|v| *v == 0.0 || v.is_normal()), "{isa} {dims:?}");
                assert!(y.contains(&0.0) && y.iter().any(|v| (0.0..1e-37).contains(v) && *v > 0.0));
            }
        }
        let mut y = [0.0; 3];
        softmax_f32(Isa::SCALAR, [1, 3, 1], false, &[f32::NAN, 0.0, 1.0], &mut y);
        assert!(y.iter().all(|v| v.is_nan()), "what is no number stays so");
    }

    #[test]
    fn bytes() {
        for dims in SHAPES {
            let x = Random::new(dims[1] as u64).bytes(dims.iter().product());
            let floats: Vec<f32> = x.iter().map(|&v| f32::from(v) * 0.05).collect();
            let exact = reference(dims, false, &floats);
            for (scale, zero_point) in [(1.0 / 256.0, 0u8), (0.01, 100)] {
                let mut y = vec![0; x.len()];
                QSoftmax::new(0.05, scale, zero_point).run(dims, &x, &mut y);
                for (y, e) in y.iter().zip(&exact) {
                    let q = (e / f64::from(scale) + f64::from(zero_point)).min(255.0);
                    assert!((f64::from(*y) - q).abs() <= 0.5001, "{dims:?}: {y} for {q}");
                }
            }
        }
    }
}
