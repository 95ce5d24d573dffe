//! Normalization over rows.

use super::super::context::{Context, Stop};
use super::{axis, of_one, of_two};
use crate::graph::{BinaryKind, LayerNorm, Reduce, ReduceKind, Shape, TensorId, UnaryKind};

/// The attributes that both normalizations have: axis and epsilon.
fn attributes(cx: &Context) -> Result<(i64, f32), Stop> {
    let mut attrs = cx.attrs();
    let axis = attrs.int_or("axis", -1)?;
    let epsilon = attrs.float_or("epsilon", 1e-5)?;
    // The type that statistics are computed in: f32 here.
    attrs.ignore(&["stash_type"]);
    attrs.finish()?;
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        return Err(Stop::because(format!("attribute 'epsilon' is {epsilon}, it must be positive")));
    }
    Ok((axis, epsilon))
}

pub(super) fn layer_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (given, epsilon) = attributes(cx)?;
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    cx.need_float(x)?;
    let axis = axis(given, cx.rank(x))?;
    let op = LayerNorm { axis, epsilon, rms: false };
    let mut outputs = normalized(cx, op, x, scale, bias)?;
    if cx.is_read(1) || cx.is_read(2) {
        outputs.extend(statistics(cx, x, axis, epsilon)?);
    }
    Ok(outputs)
}

pub(super) fn rms_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (given, epsilon) = attributes(cx)?;
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    cx.need_float(x)?;
    let axis = axis(given, cx.rank(x))?;
    normalized(cx, LayerNorm { axis, epsilon, rms: true }, x, scale, None)
}

/// True if a scale or bias has one value for each that is normalized.
fn is_whole(shape: &Shape, over: &Shape) -> bool {
    let given: Vec<_> = shape.iter().skip_while(|d| d.fixed() == Some(1)).collect();
    let wanted: Vec<_> = over.iter().skip_while(|d| d.fixed() == Some(1)).collect();
    given == wanted
}

/// Scale and bias are part of the node where they have one value for each that is normalized; otherwise they are
/// broadcast behind it.
pub(super) fn normalized(
    cx: &mut Context,
    op: LayerNorm,
    x: TensorId,
    scale: TensorId,
    bias: Option<TensorId>,
) -> Result<Vec<TensorId>, Stop> {
    cx.need_float(scale)?;
    bias.map_or(Ok(()), |b| cx.need_float(b))?;
    let over = Shape(cx.shape(x)[op.axis..].to_vec());
    let whole = |t: TensorId| is_whole(&cx.shape(t), &over);
    if whole(scale) && bias.is_none_or(whole) {
        return cx.emit(op, &[Some(x), Some(scale), bias]);
    }
    let y = cx.core("normal", op, &[Some(x)])?;
    match bias {
        None => cx.last("scaled", of_two(BinaryKind::Mul), &[Some(y), Some(scale)]),
        Some(bias) => {
            let y = cx.inner("scaled", of_two(BinaryKind::Mul), &[Some(y), Some(scale)])?;
            cx.last("shifted", of_two(BinaryKind::Add), &[Some(y), Some(bias)])
        }
    }
}

/// The mean, and the inverse of the standard deviation.
fn statistics(cx: &mut Context, x: TensorId, axis: usize, epsilon: f32) -> Result<[TensorId; 2], Stop> {
    let axes: Vec<usize> = (axis..cx.rank(x)).collect();
    let mean_over = |axes: &[usize]| Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep_dims: true };
    let mean = cx.inner("mean", mean_over(&axes), &[Some(x)])?;
    let centred = cx.inner("centred", of_two(BinaryKind::Sub), &[Some(x), Some(mean)])?;
    let squares = cx.inner("squares", of_two(BinaryKind::Mul), &[Some(centred), Some(centred)])?;
    let variance = cx.inner("variance", mean_over(&axes), &[Some(squares)])?;
    let epsilon = cx.scalar("epsilon", epsilon)?;
    let raised = cx.inner("raised", of_two(BinaryKind::Add), &[Some(variance), Some(epsilon)])?;
    let deviation = cx.inner("deviation", of_one(UnaryKind::Sqrt), &[Some(raised)])?;
    Ok([mean, cx.inner("inverse", of_one(UnaryKind::Reciprocal), &[Some(deviation)])?])
}
