//! What attributes of operators choose from: functions, modes, and the bounds of a fused activation.

use super::attr::{Attr, AttrField, text_enum};

/// Bounds that a node's output is clamped to: what is left of a fused Relu, Relu6 or Clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Lowest real, or -inf.
    pub min: f32,
    /// Highest real, or +inf.
    pub max: f32,
}

impl Clamp {
    /// No bounds.
    pub const NONE: Clamp = Clamp { min: f32::NEG_INFINITY, max: f32::INFINITY };
    /// Relu.
    pub const RELU: Clamp = Clamp { min: 0.0, max: f32::INFINITY };

    /// True if it changes nothing.
    pub fn is_none(self) -> bool {
        self == Clamp::NONE
    }

    /// The bounds of applying `self`, then `next`.
    pub fn then(self, next: Clamp) -> Clamp {
        let clip = |v: f32| v.max(next.min).min(next.max);
        Clamp { min: clip(self.min), max: clip(self.max) }
    }
}

impl AttrField for Clamp {
    fn to_attr(&self) -> Attr {
        Attr::Floats(vec![self.min, self.max])
    }
    fn from_attr(attr: &Attr) -> Option<Clamp> {
        match attr {
            Attr::Floats(v) => match v[..] {
                [min, max] if min <= max => Some(Clamp { min, max }),
                _ => None,
            },
            _ => None,
        }
    }
}

text_enum! {
    /// Functions of one value. `alpha` and `beta` are parameters of the node.
    UnaryKind {
        /// max(x, 0)
        Relu = "relu",
        /// x if x >= 0 else alpha * x
        LeakyRelu = "leaky_relu",
        /// min(max(x, alpha), beta)
        Clip = "clip",
        /// 1 / (1 + exp(-x))
        Sigmoid = "sigmoid",
        /// min(max(alpha * x + beta, 0), 1)
        HardSigmoid = "hard_sigmoid",
        /// x * min(max(x / 6 + 1/2, 0), 1)
        HardSwish = "hard_swish",
        /// x * sigmoid(x)
        Silu = "silu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// Gauss error function.
        Erf = "erf",
        /// x / 2 * (1 + erf(x / sqrt 2))
        Gelu = "gelu",
        /// The tanh approximation of gelu.
        GeluTanh = "gelu_tanh",
        /// x if x >= 0 else alpha * (exp(x) - 1)
        Elu = "elu",
        /// ln(1 + exp(x))
        Softplus = "softplus",
        /// e^x
        Exp = "exp",
        /// Natural logarithm.
        Log = "log",
        /// Square root.
        Sqrt = "sqrt",
        /// 1 / x
        Reciprocal = "reciprocal",
        /// |x|
        Abs = "abs",
        /// -x
        Neg = "neg",
        /// Largest integer not above x.
        Floor = "floor",
        /// Smallest integer not below x.
        Ceil = "ceil",
        /// Nearest integer, ties to even.
        Round = "round",
        /// -1, 0 or 1
        Sign = "sign",
        /// Logical negation of truth values, of all bits of integers.
        Not = "not",
        /// Sine (radians).
        Sin = "sin",
        /// Cosine (radians).
        Cos = "cos",
        /// Tangent (radians).
        Tan = "tan",
        /// Inverse sine.
        Asin = "asin",
        /// Inverse cosine.
        Acos = "acos",
        /// Inverse tangent.
        Atan = "atan",
        /// Hyperbolic sine.
        Sinh = "sinh",
        /// Hyperbolic cosine.
        Cosh = "cosh",
        /// Inverse hyperbolic sine.
        Asinh = "asinh",
        /// Inverse hyperbolic cosine.
        Acosh = "acosh",
        /// Inverse hyperbolic tangent.
        Atanh = "atanh",
        /// x / (1 + |x|)
        Softsign = "softsign",
        /// x * tanh(ln(1 + exp(x)))
        Mish = "mish",
        /// beta * (x if x >= 0 else alpha * (exp(x) - 1))
        Selu = "selu",
        /// x if x >= 0 else alpha * (exp(x / alpha) - 1)
        Celu = "celu",
        /// x if x > alpha else 0
        ThresholdedRelu = "thresholded_relu",
        /// x - beta above alpha, x + beta below -alpha, else 0
        Shrink = "shrink",
    }
}

