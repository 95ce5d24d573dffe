//! Operators that look along axes.

use super::super::super::node::{Stop, axes, axis};
use super::super::context::Context;
use crate::graph::{ArgMax, Cast, DType, Reduce, ReduceKind, Softmax, TensorId};

/// `ReducerOptions`: keep_dims.
pub(in super::super) fn reduce(cx: &mut Context, kind: ReduceKind) -> Result<Vec<TensorId>, Stop> {
    let (keep_dims, x) = (cx.options.flag(0)?, cx.input(0)?);
    let axes = axes(&cx.ints(1, "axes")?, cx.rank(x))?;
    cx.emit(Reduce { kind, axes, keep_dims }, &[x])
}

/// `SoftmaxOptions`: beta.
pub(in super::super) fn softmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let beta = cx.options.scalar::<f32>(0, 0.0)?;
    if beta != 1.0 {
        return Err(Stop::because(format!("its beta is {beta}, only 1 is supported")));
    }
    let x = cx.input(0)?;
    let last = cx.rank(x).checked_sub(1).ok_or_else(|| Stop::because("its input is a scalar"))?;
    cx.emit(Softmax { axis: last, log: false }, &[x])
}

/// The output's type says what `ArgMaxOptions` says.
pub(in super::super) fn arg_max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let axis = axis(cx.int(1, "axis")?, cx.rank(x))?;
    let op = ArgMax { axis, keep_dims: false, select_last: false };
    if cx.out(0)?.dtype == DType::I64 {
        return cx.emit(op, &[x]);
    }
    let wide = cx.inner("i64", op, &[x], (DType::I64, None))?;
    cx.emit(Cast {}, &[wide])
}
