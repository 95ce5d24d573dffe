//! Fixed-point arithmetic as TensorFlow Lite's integer kernels have it (gemmlowp): multipliers of 31 bits with a
//! shift, and 16-bit functions made of rounded products. `docs/arithmetic.md`, section 14, writes it down. It is here
//! for networks whose states or activations are 16 bits wide and whose numbers are defined by it; the crate's own
//! requantization rounds once, in f32.
//!
//! All of it is plain integer code that the loops which call it inline and that compilers make vectors of.

/// A positive factor `value * 2^(shift - 31)`, `value` of 31 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier {
    value: i32,
    shift: i32,
}

impl Multiplier {
    /// The nearest to `factor`; 0 below 2^-32. `None`: it is not finite, negative, or 2^31 and more.
    pub fn new(factor: f64) -> Option<Multiplier> {
        if !(0.0..2f64.powi(31)).contains(&factor) {
            return None;
        }
        let bits = factor.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
        if exponent < -31 {
            return Some(Multiplier { value: 0, shift: 0 });
        }
        // The fraction of 53 bits, rounded to 31: halves go up, as everything is positive.
        let fraction = (bits & ((1 << 52) - 1)) | (1 << 52);
        let rounded = (fraction + (1 << 21)) >> 22;
        let (value, shift) = if rounded == 1 << 31 { (1 << 30, exponent + 1) } else { (rounded, exponent) };
        Some(Multiplier { value: value as i32, shift })
    }

    /// `(value, shift)` of `value * 2^(shift - 31)`: at least 2^30 and below 2^31, or 0.
    pub fn parts(self) -> (i32, i32) {
        (self.value, self.shift)
    }

    /// The factor over `count`, which is at least 1, rounded toward 0: for means.
    pub fn over(self, count: u32) -> Multiplier {
        let up = (count.max(1).ilog2() as i32).min(31 + self.shift);
        let value = (i64::from(self.value) << up) / i64::from(count.max(1));
        Multiplier { value: value as i32, shift: self.shift - up }
    }

    /// `x` times the factor, rounded twice: to 31 bits behind the point (halves up), then to an integer (halves away
    /// from zero). A product that leaves 32 bits wraps.
    #[inline(always)]
    pub fn apply(self, x: i32) -> i32 {
        let left = if self.shift > 0 { self.shift } else { 0 };
        let right = left - self.shift;
        let shifted = x.wrapping_shl(left as u32);
        let high = (i64::from(shifted) * i64::from(self.value) + (1 << 30)) >> 31;
        round_shift(high, right as u32) as i32
    }
}

/// A positive factor `value * 2^-shift` for sums of 64 bits, `value` of 15 bits: with it a sum of 47 bits stays within
/// 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumMultiplier {
    value: i64,
    shift: u32,
}

impl SumMultiplier {
    /// The nearest to `factor`, rounded to 31 bits and then to 15; 0 below 2^-32. `None`: it is not finite, negative, or
    /// 2^7 and more.
    pub fn new(factor: f64) -> Option<SumMultiplier> {
        let Multiplier { value, shift } = Multiplier::new(factor)?;
        let value = if value < 0x7fff_0000 { (value + (1 << 15)) >> 16 } else { 0x7fff };
        let shift = u32::try_from(15 - shift).ok().filter(|&shift| shift >= 8)?;
        Some(SumMultiplier { value: i64::from(value), shift })
    }

    /// `x`, of 47 bits and a sign, times the factor, rounded to nearest, halves up. What is larger wraps.
    #[inline(always)]
    pub fn apply(self, x: i64) -> i64 {
        x.wrapping_mul(self.value).wrapping_add(1 << (self.shift - 1)) >> self.shift
    }
}

/// `x / 2^shift` rounded to nearest, halves away from zero.
#[inline(always)]
fn round_shift(x: i64, shift: u32) -> i64 {
    let half = (1i64 << shift) >> 1;
    (x + half - i64::from(half != 0 && x < 0)) >> shift
}

/// As [`round_shift`], for what is far from the ends of i32.
#[inline(always)]
pub(crate) fn round_shift32(x: i32, shift: u32) -> i32 {
    let half = (1i32 << shift) >> 1;
    (x + half - i32::from(half != 0 && x < 0)) >> shift
}

/// Into the range of i16.
#[inline(always)]
pub(crate) fn saturate16(x: i32) -> i32 {
    x.clamp(-32768, 32767)
}

