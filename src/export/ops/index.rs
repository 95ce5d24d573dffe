//! Operators that count, sort and place.

use super::super::Stop;
use super::super::messages::{int, text};
use super::super::onnx::{Layout, Writer};
use super::NodeView;
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

/// What becomes of an element that an update meets.
pub(super) fn reduction(kind: ScatterKind) -> AttributeProto {
    text("reduction", if kind == ScatterKind::Replace { "none" } else { kind.name() })
}

/// One element without dimensions, or as a vector; ONNX wants it in one form, the graph takes any.
fn single(w: &mut Writer, n: &NodeView, i: usize, dims: &[i64]) -> Result<String, Stop> {
    let name = w.stored(n.input(i)?, Layout::Plain)?;
    if n.tensor(i)?.shape.rank() == dims.len() {
        return Ok(name);
    }
    let shape = w.int_vector(dims);
    Ok(w.calc("Reshape", &[&name, &shape], vec![]))
}

pub(super) fn fill(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let shape = w.stored(n.input(0)?, Layout::Plain)?;
    let value = single(w, n, 1, &[])?;
    let to = w.make(n.out(), Layout::Plain);
    w.push("Expand", &[value, shape], to, vec![]);
    Ok(())
}

pub(super) fn range(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let ends = [single(w, n, 0, &[])?, single(w, n, 1, &[])?, single(w, n, 2, &[])?];
    let to = w.make(n.out(), Layout::Plain);
    w.push("Range", &ends, to, vec![]);
    Ok(())
}

pub(super) fn cumsum(w: &mut Writer, n: &NodeView, op: &CumSum) -> Result<(), Stop> {
    let x = w.real(n.input(0)?, Layout::Plain)?;
    let axis = w.int_value(op.axis as i64);
    let flags = vec![int("exclusive", op.exclusive.into()), int("reverse", op.reverse.into())];
    w.computed("CumSum", &[x, axis], flags, (n.out(), Layout::Plain), Clamp::NONE)
}

pub(super) fn top_k(w: &mut Writer, n: &NodeView, op: &TopK) -> Result<(), Stop> {
    let mut x = w.stored(n.input(0)?, Layout::Plain)?;
    // What ONNX Runtime sorts.
    if !matches!(n.tensor(0)?.dtype, DType::F32 | DType::I64 | DType::I32) {
        let wide = if n.tensor(0)?.dtype.is_float() { DType::F32 } else { DType::I32 };
        x = w.cast(&x, wide);
    }
    let count = single(w, n, 1, &[1])?;
    let attributes = vec![int("axis", op.axis as i64), int("largest", op.largest.into()), int("sorted", 1)];
    let values = w.fresh(&format!("{}/values", n.node.name));
    let to = w.make(n.out(), Layout::Plain);
    w.push_many(("", "TopK"), &[x, count], vec![values, to], attributes);
    Ok(())
}
