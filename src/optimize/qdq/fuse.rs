//! What stands between Dequantize and Quantize is computed in integers.
//!
//! Matches a Quantize that alone reads what a node computed from dequantized tensors and constants, where the plan
//! has a kernel from bytes to bytes for the node: it then reads the bytes and gives the Quantize's. Integer kernels
//! compute the real that the float node would have computed, and round it once, as Quantize does. Where several
//! Quantize read a node that is cheap, each gets a node of its own; products leave as floats instead (`ends`).

use super::super::edit::{Names, f32s};
use super::weights::{self, Product};
use super::{Codes, affine, is_activation, reads};
use crate::graph::*;
use ottava_kernels::reduce::MAX_QUANTIZED_TERMS;

pub(super) fn run(graph: &mut Graph) -> bool {
    let (codes, producers, mut reads) = (Codes::of(graph), graph.producers(), reads(graph));
    let quantized = only_quantized(graph, &reads);
    let mut slots: Vec<Vec<Node>> = graph.nodes.drain(..).map(|n| vec![n]).collect();
    let mut alias: Vec<(TensorId, TensorId)> = Vec::new();
    let mut changed = false;
    for i in 0..slots.len() {
        let Some(quantize) = slots[i].first().filter(|n| matches!(n.op, Op::Quantize(_))).cloned() else {
            continue;
        };
        let Some(real) = quantize.input(0) else { continue };
        let out = quantize.outputs[0];
        if !is_activation(graph, out) {
            continue;
        }
        if let Some(bytes) = codes.activation(graph, real) {
            if affine(graph, bytes) == affine(graph, out) && !graph.outputs.contains(&out) {
                alias.push((out, bytes));
                slots[i].clear();
            } else {
                slots[i] = vec![requantize(quantize.name, bytes, out)];
            }
            changed = true;
            continue;
        }
        let Some(p) = producers[real.index()].filter(|_| quantized[real.index()]) else { continue };
        let Some(node) = slots[p].last().filter(|n| n.outputs == [real]).cloned() else { continue };
        let shared = reads[real.index()] > 1;
        if shared && leaves_as_float(&node.op) {
            continue;
        }
        if let Some(made) = integer(graph, &codes, &node, out) {
            slots[i].clear();
            slots[if shared { i } else { p }] = made;
            reads[real.index()] -= 1;
            changed = true;
        }
    }
    graph.nodes = slots.into_iter().flatten().collect();
    // Last ones first: what an alias leads to may be an alias of something earlier.
    for (old, new) in alias.into_iter().rev() {
        let read = graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten());
        read.filter(|t| **t == old).for_each(|t| *t = new);
    }
    changed
}

/// For each tensor whether nobody but Quantize, to bytes, reads it.
fn only_quantized(graph: &Graph, reads: &[usize]) -> Vec<bool> {
    let mut quantizes = vec![0; graph.tensors.len()];
    for node in graph.nodes.iter().filter(|n| matches!(n.op, Op::Quantize(_))) {
        if let Some(x) = node.input(0).filter(|_| is_activation(graph, node.outputs[0])) {
            quantizes[x.index()] += 1;
        }
    }
    quantizes.iter().zip(reads).map(|(q, reads)| *q > 0 && q == reads).collect()
}

/// Products whose exact sums can be floats: cheaper than computing them twice.
pub(super) fn leaves_as_float(op: &Op) -> bool {
    match op {
        Op::Conv(op) => op.groups == 1,
        Op::Linear(_) => true,
        _ => false,
    }
}

fn requantize(name: String, from: TensorId, to: TensorId) -> Node {
    Node { name, op: Requantize {}.into(), inputs: vec![Some(from)], outputs: vec![to] }
}

