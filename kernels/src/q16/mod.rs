//! Activations of 16 bits with weights of 8, in TensorFlow Lite's arithmetic: zero points are 0, sums are exact,
//! factors are fixed-point numbers ([`fixed`](crate::fixed)). `docs/arithmetic.md`, section 14.

pub mod depthwise;
pub mod elementwise;
pub mod functions;
pub mod product;
pub mod reduce;
pub mod softmax;

use crate::fixed::{Multiplier, SumMultiplier};

/// How sums of products become outputs: biases, factors and bounds.
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// Of each output channel.
    pub bias: Vec<i64>,
    /// Of each output channel.
    pub factors: Factors,
    /// The least output, and the greatest.
    pub range: [i16; 2],
}

/// From sums to outputs, for each output channel.
#[derive(Clone, Debug)]
pub enum Factors {
    /// Sums have 64 bits, as the biases of the network.
    Wide(Vec<SumMultiplier>),
    /// Sums have 32 bits, as the biases of the network.
    Narrow(Vec<Multiplier>),
    /// The factors as they are: products are rounded, halves away from 0.
    Real(Vec<f64>),
}

impl Epilogue {
    /// The output of a channel.
    #[inline(always)]
    fn finish(&self, channel: usize, sum: i64) -> i16 {
        let sum = sum.wrapping_add(self.bias[channel]);
        let scaled = match &self.factors {
            Factors::Wide(factors) => factors[channel].apply(sum),
            Factors::Narrow(factors) => i64::from(factors[channel].apply(sum as i32)),
            // From floats to integers saturates.
            Factors::Real(factors) => (sum as f64 * factors[channel]).round() as i64,
        };
        scaled.clamp(i64::from(self.range[0]), i64::from(self.range[1])) as i16
    }

    /// Panics unless there is a bias and a factor for each of `channels`.
    fn check(&self, channels: usize) {
        let factors = match &self.factors {
            Factors::Wide(factors) => factors.len(),
            Factors::Narrow(factors) => factors.len(),
            Factors::Real(factors) => factors.len(),
        };
        assert_eq!([self.bias.len(), factors], [channels; 2], "biases and factors of an epilogue");
    }
}

/// Most products of an i16 and an i8 whose sum surely fits an i32.
const BLOCK: usize = 256;

#[cfg(test)]
mod tests {
    use crate::testing::Random;

    /// Values of all sizes, the ends among them.
    pub(super) fn values(random: &mut Random, n: usize) -> Vec<i16> {
        let value = |bits: u32| match bits % 16 {
            0 => i16::MIN,
            1 => i16::MAX,
            _ => (bits >> 16) as i16,
        };
        (0..n).map(|_| value(random.bits())).collect()
    }
}
