//! Dequantize moves behind nodes that only move values.
//!
//! Matches nodes that choose or reorder elements, and Relu, over a dequantized tensor: `f(s (q - z))` is `s (f(q) - z)`
//! for them, where f of the integers is the same choice and Relu is the greater of q and z. So the same reals come
//! out, and bytes are moved instead of floats.

use super::super::edit::{Names, f32s};
use super::{Codes, affine, zero_code};
use crate::graph::{DType, Dequantize, Graph, Node, Op, PadMode, Tensor, TensorId, UnaryKind};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut codes = Codes::of(graph);
    let mut names = Names::default();
    let old = std::mem::take(&mut graph.nodes);
    let mut nodes = Vec::with_capacity(old.len());
    let mut changed = false;
    for mut node in old {
        let Some(inputs) = integer_inputs(graph, &mut names, &codes, &node) else {
            nodes.push(node);
            continue;
        };
        changed = true;
        node.inputs = inputs;
        // Neither a shape nor an order is what Dequantize changes.
        if matches!(node.op, Op::ShapeOf(_) | Op::ArgMax(_)) {
            nodes.push(node);
            continue;
        }
        let quant = node.input(0).and_then(|x| graph.tensor(x).quant.clone());
        let reals = node.outputs.clone();
        for out in &mut node.outputs {
            let real = graph.tensor(*out);
            let (name, shape) = (names.unique(graph, &format!("{}.q", real.name)), real.shape.clone());
            *out =
                graph.add_tensor(Tensor { name, shape, dtype: DType::U8, quant: quant.clone(), data: None });
        }
        let moved = node.outputs.clone();
        let name = node.name.clone();
        nodes.push(node);
        for (from, to) in moved.into_iter().zip(reals) {
            let op = Op::from(Dequantize {});
            let node = Node { name: name.clone(), op, inputs: vec![Some(from)], outputs: vec![to] };
            codes.learn(&node);
            nodes.push(node);
        }
    }
    graph.nodes = nodes;
    changed
}

/// What the node reads when it moves integers; `None` if it can't.
fn integer_inputs(
    graph: &mut Graph,
    names: &mut Names,
    codes: &Codes,
    node: &Node,
) -> Option<Vec<Option<TensorId>>> {
    let x = codes.activation(graph, node.input(0)?)?;
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(x);
    match &node.op {
        Op::ShapeOf(_) | Op::ArgMax(_) => {}
        Op::Unary(op) if op.kind == UnaryKind::Relu => {}
        Op::Concat(_) => {
            let quant = affine(graph, x);
            for input in inputs.iter_mut().skip(1) {
                let other = codes.activation(graph, (*input)?)?;
                (affine(graph, other) == quant).then_some(())?;
                *input = Some(other);
            }
        }
        Op::Pad(op) => {
            let zero = node.input(2).is_none_or(|v| f32s(graph, v).as_deref() == Some(&[0.0]));
            (op.mode != PadMode::Constant || zero).then_some(())?;
            inputs.truncate(2);
            if op.mode == PadMode::Constant {
                inputs.push(Some(zero_code(graph, names, x)?));
            }
        }
        op if op.moves_values() => {}
        _ => return None,
    }
    Some(inputs)
}
