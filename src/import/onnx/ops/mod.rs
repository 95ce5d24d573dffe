//! The operators of ONNX: one table, one handler each.

/// Makes `find`, by name, and `NAMES` of a table of operators.
macro_rules! operators {
    ($($($name:literal)|+ => $operator:expr,)+) => {
        /// The operator with this name.
        pub(in super::super) fn find(name: &str) -> Option<$crate::import::onnx::ops::Operator> {
            match name {
                $($($name)|+ => Some($operator),)+
                _ => None,
            }
        }

        /// All names.
        pub(in super::super) const NAMES: &[&str] = &[$($($name,)+)+];
    };
}

mod attention;
mod compose;
pub(super) mod contrib;
mod control;
mod conv;
pub(super) mod custom;
mod depth;
mod einsum;
mod elementwise;
mod gather;
mod index;
mod integer;
mod linear;
mod normalize;
mod packed;
mod pad;
mod pool;
mod positions;
mod projected_attention;
mod quantization;
mod quantization_float;
mod recurrent;
mod reduce;
mod resize;
mod shape;
mod slice;
mod source;
mod spatial;
mod spectral;
mod transformer;
mod unpool;
mod volume;

use super::super::node::{axes, axis, of_one, of_two};
use super::context::{Context, Stop};
use crate::graph::TensorId;
use std::ops::RangeInclusive;

/// Imports one node: returns its outputs in ONNX's order. A handler first reads all attributes, then its inputs,
/// so that bad attributes are reported even where an input could not be imported.
type Handler = for<'s, 'a> fn(&mut Context<'s, 'a>) -> Result<Vec<TensorId>, Stop>;

/// What is known of an operator before its handler runs.
pub(super) struct Operator {
    /// First operator set that has it in a form that can be taken in.
    since: i64,
    /// Last operator set that has it.
    until: i64,
    inputs: RangeInclusive<usize>,
    outputs: usize,
    pub import: Handler,
}

const MANY: usize = usize::MAX;

/// An operator that exists from one operator set on.
fn op(since: i64, inputs: RangeInclusive<usize>, outputs: usize, import: Handler) -> Operator {
    Operator { since, until: i64::MAX, inputs, outputs, import }
}

impl Operator {
    /// How it is listed.
    pub fn supported(&self, domain: &'static str, name: &'static str) -> super::Supported {
        let until = Some(self.until).filter(|&v| v < i64::MAX);
        super::Supported { domain, name, since: self.since, until }
    }

    /// Refuses a node that the operator does not have in this version, or with other inputs and outputs.
    pub fn check(&self, cx: &Context) -> Result<(), Stop> {
        if cx.opset() < self.since || cx.opset() > self.until {
            return Err(Stop::because(format!("the operator does not exist in operator set {}", cx.opset())));
        }
        let inputs = cx.node.input.iter().rposition(|n| !n.is_empty()).map_or(0, |last| last + 1);
        if !self.inputs.contains(&inputs) {
            let (least, most) = (self.inputs.start(), self.inputs.end());
            let range = match *most {
                MANY => format!("at least {least}"),
                most if most == *least => format!("{least}"),
                most => format!("{least} to {most}"),
            };
            return Err(Stop::because(format!("it has {inputs} inputs, it must have {range}")));
        }
        if cx.named_outputs() == 0 {
            return Err(Stop::because("it has no output"));
        }
        match (self.outputs..cx.node.output.len()).find(|&i| cx.is_read(i)) {
            None => Ok(()),
            Some(i) => {
                let name = &cx.node.output[i];
                Err(Stop::because(format!("its output {i} ('{name}') is used, which is not supported")))
            }
        }
    }
}

/// Imports the node that dequantizes a bias, which only [`super::qoperator`] makes.
pub(super) fn bias() -> Operator {
    op(1, 3..=3, 1, quantization::dequantize_bias)
}

/// Imports the mean that only [`super::qoperator`] makes.
pub(super) fn mean() -> Operator {
    op(1, 1..=1, 1, reduce::reduce)
}

