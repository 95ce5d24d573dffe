//! The functions of analysis in one written definition each: only IEEE additions, multiplications, divisions,
//! square roots and bit patterns, no contraction, no library calls. The same bits on every processor; accurate to
//! a few units in the last place, as the tests state.

pub(crate) mod double;
mod single;
pub(crate) mod trig;

use std::ops::{Add, Div, Mul, Neg, Sub};

/// Partial sums to their sum, in the one order that every instruction set keeps: the upper half of the lanes is added
/// to the lower, until one is left. `N` is a power of two.
#[inline(always)]
pub(crate) fn lane_sum<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

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
    /// A function that has one definition, in f64: its result, rounded.
    fn in_f64(self, f: fn(f64) -> f64) -> Self;
}

macro_rules! real {
    ($t:ident, $own:ident) => {
        impl Real for $t {
            const FRAC_1_SQRT_2: $t = std::$t::consts::FRAC_1_SQRT_2;
            const SQRT_2_OVER_PI: $t = std::$t::consts::FRAC_2_SQRT_PI * std::$t::consts::FRAC_1_SQRT_2;
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
            #[inline(always)]
            fn in_f64(self, f: fn(f64) -> f64) -> $t {
                f(f64::from(self)) as $t
            }
        }
    };
}
real!(f32, single);
real!(f64, double);

#[cfg(test)]
pub(crate) use double::erf as erf_f64;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Finite floats of both signs: every exponent, several significands.
    fn floats() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(99_991).map(f32::from_bits).filter(|v| v.is_finite())
    }

    /// Distance of `y` from `exact` in units of the last place of `exact` (in those of the least normal float below
    /// it).
    fn ulps(y: f32, exact: f64) -> f64 {
        let size = (exact.abs() as f32).max(f32::MIN_POSITIVE);
        let unit = f64::from(size.next_up()) - f64::from(size);
        (f64::from(y) - exact).abs() / unit
    }

    fn worst(
        name: &str,
        bound: f64,
        domain: impl Fn(f32) -> bool,
        own: fn(f32) -> f32,
        exact: fn(f64) -> f64,
    ) {
        let mut tried = 0;
        let small = (-40_000..40_000).map(|i| i as f32 * 0.00037);
        for x in floats().chain(small).filter(|&x| domain(x)) {
            let (y, e) = (own(x), exact(f64::from(x)));
            if (e as f32).is_infinite() {
                assert_eq!(y, e as f32, "{name}({x})");
            } else {
                assert!(ulps(y, e) <= bound, "{name}({x}) = {y}, should be {e}: {} ulp", ulps(y, e));
            }
            tried += 1;
        }
        assert!(tried > 10_000, "{name}: {tried}");
    }

    #[test]
    fn single_precision_is_accurate() {
        worst("exp", 1.1, |_| true, single::exp, f64::exp);
        worst("ln", 1.1, |x| x > 0.0, single::ln, f64::ln);
        worst("tanh", 1.6, |_| true, single::tanh, f64::tanh);
        worst("erf", 1.6, |_| true, single::erf, double::erf);
    }

    #[test]
    fn double_precision_is_accurate() {
        let close = |own: f64, exact: f64, x: f64| {
            assert!((own - exact).abs() <= 1e-15 * exact.abs().max(1e-300), "{x}: {own}, should be {exact}");
        };
        for i in -30_000..30_000 {
            let x = f64::from(i) * 0.001;
            close(double::exp(x), x.exp(), x);
            close(double::tanh(x), x.tanh(), x);
            if x > 0.0 {
                close(double::ln(x), x.ln(), x);
            }
        }
        // From Python's math.erf.
        for (x, exact) in [
            (1e-10, 1.1283791670955126e-10),
            (0.1, 0.1124629160182849),
            (0.5, 0.5204998778130465),
            (0.9, 0.7969082124228322),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (3.0, 0.9999779095030014),
            (4.0, 0.9999999845827421),
            (7.0, 1.0),
        ] {
            close(double::erf(x), exact, x);
            close(double::erf(-x), -exact, -x);
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(single::exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(single::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(single::exp(0.0), 1.0);
        assert_eq!(single::ln(0.0), f32::NEG_INFINITY);
        assert_eq!(single::ln(f32::INFINITY), f32::INFINITY);
        assert_eq!(single::ln(1.0), 0.0);
        assert_eq!((single::tanh(f32::INFINITY), single::tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((single::erf(f32::INFINITY), single::erf(f32::NEG_INFINITY)), (1.0, -1.0));
        for f in [single::exp, single::ln, single::tanh, single::erf] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(single::ln(-1.0).is_nan());
        for f in [double::exp, double::ln, double::tanh, double::erf] {
            assert!(f(f64::NAN).is_nan());
        }
        assert_eq!((double::exp(1e9), double::exp(-1e9)), (f64::INFINITY, 0.0));
    }

    #[test]
    fn powers() {
        for (a, b) in
            [(2.0, 10.0), (0.5, -3.0), (9.0, 0.5), (10.0, -2.0), (1.5, 2.5), (-2.0, 3.0), (-2.0, 4.0)]
        {
            assert_eq!(powf(a, b), f64::from(a).powf(f64::from(b)) as f32, "{a} ^ {b}");
        }
        for (a, b) in [
            (0.0, 2.0),
            (-0.0, 3.0),
            (0.0, -1.0),
            (-0.0, -1.0),
            (5.0, 0.0),
            (f32::INFINITY, 2.0),
            (f32::INFINITY, -1.0),
        ] {
            assert_eq!(powf(a, b).to_bits(), a.powf(b).to_bits(), "{a} ^ {b}");
        }
        assert!(powf(-2.0, 0.5).is_nan() && powf(f32::NAN, 2.0).is_nan());
    }
}
