//! Joining and splitting tensors.

use super::super::super::node::{Stop, axis};
use super::super::context::Context;
use super::dim;
use crate::graph::{Concat, DType, Requantize, Split, Squeeze, TensorId, Unsqueeze};

/// `ConcatenationOptions`: axis, fused_activation_function.
pub(in super::super) fn concatenation(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (at, clamp) = (cx.options.scalar::<i32>(0, 0)?, cx.options.activation(1)?);
    let mut inputs = cx.inputs()?;
    let axis = axis(at.into(), cx.rank(inputs[0]))?;
    let out = cx.template(0)?;
    for (i, id) in inputs.iter_mut().enumerate() {
        let x = cx.tensor(*id);
        if matches!(x.dtype, DType::U8 | DType::I16) && x.quant.is_some() && x.quant != out.quant {
            *id = cx.inner(&format!("part{i}"), Requantize {}, &[*id], (out.dtype, out.quant.clone()))?;
        }
    }
    cx.emit_with(Concat { axis }, &inputs, clamp)
}

/// `PackOptions`: values_count, axis.
pub(in super::super) fn pack(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let at = cx.options.scalar::<i32>(1, 0)?;
    let mut inputs = cx.inputs()?;
    let axis = axis(at.into(), cx.rank(inputs[0]) + 1)?;
    for (i, id) in inputs.iter_mut().enumerate() {
        let form = (cx.tensor(*id).dtype, cx.tensor(*id).quant.clone());
        *id = cx.inner(&format!("part{i}"), Unsqueeze { axes: vec![axis] }, &[*id], form)?;
    }
    cx.emit_moved(Concat { axis }, &inputs)
}

/// `UnpackOptions`: num, axis. As many parts of length 1 as there are outputs, without the axis.
pub(in super::super) fn unpack(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (count, at) = (cx.options.scalar::<i32>(0, 0)?, cx.options.scalar::<i32>(1, 0)?);
    let outputs = cx.operator.outputs.len();
    if usize::try_from(count) != Ok(outputs) {
        return Err(Stop::because(format!("it unpacks {count} parts, but has {outputs} outputs")));
    }
    let x = cx.input(0)?;
    let axis = axis(at.into(), cx.rank(x))?;
    let parts = cx.inner_parts("part", Split { axis, sizes: vec![1; outputs] }, x, outputs)?;
    let squeezed = |(i, part)| cx.emit_nth(i, Squeeze { axes: vec![axis] }, &[part]);
    parts.into_iter().enumerate().map(squeezed).collect()
}

/// Into as many equal parts as there are outputs. Inputs: axis, x.
pub(in super::super) fn split(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(1)?;
    let axis = axis(cx.int(0, "axis")?, cx.rank(x))?;
    cx.emit_moved(Split { axis, sizes: vec![] }, &[x])
}

/// Inputs: x, sizes, axis.
pub(in super::super) fn split_v(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let axis = axis(cx.int(2, "axis")?, cx.rank(x))?;
    let mut sizes = cx.ints(1, "sizes")?;
    let rest = sizes.iter().filter(|&&s| s != -1).try_fold(0i64, |n, &s| n.checked_add(s));
    // One of them may be all that is left.
    if let (Some(i), Some(rest), Some(len)) =
        (sizes.iter().position(|&s| s == -1), rest, cx.tensor(x).shape[axis].fixed())
    {
        sizes[i] = dim(len).saturating_sub(rest);
    }
    let sizes = sizes.into_iter().map(usize::try_from).collect::<Result<_, _>>();
    let sizes = sizes.map_err(|_| Stop::because("its sizes don't fit its input"))?;
    cx.emit_moved(Split { axis, sizes }, &[x])
}
