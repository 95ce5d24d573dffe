//! Quantize moves before nodes that only move values.
//!
//! Matches a Quantize that alone reads what a node made by moving elements, by choosing some of them or by taking the
//! greatest: rounding is monotone and looks at one element only, so the same integers come out. What is joined is
//! quantized part by part.

use super::super::edit::{Names, f32s};
use super::{reads, zero_code};
use crate::graph::{DType, Graph, Node, Op, PadMode, Tensor, TensorId};

pub(super) fn run(graph: &mut Graph) -> bool {
    let (producers, reads) = (graph.producers(), reads(graph));
    let mut names = Names::default();
    let mut slots: Vec<Vec<Node>> = graph.nodes.drain(..).map(|n| vec![n]).collect();
    let mut changed = false;
    for i in 0..slots.len() {
        let Some((quantize, real)) = slots[i].first().and_then(|n| Some((n.clone(), n.input(0)?))) else {
            continue;
        };
        let before = producers[real.index()].filter(|_| reads[real.index()] == 1);
        let (Op::Quantize(_), Some(p)) = (&quantize.op, before) else { continue };
        let [mover] = &slots[p][..] else { continue };
        let (mover, out) = (mover.clone(), quantize.outputs[0]);
        if mover.outputs != [real] || !moves(graph, &mover, graph.tensor(out).dtype) {
            continue;
        }
        let data = if matches!(mover.op, Op::Concat(_)) { mover.inputs.len() } else { 1 };
        let mut moved = Node { outputs: quantize.outputs.clone(), ..mover };
        let mut made = Vec::with_capacity(data + 1);
        for input in moved.inputs.iter_mut().take(data) {
            let Some(x) = *input else { continue };
            let early = quantized(graph, &mut names, x, out);
            made.push(Node { inputs: vec![Some(x)], outputs: vec![early], ..quantize.clone() });
            *input = Some(early);
        }
        if matches!(moved.op, Op::Pad(_)) && moved.inputs.len() > 2 {
            moved.inputs[2] = zero_code(graph, &mut names, out);
        }
        made.push(moved);
        slots[p] = made;
        slots[i].clear();
        changed = true;
    }
    graph.nodes = slots.into_iter().flatten().collect();
    changed
}

/// The integers that Quantize makes of `x`, described as `like`.
fn quantized(graph: &mut Graph, names: &mut Names, x: TensorId, like: TensorId) -> TensorId {
    let (from, like) = (graph.tensor(x), graph.tensor(like));
    let tensor = Tensor { shape: from.shape.clone(), ..like.clone() };
    let name = format!("{}.q", from.name);
    let name = names.unique(graph, &name);
    graph.add_tensor(Tensor { name, ..tensor })
}

/// Whether the node can move integers of this type in place of the floats that it moves.
fn moves(graph: &Graph, node: &Node, to: DType) -> bool {
    let computed = |t: TensorId| graph.tensor(t).dtype == DType::F32 && graph.tensor(t).data.is_none();
    let zero = |t: TensorId| f32s(graph, t).as_deref() == Some(&[0.0]);
    if !node.input(0).is_some_and(computed) {
        return false;
    }
    match &node.op {
        op if op.rearranges() => true,
        // There is no such kernel for integers of 16 bits.
        _ if !to.is_8bit() => false,
        Op::Concat(_) => node.inputs.iter().all(|t| t.is_some_and(computed)),
        Op::Pad(op) if op.mode == PadMode::Constant => node.input(2).is_none_or(zero) && to == DType::U8,
        // More elements would be quantized than are used.
        Op::Gather(_) => false,
        op => op.moves_values() && node.outputs.len() == 1,
    }
}
