//! The range whose quantized distribution tells the most about the real one.
//!
//! For each candidate, values outside are counted into its outermost bins; then the bins that share a code are
//! replaced by their mean over those that are not empty. The candidate with the least Kullback-Leibler divergence
//! between the two distributions wins.

use super::{Histogram, Range};

/// Thresholds that are tried, as shares of the greatest absolute value.
const STEPS: u32 = 128;
/// Less than this much closer is not closer: sums of logarithms are not exact.
const NOISE: f64 = 1e-9;
/// Values per bin below which counts are mostly chance: averaging them away would look like a loss.
const FEW: f64 = 32.0;
/// Codes of an 8-bit integer.
const CODES: usize = 256;

/// The range with the least divergence; the largest of equals.
pub(super) fn range(histogram: &Histogram) -> Option<Range> {
    let all = histogram.range()?.with_zero();
    let bins = settled_bins(histogram);
    let greatest = all.max.max(-all.min);
    let mut best = (f64::INFINITY, all);
    for step in (STEPS / 8..=STEPS).rev() {
        let threshold = greatest * (step as f32 / STEPS as f32);
        let candidate = Range { min: all.min.max(-threshold), max: all.max.min(threshold) };
        let d = divergence(&bins, candidate);
        if d + NOISE < best.0 {
            best = (d, candidate);
        }
    }
    Some(best.1)
}

/// Bins wide enough to hold several values each.
fn settled_bins(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut coarser = histogram.clone();
    loop {
        let bins: Vec<(f64, f64)> = coarser.bins().map(|(v, count)| (v, count as f64)).collect();
        if bins.len() <= 2 || bins.iter().map(|b| b.1).sum::<f64>() >= FEW * bins.len() as f64 {
            return bins;
        }
        coarser.merge_pairs();
    }
}

/// Divergence of the distribution quantized over `range` from the real one; infinite where nothing is inside.
fn divergence(bins: &[(f64, f64)], range: Range) -> f64 {
    let (low, high) = (f64::from(range.min), f64::from(range.max));
    let inside: Vec<(f64, f64)> = bins.iter().copied().filter(|(v, _)| (low..=high).contains(v)).collect();
    if inside.is_empty() || high <= low {
        return f64::INFINITY;
    }
    let total: f64 = bins.iter().map(|b| b.1).sum();
    let below: f64 = bins.iter().filter(|b| b.0 < low).map(|b| b.1).sum();
    let above: f64 = bins.iter().filter(|b| b.0 > high).map(|b| b.1).sum();
    let mut real: Vec<f64> = inside.iter().map(|b| b.1).collect();
    let kept: f64 = real.iter().sum();
    real[0] += below;
    *real.last_mut().unwrap_or(&mut 0.0) += above;
    let code = |v: f64| (((v - low) / (high - low) * CODES as f64) as usize).min(CODES - 1);
    let mut codes = [(0.0, 0.0); CODES];
    for &(v, count) in &inside {
        let (sum, bins) = &mut codes[code(v)];
        *sum += count;
        *bins += 1.0;
    }
    let quantized = inside.iter().map(|&(v, _)| codes[code(v)].0 / codes[code(v)].1 / kept);
    real.iter().zip(quantized).map(|(p, q)| p / total * (p / total / q).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_thin_tail_is_clipped() {
        let mut h = Histogram::default();
        let bell = |i: u32| ((i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5) * 2.0;
        let values: Vec<f32> = (0..200_000).map(|i| bell(i) + bell(i + 77) + bell(i + 991)).collect();
        h.add(&values);
        h.add(&[40.0, -20.0]);
        let r = range(&h).unwrap();
        assert!(r.max < 20.0 && r.max >= 2.5, "{r:?}");
        assert!(r.min > -20.0 && r.min <= -2.5, "{r:?}");
    }

    #[test]
    fn all_zeros_have_a_range() {
        let mut h = Histogram::default();
        h.add(&[0.0; 10]);
        assert_eq!(range(&h), Some(Range { min: 0.0, max: 0.0 }));
    }
}
