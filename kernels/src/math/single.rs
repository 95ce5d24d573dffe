//! f32: range reduction and a polynomial, without branches, so that loops over them vectorise. The polynomials
//! are those of the Cephes library (exp, ln, tanh) and N. Juffa's (erf).

use super::clip;
use crate::round::round_to_i32;

/// ln 2 in two parts; a multiple of the first by a small integer is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Coefficients from the highest power down.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

/// 2^n for -126 <= n <= 127 (other `n` come only with what is not a number, and don't matter).
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32).wrapping_shl(23))
}

#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite anyway.
    let x = clip(x, -110.0, 90.0);
    let n = round_to_i32(x * std::f32::consts::LOG2_E);
    let nf = n as f32;
    let r = x - nf * LN2_HIGH - nf * LN2_LOW;
    let p =
        polynomial(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1]);
    let y = p * (r * r) + r + 1.0;
    // In two steps, as 2^n alone leaves the normal range before the result does.
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let small = x < f32::MIN_POSITIVE;
    let normal = if small { x * 8_388_608.0 } else { x };
    // The significand in [sqrt(1/2), sqrt(2)): the exponent changes at sqrt(1/2), not at 1.
    let offset = normal.to_bits().wrapping_sub(0x3f35_04f3);
    let exponent = (offset as i32 >> 23).wrapping_sub(if small { 23 } else { 0 }) as f32;
    let m = f32::from_bits((offset & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let p = polynomial(
        m,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_87e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let square = m * m;
    let low = p * m * square + exponent * LN2_LOW - 0.5 * square;
    let y = m + low + exponent * LN2_HIGH;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let square = x * x;
    let p =
        polynomial(square, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let near = p * square * x + x;
    let far = (1.0 - 2.0 / (exp(a + a) + 1.0)).copysign(x);
    if a < 0.625 { near } else { far }
}

#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let square = x * x;
    let p = polynomial(
        square,
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1],
    );
    let near = p * x + x;
    let p = polynomial(
        a,
        [
            -1.728_534_7e-5,
            3.831_971_3e-4,
            -3.883_964_4e-3,
            2.425_462_2e-2,
            -1.067_778_8e-1,
            -6.348_467e-1,
            -1.287_175_1e-1,
        ],
    );
    let far = (1.0 - exp(p * a - a)).copysign(x);
    if a < 0.927_734_4 { near } else { far }
}
