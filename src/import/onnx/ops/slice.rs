//! Cutting.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{Slice, Split, TensorId};

pub(super) fn split(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given_axis = attrs.int_or("axis", 0)?;
    let given = if cx.opset() < 13 { attrs.ints("split")?.map(<[i64]>::to_vec) } else { None };
    let num_outputs = if cx.opset() >= 18 { attrs.int("num_outputs")? } else { None };
    attrs.finish()?;
    let (x, input) = (cx.input(0)?, cx.optional(1)?);
    let sizes = match input {
        Some(_) if cx.opset() < 13 => {
            return Err(Stop::because("its sizes are an input, but must be an attribute"));
        }
        Some(_) if num_outputs.is_some() => {
            return Err(Stop::because("it has both sizes and 'num_outputs': leave one out"));
        }
        Some(input) => Some(cx.need_ints(input, "its sizes")?),
        None => given,
    };
    let parts = cx.node.output.len();
    if num_outputs.is_some_and(|n| usize::try_from(n) != Ok(parts)) {
        return Err(Stop::because(format!("attribute 'num_outputs' is not the number of outputs, {parts}")));
    }
    let axis = axis(given_axis, cx.rank(x))?;
    let sizes = match sizes {
        Some(sizes) => explicit(cx, x, axis, &sizes)?,
        None => equal(cx, x, axis)?,
    };
    cx.emit_all(Split { axis, sizes }, &[Some(x)])
}

fn explicit(cx: &Context, x: TensorId, axis: usize, sizes: &[i64]) -> Result<Vec<usize>, Stop> {
    let parts = cx.node.output.len();
    let wrong =
        || Stop::because(format!("its sizes {sizes:?} don't cut dimension {axis} into {parts} parts"));
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&s| usize::try_from(s).ok()).collect();
    let sizes = sizes.filter(|s| s.len() == parts).ok_or_else(wrong)?;
    let total = sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s)).ok_or_else(wrong)?;
    match cx.extent(x, axis) {
        Some(len) if len != total => Err(wrong()),
        _ => Ok(sizes),
    }
}

/// Equal parts: nothing to say, except that before operator set 18 they had to be equal.
fn equal(cx: &Context, x: TensorId, axis: usize) -> Result<Vec<usize>, Stop> {
    let parts = cx.node.output.len();
    match cx.extent(x, axis) {
        Some(len) if cx.opset() < 18 && len % parts != 0 => {
            Err(Stop::because(format!("{len} elements can't be cut into {parts} equal parts")))
        }
        _ => Ok(vec![]),
    }
}

/// The bounds are attributes at first, inputs from operator set 10 on.
pub(super) fn slice(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    if cx.opset() < 10 {
        let missing = |name| Stop::because(format!("attribute '{name}' is missing"));
        let starts = attrs.ints("starts")?.ok_or_else(|| missing("starts"))?;
        let ends = attrs.ints("ends")?.ok_or_else(|| missing("ends"))?;
        let axes = attrs.ints("axes")?;
        attrs.finish()?;
        let x = cx.input(0)?;
        let starts = cx.int_vector("starts", starts)?;
        let ends = cx.int_vector("ends", ends)?;
        let axes = axes.map(|a| cx.int_vector("axes", a)).transpose()?;
        return cx.emit(Slice {}, &[Some(x), Some(starts), Some(ends), axes]);
    }
    attrs.finish()?;
    let x = cx.input(0)?;
    let mut inputs = vec![Some(x), Some(cx.input(1)?), Some(cx.input(2)?), cx.optional(3)?, cx.optional(4)?];
    for input in inputs.iter_mut().skip(1) {
        *input = input.map(|id| cx.as_i64(id)).transpose()?;
    }
    cx.emit(Slice {}, &inputs)
}
