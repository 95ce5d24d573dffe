//! Float weights between integers become integers.
//!
//! Matches a product whose input is dequantized and whose result only a Quantize reads, but whose weights are floats:
//! what a quantizer leaves of an operator that it has no integer form for (a transposed convolution among
//! `QLinearConv`). ONNX Runtime quantizes such weights when it loads the network, and so does this pass, with its
//! numbers: 8 bits for the whole tensor, from the least to the greatest weight, and a bias in steps of the sums. The
//! product is then one of integers like the others, and the answers are the reference's.

use super::super::edit::{Names, f32s};
use super::{Codes, affine, is_activation, reads};
use crate::graph::*;

pub(super) fn run(graph: &mut Graph) -> bool {
    let (codes, reads) = (Codes::of(graph), reads(graph));
    let consumers = graph.consumers();
    let quantized = |node: &Node| match (&node.outputs[..], consumers.get(node.outputs[0].index())) {
        (&[out], Some(readers)) => {
            let to_bytes =
                |node: &Node| matches!(node.op, Op::Quantize(_)) && is_activation(graph, node.outputs[0]);
            reads[out.index()] == 1 && readers.iter().all(|&r| to_bytes(&graph.nodes[r]))
        }
        _ => false,
    };
    let found: Vec<(usize, f32)> = (0..graph.nodes.len())
        .filter(|&i| is_product(&graph.nodes[i]) && quantized(&graph.nodes[i]))
        .filter_map(|i| {
            let x = codes.activation(graph, graph.nodes[i].input(0)?)?;
            Some((i, affine(graph, x)?.0))
        })
        .collect();
    let mut names = Names::default();
    let mut made: Vec<(usize, Node)> = Vec::new();
    for (i, x_scale) in found {
        let Some(parts) = integers(graph, &graph.nodes[i].clone(), x_scale) else { continue };
        for (input, part) in parts {
            let node = dequantized(graph, &mut names, part);
            graph.nodes[i].inputs[input] = node.outputs.first().copied();
            made.push((i, node));
        }
    }
    let changed = !made.is_empty();
    for (i, node) in made.into_iter().rev() {
        graph.nodes.insert(i, node);
    }
    changed
}

/// A matrix product without bias is left alone there, too.
fn is_product(node: &Node) -> bool {
    match node.op {
        Op::Conv(_) | Op::ConvTranspose(_) => true,
        Op::Linear(_) => node.input(2).is_some(),
        _ => false,
    }
}

/// Weights and bias of the product as integers, each with the input that it is; `None` if the weights are not floats.
fn integers(graph: &Graph, node: &Node, x_scale: f32) -> Option<Vec<(usize, Tensor)>> {
    let w = node.input(1)?;
    let reals = f32s(graph, w)?;
    let (scale, zero) = range(&reals)?;
    let code = |v: &f32| (v / scale).round_ties_even() + zero as f32;
    let codes: Vec<i8> = reals.iter().map(|v| code(v).clamp(-128.0, 127.0) as i8).collect();
    let weights = Tensor {
        dtype: DType::I8,
        data: Some(Data::from_slice(&codes)),
        quant: Some(Quant::per_tensor(scale, zero)),
        ..graph.tensor(w).clone()
    };
    let mut parts = vec![(1, weights)];
    if let Some(b) = node.input(2) {
        let step = x_scale * scale;
        let steps = f32s(graph, b)?.iter().map(|v| (v / step).round_ties_even() as i32).collect::<Vec<_>>();
        let bias = Tensor {
            dtype: DType::I32,
            data: Some(Data::from_slice(&steps)),
            quant: Some(Quant::per_tensor(step, 0)),
            ..graph.tensor(b).clone()
        };
        parts.push((2, bias));
    }
    Some(parts)
}

/// Scale and zero point with which i8 reaches from the least to the greatest value, and 0.
fn range(reals: &[f32]) -> Option<(f32, i32)> {
    let least = reals.iter().fold(0f32, |m, v| m.min(*v));
    let greatest = reals.iter().fold(0f32, |m, v| m.max(*v));
    let scale = (greatest - least) / 255.0;
    let zero = (-128.0 - least / scale).clamp(-128.0, 127.0).round_ties_even();
    // All zero, or not finite: nothing to quantize.
    (scale.is_normal() && reals.iter().all(|v| v.is_finite())).then_some((scale, zero as i32))
}

/// The integers as a new constant, and what makes reals of them.
fn dequantized(graph: &mut Graph, names: &mut Names, part: Tensor) -> Node {
    let name = names.unique(graph, &format!("{}.q", part.name));
    let real = names.unique(graph, &format!("{name}.real"));
    let shape = part.shape.clone();
    let part = graph.add_tensor(Tensor { name: name.clone(), ..part });
    let real = graph.add_tensor(Tensor::value(real, DType::F32, shape));
    Node { name, op: Dequantize {}.into(), inputs: vec![Some(part)], outputs: vec![real] }
}
