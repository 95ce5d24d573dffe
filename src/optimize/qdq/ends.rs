//! Where integers and floats meet for good.

use super::fuse::leaves_as_float;
use super::weights::{self, Product};
use super::{Codes, affine};
use crate::graph::{DType, Data, Graph, Op};

/// Quantize of a constant is computed now: networks trained with quantization carry their weights as floats.
pub(super) fn quantize_constants(graph: &mut Graph) -> bool {
    let before = graph.nodes.len();
    for node in std::mem::take(&mut graph.nodes) {
        let out = graph.tensor(node.outputs[0]);
        let codes = match (&node.op, node.input(0), &out.quant) {
            (Op::Quantize(_), Some(x), Some(quant)) if !graph.outputs.contains(&node.outputs[0]) => {
                graph.tensor(x).quantized(out.dtype, quant)
            }
            _ => None,
        };
        match codes {
            Some(codes) => graph.tensor_mut(node.outputs[0]).data = Some(codes),
            None => graph.nodes.push(node),
        }
    }
    graph.nodes.len() != before
}

/// Constants of integers that only float nodes read are numbers like others.
pub(super) fn dequantize_constants(graph: &mut Graph) -> bool {
    let before = graph.nodes.len();
    for node in std::mem::take(&mut graph.nodes) {
        let constant = matches!(node.op, Op::Dequantize(_)) && !graph.outputs.contains(&node.outputs[0]);
        let reals = node.input(0).filter(|_| constant).and_then(|x| graph.tensor(x).dequantized());
        match reals {
            Some(reals) => graph.tensor_mut(node.outputs[0]).data = Some(Data::from_slice(&reals)),
            None => graph.nodes.push(node),
        }
    }
    graph.nodes.len() != before
}

/// Products of integers whose result nobody quantizes: the exact sums leave as f32.
pub(super) fn float_products(graph: &mut Graph) -> bool {
    let codes = Codes::of(graph);
    let mut changed = false;
    for i in 0..graph.nodes.len() {
        if !leaves_as_float(&graph.nodes[i].op) || graph.tensor(graph.nodes[i].outputs[0]).dtype != DType::F32
        {
            continue;
        }
        let node = graph.nodes[i].clone();
        let Some(x) = node.input(0).and_then(|x| codes.activation(graph, x)) else { continue };
        let Some(input) = affine(graph, x) else { continue };
        if let Some([w, b]) = weights::integer(graph, &codes, &node, &Product { input, output: None }) {
            graph.nodes[i].inputs = vec![Some(x), w, b];
            changed = true;
        }
    }
    changed
}