operators! {
    "Conv" => op(1, 2..=3, 1, conv::conv),
    "ConvTranspose" => op(1, 2..=3, 1, conv::conv_transpose),
    "MaxPool" => op(1, 1..=1, 2, pool::max),
    "MaxUnpool" => op(9, 2..=3, 1, unpool::unpool),
    "LpPool" => op(2, 1..=1, 1, pool::lp),
    "GlobalLpPool" => op(2, 1..=1, 1, pool::global_lp),
    "Einsum" => op(12, 1..=MANY, 1, einsum::einsum),
    "NonZero" => op(9, 1..=1, 1, index::non_zero),
    "STFT" => op(17, 2..=4, 1, spectral::stft),
    "DFT" => op(17, 1..=3, 1, spectral::dft),
    "HannWindow" | "HammingWindow" | "BlackmanWindow" => op(17, 1..=1, 1, spectral::window),
    "Attention" => op(23, 3..=4, 1, attention::attention),
    "Compress" => op(9, 2..=2, 1, index::compress),
    "AveragePool" => op(1, 1..=1, 1, pool::average),
    "GlobalMaxPool" => op(1, 1..=1, 1, pool::global_max),
    "GlobalAveragePool" => op(1, 1..=1, 1, pool::global_average),
    "Gemm" => op(7, 2..=3, 1, linear::gemm),
    "MatMul" => op(1, 2..=2, 1, linear::matmul),
    "LSTM" => op(7, 3..=8, 3, recurrent::lstm),
    "GRU" => op(7, 3..=6, 2, recurrent::gru),
    "RNN" => op(7, 3..=6, 2, recurrent::rnn),
    "BatchNormalization" => op(7, 5..=5, 1, normalize::batch_norm),
    "Softmax" => op(1, 1..=1, 1, normalize::softmax),
    "LogSoftmax" => op(1, 1..=1, 1, normalize::log_softmax),
    "HardSwish" => op(14, 1..=1, 1, elementwise::unary),
    "Sin" | "Cos" | "Tan" | "Asin" | "Acos" | "Atan" => op(7, 1..=1, 1, elementwise::unary),
    "Sinh" | "Cosh" | "Asinh" | "Acosh" | "Atanh" | "Shrink" => op(9, 1..=1, 1, elementwise::unary),
    "ThresholdedRelu" => op(10, 1..=1, 1, elementwise::unary),
    "Celu" => op(12, 1..=1, 1, elementwise::unary),
    "Mish" | "BitwiseNot" => op(18, 1..=1, 1, elementwise::unary),
    "Swish" => op(24, 1..=1, 1, elementwise::unary),
    "Softsign" => op(1, 1..=1, 1, elementwise::unary),
    "Selu" => op(6, 1..=1, 1, elementwise::unary),
    "IsNaN" => op(9, 1..=1, 1, elementwise::is_nan),
    "IsInf" => op(10, 1..=1, 1, elementwise::is_inf),
    "Mod" => op(10, 2..=2, 1, elementwise::modulo),
    "BitShift" => op(11, 2..=2, 1, elementwise::bit_shift),
    "And" | "Or" | "Xor" => op(7, 2..=2, 1, elementwise::binary),
    "LessOrEqual" | "GreaterOrEqual" => op(12, 2..=2, 1, elementwise::binary),
    "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => op(18, 2..=2, 1, elementwise::binary),
    "Mean" => op(6, 1..=MANY, 1, elementwise::mean),
    "Gelu" => op(20, 1..=1, 1, elementwise::gelu),
    "Erf" | "Sign" => op(9, 1..=1, 1, elementwise::unary),
    "Round" => op(11, 1..=1, 1, elementwise::unary),
    "Relu" | "LeakyRelu" | "Sigmoid" | "HardSigmoid" | "Tanh" | "Elu" | "Softplus" | "Exp" | "Log"
    | "Sqrt" | "Reciprocal" | "Abs" | "Neg" | "Floor" | "Ceil" | "Not" => {
        op(1, 1..=1, 1, elementwise::unary)
    },
    "Clip" => op(6, 1..=3, 1, elementwise::clip),
    "Add" | "Sub" | "Mul" | "Div" | "PRelu" | "Equal" | "Less" | "Greater" => {
        op(7, 2..=2, 1, elementwise::binary)
    },
    "Pow" => op(7, 2..=2, 1, elementwise::pow),
    "Min" | "Max" | "Sum" => op(6, 1..=MANY, 1, elementwise::variadic),
    "Where" => op(9, 3..=3, 1, elementwise::select),
    "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
    | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => op(1, 1..=2, 1, reduce::reduce),
    "ArgMax" | "ArgMin" => op(1, 1..=1, 1, reduce::arg_extremum),
    "GatherElements" => op(11, 2..=2, 1, index::gather_elements),
    "GatherND" => op(11, 2..=2, 1, index::gather_nd),
    "ScatterElements" => op(11, 3..=3, 1, index::scatter_elements),
    "Scatter" => Operator { until: 10, ..op(9, 3..=3, 1, index::scatter_elements) },
    "ScatterND" => op(11, 3..=3, 1, index::scatter_nd),
    "CumSum" => op(11, 2..=2, 1, index::cum_sum),
    "TopK" => op(1, 1..=2, 2, index::top_k),
    "Range" => op(11, 3..=3, 1, index::range),
    "OneHot" => op(9, 3..=3, 1, index::one_hot),
    "Trilu" => op(14, 1..=2, 1, index::trilu),
    "EyeLike" => op(9, 1..=1, 1, index::eye_like),
    "ReverseSequence" => op(10, 2..=2, 1, index::reverse_sequence),
    "DepthToSpace" => op(1, 1..=1, 1, depth::depth_to_space),
    "SpaceToDepth" => op(1, 1..=1, 1, depth::space_to_depth),
    "InstanceNormalization" => op(6, 3..=3, 1, compose::instance_norm),
    "GroupNormalization" => op(18, 3..=3, 1, compose::group_norm),
    "MeanVarianceNormalization" => op(9, 1..=1, 1, compose::mean_variance_norm),
    "LpNormalization" => op(1, 1..=1, 1, compose::lp_norm),
    "LRN" => op(1, 1..=1, 1, compose::local_response_norm),
    "Hardmax" => op(1, 1..=1, 1, compose::hardmax),
    "CastLike" => op(15, 2..=2, 1, source::cast_like),
    "Concat" => op(4, 1..=MANY, 1, gather::concat),
    "Gather" => op(1, 2..=2, 1, gather::gather),
    "Split" => op(2, 1..=2, MANY, slice::split),
    "Slice" => op(1, 1..=5, 1, slice::slice),
    "Pad" => op(2, 1..=4, 1, pad::pad),
    "Resize" => op(10, 1..=4, 1, resize::resize),
    "Upsample" => Operator { until: 9, ..op(7, 1..=2, 1, resize::upsample) },
    "Reshape" => op(5, 2..=2, 1, shape::reshape),
    "Flatten" => op(1, 1..=1, 1, shape::flatten),
    "Transpose" => op(1, 1..=1, 1, shape::transpose),
    "Squeeze" => op(1, 1..=2, 1, shape::squeeze),
    "Unsqueeze" => op(1, 1..=2, 1, shape::unsqueeze),
    "Expand" => op(8, 2..=2, 1, shape::expand),
    "Tile" => op(6, 2..=2, 1, shape::tile),
    "Shape" => op(1, 1..=1, 1, shape::shape_of),
    "Size" => op(1, 1..=1, 1, shape::size),
    "Cast" => op(6, 1..=1, 1, source::cast),
    "Constant" => op(1, 0..=0, 1, source::constant),
    "ConstantOfShape" => op(9, 1..=1, 1, source::constant_of_shape),
    "QuantizeLinear" => op(10, 2..=3, 1, quantization::quantize),
    "DequantizeLinear" => op(10, 2..=3, 1, quantization::dequantize),
    "DynamicQuantizeLinear" => op(11, 1..=1, 3, integer::dynamic_quantize),
    "MatMulInteger" => op(10, 2..=4, 1, integer::matmul),
    "ConvInteger" => op(10, 2..=4, 1, integer::conv),
    "LayerNormalization" => op(17, 2..=3, 3, transformer::layer_norm),
    "RMSNormalization" => op(23, 2..=2, 1, transformer::rms_norm),
    "If" => op(1, 1..=1, MANY, control::branch),
    "Loop" => op(1, 2..=MANY, MANY, control::repeat),
    "Scan" => op(9, 1..=MANY, MANY, control::scan),
    "Identity" => op(1, 1..=1, 1, source::identity),
    "Dropout" => op(7, 1..=3, 2, source::dropout),
}
