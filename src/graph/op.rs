//! The operators: one table, from which the enum, its names, file codes and attributes are made.
//!
//! An operator does not name an element type: `Conv` over f32 tensors is a float convolution, over u8 tensors
//! with quantization an integer one. Spatial operators read NHWC. Sizes that a network may compute at run
//! time (the shape of `Reshape`, the bounds of `Slice`) are inputs, as in ONNX; they must be constant once the
//! free dimensions are bound.

use super::attr::{Attr, AttrField, field};
use super::kinds::*;
use super::recurrent::{Direction, GateFunction, RecurrentCell, RowQuant};

/// Why attributes don't make an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// No operator has this code.
    #[error("operator code {0} is unknown: the file is damaged or was written by a newer version")]
    Code(u16),
    /// An attribute is absent.
    #[error("{op} needs the attribute {attr}")]
    Missing {
        /// The operator.
        op: &'static str,
        /// The attribute.
        attr: &'static str,
    },
    /// An attribute is of another kind or out of range.
    #[error("{op} has an attribute {attr} of the wrong kind, or out of its range")]
    Kind {
        /// The operator.
        op: &'static str,
        /// The attribute.
        attr: &'static str,
    },
}

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident = $code:literal { $($(#[$fmeta:meta])* $field:ident : $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

            impl From<$name> for Op {
                fn from(op: $name) -> Op { Op::$name(op) }
            }
        )*

        /// An operator with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($(#[$meta])* $name($name),)* }

        impl Op {
            /// Every operator's code and name.
            pub const TABLE: &'static [(u16, &'static str)] = &[$(($code, stringify!($name)),)*];

            /// The operator's name.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$name(_) => stringify!($name),)* }
            }

            /// The operator's number in a file.
            pub fn code(&self) -> u16 {
                match self { $(Op::$name(_) => $code,)* }
            }

            /// The attributes, in the order of the operator's fields.
            pub fn attrs(&self) -> Vec<(&'static str, Attr)> {
                match self {
                    $(Op::$name(_op) => vec![$((stringify!($field), _op.$field.to_attr()),)*],)*
                }
            }

            /// The operator with this code and these attributes. Unknown attributes are ignored.
            pub fn from_attrs(code: u16, attrs: &[(String, Attr)]) -> Result<Op, OpError> {
                let _ = attrs;
                match code {
                    $($code => Ok(Op::$name($name {
                        $($field: field(stringify!($name), stringify!($field), attrs)?,)*
                    })),)*
                    _ => Err(OpError::Code(code)),
                }
            }
        }
    };
}

