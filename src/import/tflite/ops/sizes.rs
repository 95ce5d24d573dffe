//! Shapes as values, and tensors made of sizes.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::dim;
use crate::graph::{Cast, DType, Data, Expand, Fill, Op, Range, Reshape, ShapeOf, TensorId};

const SHAPE: ShapeOf = ShapeOf { start: 0, end: i64::MAX };

/// The operator's one output, of i64 that is computed by `op`, as it is declared.
fn emit_i64(cx: &mut Context, op: impl Into<Op>, inputs: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    if cx.out(0)?.dtype == DType::I64 {
        return cx.emit(op, inputs);
    }
    let wide = cx.inner("i64", op, inputs, (DType::I64, None))?;
    cx.emit(Cast {}, &[wide])
}

pub(in super::super) fn shape(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    emit_i64(cx, SHAPE, &[x])
}

pub(in super::super) fn rank(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let rank = i32::try_from(cx.rank(x)).unwrap_or(i32::MAX);
    Ok(vec![cx.constant("rank", DType::I32, &[], Data::from_slice(&[rank]))?])
}

/// Inputs: shape, value.
pub(in super::super) fn fill(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (shape, value) = (cx.as_i64(0)?, cx.input(1)?);
    match cx.tensor(value).data {
        Some(_) => cx.emit(Fill {}, &[shape, value]),
        None => cx.emit(Expand {}, &[value, shape]),
    }
}

pub(in super::super) fn zeros_like(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let (dtype, quant) = (cx.tensor(x).dtype, cx.tensor(x).quant.is_some());
    if quant {
        return Err(Stop::because("its input is quantized: floats and plain integers are supported"));
    }
    let shape = cx.inner("shape", SHAPE, &[x], (DType::I64, None))?;
    let zero = cx.constant("zero", dtype, &[], Data::from_bytes(&vec![0; dtype.size()]))?;
    cx.emit(Fill {}, &[shape, zero])
}

/// Inputs: start, limit, step.
pub(in super::super) fn range(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    if cx.info(0)?.dtype == DType::F32 {
        return float_range(cx);
    }
    let ends = [cx.as_i64(0)?, cx.as_i64(1)?, cx.as_i64(2)?];
    emit_i64(cx, Range {}, &ends)
}

/// Of constants: computed here, start + i * step.
fn float_range(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut ends = [0f32; 3];
    for (i, end) in ends.iter_mut().enumerate() {
        let info = cx.info(i)?;
        let value = info.data.map(|data| Data::from_bytes(data).to_vec::<f32>());
        let value = value.and_then(|v| v.first().copied()).filter(|v| v.is_finite());
        *end = value.ok_or_else(|| Stop::because(format!("'{}' must be a constant number", info.name)))?;
    }
    let [start, limit, step] = ends;
    let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil();
    if step == 0.0 || count.is_nan() || count * 4.0 > cx.state.room as f64 {
        return Err(Stop::because(format!("it can't go from {start} to {limit} in steps of {step}")));
    }
    let values: Vec<f32> = (0..count.max(0.0) as u64).map(|i| start + i as f32 * step).collect();
    Ok(vec![cx.constant("all", DType::F32, &[values.len()], Data::from_slice(&values))?])
}

/// `ReshapeOptions`: new_shape, where the second input is left out.
pub(in super::super) fn reshape(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let out = cx.out(0)?.dims;
    let free = out.iter().filter(|d| d.is_none()).count();
    let computed = cx.has(1) && cx.info(1)?.data.is_none();
    if computed && (free > 1 || out.is_empty()) {
        // What is computed must be known when shapes are bound.
        let shape = cx.as_i64(1)?;
        return cx.emit_moved(Reshape { allow_zero: true }, &[x, shape]);
    }
    let mut target = match cx.has(1) {
        // Converters compute it of shapes: it is what is declared.
        true if computed => out.iter().map(|d| d.map_or(-1, dim)).collect(),
        true => cx.ints(1, "shape")?,
        false => cx.options.ints(0)?.into_iter().map(i64::from).collect(),
    };
    // A shape that was converted for a batch of 1 says 1 where the output is declared to be free.
    if free == 1
        && let Some(i) = out.iter().position(|d| d.is_none())
        && target.len() == out.len()
        && target.iter().all(|&d| d >= 0)
    {
        target[i] = -1;
    }
    let shape = cx.int_vector("shape", &target)?;
    cx.emit_moved(Reshape { allow_zero: true }, &[x, shape])
}
