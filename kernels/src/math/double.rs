//! f64: plain series, for tables that are made once.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LOG2_E, SQRT_2};

/// ln 2 in two parts; a multiple of the first by an exponent is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The sum of r^i / i! for i from 1 to 20.
fn exp_minus_one_series(r: f64) -> f64 {
    let mut sum = 0.0;
    for i in (1..=20).rev() {
        sum = (sum + 1.0) * r / f64::from(i);
    }
    sum
}

fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

pub(crate) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let x = x.clamp(-760.0, 720.0);
    let n = (x * LOG2_E).round_ties_even();
    let y = exp_minus_one_series(x - n * LN2_HIGH - n * LN2_LOW) + 1.0;
    let half = n as i64 >> 1;
    y * power_of_two(half) * power_of_two(n as i64 - half)
}

/// exp(x) - 1 without cancellation near 0.
fn exp_minus_one(x: f64) -> f64 {
    if x.abs() < 0.5 * LN_2 { exp_minus_one_series(x) } else { exp(x) - 1.0 }
}

pub(crate) fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let (normal, shift) = if x < f64::MIN_POSITIVE { (x * power_of_two(54), 54) } else { (x, 0) };
    let mut exponent = (normal.to_bits() >> 52) as i32 - 1023 - shift;
    let mut m = f64::from_bits(normal.to_bits() & !(0x7ff << 52) | 1023 << 52);
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh s
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for i in (1..=14).rev() {
        sum = (sum + 1.0 / f64::from(2 * i + 1)) * square;
    }
    let e = f64::from(exponent);
    e * LN2_HIGH + (2.0 * s * sum + e * LN2_LOW + 2.0 * s)
}

pub(crate) fn tanh(x: f64) -> f64 {
    if x.abs() > 20.0 {
        return 1f64.copysign(x);
    }
    let e = exp_minus_one(2.0 * x);
    e / (e + 2.0)
}

/// 2 / sqrt(pi) * exp(-x^2) * sum of 2^i x^(2i+1) / (1 * 3 * .. * (2i+1)): all terms have one sign.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return 1f64.copysign(x);
    }
    let (mut term, mut sum) = (x, x);
    for i in 1..160 {
        term *= 2.0 * x * x / f64::from(2 * i + 1);
        sum += term;
    }
    FRAC_2_SQRT_PI * exp(-x * x) * sum
}

pub(crate) fn pow(a: f64, b: f64) -> f64 {
    if b == 0.0 || a == 1.0 {
        return 1.0;
    }
    let size = if a == 0.0 { if b > 0.0 { 0.0 } else { f64::INFINITY } } else { exp(b * ln(a.abs())) };
    let whole = b.round_ties_even() == b;
    let odd = whole && (b * 0.5).round_ties_even() != b * 0.5;
    match (a.is_sign_negative(), whole, odd) {
        (true, _, true) => -size,
        (true, false, _) if a != 0.0 => f64::NAN,
        _ => size,
    }
}