ops! {
    /// Convolution. Inputs: x `[N,H,W,C]`, w `[O,KH,KW,C/groups]`, optional bias `[O]` (where x is u8: i32 in steps of
    /// the sums, or f32; where it is i16: i32 or i64 in steps of the sums, which have that type); where x was quantized
    /// at run time, its scale (f32) and zero point (u8), each one element: the output is f32 then. Output
    /// `[N,OH,OW,O]`. Depthwise where `groups == C`.
    Conv = 1 {
        /// Down, right.
        strides: [usize; 2],
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// Down, right.
        dilations: [usize; 2],
        /// C and O are split into this many parts.
        groups: usize,
        /// Fused activation.
        clamp: Clamp,
    }
    /// Transposed convolution. Inputs: x `[N,H,W,C]`, w `[O,KH,KW,C/groups]`, optional bias `[O]` (as of `Conv`).
    /// Output `[N,OH,OW,O]` with `OH = (H-1)*stride + (KH-1)*dilation + 1 + output_pad - top - bottom`.
    ConvTranspose = 2 {
        /// Down, right.
        strides: [usize; 2],
        /// Top, left, bottom, right: cut off the full output.
        pads: [usize; 4],
        /// Bottom, right: rows and columns added to the output.
        output_pads: [usize; 2],
        /// Down, right.
        dilations: [usize; 2],
        /// C and O are split into this many parts.
        groups: usize,
        /// Fused activation.
        clamp: Clamp,
    }
    /// Product with constant weights. Inputs: x `[..., K]`, w `[N, K]`, optional bias `[N]` (as of `Conv`); where x
    /// was quantized at run time, its scale (f32) and zero point (u8), each one element: the output is f32 then. Output
    /// `[..., N]`.
    Linear = 3 {
        /// Fused activation.
        clamp: Clamp,
    }
    /// Matrix product of two tensors with NumPy batch broadcasting: a `[..., M, K]`, b `[..., K, N]`.
    MatMul = 4 {
        /// b is `[..., N, K]`.
        transpose_b: bool,
    }
    /// Pooling over `[N,H,W,C]`.
    Pool = 5 {
        /// Maximum or average.
        kind: PoolKind,
        /// Height, width.
        kernel: [usize; 2],
        /// Down, right.
        strides: [usize; 2],
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// Down, right.
        dilations: [usize; 2],
        /// The output's size is rounded up: the last window may hang over.
        ceil: bool,
        /// Averages divide by the whole window, padding counted in.
        count_include_pad: bool,
    }
    /// Reduction over axes (sorted, not negative).
    Reduce = 6 {
        /// What is computed.
        kind: ReduceKind,
        /// The axes that go.
        axes: Vec<usize>,
        /// They stay with length 1.
        keep_dims: bool,
    }
    /// A function of each element.
    Unary = 7 {
        /// The function.
        kind: UnaryKind,
        /// First parameter.
        alpha: f32,
        /// Second parameter.
        beta: f32,
    }
    /// A function of two tensors' elements, with broadcasting.
    Binary = 8 {
        /// The function.
        kind: BinaryKind,
        /// Fused activation.
        clamp: Clamp,
    }
    /// exp(x - max) / sum over one axis.
    Softmax = 9 {
        /// Not negative.
        axis: usize,
        /// Logarithm of it.
        log: bool,
    }
    /// Joins the inputs along an axis.
    Concat = 10 {
        /// Not negative.
        axis: usize,
    }
    /// Cuts the input along an axis into as many parts as there are outputs.
    Split = 11 {
        /// Not negative.
        axis: usize,
        /// The parts' lengths; empty: equal parts, the last one smaller.
        sizes: Vec<usize>,
    }
    /// Inputs: x, starts, ends, optional axes, optional steps (i64; ONNX's rules for negative values).
    Slice = 12 {}
    /// Inputs: x, pads (i64, begins then ends), optional value (scalar of x's type).
    Pad = 13 {
        /// What is put around.
        mode: PadMode,
    }
    /// Inputs: x, optional sizes (i64, all axes), optional scales (f32, all axes); one of the two.
    Resize = 14 {
        /// Between samples.
        mode: ResizeMode,
        /// Coordinates.
        coord: ResizeCoord,
        /// Nearest neighbour.
        nearest: NearestMode,
    }
    /// Inputs: x, shape (i64; 0 copies the dimension unless `allow_zero`, -1 is inferred).
    Reshape = 15 {
        /// 0 means an empty dimension.
        allow_zero: bool,
    }
    /// Dimensions before `axis` to one, the others to one: a matrix.
    Flatten = 16 {
        /// Not negative, at most the rank.
        axis: usize,
    }
    /// Reorders dimensions: output dimension i is input dimension `perm[i]`.
    Transpose = 17 {
        /// A permutation.
        perm: Vec<usize>,
    }
    /// Removes dimensions of length 1 (axes sorted, not negative; empty: all of them).
    Squeeze = 18 {
        /// The axes.
        axes: Vec<usize>,
    }
    /// Inserts dimensions of length 1 at these axes of the output (sorted, not negative).
    Unsqueeze = 19 {
        /// The axes.
        axes: Vec<usize>,
    }
    /// Inputs: x, shape (i64): broadcast in both directions.
    Expand = 20 {}
    /// Inputs: data, indices (i32 or i64; negative counts from the end).
    Gather = 21 {
        /// Not negative.
        axis: usize,
    }
    /// The dimensions of the input from `start` to `end` as i64.
    ShapeOf = 22 {
        /// First dimension (clamped, negative from the end).
        start: i64,
        /// One past the last (clamped, negative from the end; i64::MAX: all).
        end: i64,
    }
    /// To the output's element type: float to integer truncates and saturates.
    Cast = 23 {}
    /// Index of the greatest value as i64.
    ArgMax = 24 {
        /// Not negative.
        axis: usize,
        /// The axis stays with length 1.
        keep_dims: bool,
        /// Ties: the last one wins.
        select_last: bool,
    }
    /// Inputs: shape (i64), value (one element). Output: a tensor full of the value.
    Fill = 25 {}
    /// Batch normalization in inference: x `[..., C]` along `axis`, scale, bias, mean, variance `[C]`.
    BatchNorm = 26 {
        /// The channels' axis.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
    }
    /// Float to the output's integers: `saturate(round_half_even(x / scale) + zero_point)`.
    Quantize = 27 {}
    /// The input's integers to float: `(q - zero_point) * scale`.
    Dequantize = 28 {}
    /// From one quantization (or signedness) to another: `clamp(round_half_even((q - zx) * (sx / sy)) + zy)`.
    Requantize = 29 {}
    /// Inputs: condition (bool), a, b: elementwise choice with broadcasting.
    Where = 30 {}
    /// Inputs: x, repeats (i64, one per dimension).
    Tile = 31 {}
    /// An operator of the application: see [`crate::custom`]. 1 to 4 inputs, one output.
    Custom = 32 {
        /// The name that it is registered under.
        name: String,
        /// Lines of `name=value`.
        parameters: String,
    }
    /// A recurrent layer with `D` directions, `G` gates and `H` hidden units. Inputs: x `[T,N,I]`, w `[D*G*H,I]`,
    /// r `[D*G*H,H]`, optional bias `[D,2*G*H]` (of w, then of r) or `[D,G*H]` (of w), optional lengths `[N]` (i32), optional first
    /// state `[D,N,H]`, optional first cell state `[D,N,H]`, optional peepholes `[D,3*H]` (input, output, forget).
    /// Outputs: all states `[T,D,N,H]`, 0 behind the end of a sequence; the last state `[D,N,H]`; of an LSTM the
    /// last cell state `[D,N,H]`. Outputs at the end may be left out. The equations are those of ONNX. With w and r in
    /// i8 the products are sums of integers, all else stays f32.
    Recurrent = 40 {
        /// What is computed per step.
        cell: RecurrentCell,
        /// Which way.
        direction: Direction,
        /// x is `[N,T,I]`, all states are `[N,T,D,H]`, single states `[N,D,H]`.
        batch_first: bool,
        /// Per direction: LSTM gates, cell input, cell output; GRU gates, hidden; RNN one.
        functions: Vec<GateFunction>,
        /// What goes into the functions of gates is kept within this distance of 0.
        clip: f32,
        /// An LSTM's cell state is kept within this distance of 0.
        cell_clip: f32,
        /// LSTM: the forget gate is 1 minus the input gate.
        couple_forget: bool,
        /// GRU: the reset gate acts behind the product with r, not before it.
        reset_after: bool,
        /// With weights in i8, how inputs and states are quantized as they come.
        rows: RowQuant,
    }
    /// Floats to u8 with the scale and zero point that their own range asks for. Input: x (f32). Outputs: the bytes
    /// (u8), the scale (f32, no dimensions), the zero point (u8, no dimensions). The arithmetic is ONNX's.
    DynamicQuantize = 50 {}
    /// Sums of integer products with NumPy batch broadcasting, modulo 2^32. Inputs: a `[..., M, K]` and b
    /// `[..., K, N]` (u8 or i8), optional zero point of a (one element), of b (one element, or `[N]`). Output i32.
    IntegerMatMul = 51 {}
    /// Convolution of integers, sums modulo 2^32. Inputs: x `[N,H,W,C]` and w `[O,KH,KW,C/groups]` (u8 or i8),
    /// optional zero point of x (one element), of w (one element, or `[O]`). Output `[N,OH,OW,O]` i32.
    IntegerConv = 52 {
        /// Down, right.
        strides: [usize; 2],
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// Down, right.
        dilations: [usize; 2],
        /// C and O are split into this many parts.
        groups: usize,
    }
    /// Normalizes to mean 0 and variance 1 over the dimensions from `axis` on. Inputs: x, optional scale and bias, each
    /// with as many elements as those dimensions.
    LayerNorm = 53 {
        /// The first dimension that is normalized over.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
        /// The mean is not taken off: root-mean-square normalization.
        rms: bool,
    }
    /// `softmax(scale * q k^T + mask) v` per head. Inputs: q `[N,S,H,D]`, k `[N,T,G,D]`, v `[N,T,G,E]` (H a multiple of
    /// G: neighbouring heads share keys), optional mask that broadcasts to `[N,H,S,T]`. Output `[N,S,H,E]`.
    Attention = 54 {
        /// What scores are multiplied by.
        scale: f32,
        /// Query i sees the keys up to i + T - S only.
        causal: bool,
        /// q is `[N,H,S,D]`.
        q_heads_first: bool,
        /// k is `[N,G,T,D]`.
        k_heads_first: bool,
        /// v is `[N,G,T,E]`.
        v_heads_first: bool,
    }
    /// Integers of a few bits to i8. Input: a vector of bytes (u8) that holds them in two's complement, one behind the
    /// other, the first one in the lowest bits. Output i8 of the shape `dims`.
    Unpack = 55 {
        /// 1 to 8.
        bits: usize,
        /// The output's shape.
        dims: Vec<usize>,
    }
    /// One of two values that branches compute: inputs condition (bool, one element), value if it is true, value if
    /// it is false. What only the other branch needs is not run. A value that is left out stands for a branch that
    /// can't be taken: the condition must then be known to choose the other one when shapes are bound.
    Merge = 60 {}
    /// Elements picked along an axis. Inputs: x, indices (i64, the output's shape; negative counts from the end).
    GatherElements = 61 {
        /// Not negative.
        axis: usize,
    }
    /// Rows picked by tuples. Inputs: x `[batch.., dims.., inner..]`, indices (i64) `[batch.., .., dims.len()]`;
    /// output `[batch.., .., inner..]`.
    GatherRows = 62 {
        /// Leading dimensions that both share.
        batch_dims: usize,
    }
    /// Elements placed along an axis. Inputs: x, indices (i64), updates of the indices' shape.
    ScatterElements = 63 {
        /// Not negative.
        axis: usize,
        /// Of the old element and the new one.
        kind: ScatterKind,
    }
    /// Rows placed by tuples. Inputs: x `[dims.., inner..]`, indices (i64) `[.., dims.len()]`, updates
    /// `[.., inner..]`.
    ScatterRows = 64 {
        /// Of the old elements and the new ones.
        kind: ScatterKind,
    }
    /// Running sum along an axis.
    CumSum = 65 {
        /// Not negative.
        axis: usize,
        /// Each sum without its own element.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    }
    /// Indices (i64) of the greatest or least values along an axis, in order; of equals the first one comes first.
    /// Inputs: x, how many (i64, one element).
    TopK = 66 {
        /// Not negative.
        axis: usize,
        /// The greatest, not the least.
        largest: bool,
    }
    /// Inputs: start, limit, step (i64, one element each). Output: start, start + step, .. before the limit.
    Range = 67 {}
    /// An LSTM layer in integers with H hidden units: TensorFlow Lite's arithmetic. Inputs: x `[T,N,I]` (u8), w
    /// `[4*H,I]` and r `[4*H,H]` (i8, zero points 0, one scale for the rows of a gate), bias `[4*H]` (i32, at the scale of
    /// the products of x and w), first state `[N,H]` (u8), first cell state `[N,H]` (i16, zero point 0, scale 2^-15 to
    /// 2^-9). Outputs: all states `[T,N,H]`, the last state and the last cell state, like the first ones. Gates: input,
    /// output, forget, cell.
    IntegerLstm = 70 {
        /// x is `[N,T,I]`, all states are `[N,T,H]`.
        batch_first: bool,
        /// The cell state is kept within this distance of 0; infinity: it is not.
        cell_clip: f32,
    }
    /// Resize with as many samples as a filter is wide. Inputs as those of Resize.
    Resample = 90 {
        /// Over the samples.
        filter: ResampleFilter,
        /// Coordinates.
        coord: ResizeCoord,
        /// Of cubic convolution.
        coefficient: f32,
        /// The filter is as wide as the scale is small.
        antialias: bool,
        /// Samples beyond an end have no weight.
        exclude_outside: bool,
    }
}

impl Op {
    /// True for operators that give all elements of their first input in another order or shape.
    pub fn rearranges(&self) -> bool {
        matches!(self, Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Transpose(_))
    }

    /// True for operators that move or choose elements of their first input (`Concat`: of all inputs) and compute
    /// none: what integers stand for does not matter to them, as long as greater ones stand for greater reals.
    pub fn moves_values(&self) -> bool {
        match self {
            Op::Pool(op) => op.kind == PoolKind::Max,
            Op::Reduce(op) => matches!(op.kind, ReduceKind::Max | ReduceKind::Min),
            Op::Resize(op) => op.mode == ResizeMode::Nearest,
            Op::Concat(_) | Op::Split(_) | Op::Slice(_) | Op::Pad(_) | Op::Gather(_) => true,
            Op::Expand(_) | Op::Tile(_) => true,
            other => other.rearranges(),
        }
    }
}
