//! Quantization that no kernel does at once, as functions of floats: scales that are computed, that differ by channels
//! of an activation or by blocks, integers of 32 bits or of fewer than 8.
//!
//! `q = clamp(round(x / scale) + zero_point)` and `x = (q - zero_point) * scale`, each step in f32: sums and
//! differences of integers of 16 bits are exact.

use super::super::context::{Context, Stop};
use super::quantization::Integers;
use super::{axis, of_one, of_two};
use crate::graph::{BinaryKind, DType, Data, Gather, Squeeze, TensorId, Unary, UnaryKind, Unsqueeze};

/// A tensor, and what its integers stand for.
pub(super) struct Reals {
    pub x: TensorId,
    pub scale: TensorId,
    pub zero: Option<TensorId>,
    /// The axis that scales lie along, where there is more than one.
    pub axis: i64,
    /// Elements along the axis that share a scale; 0: one scale per index.
    pub block: usize,
}

pub(super) fn quantize(cx: &mut Context, reals: &Reals, to: Integers) -> Result<TensorId, Stop> {
    let (scale, zero) = parameters(cx, reals, to)?;
    let steps = cx.inner("steps", of_two(BinaryKind::Div), &[Some(reals.x), Some(scale)])?;
    let mut whole = cx.inner("whole", of_one(UnaryKind::Round), &[Some(steps)])?;
    if let Some(zero) = zero {
        whole = cx.inner("moved", of_two(BinaryKind::Add), &[Some(whole), Some(zero)])?;
    }
    let [alpha, beta] = to.range().map(|bound| bound as f32);
    let kept = cx.inner("kept", Unary { kind: UnaryKind::Clip, alpha, beta }, &[Some(whole)])?;
    cx.cast("codes", kept, to.dtype)
}

pub(super) fn dequantize(cx: &mut Context, reals: &Reals, from: Integers) -> Result<Vec<TensorId>, Stop> {
    if from.dtype == DType::I32 && !reals.zero.is_none_or(|zero| is_zero(cx, zero)) {
        return Err(Stop::because("integers of 32 bits need the zero point 0"));
    }
    let (scale, zero) = parameters(cx, reals, from)?;
    let mut x = cx.cast("float", reals.x, DType::F32)?;
    if let Some(zero) = zero {
        x = cx.inner("moved", of_two(BinaryKind::Sub), &[Some(x), Some(zero)])?;
    }
    cx.last("real", of_two(BinaryKind::Mul), &[Some(x), Some(scale)])
}

fn is_zero(cx: &Context, zero: TensorId) -> bool {
    cx.data(zero).is_some_and(|data| data.bytes().iter().all(|&b| b == 0))
}

/// Scale and zero point as floats that broadcast to the tensor; `None`: the zero point is 0.
fn parameters(
    cx: &mut Context,
    reals: &Reals,
    integers: Integers,
) -> Result<(TensorId, Option<TensorId>), Stop> {
    cx.need_float(reals.scale)?;
    let scale = spread(cx, reals, reals.scale, "scale")?;
    let zero = match reals.zero {
        Some(zero) if is_zero(cx, zero) => None,
        Some(zero) => {
            let float = match cx.tensor(zero).codes() {
                Some(codes) => {
                    let codes: Vec<f32> = codes.into_iter().map(|q| q as f32).collect();
                    let dims = cx.shape(zero).dims().unwrap_or_default();
                    cx.constant("zero", DType::F32, &dims, Data::from_slice(&codes))?
                }
                None => cx.cast("zero", zero, DType::F32)?,
            };
            Some(spread(cx, reals, float, "zeros")?)
        }
        None if integers.zero() == 0 => None,
        None => Some(cx.scalar("zero", integers.zero() as f32)?),
    };
    Ok((scale, zero))
}

/// Values for the tensor, per channels or per blocks, so that they broadcast to it.
fn spread(cx: &mut Context, reals: &Reals, values: TensorId, tag: &str) -> Result<TensorId, Stop> {
    let (rank, own) = (cx.rank(reals.x), cx.rank(values));
    if own == 0 || cx.shape(values).elements() == Some(1) && reals.block == 0 {
        return match own {
            0 => Ok(values),
            _ => cx.inner(tag, Squeeze { axes: (0..own).collect() }, &[Some(values)]),
        };
    }
    let axis = axis(reals.axis, rank)?;
    let (n, count) = (cx.extent(reals.x, axis), cx.extent(values, if reals.block == 0 { 0 } else { axis }));
    if reals.block == 0 {
        if own != 1 || n.zip(count).is_some_and(|(n, count)| n != count) {
            let name = &cx.tensor(values).name;
            return Err(Stop::because(format!("'{name}' does not have one value per index of axis {axis}")));
        }
        return match (axis + 1..rank).len() {
            0 => Ok(values),
            inner => cx.inner(tag, Unsqueeze { axes: (1..=inner).collect() }, &[Some(values)]),
        };
    }
    let Some(n) = n else {
        return Err(Stop::because(format!("axis {axis} is in blocks: its length must be fixed")));
    };
    if own != rank || count != Some(n.div_ceil(reals.block)) {
        let name = &cx.tensor(values).name;
        return Err(Stop::because(format!("'{name}' does not have one value per block of axis {axis}")));
    }
    let indices: Vec<i64> = (0..n).map(|i| (i / reals.block) as i64).collect();
    let indices = cx.int_vector(&format!("{tag}_blocks"), &indices)?;
    cx.inner(tag, Gather { axis }, &[Some(values), Some(indices)])
}
