//! The operators of TensorFlow Lite: one table, one handler each.

mod conv;
mod convert;
mod custom;
mod elementwise;
mod join;
mod linear;
mod pool;
mod recurrent;
mod recurrent_integer;
mod reduce;
mod resize;
mod shape;
mod slice;

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
        "EXP" => unary(|cx| elementwise::unary(cx, UnaryKind::Exp)),
        "ABS" => unary(|cx| elementwise::unary(cx, UnaryKind::Abs)),
        "UNIDIRECTIONAL_SEQUENCE_LSTM" => op(20..=24, 71, recurrent::lstm),
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
        "RESHAPE" => op(1..=2, 17, shape::reshape),
        "SQUEEZE" => op(1..=1, 30, shape::squeeze),
        "EXPAND_DIMS" => op(2..=2, 0, shape::expand_dims),
        "TRANSPOSE" => op(2..=2, 0, shape::transpose),
        "PAD" => op(2..=2, 0, shape::pad),
        "PADV2" => op(3..=3, 0, shape::pad),
        "CONCATENATION" => op(1..=MANY, 10, join::concatenation),
        "PACK" => op(1..=MANY, 59, join::pack),
        "UNPACK" => several(1..=1, 64, join::unpack),
        "GATHER" => op(2..=2, 23, slice::gather),
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
