//! Angles and hyperbolic functions in f64. Nothing computes them often: plain series, written out so that no
//! system library decides a bit.

use super::double::{exp, ln};
use std::f64::consts::FRAC_PI_2;

/// pi / 2 in two parts; a multiple of the first by a number of 20 bits is exact.
const PI_2_HIGH: f64 = 1.570_796_326_734_125_6;
const PI_2_LOW: f64 = 6.077_100_506_506_192e-11;

/// The first 256 bits of 2 / pi behind the point.
const TWO_OVER_PI: [u64; 4] =
    [0xa2f9_836e_4e44_1529, 0xfc27_57d1_f534_ddc0, 0xdb62_9599_3c43_9041, 0xfe51_63ab_debb_c561];

/// The quadrant of an angle (0 to 3) and what is left of it, in [-pi/4, pi/4].
fn reduced(x: f64) -> (u32, f64) {
    if x.abs() < 1e6 {
        let n = (x / FRAC_PI_2).round_ties_even();
        return ((n as i64 & 3) as u32, x - n * PI_2_HIGH - n * PI_2_LOW);
    }
    let (quadrant, rest) = reduced_large(x.abs());
    if x > 0.0 { (quadrant, rest) } else { ((4 - quadrant) & 3, -rest) }
}

/// [`reduced`] for large angles (Payne and Hanek): of `x * 2 / pi` only the bits that are not multiples of 4 are
/// computed. `x` has an f32's range; its 53 bits are taken as they are.
fn reduced_large(x: f64) -> (u32, f64) {
    let mantissa = x.to_bits() & ((1 << 52) - 1) | 1 << 52;
    let exponent = (x.to_bits() >> 52) as i32 - 1075;
    // x = mantissa * 2^exponent; bits of 2 / pi above 2^(2 - exponent) give multiples of 4 and are left out.
    let skip = exponent - 2;
    let word = |i: i32| usize::try_from(i).ok().and_then(|i| TWO_OVER_PI.get(i)).copied().unwrap_or(0);
    let bits = |from: i32| {
        let (i, shift) = (from.div_euclid(64), from.rem_euclid(64) as u32);
        (word(i) << shift) | word(i + 1).checked_shr(64 - shift).unwrap_or(0)
    };
    let (high, low) = (u128::from(bits(skip)), u128::from(bits(skip + 64)));
    let mantissa = u128::from(mantissa);
    // mantissa * 128 bits of 2 / pi modulo 2^128, in units of 2^-126: two bits before the point.
    let turned = (mantissa.wrapping_mul(high) << 64).wrapping_add(mantissa.wrapping_mul(low));
    let quadrant = (turned >> 126) as u32;
    let fraction = turned << 2;
    // Above a half the next quadrant is nearer.
    let (quadrant, signed) = match fraction >> 127 {
        0 => (quadrant, fraction as f64),
        _ => ((quadrant + 1) & 3, -(fraction.wrapping_neg() as f64)),
    };
    (quadrant, signed * 2f64.powi(-128) * FRAC_PI_2)
}

/// sin on [-pi/4, pi/4].
fn sin_series(x: f64) -> f64 {
    let square = x * x;
    let mut sum = 0.0;
    for i in (1..=9).rev() {
        sum = (1.0 + sum) * -square / f64::from(2 * i * (2 * i + 1));
    }
    x + x * sum
}

/// cos on [-pi/4, pi/4].
fn cos_series(x: f64) -> f64 {
    let square = x * x;
    let mut sum = 0.0;
    for i in (1..=9).rev() {
        sum = (1.0 + sum) * -square / f64::from(2 * i * (2 * i - 1));
    }
    1.0 + sum
}

/// Sine of the quadrant-th quarter turn after `rest`.
fn sin_of((quadrant, rest): (u32, f64)) -> f64 {
    match quadrant & 3 {
        0 => sin_series(rest),
        1 => cos_series(rest),
        2 => -sin_series(rest),
        _ => -cos_series(rest),
    }
}

