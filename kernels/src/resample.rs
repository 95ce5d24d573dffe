//! Resampling f32 with as many samples as a filter is wide: cubic interpolation, and either filter widened where the
//! output is smaller (antialiasing). One axis after the other, the first one first.
//!
//! Definition: along an axis of length `n`, output `o` lies at the coordinate `c` of the input ([`ResizeCoord`]). Sample
//! `i` has the weight `f((i - c) * s)`, where `s` is the scale, at most 1, if the filter is widened, and 1 otherwise.
//! `f(t)` is `1 - |t|` for `|t| < 1`, or the cubic convolution of Keys (1981) with coefficient `a` for `|t| < 2`:
//!
//! ```text
//! (a + 2) |t|^3 - (a + 3) |t|^2 + 1             |t| <= 1
//! a |t|^3 - 5 a |t|^2 + 8 a |t| - 4 a           |t| < 2
//! ```
//!
//! Samples beyond an end are the one at the end, or are left out; the weights of widened filters, and those of which
//! some are left out, are divided by their sum. Weights are computed in f64 and rounded to f32. The value is
//! `((0 + w x) + w x) + ..` from the first sample to the last, each step one f32 operation; weights that are 0 take no
//! part.

use crate::Isa;
use crate::multiversion::multiversion;
use crate::resize::ResizeCoord;
use std::ops::Range;

/// What is put over the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// A triangle of two samples.
    Linear,
    /// Cubic convolution over four.
    Cubic {
        /// Usually -0.75 or -0.5.
        a: f32,
    },
}

impl Filter {
    /// Samples on either side.
    fn reach(self) -> f64 {
        match self {
            Filter::Linear => 1.0,
            Filter::Cubic { .. } => 2.0,
        }
    }

    fn weight(self, t: f64) -> f64 {
        let t = t.abs();
        match self {
            Filter::Linear => (1.0 - t).max(0.0),
            Filter::Cubic { a } => {
                let a = f64::from(a);
                match t {
                    ..=1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
                    ..2.0 => ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a,
                    _ => 0.0,
                }
            }
        }
    }
}

/// How a tensor is resampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Method {
    /// Of the samples.
    pub filter: Filter,
    /// Where outputs lie.
    pub coord: ResizeCoord,
    /// The filter is as wide as the scale is small.
    pub antialias: bool,
    /// Samples beyond an end are left out.
    pub exclude_outside: bool,
}

/// Most weights of an axis: a file must not make a table of them large.
const MAX_TAPS: usize = 1 << 24;

/// One axis: `y[outer][out][inner]` of `x[outer][len][inner]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    outer: usize,
    len: usize,
    out: usize,
    inner: usize,
    /// Samples of an output.
    count: usize,
    /// Which samples: `[out][count]`.
    at: Vec<usize>,
    /// Their weights.
    weights: Vec<f32>,
}

/// The passes that resample a dense tensor from `dims` to `out`, none if nothing changes. `scales` are output over input
/// lengths, as the model states them. `None` if the numbers of dimensions differ, a dimension is 0, a scale is not
/// positive, or smaller than the lengths can mean, a number overflows, or an axis needs too many weights.
pub fn passes(dims: &[usize], out: &[usize], scales: &[f32], method: Method) -> Option<Vec<Pass>> {
    if out.len() != dims.len() || scales.len() != dims.len() || dims.contains(&0) || out.contains(&0) {
        return None;
    }
    let product = |dims: &[usize]| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let mut now = dims.to_vec();
    let mut passes = Vec::new();
    for axis in 0..dims.len() {
        if dims[axis] == out[axis] && scales[axis] == 1.0 {
            continue;
        }
        let (outer, inner) = (product(&now[..axis])?, product(&now[axis + 1..])?);
        passes.push(Pass::new([outer, dims[axis], out[axis], inner], scales[axis], method)?);
        now[axis] = out[axis];
        product(&now)?;
    }
    Some(passes)
}

impl Pass {
    fn new([outer, len, out, inner]: [usize; 4], scale: f32, method: Method) -> Option<Pass> {
        if !(scale > 0.0 && scale.is_finite()) {
            return None;
        }
        let narrow = if method.antialias { f64::from(scale).min(1.0) } else { 1.0 };
        let reach = method.filter.reach() / narrow;
        // An output for each `1 / scale` inputs: no honest filter is wider than a few times the input.
        let count = (2.0 * reach).ceil();
        if count > 4.0 * len as f64 + 8.0 {
            return None;
        }
        let count = count as usize;
        let taps = out.checked_mul(count).filter(|&taps| taps <= MAX_TAPS)?;
        let (mut at, mut weights) = (Vec::with_capacity(taps), Vec::with_capacity(taps));
        for o in 0..out {
            let c = f64::from(method.coord.map(o, len, out, scale));
            let first = (c - reach).floor() + 1.0;
            let samples = (0..count).map(|k| first + k as f64);
            let weight = |i: f64| match method.exclude_outside && !(0.0..len as f64).contains(&i) {
                true => 0.0,
                false => method.filter.weight((i - c) * narrow),
            };
            let sum: f64 = match method.antialias || method.exclude_outside {
                true => samples.clone().map(weight).sum(),
                false => 1.0,
            };
            if sum == 0.0 {
                return None;
            }
            for i in samples {
                at.push(i.clamp(0.0, (len - 1) as f64) as usize);
                weights.push((weight(i) / sum) as f32);
            }
        }
        Some(Pass { outer, len, out, inner, count, at, weights })
    }

