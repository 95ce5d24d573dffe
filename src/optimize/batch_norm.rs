//! Batch normalization in inference is a scale and a shift per channel.
//!
//! Matches `BatchNorm` with f32 constants. `(x - mean) / sqrt(variance + epsilon) * scale + bias` is `x * s + t`
//! with `s = scale / sqrt(variance + epsilon)` and `t = bias - mean * s`, computed in f64. Behind a Conv,
//! ConvTranspose or Linear without activation, s and t move into weights and bias; elsewhere the node becomes a
//! multiplication and an addition.

use super::affine::{channels, foldable, scale_and_shift};
use super::edit::Edit;
use crate::graph::{BatchNorm, Binary, BinaryKind, Clamp, Graph, Node, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Op::BatchNorm(op) = &edit.node(i).op else { continue };
        let op = op.clone();
        let Some((scale, shift)) = scale_and_offset(&edit, i, &op) else { continue };
        let Some(x) = edit.node(i).input(0).filter(|&x| edit.is_f32(x)) else { continue };
        let last = op.axis + 1 == edit.graph.tensor(x).shape.rank();
        let into = foldable(&edit, x).filter(|&p| last && channels(&edit, p) == scale.len());
        if let Some(p) = into
            && scale_and_shift(&mut edit, p, &scale, &shift)
        {
            edit.absorb(p, i);
        } else {
            split(&mut edit, i, op.axis, &scale, &shift);
        }
    }
    edit.finish()
}

/// s and t of each channel.
fn scale_and_offset(edit: &Edit, i: usize, op: &BatchNorm) -> Option<(Vec<f64>, Vec<f64>)> {
    let values = |slot: usize| edit.node(i).input(slot).and_then(|t| edit.f32s(t));
    let (scale, bias, mean, variance) = (values(1)?, values(2)?, values(3)?, values(4)?);
    let n = scale.len();
    if [bias.len(), mean.len(), variance.len()] != [n; 3] {
        return None;
    }
    let (mut s, mut t) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for c in 0..n {
        let factor = f64::from(scale[c]) / (f64::from(variance[c]) + f64::from(op.epsilon)).sqrt();
        s.push(factor);
        t.push(f64::from(bias[c]) - f64::from(mean[c]) * factor);
    }
    s.iter().chain(&t).all(|v| v.is_finite()).then_some((s, t))
}

/// Turns node `i` into the multiplication and puts the addition, which keeps the node's output, behind it.
fn split(edit: &mut Edit, i: usize, axis: usize, scale: &[f64], shift: &[f64]) {
    let node = edit.node(i).clone();
    let out = edit.graph.tensor(node.outputs[0]).clone();
    let mut dims = vec![1; out.shape.rank().saturating_sub(axis)];
    if let Some(first) = dims.first_mut() {
        *first = scale.len();
    }
    let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let s = edit.constant(&format!("{}.scale", node.name), &dims, &narrow(scale));
    let t = edit.constant(&format!("{}.shift", node.name), &dims, &narrow(shift));
    let scaled = edit.value(&format!("{}.scaled", node.name), Tensor { quant: None, data: None, ..out });
    let binary = |kind| Op::from(Binary { kind, clamp: Clamp::NONE });
    let mul = edit.node_mut(i);
    mul.op = binary(BinaryKind::Mul);
    mul.inputs.truncate(1);
    mul.inputs.push(Some(s));
    mul.outputs = vec![scaled];
    let inputs = vec![Some(scaled), Some(t)];
    edit.insert_after(
        i,
        Node { name: node.name, op: binary(BinaryKind::Add), inputs, outputs: node.outputs },
    );
}
