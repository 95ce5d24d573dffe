//! Rounding and clamping that every requantizing kernel shares.

use crate::Output;

/// 1.5 * 2^23: adding it to a float of magnitude up to 2^22 leaves the integer nearest to that float, ties to
/// even, in the low bits of the significand.
const MAGIC: f32 = 12_582_912.0;

/// `v` rounded half to even, for |v| <= 2^22. Unlike `round_ties_even` it becomes two instructions everywhere.
#[inline(always)]
pub(crate) fn round_to_i32(v: f32) -> i32 {
    ((v + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}

/// `v` within bounds by two comparisons (one instruction each); not for NaN.
#[inline(always)]
pub(crate) fn clamp_f32(v: f32, min: f32, max: f32) -> f32 {
    let v = if v < max { v } else { max };
    if v > min { v } else { min }
}

/// [`Output`] in the form that the arithmetic wants: bounds before the zero point is added, in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requant {
    lo: f32,
    hi: f32,
    zero_point: i32,
}

impl Requant {
    #[inline(always)]
    pub(crate) fn new(out: Output) -> Requant {
        let zero_point = i32::from(out.zero_point);
        Requant {
            lo: (i32::from(out.min) - zero_point) as f32,
            hi: (i32::from(out.max) - zero_point) as f32,
            zero_point,
        }
    }

    /// `clamp(round_half_even(v) + zero_point)`. The bounds are integers, so clamping first changes nothing
    /// and keeps the conversion in range.
    #[inline(always)]
    pub(crate) fn apply(self, v: f32) -> u8 {
        (round_to_i32(clamp_f32(v, self.lo, self.hi)) + self.zero_point) as u8
    }

    /// An accumulator's way out.
    #[inline(always)]
    pub(crate) fn scale(self, acc: i32, multiplier: f32) -> u8 {
        self.apply(acc as f32 * multiplier)
    }
}