text_enum! {
    /// Functions of two values, with NumPy broadcasting.
    BinaryKind {
        /// a + b
        Add = "add",
        /// a - b
        Sub = "sub",
        /// a * b
        Mul = "mul",
        /// a / b; integers truncate toward zero
        Div = "div",
        /// a to the power of b
        Pow = "pow",
        /// The lesser.
        Min = "min",
        /// The greater.
        Max = "max",
        /// a if a >= 0 else a * b
        PRelu = "prelu",
        /// a == b (bool)
        Equal = "equal",
        /// a < b (bool)
        Less = "less",
        /// a > b (bool)
        Greater = "greater",
        /// a <= b (bool)
        LessEqual = "less_equal",
        /// a >= b (bool)
        GreaterEqual = "greater_equal",
        /// a - floor(a / b) * b; integers modulo 0 are 0
        Mod = "mod",
        /// a - trunc(a / b) * b; integers modulo 0 are 0
        Fmod = "fmod",
        /// Both, of truth values or bits of integers.
        And = "and",
        /// Either, of truth values or bits of integers.
        Or = "or",
        /// One of both, of truth values or bits of integers.
        Xor = "xor",
        /// a * 2^b of integers
        ShiftLeft = "shift_left",
        /// a / 2^b of integers, rounded down
        ShiftRight = "shift_right",
    }
}

text_enum! {
    /// What a reduction computes over its axes.
    ReduceKind {
        /// Arithmetic mean.
        Mean = "mean",
        /// Sum.
        Sum = "sum",
        /// Greatest.
        Max = "max",
        /// Least.
        Min = "min",
        /// Product.
        Prod = "prod",
    }
}

text_enum! {
    /// What becomes of an element that an update meets.
    ScatterKind {
        /// It is replaced.
        Replace = "replace",
        /// The sum of both.
        Add = "add",
        /// The product of both.
        Mul = "mul",
        /// The greater of both.
        Max = "max",
        /// The lesser of both.
        Min = "min",
    }
}

text_enum! {
    /// What a pooling window computes.
    PoolKind {
        /// Greatest value.
        Max = "max",
        /// Mean of the window's values.
        Average = "average",
        /// Mean of the window's integers as TensorFlow Lite has it for unsigned ones: halves go up. Of reals: the mean.
        AverageUnsigned = "average_unsigned",
        /// Mean of the window's integers as TensorFlow Lite has it for signed ones, 128 above them: halves go away from
        /// 128. Of reals: the mean.
        AverageSigned = "average_signed",
    }
}

text_enum! {
    /// What Pad puts around its input.
    PadMode {
        /// A constant.
        Constant = "constant",
        /// Mirror without the edge itself.
        Reflect = "reflect",
        /// Repeat the edge.
        Edge = "edge",
    }
}

text_enum! {
    /// How Resize finds values between samples.
    ResizeMode {
        /// The nearest sample.
        Nearest = "nearest",
        /// Linear between neighbours along each axis.
        Linear = "linear",
    }
}

text_enum! {
    /// How Resize maps an output coordinate to the input.
    ResizeCoord {
        /// (x + 1/2) / scale - 1/2
        HalfPixel = "half_pixel",
        /// half_pixel, but 0 where the output has one sample
        PytorchHalfPixel = "pytorch_half_pixel",
        /// x * (in - 1) / (out - 1)
        AlignCorners = "align_corners",
        /// x / scale
        Asymmetric = "asymmetric",
        /// half_pixel, the middle of the output on that of the input also where the scale gives no whole length
        HalfPixelSymmetric = "half_pixel_symmetric",
    }
}

text_enum! {
    /// What Resample puts over the samples.
    ResampleFilter {
        /// A triangle of two.
        Linear = "linear",
        /// Cubic convolution over four.
        Cubic = "cubic",
    }
}

text_enum! {
    /// Which neighbour is nearest when Resize takes a sample.
    NearestMode {
        /// Halves go down.
        RoundPreferFloor = "round_prefer_floor",
        /// Halves go up.
        RoundPreferCeil = "round_prefer_ceil",
        /// Downward.
        Floor = "floor",
        /// Upward.
        Ceil = "ceil",
    }
}
