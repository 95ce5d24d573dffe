//! Softmax over the innermost dimension, of tables with straight lines between their samples.

use crate::fixed::Multiplier;
use crate::math::double;

/// Samples over all 65,536 integers, 128 apart, and one for the end.
#[derive(Clone)]
struct Samples([i16; 513]);

impl Samples {
    /// Of a function whose argument grows from `start` by `width` over all integers, in steps of 2 / 65535. Each sample is
    /// moved by half of what the straight line to the next one misses the function in the middle.
    fn new(start: f64, width: f64, f: impl Fn(f64) -> f64) -> Samples {
        let step = width / 512.0;
        let scale = 65536.0 / (2.0 / 65535.0 * 65535.0);
        let at = |x: f64| f(x) * scale;
        let mut samples = [0; 513];
        for (i, sample) in samples.iter_mut().enumerate().take(512) {
            let x = start + i as f64 * step;
            let value = at(x).round();
            let line = ((at(start + (i + 1) as f64 * step) + value) / 2.0).round();
            let middle = at(x + step / 2.0).round();
            *sample = (value - ((line - middle) / 2.0).round()).clamp(-32768.0, 32767.0) as i16;
        }
        samples[512] = at(start + width).round().clamp(-32768.0, 32767.0) as i16;
        Samples(samples)
    }

    fn at(&self, x: i32) -> i32 {
        let index = (256 + (x >> 7)) as usize;
        let [a, b] = [index, index + 1].map(|i| i32::from(self.0[i]));
        a + ((i32::from((b - a) as i16) * (x & 0x7f) + 64) >> 7)
    }
}

/// A softmax of integers of one scale, as integers of the scale 2^-15.
#[derive(Clone)]
pub struct Softmax {
    /// To steps of 10 / 65535.
    input: Multiplier,
    /// exp of -10 to 0.
    exp: Samples,
    /// `1 / (1 + x)` of 0 to 1.
    reciprocal: Samples,
}

impl Softmax {
    /// Of reals in steps of `scale`. `None` if it is out of range.
    pub fn new(scale: f32) -> Option<Softmax> {
        Some(Softmax {
            input: Multiplier::new(f64::from(scale) / (10.0 / 65535.0))?,
            exp: Samples::new(-10.0, 10.0, double::exp),
            reciprocal: Samples::new(0.0, 1.0, |x| 1.0 / (1.0 + x)),
        })
    }

    /// Computes rows of `len` elements. Of at most 65,536 elements: their sum stays within an i32.
    pub fn run(&self, len: usize, x: &[i16], y: &mut [i16]) {
        for (x, y) in x.chunks_exact(len.max(1)).zip(y.chunks_exact_mut(len.max(1))) {
            let most = x.iter().copied().max().map_or(0, i32::from);
            let mut sum = 0i32;
            for (y, &x) in y.iter_mut().zip(x) {
                let below = self.input.apply(i32::from(x) - most).saturating_add(32767);
                let exp = self.exp.at(below.clamp(-32768, 32767));
                *y = exp as i16;
                sum = sum.saturating_add(exp);
            }
            // The sum as 1 + x with 16 bits behind the point, times a power of two.
            let zeros = sum.leading_zeros();
            let mantissa = (((i64::from(sum) << zeros.saturating_sub(1)) + (1 << 13)) >> 14) as i32;
            let reciprocal = self.reciprocal.at((mantissa - (1 << 15) - (1 << 16)).clamp(-32768, 32767));
            let shift = 31 - zeros.min(30);
            for y in y {
                let part = i64::from(*y) * i64::from(reciprocal) + (1 << (shift - 1));
                *y = (part >> shift).clamp(0, 32767) as i16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn is_near_the_true_one() {
        let mut random = Random::new(6);
        for (len, scale) in [(1, 1e-3f32), (10, 2e-4), (200, 2e-4), (65_536, 1e-5)] {
            let x: Vec<i16> = (0..2 * len).map(|_| random.bits() as i16).collect();
            let mut y = vec![0; 2 * len];
            Softmax::new(scale).unwrap().run(len, &x, &mut y);
            for (x, y) in x.chunks(len).zip(y.chunks(len)) {
                let exps: Vec<f64> = x.iter().map(|&x| (f64::from(x) * f64::from(scale)).exp()).collect();
                let sum: f64 = exps.iter().sum();
                for (e, &y) in exps.iter().zip(y) {
                    assert!(
                        (e / sum - f64::from(y) / 32768.0).abs() < 3e-4,
                        "{len} {y} {}",
                        e / sum * 32768.0
                    );
                }
            }
        }
    }

    /// All far apart, all equal.
    #[test]
    fn extremes() {
        let softmax = Softmax::new(1.0).unwrap();
        let mut y = [0; 3];
        softmax.run(3, &[-32768, 32767, -32768], &mut y);
        assert!(y[0] <= 2 && y[1] > 32760, "{y:?}");
        softmax.run(3, &[-32768; 3], &mut y);
        assert!(y.iter().all(|y| y.abs_diff(10923) < 4), "{y:?}");
    }
}
