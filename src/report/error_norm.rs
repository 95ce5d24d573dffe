//! How far values are from a reference.

/// Sums signal and noise, in f64 and in order, over any number of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorNorm {
    signal: f64,
    noise: f64,
    max_abs: f64,
    broken: bool,
}

impl ErrorNorm {
    /// Takes in values and what they should be; the slices are equally long.
    pub fn add(&mut self, reference: &[f32], values: &[f32]) {
        for (r, v) in reference.iter().zip(values) {
            let (r, v) = (f64::from(*r), f64::from(*v));
            if r == v {
                // Equal infinities have no distance, though their difference is no number.
                self.signal += if r.is_finite() { r * r } else { 0.0 };
                continue;
            }
            let error = (r - v).abs();
            self.broken |= !error.is_finite();
            self.signal += r * r;
            self.noise += error * error;
            self.max_abs = self.max_abs.max(error);
        }
    }

    /// Signal to quantization noise: `10 log10(sum r^2 / sum (r - v)^2)` in dB; infinite where nothing differs.
    /// Not a number where a value is not finite on one side only.
    pub fn sqnr_db(&self) -> f64 {
        match self.noise {
            _ if self.broken => f64::NAN,
            0.0 => f64::INFINITY,
            noise => 10.0 * (self.signal / noise).log10(),
        }
    }

    /// The largest absolute difference; not a number where a value is not finite on one side only.
    pub fn max_abs(&self) -> f64 {
        if self.broken { f64::NAN } else { self.max_abs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(reference: &[f32], values: &[f32]) -> ErrorNorm {
        let mut norm = ErrorNorm::default();
        norm.add(reference, values);
        norm
    }

    #[test]
    fn decibels_by_hand() {
        // signal 3^2 + 4^2 = 25, noise 0.5^2 = 0.25: a factor of 100.
        let n = norm(&[3.0, 4.0], &[3.0, 4.5]);
        assert_eq!((n.sqnr_db(), n.max_abs()), (20.0, 0.5));
        let mut twice = n;
        twice.add(&[3.0, 4.0], &[3.0, 4.5]);
        assert_eq!(twice.sqnr_db(), 20.0, "a ratio does not depend on how often");
    }

    #[test]
    fn equal_is_infinitely_good_and_lost_values_are_not() {
        assert_eq!(norm(&[1.0, f32::INFINITY], &[1.0, f32::INFINITY]).sqnr_db(), f64::INFINITY);
        assert_eq!(norm(&[0.0], &[1.0]).sqnr_db(), f64::NEG_INFINITY);
        assert!(norm(&[1.0], &[f32::NAN]).sqnr_db().is_nan());
        assert!(norm(&[1.0, f32::INFINITY], &[1.0, 1.0]).max_abs().is_nan());
    }
}
