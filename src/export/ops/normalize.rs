//! Normalizations.

use super::super::Stop;
use super::super::messages::{float, int, ints};
use super::super::onnx::{Layout, Writer};
use super::NodeView;
use crate::graph::*;

/// Along dimension 1 ONNX has it; along others it is scaled and shifted.
pub(super) fn batch_norm(w: &mut Writer, n: &NodeView, op: &BatchNorm) -> Result<(), Stop> {
    let rank = n.tensor(0)?.shape.rank();
    let layout = if rank == 4 && op.axis == 3 { Layout::Nchw } else { Layout::Plain };
    let x = w.real(n.input(0)?, layout)?;
    let mut inputs = vec![x.clone()];
    for i in 1..5 {
        inputs.push(w.real(n.input(i)?, Layout::Plain)?);
    }
    let out = (n.out(), layout);
    if layout.axis(op.axis) == 1 {
        let epsilon = vec![float("epsilon", op.epsilon)];
        return w.computed("BatchNormalization", &inputs, epsilon, out, Clamp::NONE);
    }
    let [_, scale, bias, mean, variance] = &inputs[..] else {
        return Err(Stop::because("it needs a scale, bias, mean and variance"));
    };
    let epsilon = w.float_value(op.epsilon);
    let raised = w.calc("Add", &[variance, &epsilon], vec![]);
    let deviation = w.calc("Sqrt", &[&raised], vec![]);
    let factor = w.calc("Div", &[scale, &deviation], vec![]);
    let off = w.calc("Mul", &[mean, &factor], vec![]);
    let shift = w.calc("Sub", &[bias, &off], vec![]);
    // [C] becomes [C, 1, ..], which lies along the axis.
    let mut dims = vec![1; rank - op.axis];
    dims[0] = -1;
    let dims = w.int_vector(&dims);
    let [factor, shift] = [factor, shift].map(|v| w.calc("Reshape", &[&v, &dims], vec![]));
    let scaled = w.calc("Mul", &[&x, &factor], vec![]);
    w.computed("Add", &[scaled, shift], vec![], out, Clamp::NONE)
}

/// ONNX's operator where there is a scale and the mean is taken off; otherwise what it is made of.
pub(super) fn layer_norm(w: &mut Writer, n: &NodeView, op: &LayerNorm) -> Result<(), Stop> {
    let x = w.real(n.input(0)?, Layout::Plain)?;
    let out = (n.out(), Layout::Plain);
    let [scale, bias] = [parameter(w, n, op, 1)?, parameter(w, n, op, 2)?];
    if let (Some(scale), false) = (&scale, op.rms) {
        let inputs: Vec<String> = [x, scale.clone()].into_iter().chain(bias).collect();
        let attributes = vec![int("axis", op.axis as i64), float("epsilon", op.epsilon)];
        return w.computed("LayerNormalization", &inputs, attributes, out, Clamp::NONE);
    }
    let axes: Vec<i64> = (op.axis..n.tensor(0)?.shape.rank()).map(|a| a as i64).collect();
    let axes = w.int_vector(&axes);
    let mut y = x;
    if !op.rms {
        let mean = w.calc("ReduceMean", &[&y, &axes], vec![]);
        y = w.calc("Sub", &[&y, &mean], vec![]);
    }
    let squares = w.calc("Mul", &[&y, &y], vec![]);
    let variance = w.calc("ReduceMean", &[&squares, &axes], vec![]);
    let epsilon = w.float_value(op.epsilon);
    let raised = w.calc("Add", &[&variance, &epsilon], vec![]);
    let deviation = w.calc("Sqrt", &[&raised], vec![]);
    let mut last = ("Div", [y, deviation]);
    for (op, parameter) in [("Mul", scale), ("Add", bias)] {
        if let Some(parameter) = parameter {
            let y = w.calc(last.0, &[&last.1[0], &last.1[1]], vec![]);
            last = (op, [y, parameter]);
        }
    }
    w.computed(last.0, &last.1, vec![], out, Clamp::NONE)
}

/// Scale or bias with the dimensions that are normalized over, whatever dimensions the graph has them in.
fn parameter(w: &mut Writer, n: &NodeView, op: &LayerNorm, i: usize) -> Result<Option<String>, Stop> {
    let Some(id) = n.node.input(i) else { return Ok(None) };
    let name = w.real(id, Layout::Plain)?;
    let over = n.tensor(0)?.shape.get(op.axis..).unwrap_or_default();
    if w.graph.tensor(id).shape[..] == *over {
        return Ok(Some(name));
    }
    let x = w.stored(n.input(0)?, Layout::Plain)?;
    let shape = match Shape(over.to_vec()).dims() {
        Some(dims) => w.int_vector(&dims.iter().map(|&d| d as i64).collect::<Vec<_>>()),
        None => w.calc("Shape", &[&x], vec![int("start", op.axis as i64)]),
    };
    Ok(Some(w.calc("Reshape", &[&name, &shape], vec![])))
}

/// `perm` of a `Transpose`.
pub(super) fn transposed(w: &mut Writer, x: &str, perm: &[i64]) -> String {
    w.calc("Transpose", &[x], vec![ints("perm", perm.iter().copied())])
}
