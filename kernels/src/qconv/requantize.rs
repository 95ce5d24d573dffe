//! From accumulators to u8, the part that all channels share.

use crate::Output;

/// [`Output`] in the form that kernels compute with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// `min - zero_point`: the bound before the zero point is added.
    pub low: f32,
    /// `max - zero_point`.
    pub high: f32,
    /// Added after rounding.
    pub zero_point: i32,
}

impl Requantize {
    /// Bounds and zero point of an output. Panics if `min > max`.
    pub fn new(out: Output) -> Requantize {
        assert!(out.min <= out.max, "the range of the output is not empty");
        let zero_point = i32::from(out.zero_point);
        Requantize {
            low: (i32::from(out.min) - zero_point) as f32,
            high: (i32::from(out.max) - zero_point) as f32,
            zero_point,
        }
    }

    /// The definition. The bounds are whole numbers, so clamping before rounding gives the same as after it, and
    /// nothing can leave the range of i32. A product that is not a number becomes the lowest result, as the
    /// comparisons of every instruction set have it.
    pub fn apply(&self, acc: i32, multiplier: f32) -> u8 {
        let real = acc as f32 * multiplier;
        let real = if real > self.low { real } else { self.low };
        let real = if real < self.high { real } else { self.high };
        (real.round_ties_even() as i32 + self.zero_point) as u8
    }
}
