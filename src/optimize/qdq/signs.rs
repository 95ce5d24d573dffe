//! Signed bytes become unsigned ones.
//!
//! The i8 `q` with zero point `z` stands for the same real as the u8 `q + 128` with zero point `z + 128`. Matches i8
//! tensors that are only quantized, dequantized, requantized and moved: these take both, and give bytes that differ
//! by the same 128. Inputs and outputs of the graph keep their type: a Requantize stands between.

use super::super::edit::Names;
use crate::graph::{DType, Graph, Node, Op, Quant, Requantize, Tensor, TensorId};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut signed: Vec<bool> = (0..graph.tensors.len()).map(|i| is_signed(&graph.tensors[i])).collect();
    keep_borders(graph, &mut signed);
    while let Some(t) = obstacle(graph, &signed) {
        signed[t.index()] = false;
    }
    let found: Vec<TensorId> = (0..signed.len() as u32).map(TensorId).filter(|t| signed[t.index()]).collect();
    let mut names = Names::default();
    for &t in &found {
        match (graph.inputs.contains(&t), graph.outputs.contains(&t)) {
            (false, false) => *graph.tensor_mut(t) = unsigned(graph.tensor(t)),
            (true, false) => behind_input(graph, &mut names, t),
            (false, true) => before_output(graph, &mut names, t),
            // Nobody computes anything from it.
            (true, true) => {}
        }
    }
    !found.is_empty()
}

fn is_signed(t: &Tensor) -> bool {
    t.dtype == DType::I8 && t.data.is_none() && t.quant.as_ref().is_some_and(|q| q.single().is_some())
}

/// Inputs and outputs behind and before which a Requantize stands already stay.
fn keep_borders(graph: &Graph, signed: &mut [bool]) {
    let consumers = graph.consumers();
    let is_requantize = |i: &usize| matches!(graph.nodes[*i].op, Op::Requantize(_));
    for &t in &graph.inputs {
        signed[t.index()] &= !consumers[t.index()].iter().all(is_requantize) && !graph.outputs.contains(&t);
    }
    let producers = graph.producers();
    for &t in &graph.outputs {
        signed[t.index()] &= !producers[t.index()].as_ref().is_some_and(is_requantize);
    }
}

/// A tensor of the chosen ones that meets a node which must see its sign.
fn obstacle(graph: &Graph, signed: &[bool]) -> Option<TensorId> {
    graph.nodes.iter().find_map(|node| {
        let touched: Vec<TensorId> = node.present_inputs().chain(node.outputs.iter().copied()).collect();
        let first = touched.iter().copied().find(|t| signed[t.index()])?;
        let indifferent = match &node.op {
            Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => true,
            // Neither a shape nor an order changes.
            Op::ShapeOf(_) | Op::ArgMax(_) => true,
            // The border of a Pad is given as an i8.
            Op::Pad(_) if node.input(2).is_some() => false,
            op if op.moves_values() => {
                touched.iter().all(|t| graph.tensor(*t).dtype != DType::I8 || signed[t.index()])
            }
            _ => false,
        };
        (!indifferent).then_some(first)
    })
}

/// The tensor with its integers moved by 128.
fn unsigned(t: &Tensor) -> Tensor {
    let quant = t.quant.as_ref().and_then(|q| q.single());
    let quant = quant.map(|(scale, zero)| Quant::per_tensor(scale, zero + 128));
    Tensor { dtype: DType::U8, quant, ..t.clone() }
}

fn beside(graph: &mut Graph, names: &mut Names, t: TensorId) -> TensorId {
    let name = names.unique(graph, &format!("{}.u8", graph.tensor(t).name));
    let tensor = Tensor { name, ..unsigned(graph.tensor(t)) };
    graph.add_tensor(tensor)
}

fn requantize(graph: &Graph, from: TensorId, to: TensorId) -> Node {
    let name = graph.tensor(to).name.clone();
    Node { name, op: Requantize {}.into(), inputs: vec![Some(from)], outputs: vec![to] }
}

fn behind_input(graph: &mut Graph, names: &mut Names, t: TensorId) {
    let inner = beside(graph, names, t);
    read_instead(graph, t, inner);
    let node = requantize(graph, t, inner);
    graph.nodes.insert(0, node);
}

fn before_output(graph: &mut Graph, names: &mut Names, t: TensorId) {
    let inner = beside(graph, names, t);
    read_instead(graph, t, inner);
    let made = graph.nodes.iter_mut().flat_map(|n| n.outputs.iter_mut()).filter(|o| **o == t);
    made.for_each(|o| *o = inner);
    let node = requantize(graph, inner, t);
    graph.nodes.push(node);
}

fn read_instead(graph: &mut Graph, old: TensorId, new: TensorId) {
    let read = graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()).filter(|i| **i == old);
    read.for_each(|i| *i = new);
}
