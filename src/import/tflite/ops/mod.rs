//! The operators of TensorFlow Lite: one table, one handler each.

mod choose;
mod conv;
mod convert;
mod custom;
mod elementwise;
mod join;
mod linear;
mod pool;
mod rearrange;
mod recurrent;
mod recurrent_integer;
mod recurrent_simple;
mod reduce;
mod resize;
mod shape;
mod sizes;
mod slice;
mod svdf;

use super::super::node::Stop;
use super::context::Context;
use super::schema;
use crate::custom::MAX_INPUTS;
use crate::graph::{BinaryKind, ReduceKind, TensorId, UnaryKind};
use std::ops::RangeInclusive;

/// Imports one operator: returns its outputs in the file's order.
type Handler = for<'s, 'a, 'b> fn(&mut Context<'s, 'a, 'b>) -> Result<Vec<TensorId>, Stop>;

/// What is known of an operator before its handler runs.
pub(super) struct Operator {
    inputs: RangeInclusive<usize>,
    outputs: RangeInclusive<usize>,
    /// Number of the table that its options are, in `BuiltinOptions` of the schema.
    options: u8,
    pub import: Handler,
}

const MANY: usize = usize::MAX;

/// What the names of operators start with that the application may know.
pub(super) const CUSTOM: &str = "CUSTOM ";

impl Operator {
    /// Refuses an operator with other inputs, outputs or options than it takes.
    pub fn check(&self, operator: &schema::Operator) -> Result<(), Stop> {
        let (inputs, outputs) = (operator.inputs.len(), operator.outputs.len());
        if !self.inputs.contains(&inputs) || !self.outputs.contains(&outputs) {
            return Err(Stop::because(format!("it can't have {inputs} inputs and {outputs} outputs")));
        }
        // The handlers of operators without parameters read none, whatever is there.
        if self.options != 0 && operator.options.is_some() && operator.options_type != self.options {
            return Err(Stop::because("its options are those of another operator"));
        }
        Ok(())
    }
}

/// An extent as the graph wants it in a shape.
fn dim(extent: usize) -> i64 {
    i64::try_from(extent).unwrap_or(i64::MAX)
}