pub(crate) fn sin(x: f64) -> f64 {
    if x.is_finite() { sin_of(reduced(x)) } else { f64::NAN }
}

pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (quadrant, rest) = reduced(x);
    sin_of((quadrant + 1, rest))
}

pub(crate) fn tan(x: f64) -> f64 {
    sin(x) / cos(x)
}

/// Halved twice by `atan x = 2 atan(x / (1 + sqrt(1 + x^2)))`, then the series.
pub(crate) fn atan(x: f64) -> f64 {
    if x.abs() > 1.0 {
        return FRAC_PI_2.copysign(x) - atan(1.0 / x);
    }
    let half = |x: f64| x / (1.0 + (1.0 + x * x).sqrt());
    let y = half(half(x));
    let square = y * y;
    let mut sum = 0.0;
    for i in (1..=16).rev() {
        sum = (1.0 / f64::from(2 * i + 1) - sum) * square;
    }
    4.0 * (y - y * sum)
}

pub(crate) fn asin(x: f64) -> f64 {
    if x.abs() > 1.0 { f64::NAN } else { atan(x / ((1.0 - x) * (1.0 + x)).sqrt()) }
}

pub(crate) fn acos(x: f64) -> f64 {
    if x.abs() > 1.0 { f64::NAN } else { 2.0 * atan(((1.0 - x) / (1.0 + x)).sqrt()) }
}

pub(crate) fn sinh(x: f64) -> f64 {
    if x.abs() > 1.0 {
        return (exp(x) - exp(-x)) * 0.5;
    }
    let square = x * x;
    let mut sum = 0.0;
    for i in (1..=9).rev() {
        sum = (1.0 + sum) * square / f64::from(2 * i * (2 * i + 1));
    }
    x + x * sum
}

pub(crate) fn cosh(x: f64) -> f64 {
    (exp(x) + exp(-x)) * 0.5
}

pub(crate) fn asinh(x: f64) -> f64 {
    let size = x.abs();
    if size < 1.0 / 32.0 {
        let s = x * x;
        return x - x
            * s
            * (1.0 / 6.0
                - s * (3.0 / 40.0 - s * (15.0 / 336.0 - s * (105.0 / 3456.0 - s * (945.0 / 42240.0)))));
    }
    ln(size + (size * size + 1.0).sqrt()).copysign(x)
}

pub(crate) fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { ln(x + (x * x - 1.0).sqrt()) }
}

pub(crate) fn atanh(x: f64) -> f64 {
    if x.abs() >= 1.0 / 32.0 {
        return 0.5 * ln((1.0 + x) / (1.0 - x));
    }
    let s = x * x;
    x + x * s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every exponent of an f32, several significands, both signs.
    fn floats() -> impl Iterator<Item = f64> {
        (0..=u32::MAX).step_by(99_991).map(f32::from_bits).filter(|v| v.is_finite()).map(f64::from)
    }

    #[test]
    fn the_functions_as_the_standard_library_has_them() {
        type Function = fn(f64) -> f64;
        let table: [(Function, Function); 11] = [
            (sin, f64::sin),
            (cos, f64::cos),
            (tan, f64::tan),
            (asin, f64::asin),
            (acos, f64::acos),
            (atan, f64::atan),
            (sinh, f64::sinh),
            (cosh, f64::cosh),
            (asinh, f64::asinh),
            (acosh, f64::acosh),
            (atanh, f64::atanh),
        ];
        for (which, (own, exact)) in table.into_iter().enumerate() {
            for x in floats().chain((-4000..4000).map(|i| f64::from(i) * 0.0013)) {
                let (y, e) = (own(x), exact(x));
                let same = y == e || y.is_nan() && e.is_nan() || (y - e).abs() <= 1e-9 * e.abs();
                assert!(same || e.abs() > 1e300 && y.abs() > 1e300, "{which}({x}) = {y}, should be {e}");
            }
            assert!(own(f64::NAN).is_nan());
        }
    }
}