/// The product of two 16-bit fractions of 1, rounded (halves up); -1 times -1 is the greatest fraction.
#[inline(always)]
fn high_mul(a: i32, b: i32) -> i32 {
    ((a * b + (1 << 14)) >> 15).min(32767)
}

/// What 16 bits keep of a sum that may be too large for them.
#[inline(always)]
fn wrap16(x: i32) -> i32 {
    i32::from(x as i16)
}

/// `x * 2^shift`, or the end of i16 that it leaves by.
#[inline(always)]
fn shift_up(x: i32, shift: u32) -> i32 {
    let most = (1i32 << (15 - shift)) - 1;
    if x > most {
        32767
    } else if x < -most {
        -32768
    } else {
        x << shift
    }
}

/// `exp(a)` for a in `-1/4..0`; 15 bits behind the point in and out. The series around -1/8.
#[inline(always)]
fn exp_near_zero(a: i32) -> i32 {
    const EXP_EIGHTH: i32 = 28918;
    const THIRD: i32 = 10923;
    let x = wrap16(a + (1 << 12));
    let x2 = high_mul(x, x);
    let x3 = high_mul(x2, x);
    let x4 = high_mul(x2, x2);
    let quarter = round_shift32(x4, 2);
    let rest = round_shift32(wrap16(high_mul(wrap16(quarter + x3), THIRD) + x2), 1);
    saturate16(EXP_EIGHTH + high_mul(EXP_EIGHTH, wrap16(x + rest)))
}

/// `exp(-2^e)` with 15 bits behind the point, for e from -2 to 4.
const EXP_POWERS: [i32; 7] = [25520, 19875, 12055, 4435, 600, 11, 0];

/// `exp(a)` for a of 0 and less with so many bits in front of the point; 15 bits behind it come out.
#[inline(always)]
fn exp_of_negative(a: i32, integer_bits: u32) -> i32 {
    let fraction = 15 - integer_bits;
    let quarter = (1i32 << fraction) >> 2;
    let near = wrap16((a & (quarter - 1)) - quarter);
    let mut result = exp_near_zero(shift_up(near, integer_bits));
    let left = wrap16(near - a);
    for (i, &power) in EXP_POWERS.iter().enumerate() {
        // Bits that the number has got.
        if (integer_bits as i32) > i as i32 - 2 && left & ((1 << fraction) >> 2 << i) != 0 {
            result = high_mul(result, power);
        }
    }
    // Below -32 nothing is left.
    if integer_bits > 5 && a < -(32i32 << fraction) {
        result = 0;
    }
    if a == 0 { 32767 } else { result }
}

/// `2 / (1 + x)` for a fraction x of 0 to 1, with 13 bits behind the point: three steps of Newton's division.
#[inline(always)]
fn two_over_one_plus(x: i32) -> i32 {
    const A: i32 = 23130;
    const B: i32 = -15420;
    let half = (x + 32767 + 1) >> 1;
    let mut y = wrap16(A + high_mul(half, B));
    for _ in 0..3 {
        let error = wrap16((1 << 13) - high_mul(half, y));
        y = wrap16(y + shift_up(high_mul(y, error), 2));
    }
    y
}

/// `1 / (1 + exp(-x))`; x is 16 bits with 12 behind the point, the result a 16-bit fraction of 1.
#[inline(always)]
pub fn logistic(x: i32) -> i32 {
    let negative = if x > 0 { -x } else { x };
    let positive = shift_up(two_over_one_plus(exp_of_negative(negative, 3)), 1);
    if x == 0 {
        1 << 14
    } else if x > 0 {
        positive
    } else {
        32767 - positive
    }
}

