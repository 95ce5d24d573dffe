//! Functions of one float.

use crate::math::{Real, clip, trig};
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
    /// alpha * x + beta
    Affine {
        /// Slope.
        alpha,
        /// Value at 0.
        beta
    }(x) = alpha * x + beta;
    /// x if x > alpha else 0
    ThresholdedRelu {
        /// The threshold.
        alpha
    }(x) = if x > alpha { x } else { R::of(0.0) };
    /// alpha * tanh(beta * x)
    ScaledTanh {
        /// Limit at infinity.
        alpha,
        /// Scale of the argument.
        beta
    }(x) = alpha * (beta * x).tanh();
    /// x / (1 + |x|)
    Softsign(x) = x / (R::of(1.0) + x.abs());
    /// -1, 0 or 1
    Sign(x) = {
        let positive = if x > R::of(0.0) { R::of(1.0) } else { R::of(0.0) };
        if x < R::of(0.0) { R::of(-1.0) } else { positive }
    };
    /// Sine of an angle in radians.
    Sin(x) = x.in_f64(trig::sin);
    /// Cosine of an angle in radians.
    Cos(x) = x.in_f64(trig::cos);
    /// Tangent of an angle in radians.
    Tan(x) = x.in_f64(trig::tan);
    /// Inverse sine.
    Asin(x) = x.in_f64(trig::asin);
    /// Inverse cosine.
    Acos(x) = x.in_f64(trig::acos);
    /// Inverse tangent.
    Atan(x) = x.in_f64(trig::atan);
    /// Hyperbolic sine.
    Sinh(x) = x.in_f64(trig::sinh);
    /// Hyperbolic cosine.
    Cosh(x) = x.in_f64(trig::cosh);
    /// Inverse hyperbolic sine.
    Asinh(x) = x.in_f64(trig::asinh);
    /// Inverse hyperbolic cosine.
    Acosh(x) = x.in_f64(trig::acosh);
    /// Inverse hyperbolic tangent.
    Atanh(x) = x.in_f64(trig::atanh);
    /// x * tanh(ln(1 + exp(x)))
    Mish(x) = {
        let positive = if x < R::of(0.0) { R::of(0.0) } else { x };
        x * (positive + ln_one_plus((-x.abs()).exp())).tanh()
    };
    /// gamma * (x if x >= 0 else alpha * (exp(x) - 1))
    Selu {
        /// Minus the limit at -infinity, over gamma.
        alpha,
        /// Slope above 0.
        gamma
    }(x) = gamma * if x < R::of(0.0) { alpha * exp_minus_one(x) } else { x };
    /// x if x >= 0 else alpha * (exp(x / alpha) - 1)
    Celu {
        /// Minus the limit at -infinity; positive.
        alpha
    }(x) = if x < R::of(0.0) { alpha * exp_minus_one(x / alpha) } else { x };
    /// x - bias above lambda, x + bias below -lambda, else 0
    Shrink {
        /// Half of the width that becomes 0.
        lambda,
        /// What is taken off outside of it.
        bias
    }(x) = {
        let above = if x > lambda { x - bias } else { R::of(0.0) };
        if x < -lambda { x + bias } else { above }
    };
}

