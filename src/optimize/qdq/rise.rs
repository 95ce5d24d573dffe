//! Quantize moves before nodes that only move values.
//!
//! Matches a Quantize that alone reads what a node made by reordering elements or by taking the greatest of them:
//! rounding is monotone and looks at one element only, so the same integers come out.

use super::super::edit::Names;
use super::reads;
use crate::graph::{DType, Graph, Node, Op, PoolKind, Tensor};

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
        let Some(x) = mover.input(0).filter(|_| rearranges(&mover.op)) else { continue };
        let (from, to) = (graph.tensor(x).clone(), graph.tensor(quantize.outputs[0]).clone());
        if from.dtype != DType::F32 || from.data.is_some() {
            continue;
        }
        // There is no maximum over integers of 16 bits.
        if matches!(mover.op, Op::Pool(_)) && !to.dtype.is_8bit() {
            continue;
        }
        let name = names.unique(graph, &format!("{}.q", from.name));
        let early = graph.add_tensor(Tensor { name, shape: from.shape, ..to });
        let mut mover = Node { outputs: quantize.outputs.clone(), ..mover.clone() };
        mover.inputs[0] = Some(early);
        slots[p] = vec![Node { inputs: vec![Some(x)], outputs: vec![early], ..quantize }, mover];
        slots[i].clear();
        changed = true;
    }
    graph.nodes = slots.into_iter().flatten().collect();
    changed
}

/// Operators that are cheaper on bytes, however many of their elements are used.
fn rearranges(op: &Op) -> bool {
    match op {
        Op::Pool(op) => op.kind == PoolKind::Max,
        Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Transpose(_) => true,
        _ => false,
    }
}
