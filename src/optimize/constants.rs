//! Nodes over constants, and over shapes that are fixed, are computed now.
//!
//! Matches nodes all of whose inputs are constants, and `ShapeOf`. Each runs as a graph of its own, with the same kernels that
//! would run it later; one that can't be run stays. A result may be no larger than what it is made of, or than
//! [`SMALL`]: a file should not grow by what a node says in a few bytes.

use crate::Limits;
use crate::graph::{Data, Graph, Node, Op, ShapeOf, TensorId, infer};
use crate::run::evaluate_node;

/// Bytes that a result may always have.
const SMALL: usize = 1 << 16;

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    for node in std::mem::take(&mut graph.nodes) {
        match results(graph, &node) {
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
fn results(graph: &Graph, node: &Node) -> Option<Vec<Data>> {
    let bytes = |t: TensorId| graph.tensor(t).byte_len();
    // Integers that stand for a constant are what integer nodes want of it: `qdq` decides about them.
    if matches!(node.op, Op::Quantize(_) | Op::Dequantize(_)) {
        return None;
    }
    if node.outputs.iter().any(|o| graph.outputs.contains(o)) {
        return None;
    }
    if let Op::ShapeOf(op) = &node.op {
        return Some(vec![fixed_shape(graph, node.input(0)?, op)?]);
    }
    let known = node.present_inputs().all(|t| graph.tensor(t).data.is_some());
    if !known {
        return None;
    }
    let input: usize = node.present_inputs().filter_map(bytes).sum();
    let sizes: Vec<usize> = node.outputs.iter().map(|&o| bytes(o)).collect::<Option<_>>()?;
    if sizes.iter().any(|&n| n > input.max(SMALL)) {
        return None;
    }
    let results = evaluate_node(graph, node, &Limits::default()).ok()?;
    let fits = results.len() == sizes.len() && results.iter().zip(&sizes).all(|(d, &n)| d.bytes().len() == n);
    fits.then_some(results)
}

/// What `ShapeOf` gives for a tensor without free dimensions.
fn fixed_shape(graph: &Graph, x: TensorId, op: &ShapeOf) -> Option<Data> {
    let dims = graph.tensor(x).shape.dims()?;
    let (first, count) = infer::slice_bounds(dims.len(), op.start, op.end, 1)?;
    let dims = dims.iter().skip(first).take(count).map(|&d| i64::try_from(d).ok());
    Some(Data::from_slice(&dims.collect::<Option<Vec<i64>>>()?))
}