#[inline(always)]
pub(crate) fn sigmoid<R: Real>(x: R) -> R {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    fn all() -> Vec<UnaryFn> {
        use UnaryFn::*;
        vec![
            Relu,
            LeakyRelu { alpha: 0.1 },
            Clip { min: -1.0, max: 2.0 },
            Sigmoid,
            HardSigmoid { alpha: 0.2, beta: 0.5 },
            HardSwish,
            Silu,
            Tanh,
            Erf,
            Gelu,
            GeluTanh,
            Elu { alpha: 1.5 },
            Softplus,
            Exp,
            Log,
            Sqrt,
            Reciprocal,
            Abs,
            Neg,
            Floor,
            Ceil,
            Round,
            Affine { alpha: -1.5, beta: 0.25 },
            ThresholdedRelu { alpha: 0.7 },
            ScaledTanh { alpha: 1.7, beta: 0.6 },
            Softsign,
            Sign,
            Sin,
            Cos,
            Asin,
            Acos,
            Atan,
            Asinh,
            Acosh,
            Atanh,
            Mish,
            Selu { alpha: 1.7, gamma: 1.1 },
            Celu { alpha: 1.5 },
            Shrink { lambda: 0.6, bias: 0.3 },
        ]
    }

    /// The definitions by the standard library, in f64.
    fn reference(f: UnaryFn, x: f64) -> f64 {
        use UnaryFn::*;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match f {
            Relu => x.max(0.0),
            LeakyRelu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Clip { min, max } => x.clamp(min.into(), max.into()),
            Sigmoid => sigmoid(x),
            HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Silu => x * sigmoid(x),
            Tanh => x.tanh(),
            Erf => crate::math::erf_f64(x),
            Gelu => 0.5 * x * (1.0 + crate::math::erf_f64(x * std::f64::consts::FRAC_1_SQRT_2)),
            GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Exp => x.exp(),
            Log => x.ln(),
            Sqrt => x.sqrt(),
            Reciprocal => 1.0 / x,
            Abs => x.abs(),
            Neg => -x,
            Floor => x.floor(),
            Ceil => x.ceil(),
            Round => x.round_ties_even(),
            Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
            ThresholdedRelu { alpha } => {
                if x > f64::from(alpha) {
                    x
                } else {
                    0.0
                }
            }
            ScaledTanh { alpha, beta } => f64::from(alpha) * (f64::from(beta) * x).tanh(),
            Softsign => x / (1.0 + x.abs()),
            Sign => {
                if x == 0.0 {
                    0.0
                } else {
                    x.signum()
                }
            }
            Sin => x.sin(),
            Cos => x.cos(),
            Tan => x.tan(),
            Asin => x.asin(),
            Acos => x.acos(),
            Atan => x.atan(),
            Sinh => x.sinh(),
            Cosh => x.cosh(),
            Asinh => x.asinh(),
            Acosh => x.acosh(),
            Atanh => x.atanh(),
            Mish => x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh(),
            Selu { alpha, gamma } => {
                f64::from(gamma) * if x < 0.0 { f64::from(alpha) * x.exp_m1() } else { x }
            }
            Celu { alpha } => x.max(0.0) + (f64::from(alpha) * (x / f64::from(alpha)).exp_m1()).min(0.0),
            Shrink { lambda, bias } => match x.abs() > f64::from(lambda) {
                true => x - f64::from(bias).copysign(x),
                false => 0.0,
            },
        }
    }

    #[test]
    fn both_precisions_are_the_function() {
        for f in all() {
            for i in -2000..2000 {
                let x = i as f32 * 0.0079;
                let exact = reference(f, f64::from(x));
                if exact.is_nan() {
                    assert!(unary_f64(f, f64::from(x)).is_nan());
                    continue;
                }
                if exact.is_infinite() {
                    assert_eq!(unary_f64(f, f64::from(x)), exact);
                    continue;
                }
                let double = unary_f64(f, f64::from(x));
                // Relative, but for functions that take a difference of near equals by definition (gelu).
                let size = exact.abs().max(f64::from(x.abs()) * 0.2).max(0.01);
                assert!((double - exact).abs() <= 1e-14 * size, "{f:?}({x}) = {double}, {exact}");
                let mut single = [x];
                unary_f32_inplace(crate::Isa::SCALAR, f, &mut single);
                let single = f64::from(single[0]);
                assert!((single - exact).abs() <= 6e-7 * size, "{f:?}({x}) = {single}, {exact}");
            }
        }
    }

    #[test]
    fn the_same_bits_everywhere() {
        let mut x = Random::new(3).floats(1001, 20.0);
        x.extend([
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1e-40,
            -1e-40,
            200.0,
            -200.0,
            f32::MAX,
        ]);
        let mut random = Random::new(4);
        x.extend((0..1000).map(|_| f32::from_bits(random.bits())));
        for f in all() {
            let mut expected = vec![0.0; x.len()];
            unary_f32(crate::Isa::SCALAR, f, &x, &mut expected);
            on_every_isa(|isa| {
                let mut y = vec![0.0; x.len()];
                unary_f32(isa, f, &x, &mut y);
                let mut inplace = x.clone();
                unary_f32_inplace(isa, f, &mut inplace);
                for i in 0..x.len() {
                    // What is not a number has no defined bits but its being so.
                    let same =
                        |v: f32| v.to_bits() == expected[i].to_bits() || v.is_nan() && expected[i].is_nan();
                    assert!(
                        same(y[i]) && same(inplace[i]),
                        "{isa} {f:?}({}) = {}, {}",
                        x[i],
                        y[i],
                        expected[i]
                    );
                }
            });
        }
    }
}