/// The hyperbolic tangent of 16 bits with `integer_bits` (0 to 6) in front of the point; a 16-bit fraction of 1.
#[inline(always)]
pub fn tanh(x: i32, integer_bits: u32) -> i32 {
    let negative = if x < 0 { x } else { -x };
    let y = two_over_one_plus(exp_of_negative(negative, integer_bits + 1));
    let t = shift_up(wrap16(y - (1 << 13)), 2);
    if x == 0 {
        0
    } else if x < 0 {
        wrap16(-t)
    } else {
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a over the 16-bit values.
    fn hash(values: impl Iterator<Item = i32>) -> u64 {
        values.fold(0xcbf2_9ce4_8422_2325, |h, v| {
            let bytes = (v as i16).to_le_bytes();
            bytes.iter().fold(h, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
        })
    }

    /// Every value. The numbers come from another implementation, which computes all of LiteRT's LSTM states.
    #[test]
    fn functions_have_their_known_values() {
        let all = || -32768..=32767;
        assert_eq!(hash(all().map(logistic)), LOGISTIC);
        for (bits, known) in (0..).zip(TANH) {
            assert_eq!(hash(all().map(|x| tanh(x, bits))), known, "{bits}");
        }
    }

    const LOGISTIC: u64 = 0x0c53_053b_6c31_00c4;
    /// For 0 to 6 bits in front of the point.
    const TANH: [u64; 7] = [
        0x7ba1_6fd7_4eb7_6a73,
        0x3674_55b5_876e_9215,
        0x8056_7d4f_0c05_d1a1,
        0x0ab2_e663_b18a_b5c1,
        0x7111_7f57_c5d5_d098,
        0xfe1a_64c4_ee25_0c04,
        0x5c6c_54cb_f960_5572,
    ];

    #[test]
    fn functions_are_near_the_true_ones() {
        for x in -32768..=32767 {
            let real = f64::from(x) / 4096.0;
            let error = |y: i32, f: f64| (f64::from(y) / 32768.0 - f).abs();
            assert!(error(logistic(x), 1.0 / (1.0 + (-real).exp())) < 2e-4, "{x}");
            assert!(error(tanh(x, 3), real.tanh()) < 4e-4, "{x}");
        }
    }

    #[test]
    fn multipliers_are_near_their_factors() {
        for factor in [1.0, 0.5, 0.75, 1e-3, 123.456, 0.999_999_999_9, 2f64.powi(-31)] {
            let m = Multiplier::new(factor).unwrap();
            for x in [0, 1, -1, 1000, -99_999, 1 << 20] {
                let error = f64::from(m.apply(x)) - f64::from(x) * factor;
                assert!(error.abs() <= 0.5 + 1e-3 * factor, "{factor} {x}: {error}");
            }
        }
        assert_eq!(Multiplier::new(1e-12).unwrap().apply(i32::MAX), 0);
        for bad in [f64::NAN, -1.0, f64::INFINITY, 2f64.powi(31)] {
            assert_eq!(Multiplier::new(bad), None);
        }
    }

    #[test]
    fn means_divide_by_their_count() {
        for count in [1, 2, 3, 49, 1 << 16] {
            let m = Multiplier::new(0.9).unwrap().over(count);
            let error = f64::from(m.apply(1 << 28)) - 0.9 * f64::from(1 << 28) / f64::from(count);
            assert!(error.abs() < 1.0, "{count}: {error}");
        }
        assert_eq!(Multiplier::new(2f64.powi(-31)).unwrap().over(1 << 16).apply(i32::MAX), 0);
    }

    #[test]
    fn factors_of_sums_have_fifteen_bits() {
        for (factor, value, shift) in
            [(1.0, 1 << 14, 14), (0.75, 24576, 15), (127.0, 32512, 8), (1.0 - 1e-12, 1 << 14, 14)]
        {
            assert_eq!(SumMultiplier::new(factor), Some(SumMultiplier { value, shift }), "{factor}");
        }
        // 31 bits round below a power of two, 15 would reach it.
        assert_eq!(SumMultiplier::new(1.0 - 1e-6), Some(SumMultiplier { value: 0x7fff, shift: 15 }));
        let half = SumMultiplier::new(0.5).unwrap();
        assert_eq!([1, -1, 3, -3, 1 << 46].map(|x| half.apply(x)), [1, 0, 2, -1, 1 << 45]);
        assert_eq!(SumMultiplier::new(1e-12).unwrap().apply(1 << 46), 0);
        for bad in [f64::NAN, -1.0, 128.0] {
            assert_eq!(SumMultiplier::new(bad), None);
        }
    }

    #[test]
    fn halves_round_as_documented() {
        let half = Multiplier::new(0.5).unwrap();
        assert_eq!([1, -1, 3, -3, 4].map(|x| half.apply(x)), [1, 0, 2, -1, 2], "to 31 bits: halves up");
        let eighth = Multiplier::new(0.125).unwrap();
        assert_eq!(
            [4, -4, 12, -12, 3, -3].map(|x| eighth.apply(x)),
            [1, -1, 2, -2, 1, 0],
            "then away from 0"
        );
        assert_eq!([2, -2, 6, -6].map(|x| round_shift32(x, 2)), [1, -1, 2, -2]);
        assert_eq!([i64::from(i32::MAX), 5, -5].map(|x| round_shift(x, 0)), [i64::from(i32::MAX), 5, -5]);
    }
}
