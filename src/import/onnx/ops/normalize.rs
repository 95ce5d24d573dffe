//! Batch normalization and softmax.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{BatchNorm, Dim, Flatten, Reshape, ShapeOf, Softmax, TensorId};

pub(super) fn batch_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let epsilon = attrs.float_or("epsilon", 1e-5)?;
    // How training averages; inference reads the averages.
    attrs.ignore(&["momentum"]);
    if cx.opset() < 9 && !attrs.flag("spatial", true)? {
        return Err(Stop::because("attribute 'spatial' is 0: statistics per position are not supported"));
    }
    if cx.opset() >= 14 && attrs.flag("training_mode", false)? {
        return Err(Stop::because("attribute 'training_mode' is 1: export the model for inference"));
    }
    attrs.finish()?;
    // Before there was an attribute for it, more outputs meant training, whether somebody reads them or not.
    if cx.opset() < 14 && cx.named_outputs() > 1 {
        return Err(Stop::because("it has the outputs of training: export the model for inference"));
    }
    let inputs = cx.inputs()?;
    let rank = cx.rank(inputs[0]);
    if rank < 2 {
        return Err(Stop::because(format!("the input has rank {rank}, it must be at least 2: [N, C, ...]")));
    }
    let inputs: Vec<Option<TensorId>> = inputs.into_iter().map(Some).collect();
    cx.emit(BatchNorm { axis: 1, epsilon }, &inputs)
}

pub(super) fn softmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    along(cx, false)
}

pub(super) fn log_softmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    along(cx, true)
}

fn along(cx: &mut Context, log: bool) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    // Of a quantized softmax, which tells itself what operator set its float form was taken from.
    let own = attrs.int_or("opset", cx.opset())?;
    let flattens = own < 13;
    let given = attrs.int_or("axis", if flattens { 1 } else { -1 })?;
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let shape = cx.shape(x);
    let axis = axis(given, shape.rank())?;
    if !flattens {
        return cx.emit(Softmax { axis, log }, &[Some(x)]);
    }
    // Before operator set 13 all dimensions from `axis` on count as one. That is one dimension anyway if the
    // others have length 1.
    let long: Vec<usize> = (axis..shape.rank()).filter(|&d| shape[d] != Dim::Fixed(1)).collect();
    match long[..] {
        [] => cx.emit(Softmax { axis, log }, &[Some(x)]),
        [one] => cx.emit(Softmax { axis: one, log }, &[Some(x)]),
        _ => {
            let dims = cx.inner("shape", ShapeOf { start: 0, end: i64::MAX }, &[Some(x)])?;
            let flat = cx.inner("flat", Flatten { axis }, &[Some(x)])?;
            let y = cx.core("softmax", Softmax { axis: 1, log }, &[Some(flat)])?;
            cx.last("unflat", Reshape { allow_zero: false }, &[Some(y), Some(dims)])
        }
    }
}
