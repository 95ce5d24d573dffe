//! Reductions.

use super::super::context::{Context, Stop};
use super::{axes, axis};
use crate::graph::{ArgMax, Reduce, ReduceKind, TensorId};

pub(super) fn reduce(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    // The operator set from which on the axes are an input.
    let (kind, axes_input_since) = match cx.node.op_type.as_str() {
        "ReduceSum" => (ReduceKind::Sum, 13),
        "ReduceMean" => (ReduceKind::Mean, 18),
        "ReduceMax" => (ReduceKind::Max, 18),
        _ => (ReduceKind::Min, 18),
    };
    let as_input = cx.opset() >= axes_input_since;
    let mut attrs = cx.attrs();
    let keep_dims = attrs.flag("keepdims", true)?;
    let given = if as_input { None } else { attrs.ints("axes")?.map(<[i64]>::to_vec) };
    let none_means_none = as_input && attrs.flag("noop_with_empty_axes", false)?;
    attrs.finish()?;
    let (x, input) = (cx.input(0)?, cx.optional(1)?);
    let given = match input {
        Some(_) if !as_input => return Err(Stop::because("its axes are an input, but must be an attribute")),
        Some(input) => Some(cx.need_ints(input, "its axes")?),
        None => given,
    };
    let rank = cx.rank(x);
    let axes = match given.as_deref() {
        None | Some([]) if none_means_none => return Ok(vec![x]),
        None | Some([]) => (0..rank).collect(),
        Some(given) => axes(given, rank)?,
    };
    cx.emit(Reduce { kind, axes, keep_dims }, &[Some(x)])
}

pub(super) fn arg_max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 0)?;
    let keep_dims = attrs.flag("keepdims", true)?;
    let select_last = cx.opset() >= 12 && attrs.flag("select_last_index", false)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let axis = axis(given, cx.rank(x))?;
    cx.emit(ArgMax { axis, keep_dims, select_last }, &[Some(x)])
}
