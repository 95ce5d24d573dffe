//! A power of two is a product.
//!
//! Matches `Pow(x, 2)` of a constant 2. Both are the square rounded once, but the general power goes through logarithm
//! and exponential and takes a hundred times as long.

use super::edit::Edit;
use crate::graph::{BinaryKind, Graph, Op};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    let mut squares = Vec::new();
    for i in edit.indices() {
        let node = edit.node(i);
        let (Op::Binary(op), Some(x), Some(power)) = (&node.op, node.input(0), node.input(1)) else {
            continue;
        };
        let same_shape = edit.graph.tensor(x).shape == edit.graph.tensor(node.outputs[0]).shape;
        if op.kind == BinaryKind::Pow && edit.is_f32(x) && same_shape && edit.scalar(power) == Some(2.0) {
            squares.push((i, x));
        }
    }
    for &(i, x) in &squares {
        let node = edit.node_mut(i);
        node.inputs[1] = Some(x);
        if let Op::Binary(op) = &mut node.op {
            op.kind = BinaryKind::Mul;
        }
    }
    edit.finish()
}
