//! From accumulators to u8, the part that all channels share.

use crate::Output;

/// [`Output`] in the form that kernels compute with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// Added after rounding.
    pub zero_point: u8,
    /// Lowest result.
    pub min: u8,
    /// Highest result before the zero point is added.
    pub high: f32,
}

impl Requantize {
    /// Panics if `min > max`.
    pub fn new(out: Output) -> Requantize {
        assert!(out.min <= out.max, "the range of the output is not empty");
        let high = f32::from(i16::from(out.max) - i16::from(out.zero_point));
        Requantize { zero_point: out.zero_point, min: out.min, high }
    }

    /// The definition. The upper bound is a whole number, so taking it before rounding gives the same as
    /// after it, and nothing is too large for an i32. A product that is not a number becomes the highest
    /// result, as the comparisons of every instruction set can have it.
    pub fn apply(&self, acc: i32, multiplier: f32) -> u8 {
        let real = acc as f32 * multiplier;
        let real = if real < self.high { real } else { self.high };
        let q = (real.round_ties_even() as i32).saturating_add(i32::from(self.zero_point));
        q.max(i32::from(self.min)) as u8
    }
}