/// The node over bytes, giving `out`, with what must run before it.
fn integer(graph: &mut Graph, codes: &Codes, node: &Node, out: TensorId) -> Option<Vec<Node>> {
    let x = codes.activation(graph, node.input(0)?);
    let mut before = Vec::new();
    let inputs = match &node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_) => {
            let product = Product { input: affine(graph, x?)?, output: affine(graph, out).map(|q| q.0) };
            let [w, b] = weights::integer(graph, codes, node, &product)?;
            vec![x, w, b]
        }
        Op::Binary(_) => {
            let (a, b) = (node.input(0)?, node.input(1)?);
            codes.activation(graph, a).or(codes.activation(graph, b))?;
            vec![Some(operand(graph, codes, a)?), Some(operand(graph, codes, b)?)]
        }
        Op::Concat(_) => {
            let parts: Vec<TensorId> = node.inputs.iter().copied().collect::<Option<_>>()?;
            let parts = parts.into_iter().map(|t| codes.activation(graph, t)).collect::<Option<Vec<_>>>()?;
            let brought = |part| brought_to(graph, &mut before, &node.name, part, out);
            parts.into_iter().map(brought).map(Some).collect()
        }
        Op::Where(_) => {
            let (a, b) = (node.input(1)?, node.input(2)?);
            codes.activation(graph, a).or(codes.activation(graph, b))?;
            let mut inputs = vec![node.input(0)];
            for choice in [operand(graph, codes, a)?, operand(graph, codes, b)?] {
                inputs.push(Some(brought_to(graph, &mut before, &node.name, choice, out)));
            }
            inputs
        }
        Op::Unary(op) if op.kind != UnaryKind::Not => vec![Some(x?)],
        Op::Pool(op) if op.kind == PoolKind::Average => vec![Some(x?)],
        Op::Softmax(op) if !op.log => vec![Some(x?)],
        Op::Reduce(op) if matches!(op.kind, ReduceKind::Mean | ReduceKind::Sum) => {
            let shape = &graph.tensor(x?).shape;
            let lens = op.axes.iter().map(|&a| shape.get(a).and_then(|d| d.fixed()));
            let terms =
                lens.collect::<Option<Vec<usize>>>()?.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            terms.filter(|&n| n <= MAX_QUANTIZED_TERMS)?;
            vec![Some(x?)]
        }
        // Samples between others are rounded in the input's steps.
        Op::Resize(_) if affine(graph, x?) == affine(graph, out) => {
            let mut inputs = node.inputs.clone();
            inputs[0] = x;
            inputs
        }
        _ => return None,
    };
    before.push(Node { inputs, outputs: vec![out], ..node.clone() });
    Some(before)
}

/// The tensor with the scale and zero point of `like`.
fn brought_to(
    graph: &mut Graph,
    before: &mut Vec<Node>,
    name: &str,
    part: TensorId,
    like: TensorId,
) -> TensorId {
    if affine(graph, part) == affine(graph, like) {
        return part;
    }
    let mut names = Names::default();
    let tensor = graph.tensor(part).clone();
    let to = names.unique(graph, &format!("{}.r", tensor.name));
    let quant = graph.tensor(like).quant.clone();
    let brought = graph.add_tensor(Tensor { name: to, quant, data: None, ..tensor });
    before.push(requantize(name.to_string(), part, brought));
    brought
}

/// The bytes of an operand: an activation, or a constant.
fn operand(graph: &mut Graph, codes: &Codes, t: TensorId) -> Option<TensorId> {
    if let Some(bytes) = codes.activation(graph, t) {
        return Some(bytes);
    }
    let tensor = match codes.constant(graph, t) {
        Some(stored) => {
            let (scale, zero) = affine(graph, stored)?;
            match graph.tensor(stored).dtype {
                DType::U8 => return Some(stored),
                DType::I8 => {}
                _ => return None,
            }
            let tensor = graph.tensor(stored).clone();
            // An i8 is the u8 128 above it: the top bit is flipped.
            let bytes: Vec<u8> = tensor.data.as_ref()?.bytes().iter().map(|b| b ^ 0x80).collect();
            let (quant, data) = (Some(Quant::per_tensor(scale, zero + 128)), Some(Data::from_bytes(&bytes)));
            Tensor { dtype: DType::U8, quant, data, ..tensor }
        }
        None => equal_values(graph, t)?,
    };
    let name = Names::default().unique(graph, &format!("{}.u8", tensor.name));
    Some(graph.add_tensor(Tensor { name, ..tensor }))
}

/// A float constant all of whose values are one: its own scale, or a negative one's, makes it exact in bytes.
fn equal_values(graph: &Graph, t: TensorId) -> Option<Tensor> {
    let values = f32s(graph, t)?;
    let value = *values.first()?;
    let alike = values.iter().all(|&v| v == value) && (value.is_normal() && value.abs() < 1e30);
    let (code, zero) = if value > 0.0 { (1, 0) } else { (0, 1) };
    let tensor = Tensor {
        dtype: DType::U8,
        quant: Some(Quant::per_tensor(value.abs(), zero)),
        data: Some(Data::from_bytes(&vec![code; values.len()])),
        ..graph.tensor(t).clone()
    };
    alike.then_some(tensor)
}
