//! The functions of analysis in one written definition each: only IEEE additions, multiplications, divisions,
//! square roots and bit patterns, no contraction, no library calls. The same bits on every processor; accurate to
//! a few units in the last place, as the tests state.

mod double;
mod single;

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A float with the functions that activations are made of, so that each activation is written once for the
/// vector loops (f32) and for tables (f64).
pub(crate) trait Real:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 1 / sqrt(2)
    const FRAC_1_SQRT_2: Self;
    /// sqrt(2 / pi)
    const SQRT_2_OVER_PI: Self;
    /// The coefficient of gelu's tanh approximation.
    const GELU_CUBIC: Self;
    /// Exactly this value.
    fn of(v: f32) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_ties_even(self) -> Self;
}

macro_rules! real {
    ($t:ident, $own:ident) => {
        impl Real for $t {
            const FRAC_1_SQRT_2: $t = std::$t::consts::FRAC_1_SQRT_2;
            const SQRT_2_OVER_PI: $t = 0.797_884_560_802_865_4;
            const GELU_CUBIC: $t = 0.044715;
            #[inline(always)]
            fn of(v: f32) -> $t {
                $t::from(v)
            }
            #[inline(always)]
            fn exp(self) -> $t {
                $own::exp(self)
            }
            #[inline(always)]
            fn ln(self) -> $t {
                $own::ln(self)
            }
            #[inline(always)]
            fn tanh(self) -> $t {
                $own::tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> $t {
                $own::erf(self)
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline(always)]
            fn floor(self) -> $t {
                $t::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> $t {
                $t::ceil(self)
            }
            #[inline(always)]
            fn round_ties_even(self) -> $t {
                $t::round_ties_even(self)
            }
        }
    };
}
real!(f32, single);
real!(f64, double);

pub(crate) use double::exp as exp_f64;
pub(crate) use single::{exp, ln};

/// `v` within bounds; what is not a number stays so.
#[inline(always)]
pub(crate) fn clip<R: PartialOrd>(v: R, min: R, max: R) -> R {
    let v = if v < min { min } else { v };
    if v > max { max } else { v }
}

/// `a` to the power of `b`, computed in f64: a negative base needs a whole exponent.
pub(crate) fn powf(a: f32, b: f32) -> f32 {
    double::pow(f64::from(a), f64::from(b)) as f32
}