/// The operator with this name.
pub(super) fn find(name: &str) -> Option<Operator> {
    let op = |inputs, options, import: Handler| Some(Operator { inputs, outputs: 1..=1, options, import });
    let unary = |import| op(1..=1, 0, import);
    let several =
        |inputs, options, import: Handler| Some(Operator { inputs, outputs: 1..=MANY, options, import });
    match name {
        "CONV_2D" => op(2..=3, 1, conv::conv),
        "DEPTHWISE_CONV_2D" => op(2..=3, 2, conv::depthwise),
        "TRANSPOSE_CONV" => op(3..=4, 49, conv::transposed),
        "FULLY_CONNECTED" => op(2..=3, 8, linear::fully_connected),
        "AVERAGE_POOL_2D" => op(1..=1, 5, pool::average),
        "MAX_POOL_2D" => op(1..=1, 5, pool::max),
        "ADD" => op(2..=2, 11, |cx| elementwise::arithmetic(cx, BinaryKind::Add)),
        "SUB" => op(2..=2, 28, |cx| elementwise::arithmetic(cx, BinaryKind::Sub)),
        "MUL" => op(2..=2, 21, |cx| elementwise::arithmetic(cx, BinaryKind::Mul)),
        "DIV" => op(2..=2, 29, |cx| elementwise::arithmetic(cx, BinaryKind::Div)),
        "POW" => op(2..=2, 0, |cx| elementwise::binary(cx, BinaryKind::Pow)),
        "MAXIMUM" => op(2..=2, 0, |cx| elementwise::binary(cx, BinaryKind::Max)),
        "MINIMUM" => op(2..=2, 0, |cx| elementwise::binary(cx, BinaryKind::Min)),
        "PRELU" => op(2..=2, 0, |cx| elementwise::binary(cx, BinaryKind::PRelu)),
        "LEAKY_RELU" => op(1..=1, 75, elementwise::leaky_relu),
        "RELU" => unary(|cx| elementwise::unary(cx, UnaryKind::Relu)),
        "RELU6" => unary(|cx| elementwise::clip(cx, 0.0, 6.0)),
        "RELU_N1_TO_1" => unary(|cx| elementwise::clip(cx, -1.0, 1.0)),
        "LOGISTIC" => unary(|cx| elementwise::unary(cx, UnaryKind::Sigmoid)),
        "TANH" => unary(|cx| elementwise::unary(cx, UnaryKind::Tanh)),
        "HARD_SWISH" => unary(|cx| elementwise::unary(cx, UnaryKind::HardSwish)),
        "SIN" => unary(|cx| elementwise::unary(cx, UnaryKind::Sin)),
        "COS" => unary(|cx| elementwise::unary(cx, UnaryKind::Cos)),
        "SIGN" => unary(|cx| elementwise::unary(cx, UnaryKind::Sign)),
        "ELU" => unary(elementwise::elu),
        "GELU" => op(1..=1, 116, elementwise::gelu),
        "RSQRT" => unary(elementwise::rsqrt),
        "SQUARE" => unary(elementwise::square),
        "RELU_0_TO_1" => unary(|cx| elementwise::clip(cx, 0.0, 1.0)),
        "SQUARED_DIFFERENCE" => op(2..=2, 0, elementwise::squared_difference),
        "FLOOR_DIV" => op(2..=2, 0, elementwise::floor_div),
        "FLOOR_MOD" => op(2..=2, 0, elementwise::floor_mod),
        "ADD_N" => op(2..=MANY, 0, elementwise::add_n),
        "EQUAL" => op(2..=2, 0, |cx| choose::compare(cx, BinaryKind::Equal)),
        "NOT_EQUAL" => op(2..=2, 0, choose::not_equal),
        "LESS" => op(2..=2, 0, |cx| choose::compare(cx, BinaryKind::Less)),
        "LESS_EQUAL" => op(2..=2, 0, |cx| choose::compare(cx, BinaryKind::LessEqual)),
        "GREATER" => op(2..=2, 0, |cx| choose::compare(cx, BinaryKind::Greater)),
        "GREATER_EQUAL" => op(2..=2, 0, |cx| choose::compare(cx, BinaryKind::GreaterEqual)),
        "LOGICAL_AND" => op(2..=2, 0, |cx| choose::logical(cx, BinaryKind::And)),
        "LOGICAL_OR" => op(2..=2, 0, |cx| choose::logical(cx, BinaryKind::Or)),
        "LOGICAL_NOT" => unary(choose::logical_not),
        "SELECT" => op(3..=3, 0, |cx| choose::select(cx, true)),
        "SELECT_V2" => op(3..=3, 0, |cx| choose::select(cx, false)),
        "GATHER_ND" => op(2..=2, 0, choose::gather_nd),
        "SCATTER_ND" => op(3..=3, 0, choose::scatter_nd),
        "TOPK_V2" => Some(Operator { inputs: 2..=2, outputs: 2..=2, options: 0, import: choose::top_k }),
        "EMBEDDING_LOOKUP" => op(2..=2, 0, choose::embedding),
        "ONE_HOT" => op(4..=4, 61, choose::one_hot),
        "DEPTH_TO_SPACE" => op(1..=1, 94, rearrange::depth_to_space),
        "SPACE_TO_DEPTH" => op(1..=1, 19, rearrange::space_to_depth),
        "SPACE_TO_BATCH_ND" => op(3..=3, 0, rearrange::space_to_batch),
        "BATCH_TO_SPACE_ND" => op(3..=3, 0, rearrange::batch_to_space),
        "TILE" => op(2..=2, 0, rearrange::tile),
        "BROADCAST_TO" => op(2..=2, 0, rearrange::broadcast_to),
        "REVERSE_V2" => op(2..=2, 0, rearrange::reverse),
        "MIRROR_PAD" => op(2..=2, 77, rearrange::mirror_pad),
        "SHAPE" => unary(sizes::shape),
        "RANK" => unary(sizes::rank),
        "FILL" => op(2..=2, 0, sizes::fill),
        "RANGE" => op(3..=3, 0, sizes::range),
        "ZEROS_LIKE" => unary(sizes::zeros_like),
        "LOG_SOFTMAX" => unary(reduce::log_softmax),
        "CUMSUM" => op(2..=2, 102, reduce::cum_sum),
        "L2_NORMALIZATION" => op(1..=1, 12, reduce::l2_normalization),
        "REDUCE_PROD" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Prod)),
        "REDUCE_ANY" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Max)),
        "REDUCE_ALL" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Min)),
        "ARG_MIN" => op(2..=2, 0, reduce::arg_min),
        "L2_POOL_2D" => op(1..=1, 5, pool::l2),
        "EXP" => unary(|cx| elementwise::unary(cx, UnaryKind::Exp)),
        "ABS" => unary(|cx| elementwise::unary(cx, UnaryKind::Abs)),
        "UNIDIRECTIONAL_SEQUENCE_LSTM" => op(20..=24, 71, recurrent::lstm),
        "LSTM" => op(20..=24, 14, recurrent_simple::lstm_step),
        "RNN" => op(5..=5, 7, recurrent_simple::step),
        "UNIDIRECTIONAL_SEQUENCE_RNN" => op(5..=5, 31, recurrent_simple::sequence),
        "BIDIRECTIONAL_SEQUENCE_RNN" => several(9..=12, 70, recurrent_simple::both),
        "BIDIRECTIONAL_SEQUENCE_LSTM" => several(39..=48, 69, recurrent_simple::both_lstm),
        "SVDF" => op(5..=5, 6, svdf::svdf),
        "NEG" => unary(|cx| elementwise::unary(cx, UnaryKind::Neg)),
        "SQRT" => unary(|cx| elementwise::unary(cx, UnaryKind::Sqrt)),
        "LOG" => unary(|cx| elementwise::unary(cx, UnaryKind::Log)),
        "FLOOR" => unary(|cx| elementwise::unary(cx, UnaryKind::Floor)),
        "CEIL" => unary(|cx| elementwise::unary(cx, UnaryKind::Ceil)),
        "ROUND" => unary(|cx| elementwise::unary(cx, UnaryKind::Round)),
        "SOFTMAX" => op(1..=1, 9, reduce::softmax),
        "MEAN" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Mean)),
        "SUM" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Sum)),
        "REDUCE_MAX" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Max)),
        "REDUCE_MIN" => op(2..=2, 27, |cx| reduce::reduce(cx, ReduceKind::Min)),
        "ARG_MAX" => op(2..=2, 0, reduce::arg_max),
        "RESHAPE" => op(1..=2, 17, sizes::reshape),
        "SQUEEZE" => op(1..=1, 30, shape::squeeze),
        "EXPAND_DIMS" => op(2..=2, 0, shape::expand_dims),
        "TRANSPOSE" => op(2..=2, 0, shape::transpose),
        "PAD" => op(2..=2, 0, shape::pad),
        "PADV2" => op(3..=3, 0, shape::pad),
        "CONCATENATION" => op(1..=MANY, 10, join::concatenation),
        "PACK" => op(1..=MANY, 59, join::pack),
        "UNPACK" => several(1..=1, 64, join::unpack),
        "GATHER" => op(2..=2, 23, choose::gather),
        "BATCH_MATMUL" => op(2..=2, 101, linear::batch_matmul),
        "SPLIT" => several(2..=2, 0, join::split),
        "SPLIT_V" => several(3..=3, 0, join::split_v),
        "SLICE" => op(3..=3, 0, slice::slice),
        "STRIDED_SLICE" => op(4..=4, 32, slice::strided),
        "RESIZE_BILINEAR" => op(2..=2, 15, resize::bilinear),
        "RESIZE_NEAREST_NEIGHBOR" => op(2..=2, 74, resize::nearest),
        "QUANTIZE" => unary(convert::quantize),
        "DEQUANTIZE" => unary(convert::dequantize),
        "CAST" => unary(convert::cast),
        _ => {
            let known = name.strip_prefix(CUSTOM).is_some_and(crate::custom::is_registered);
            known.then_some(Operator {
                inputs: 1..=MAX_INPUTS,
                outputs: 1..=1,
                options: 0,
                import: custom::custom,
            })
        }
    }
}
