//! The distribution of a stream of values whose range is not known beforehand.

use super::Range;

/// Bins of a histogram.
pub(super) const BINS: usize = 2048;

/// The width of the first bins where all values so far are zero.
const NARROWEST: f64 = 1.0 / (1u64 << 60) as f64;

/// Counts of values in 2048 bins of equal width, a power of two. Bin edges are multiples of the width, so that
/// doubling it merges bins in pairs: however the range grows, no count is ever split.
///
/// Exact zeros are counted apart. Zero has a code of its own in every range, so they say nothing about which range
/// is good; in a bin they would outweigh everything behind a Relu.
#[derive(Clone, Debug)]
pub struct Histogram {
    range: Option<Range>,
    width: f64,
    /// The lowest bin holds values from `first * width` on.
    first: i64,
    counts: Vec<u64>,
    zeros: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { range: None, width: 0.0, first: 0, counts: vec![0; BINS], zeros: 0 }
    }
}

impl Histogram {
    /// Counts the finite ones of these values.
    pub fn add(&mut self, values: &[f32]) {
        let Some(new) = Range::of(values) else { return };
        self.cover(self.range.map_or(new, |r| r.union(new)));
        let inverse = 1.0 / self.width;
        for v in values.iter().filter(|v| v.is_finite()) {
            if *v == 0.0 {
                self.zeros += 1;
                continue;
            }
            let bin = (f64::from(*v) * inverse).floor() as i64 - self.first;
            if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.counts.get_mut(bin)) {
                *count += 1;
            }
        }
    }

    /// Makes the bins cover `range`, which holds the range so far.
    fn cover(&mut self, range: Range) {
        let (low, high) = (f64::from(range.min), f64::from(range.max));
        if self.range.is_none() {
            let fit = (high - low).max(low.abs().max(high.abs()) / 65536.0) / (BINS as f64 / 2.0);
            self.width = fit.max(NARROWEST).log2().ceil().exp2();
            self.first = (low / self.width).floor() as i64;
        }
        while (high / self.width).floor() - (low / self.width).floor() >= BINS as f64 {
            self.merge_pairs();
        }
        let first = (low / self.width).floor() as i64;
        // Empty bins above or below make room for new ones on the other side.
        let shift = self.first - first;
        if shift != 0 {
            let mut moved = vec![0; BINS];
            for (i, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                if let Some(place) = usize::try_from(i as i64 + shift).ok().and_then(|i| moved.get_mut(i)) {
                    *place = *count;
                }
            }
            (self.counts, self.first) = (moved, first);
        }
        self.range = Some(range);
    }

    /// Doubles the width of the bins.
    pub(super) fn merge_pairs(&mut self) {
        let half = self.first.div_euclid(2);
        let mut merged = vec![0; BINS];
        for (i, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            merged[((self.first + i as i64).div_euclid(2) - half) as usize] += count;
        }
        (self.counts, self.first, self.width) = (merged, half, self.width * 2.0);
    }

    /// The range of all values; `None` if there were none.
    pub fn range(&self) -> Option<Range> {
        self.range
    }

    /// Middle of each bin that is not empty, and its count; without the zeros.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(i, &count)| (((self.first + i as i64) as f64 + 0.5) * self.width, count))
    }

    /// The range between the value that `100 - p` percent lie below and the one that `p` percent lie below.
    pub fn percentile(&self, p: f64) -> Option<Range> {
        let range = self.range?;
        let total = self.counts.iter().sum::<u64>() + self.zeros;
        let max = self.quantile(total, p / 100.0).min(f64::from(range.max)) as f32;
        let min = self.quantile(total, 1.0 - p / 100.0).max(f64::from(range.min)) as f32;
        Some(Range { min: min.min(max), max })
    }

    /// The value that this share of the values lies below, linear within a bin.
    fn quantile(&self, total: u64, share: f64) -> f64 {
        let wanted = total as f64 * share;
        let mut below = 0.0;
        let mut value = self.first as f64 * self.width;
        let with_zeros = self.counts.iter().zip(self.first..).map(|(count, bin)| match bin {
            0 => count + self.zeros,
            _ => *count,
        });
        for (i, count) in with_zeros.enumerate().filter(|(_, count)| *count > 0) {
            let inside = ((wanted - below) / count as f64).clamp(0.0, 1.0);
            value = ((self.first + i as i64) as f64 + inside) * self.width;
            below += count as f64;
            if below >= wanted {
                break;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_ranges_lose_no_value() {
        let mut h = Histogram::default();
        h.add(&[0.0, 0.0]);
        h.add(&[1e-3, 2e-3]);
        h.add(&[-5.0, 7.0, f32::NAN, f32::INFINITY]);
        h.add(&[1e6]);
        h.add(&[-3e8]);
        assert_eq!((h.zeros, h.bins().map(|(_, count)| count).sum::<u64>()), (2, 6));
        assert_eq!(h.range(), Some(Range { min: -3e8, max: 1e6 }));
    }

    #[test]
    fn bins_hold_their_values() {
        let mut h = Histogram::default();
        let values: Vec<f32> = (0..1000).map(|i| i as f32 * 0.37 - 100.0).collect();
        for part in values.chunks(7) {
            h.add(part);
        }
        let mean: f64 = h.bins().map(|(v, count)| v * count as f64).sum::<f64>() / 1000.0;
        let real = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1000.0;
        assert!((mean - real).abs() < h.width, "{mean} {real}");
        assert!(h.width <= 370.0 / BINS as f64 * 4.0);
    }

    #[test]
    fn percentiles_leave_outliers_out() {
        let mut h = Histogram::default();
        let mut values: Vec<f32> = (0..10000).map(|i| i as f32 / 10000.0).collect();
        values.push(50.0);
        h.add(&values);
        let range = h.percentile(99.0).unwrap();
        assert!((range.max - 0.99).abs() < 0.05, "{range:?}");
        assert!(range.min >= 0.0 && range.min < 0.05);
        assert_eq!(h.percentile(100.0), Some(Range { min: 0.0, max: 50.0 }));
    }

    #[test]
    fn zeros_count_as_values_of_a_percentile() {
        let mut h = Histogram::default();
        h.add(&[0.0; 98]);
        h.add(&[1.0, -1.0]);
        let range = h.percentile(95.0).unwrap();
        assert!(range.max < 0.01 && range.min > -0.01, "{range:?}");
    }

    #[test]
    fn huge_and_tiny_values_are_counted() {
        let mut h = Histogram::default();
        h.add(&[f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45]);
        assert_eq!(h.bins().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