    /// Output rows, the unit that calls of `run` are split into.
    pub fn rows(&self) -> usize {
        self.outer * self.out
    }

    /// Elements of an output row.
    pub fn row_len(&self) -> usize {
        self.inner
    }

    /// Multiplications of the whole.
    pub fn macs(&self) -> u64 {
        [self.outer, self.out, self.inner, self.count].iter().fold(1, |n: u64, &d| n.saturating_mul(d as u64))
    }

    /// Computes these output rows; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, isa: Isa, x: &[f32], y: &mut [f32], rows: Range<usize>) {
        run(isa, self, x, y, rows);
    }
}

multiversion! {
    fn run(p: &Pass, x: &[f32], y: &mut [f32], rows: Range<usize>) => run_body
}

#[inline(always)]
fn run_body(p: &Pass, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    for (row, y) in rows.zip(y.chunks_exact_mut(p.inner)) {
        let (outer, o) = (row / p.out, row % p.out);
        let x = &x[outer * p.len * p.inner..][..p.len * p.inner];
        let taps = o * p.count..(o + 1) * p.count;
        y.fill(0.0);
        for (&at, &weight) in p.at[taps.clone()].iter().zip(&p.weights[taps]) {
            if weight == 0.0 {
                continue;
            }
            for (y, &x) in y.iter_mut().zip(&x[at * p.inner..][..p.inner]) {
                *y += weight * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const CUBIC: Method = Method {
        filter: Filter::Cubic { a: -0.75 },
        coord: ResizeCoord::HalfPixel,
        antialias: false,
        exclude_outside: false,
    };

    fn resampled(isa: Isa, dims: &[usize], out: &[usize], method: Method, x: &[f32]) -> Vec<f32> {
        let scales: Vec<f32> = dims.iter().zip(out).map(|(&a, &b)| b as f32 / a as f32).collect();
        let mut x = x.to_vec();
        for pass in passes(dims, out, &scales, method).unwrap() {
            let mut y = vec![f32::NAN; pass.rows() * pass.row_len()];
            // In two parts, as threads would.
            let (half, len) = (pass.rows() / 2, pass.row_len());
            let (a, b) = y.split_at_mut(half * len);
            pass.run(isa, &x, a, 0..half);
            pass.run(isa, &x, b, half..pass.rows());
            x = y;
        }
        x
    }

    #[test]
    fn samples_are_met_and_constants_stay() {
        for antialias in [false, true] {
            let method = Method { antialias, ..CUBIC };
            let y = resampled(Isa::SCALAR, &[7], &[21], method, &[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]);
            let met: Vec<f32> = y.iter().skip(1).step_by(3).copied().collect();
            met.iter()
                .zip([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
                .for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
            for out in [1, 2, 3, 5, 8, 40] {
                for exclude_outside in [false, true] {
                    for filter in [Filter::Linear, Filter::Cubic { a: -0.5 }] {
                        let method = Method { antialias, exclude_outside, filter, ..CUBIC };
                        let y = resampled(Isa::SCALAR, &[7], &[out], method, &[2.5; 7]);
                        assert!(y.iter().all(|v| (v - 2.5).abs() < 1e-5), "{method:?} {y:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn halves_by_hand() {
        let y = resampled(Isa::SCALAR, &[4], &[8], CUBIC, &[0.0, 0.0, 1.0, 0.0]);
        let want =
            [0.0, -0.03515625, -0.10546875, 0.26171875, 0.87890625, 0.87890625, 0.26171875, -0.10546875];
        assert_eq!(y, want, "weights at quarters are whole numbers of 256ths");
    }

    #[test]
    fn every_instruction_set_is_plain() {
        let mut random = Random::new(5);
        for (dims, out) in
            [([2, 5, 7, 3], [2, 11, 4, 3]), ([1, 9, 9, 17], [1, 3, 20, 17]), ([1, 4, 6, 1], [1, 8, 12, 1])]
        {
            let x: Vec<f32> = random.floats(dims.iter().product(), 1.0);
            for antialias in [false, true] {
                let method = Method { antialias, ..CUBIC };
                let want = resampled(Isa::SCALAR, &dims, &out, method, &x);
                for isa in Isa::available() {
                    assert_eq!(resampled(isa, &dims, &out, method, &x), want, "{isa}");
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(passes(&[4], &[8], &[0.0], CUBIC).is_none());
        assert!(passes(&[4], &[8], &[f32::NAN], CUBIC).is_none());
        assert!(passes(&[4], &[0], &[1.0], CUBIC).is_none());
        assert!(passes(&[4, 1], &[8], &[2.0], CUBIC).is_none());
        let wide = Method { antialias: true, ..CUBIC };
        assert!(passes(&[4], &[1 << 40], &[1e-30], wide).is_none(), "a filter wider than the input");
        assert!(passes(&[1], &[1 << 40], &[1e12], CUBIC).is_none(), "a table of weights larger than memory");
        assert!(passes(&[usize::MAX, 2], &[usize::MAX, 4], &[1.0, 2.0], CUBIC).is_none());
        assert_eq!(passes(&[4, 2], &[4, 2], &[1.0; 2], CUBIC), Some(vec![]));
    }
}
