//! Functions of one float.

use crate::math::{Real, clip};
use crate::multiversion::multiversion;

/// A function of one value, written once for f32 and f64.
trait Function {
    fn eval<R: Real>(&self, x: R) -> R;
}

/// Declares the functions: the enum, one type each (so that a loop over one of them holds no decision), and the
/// choice between them.
macro_rules! functions {
    ($($(#[$meta:meta])* $name:ident $({ $($(#[$pmeta:meta])* $p:ident),* })? ($x:ident) = $e:expr;)*) => {
        /// A function of one value.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum UnaryFn {
            $($(#[$meta])* $name $({ $($(#[$pmeta])* $p: f32,)* })?,)*
        }

        $(
            struct $name { $($($p: f32,)*)? }

            impl Function for $name {
                #[inline(always)]
                fn eval<R: Real>(&self, $x: R) -> R {
                    $($(let $p = R::of(self.$p);)*)?
                    $e
                }
            }
        )*

        /// `f(x)` in f64, from which tables are made: the same bits on every processor.
        pub fn unary_f64(f: UnaryFn, x: f64) -> f64 {
            match f {
                $(UnaryFn::$name $({ $($p),* })? => $name { $($($p),*)? }.eval(x),)*
            }
        }

        #[inline(always)]
        fn unary_body(f: UnaryFn, x: &[f32], y: &mut [f32]) {
            assert_eq!(x.len(), y.len());
            match f {
                $(UnaryFn::$name $({ $($p),* })? => map($name { $($($p),*)? }, x, y),)*
            }
        }

        #[inline(always)]
        fn unary_inplace_body(f: UnaryFn, x: &mut [f32]) {
            match f {
                $(UnaryFn::$name $({ $($p),* })? => map_inplace($name { $($($p),*)? }, x),)*
            }
        }
    };
}

functions! {
    /// max(x, 0)
    Relu(x) = if x < R::of(0.0) { R::of(0.0) } else { x };
    /// x if x >= 0 else alpha * x
    LeakyRelu {
        /// Slope below 0.
        alpha
    }(x) = if x < R::of(0.0) { alpha * x } else { x };
    /// min(max(x, min), max)
    Clip {
        /// Lowest.
        min,
        /// Highest.
        max
    }(x) = clip(x, min, max);
    /// 1 / (1 + exp(-x))
    Sigmoid(x) = sigmoid(x);
    /// min(max(alpha * x + beta, 0), 1)
    HardSigmoid {
        /// Slope.
        alpha,
        /// Value at 0.
        beta
    }(x) = clip(alpha * x + beta, R::of(0.0), R::of(1.0));
    /// x * min(max(x / 6 + 1/2, 0), 1)
    HardSwish(x) = x * clip(x / R::of(6.0) + R::of(0.5), R::of(0.0), R::of(1.0));
    /// x * sigmoid(x)
    Silu(x) = x * sigmoid(x);
    /// Hyperbolic tangent.
    Tanh(x) = x.tanh();
    /// Gauss error function.
    Erf(x) = x.erf();
    /// x / 2 * (1 + erf(x / sqrt 2))
    Gelu(x) = R::of(0.5) * x * (R::of(1.0) + (x * R::FRAC_1_SQRT_2).erf());
    /// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
    GeluTanh(x) = {
        let inner = R::SQRT_2_OVER_PI * (x + R::GELU_CUBIC * x * x * x);
        R::of(0.5) * x * (R::of(1.0) + inner.tanh())
    };
    /// x if x >= 0 else alpha * (exp(x) - 1)
    Elu {
        /// Minus the limit at -infinity.
        alpha
    }(x) = if x < R::of(0.0) { alpha * exp_minus_one(x) } else { x };
    /// ln(1 + exp(x))
    Softplus(x) = {
        let positive = if x < R::of(0.0) { R::of(0.0) } else { x };
        positive + ln_one_plus((-x.abs()).exp())
    };
    /// e^x
    Exp(x) = x.exp();
    /// Natural logarithm.
    Log(x) = x.ln();
    /// Square root.
    Sqrt(x) = x.sqrt();
    /// 1 / x
    Reciprocal(x) = R::of(1.0) / x;
    /// |x|
    Abs(x) = x.abs();
    /// -x
    Neg(x) = -x;
    /// Largest integer not above x.
    Floor(x) = x.floor();
    /// Smallest integer not below x.
    Ceil(x) = x.ceil();
    /// Nearest integer, ties to even.
    Round(x) = x.round_ties_even();
    /// -1, 0 or 1
    Sign(x) = {
        let positive = if x > R::of(0.0) { R::of(1.0) } else { R::of(0.0) };
        if x < R::of(0.0) { R::of(-1.0) } else { positive }
    };
}

#[inline(always)]
fn sigmoid<R: Real>(x: R) -> R {
    R::of(1.0) / (R::of(1.0) + (-x).exp())
}

/// exp(x) - 1 for x <= 0, by tanh(x/2) = (e^x - 1) / (e^x + 1): no cancellation near 0.
#[inline(always)]
fn exp_minus_one<R: Real>(x: R) -> R {
    (x * R::of(0.5)).tanh() * (x.exp() + R::of(1.0))
}

/// ln(1 + t) for 0 <= t <= 1; the second term is what rounding 1 + t lost.
#[inline(always)]
fn ln_one_plus<R: Real>(t: R) -> R {
    let u = R::of(1.0) + t;
    u.ln() + (t - (u - R::of(1.0))) / u
}

#[inline(always)]
fn map(f: impl Function, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f.eval(x);
    }
}

#[inline(always)]
fn map_inplace(f: impl Function, x: &mut [f32]) {
    for x in x {
        *x = f.eval(*x);
    }
}

multiversion! {
    /// `y = f(x)`, of the same length.
    pub fn unary_f32(f: UnaryFn, x: &[f32], y: &mut [f32]) => unary_body
}

multiversion! {
    /// `x = f(x)`.
    pub fn unary_f32_inplace(f: UnaryFn, x: &mut [f32]) => unary_inplace_body
}
