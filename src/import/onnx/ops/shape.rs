//! The same elements in another shape, and repetition.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::axes;
use crate::graph::{
    Expand, Flatten, Op, Reduce, ReduceKind, Reshape, ShapeOf, Squeeze, Tensor, TensorId, Tile, Transpose,
    Unsqueeze,
};

pub(super) fn reshape(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let allow_zero = cx.opset() >= 14 && attrs.flag("allowzero", false)?;
    attrs.finish()?;
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.as_i64(shape)?;
    reshaped(cx, Reshape { allow_zero }, x, &[Some(shape)])
}

pub(super) fn flatten(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 1)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    // One more than the last dimension is a place to cut, too.
    let axis = if given == rank as i64 { rank } else { super::axis(given, rank)? };
    reshaped(cx, Flatten { axis }, x, &[])
}

pub(super) fn transpose(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.ints("perm")?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let perm: Vec<usize> = match given {
        None => (0..rank).rev().collect(),
        Some(given) => {
            let perm: Option<Vec<usize>> = given.iter().map(|&p| usize::try_from(p).ok()).collect();
            let valid = |perm: &Vec<usize>| {
                let mut sorted = perm.clone();
                sorted.sort_unstable();
                sorted == (0..rank).collect::<Vec<_>>()
            };
            perm.filter(valid).ok_or_else(|| {
                Stop::because(format!("attribute 'perm' is {given:?}: not an order of {rank} dimensions"))
            })?
        }
    };
    if let Some(dims) = cx.shape(x).dims() {
        let shape: Vec<usize> = perm.iter().map(|&p| dims[p]).collect();
        if let Some(made) = cx.reordered(x, "transposed", &dims, &perm, &shape)? {
            return Ok(vec![made]);
        }
    }
    cx.emit(Transpose { perm }, &[Some(x)])
}

pub(super) fn squeeze(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = axes_attribute(cx, &mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let axes = match axes_given(cx, given)? {
        Some(given) => axes(&given, cx.rank(x))?,
        None => vec![],
    };
    reshaped(cx, Squeeze { axes }, x, &[])
}

pub(super) fn unsqueeze(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = axes_attribute(cx, &mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let given = axes_given(cx, given)?.ok_or_else(|| Stop::because("its axes are missing"))?;
    let axes = axes(&given, cx.rank(x) + given.len())?;
    reshaped(cx, Unsqueeze { axes }, x, &[])
}

/// The axes as an attribute: before operator set 13.
fn axes_attribute(cx: &Context, attrs: &mut Attrs) -> Result<Option<Vec<i64>>, Stop> {
    if cx.opset() < 13 { Ok(attrs.ints("axes")?.map(<[i64]>::to_vec)) } else { Ok(None) }
}

/// The axes, from operator set 13 on an input.
fn axes_given(cx: &Context, attribute: Option<Vec<i64>>) -> Result<Option<Vec<i64>>, Stop> {
    match cx.optional(1)? {
        Some(_) if cx.opset() < 13 => Err(Stop::because("its axes are an input, but must be an attribute")),
        Some(input) => cx.need_ints(input, "its axes").map(Some),
        None => Ok(attribute),
    }
}

/// Adds a node that leaves the order of elements alone. Of a constant it makes a constant at once, so that
/// weights are seen as such by what follows; the node is swept away.
fn reshaped(
    cx: &mut Context,
    op: impl Into<Op>,
    x: TensorId,
    others: &[Option<TensorId>],
) -> Result<Vec<TensorId>, Stop> {
    let inputs: Vec<Option<TensorId>> = std::iter::once(Some(x)).chain(others.iter().copied()).collect();
    let y = cx.emit(op, &inputs)?;
    let shape = cx.shape(y[0]);
    match (cx.data(x).cloned(), shape.dims()) {
        (Some(data), Some(dims)) => {
            let name = format!("{}/constant", cx.name);
            // Shares the bytes of the original: takes no room.
            let constant = Tensor::constant(name, cx.dtype(x), &dims, data);
            Ok(vec![cx.state.build.tensor(constant)])
        }
        _ => Ok(y),
    }
}

pub(super) fn expand(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.as_i64(shape)?;
    cx.emit(Expand {}, &[Some(x), Some(shape)])
}

pub(super) fn tile(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (x, repeats) = (cx.input(0)?, cx.input(1)?);
    let repeats = cx.as_i64(repeats)?;
    cx.emit(Tile {}, &[Some(x), Some(repeats)])
}

pub(super) fn shape_of(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (start, end) = match cx.opset() {
        ..15 => (0, i64::MAX),
        _ => (attrs.int_or("start", 0)?, attrs.int_or("end", i64::MAX)?),
    };
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.emit(ShapeOf { start, end }, &[Some(x)])
}

/// The number of elements, as the product of the dimensions.
pub(super) fn size(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let x = cx.input(0)?;
    let shape = cx.inner("shape", ShapeOf { start: 0, end: i64::MAX }, &[Some(x)])?;
    cx.emit(Reduce { kind: ReduceKind::Prod, axes: vec![0], keep_dims: false }, &[Some(shape)])
}
