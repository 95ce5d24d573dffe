//! Products with constant weights.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::weights::{Operands, Order, Weights, take};
use crate::graph::{Dim, Linear, TensorId};

/// `FullyConnectedOptions`: fused_activation_function, weights_format, keep_num_dims, ...
pub(in super::super) fn fully_connected(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let clamp = cx.options.activation(0)?;
    if cx.options.scalar::<i8>(1, 0)? != 0 {
        return Err(Stop::because("its weights are shuffled for another machine's kernels"));
    }
    let keeps_dims = cx.options.flag(2)?;
    let operands = Operands { x: 0, weights: 1, bias: 2, order: Order::OutputFirst };
    let Weights { mut inputs, dims, .. } = take(cx, &operands)?;
    let &[_, k] = &dims[..] else {
        return Err(Stop::because(format!("its weights have the shape {dims:?}, they must be a matrix")));
    };
    let shape = &cx.tensor(inputs[0]).shape;
    let fits = shape.last() == Some(&Dim::Fixed(k)) && (keeps_dims || shape.rank() == 2);
    if !fits {
        // All that is not one row of products counts as rows.
        inputs[0] = cx.reshaped("rows", inputs[0], &[-1, i64::try_from(k).unwrap_or(i64::MAX)])?;
    }
    cx.emit(Linear { clamp }, &inputs)
}
