//! Nodes over constants are computed now.
//!
//! Matches nodes all of whose inputs are constants. The evaluator runs each as a graph of its own, with the same
//! kernels that would run it later. A result may be no larger than what it is made of, or than [`SMALL`]: a file
//! should not grow by what a node says in a few bytes.

use super::Evaluator;
use crate::graph::{Data, Graph, Node, Op, Tensor, TensorId};

/// Bytes that a result may always have.
const SMALL: usize = 1 << 16;

pub(super) fn run(graph: &mut Graph, evaluate: &mut Evaluator) -> bool {
    let mut changed = false;
    for node in std::mem::take(&mut graph.nodes) {
        match results(graph, &node, evaluate) {
            Some(results) => {
                for (out, data) in node.outputs.iter().zip(results) {
                    graph.tensor_mut(*out).data = Some(data);
                }
                changed = true;
            }
            None => graph.nodes.push(node),
        }
    }
    changed
}

/// The node's outputs, if they can be computed and are worth storing.
fn results(graph: &Graph, node: &Node, evaluate: &mut Evaluator) -> Option<Vec<Data>> {
    let bytes = |t: TensorId| graph.tensor(t).byte_len();
    // Integers that stand for a constant are what integer nodes want of it: `qdq` decides about them.
    if matches!(node.op, Op::Quantize(_) | Op::Dequantize(_)) {
        return None;
    }
    let known = node.present_inputs().all(|t| graph.tensor(t).data.is_some());
    if !known || node.outputs.iter().any(|o| graph.outputs.contains(o)) {
        return None;
    }
    let input: usize = node.present_inputs().filter_map(bytes).sum();
    let sizes: Vec<usize> = node.outputs.iter().map(|&o| bytes(o)).collect::<Option<_>>()?;
    if sizes.iter().any(|&n| n > input.max(SMALL)) {
        return None;
    }
    let results = evaluate(&alone(graph, node)).ok()?;
    let fits = results.len() == sizes.len() && results.iter().zip(&sizes).all(|(d, &n)| d.bytes().len() == n);
    fits.then_some(results)
}

/// The node as a graph: its constants, no inputs, its outputs.
fn alone(graph: &Graph, node: &Node) -> Graph {
    let mut one = Graph { name: node.name.clone(), ..Graph::default() };
    let mut copies: Vec<(TensorId, TensorId)> = Vec::new();
    let mut copy = |one: &mut Graph, t: TensorId| match copies.iter().find(|(from, _)| *from == t) {
        Some((_, to)) => *to,
        None => {
            let tensor: Tensor = graph.tensor(t).clone();
            let to = one.add_tensor(tensor);
            copies.push((t, to));
            to
        }
    };
    let inputs = node.inputs.iter().map(|i| i.map(|t| copy(&mut one, t))).collect();
    let outputs: Vec<TensorId> = node.outputs.iter().map(|&t| copy(&mut one, t)).collect();
    one.outputs = outputs.clone();
    one.nodes = vec![Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs }];
    one
}
