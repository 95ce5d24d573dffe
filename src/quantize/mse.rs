//! The range with the least mean squared error.

use super::{Histogram, Range, affine};

/// Shares of an end that are tried.
const STEPS: u32 = 64;
/// An end is not moved in further than to this share.
const SMALLEST: f64 = 0.1;
/// Ends are moved in turn this many times.
const SWEEPS: usize = 2;

/// Moves the ends inward, one at a time, to where the error of quantizing to 8 bits is least.
pub(super) fn range(histogram: &Histogram) -> Option<Range> {
    let all = histogram.range()?.with_zero();
    let bins: Vec<(f64, f64)> = histogram.bins().map(|(v, count)| (v, count as f64)).collect();
    let (mut min, mut max) = (f64::from(all.min), f64::from(all.max));
    for _ in 0..SWEEPS {
        max = best_share(f64::from(all.max), |max| error(&bins, min, max));
        min = best_share(f64::from(all.min), |min| error(&bins, min, max));
    }
    Some(Range { min: min as f32, max: max as f32 })
}

/// The share of `end` with the least error; the largest of equals.
fn best_share(end: f64, error: impl Fn(f64) -> f64) -> f64 {
    let mut best = (error(end), end);
    for step in 1..STEPS {
        let candidate = end * (1.0 - (1.0 - SMALLEST) * f64::from(step) / f64::from(STEPS));
        let e = error(candidate);
        if e < best.0 {
            best = (e, candidate);
        }
    }
    best.1
}

/// Squared error of the counted values at 8 bits over `min..=max`.
fn error(bins: &[(f64, f64)], min: f64, max: f64) -> f64 {
    let (scale, zero_point) = affine::asymmetric(min, max, 8);
    let off =
        |v: f64| v - affine::dequantize(affine::quantize(v, scale, zero_point, 0, 255), scale, zero_point);
    bins.iter().map(|&(v, count)| off(v).powi(2) * count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_clipped_and_an_even_spread_is_not() {
        let spread: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        let mut even = Histogram::default();
        even.add(&spread);
        let kept = range(&even).unwrap();
        assert!(kept.max > 0.98 && kept.min == 0.0, "{kept:?}");
        let mut outlier = Histogram::default();
        (0..10).for_each(|_| outlier.add(&spread));
        outlier.add(&[4.0]);
        // Least of (4 - t)^2 + 10^6 (t / 255)^2 / 12.
        let cut = range(&outlier).unwrap();
        assert!((cut.max - 1.75).abs() < 0.1, "{cut:?}");
    }

    #[test]
    fn all_zeros_have_a_range() {
        let mut h = Histogram::default();
        h.add(&[0.0; 10]);
        assert_eq!(range(&h), Some(Range { min: 0.0, max: 0.0 }));
    }
}
