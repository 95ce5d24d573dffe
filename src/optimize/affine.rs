//! Multiplications and additions with constants move into the weights and bias of the node before them.
//!
//! Matches `Binary(Mul | Div | Add | Sub)` with an f32 constant (one value, or one per channel of the last
//! dimension) that alone reads the output of a Conv, ConvTranspose or Linear without activation. With weights w and
//! bias b, `(w x + b) * s + t = (s w) x + (s b + t)` for each output channel.

use super::activation::{clamp_mut, clamp_of};
use super::edit::{Edit, is_per_channel};
use crate::graph::{BinaryKind, Graph, Op, TensorId};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Some((x, constant, kind)) = constant_operand(&edit, i) else { continue };
        let Some(p) = foldable(&edit, x) else { continue };
        let channels = channels(&edit, p);
        let Some(values) = edit.f32s(constant).filter(|_| {
            let shape = &edit.graph.tensor(constant).shape;
            is_per_channel(shape, channels) && shape.rank() <= edit.graph.tensor(x).shape.rank()
        }) else {
            continue;
        };
        let value = |c: usize| f64::from(values[if values.len() == 1 { 0 } else { c }]);
        let each = 0..channels;
        let (scale, shift): (Vec<f64>, Vec<f64>) = match kind {
            BinaryKind::Mul => each.map(|c| (value(c), 0.0)).unzip(),
            BinaryKind::Div => each.map(|c| (1.0 / value(c), 0.0)).unzip(),
            BinaryKind::Add => each.map(|c| (1.0, value(c))).unzip(),
            _ => each.map(|c| (1.0, -value(c))).unzip(),
        };
        if !scale.iter().chain(&shift).all(|v| v.is_finite())
            || !scale_and_shift(&mut edit, p, &scale, &shift)
        {
            continue;
        }
        let after = clamp_of(&edit.node(i).op);
        if let (Some(clamp), Some(after)) = (clamp_mut(&mut edit.node_mut(p).op), after) {
            *clamp = after;
        }
        edit.absorb(p, i);
    }
    edit.finish()
}

/// The computed and the constant operand of an addition or multiplication with a constant.
fn constant_operand(edit: &Edit, i: usize) -> Option<(TensorId, TensorId, BinaryKind)> {
    let Op::Binary(op) = &edit.node(i).op else { return None };
    let (a, b) = (edit.node(i).input(0)?, edit.node(i).input(1)?);
    let is_constant = |t: TensorId| edit.graph.tensor(t).data.is_some();
    match op.kind {
        BinaryKind::Mul | BinaryKind::Add if is_constant(a) => Some((b, a, op.kind)),
        BinaryKind::Mul | BinaryKind::Add | BinaryKind::Sub | BinaryKind::Div if is_constant(b) => {
            Some((a, b, op.kind))
        }
        _ => None,
    }
}

/// The node that alone makes `x` for one reader and takes a scale and shift per output channel.
pub(super) fn foldable(edit: &Edit, x: TensorId) -> Option<usize> {
    let p = edit.sole_producer(x)?;
    let node = edit.node(p);
    let weighted = matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_));
    let constant = |slot: usize| node.input(slot).is_some_and(|t| edit.f32s(t).is_some());
    let known = constant(1) && (node.input(2).is_none() || constant(2));
    (weighted && known && clamp_of(&node.op).is_some_and(|c| c.is_none())).then_some(p)
}

/// Output channels of a foldable node.
pub(super) fn channels(edit: &Edit, p: usize) -> usize {
    let first = |t: TensorId| edit.graph.tensor(t).shape.first().and_then(|d| d.fixed());
    edit.node(p).input(1).and_then(first).unwrap_or(0)
}

/// Makes a foldable node compute `y * scale + shift` per output channel; false if a weight would not be finite.
pub(super) fn scale_and_shift(edit: &mut Edit, p: usize, scale: &[f64], shift: &[f64]) -> bool {
    let Some(w) = edit.node(p).input(1) else { return false };
    let Some(dims) = edit.graph.tensor(w).shape.dims() else { return false };
    let (Some(mut weights), channels) = (edit.f32s(w), scale.len()) else { return false };
    let mut bias = match edit.node(p).input(2).map(|b| edit.f32s(b)) {
        None => vec![0.0; channels],
        Some(Some(bias)) => bias,
        Some(None) => return false,
    };
    if channels == 0 || bias.len() != channels || weights.len() % channels != 0 {
        return false;
    }
    let per_channel = (weights.len() / channels).max(1);
    for (row, s) in weights.chunks_exact_mut(per_channel).zip(scale) {
        row.iter_mut().for_each(|v| *v = (f64::from(*v) * s) as f32);
    }
    for ((b, s), t) in bias.iter_mut().zip(scale).zip(shift) {
        *b = (f64::from(*b) * s + t) as f32;
    }
    if !weights.iter().chain(&bias).all(|v| v.is_finite()) {
        return false;
    }
    if scale.iter().any(|&s| s != 1.0) {
        edit.set_constant(p, 1, &dims, &weights);
    }
    edit.set_constant(p, 2, &[channels], &bias);
    true
}
