//! A matrix product with constant integers becomes Linear.
//!
//! Matches `MatMul(a, Dequantize(b))` where b is a constant matrix and a is at least a matrix. Linear multiplies with
//! rows of its weights, so b `[K, N]` is stored transposed, and scales per column become scales per row.

use super::super::edit::Names;
use super::Codes;
use crate::graph::*;

pub(super) fn run(graph: &mut Graph) -> bool {
    let codes = Codes::of(graph);
    let mut names = Names::default();
    let old = std::mem::take(&mut graph.nodes);
    let mut changed = false;
    for mut node in old {
        if let Op::MatMul(op) = &node.op
            && let (Some(a), Some(b)) = (node.input(0), node.input(1))
            && graph.tensor(a).shape.rank() >= 2
            && let Some(rows) = codes.constant(graph, b).and_then(|c| rows(graph.tensor(c), op.transpose_b))
        {
            let name = names.unique(graph, &rows.name);
            let real = names.unique(graph, &format!("{name}.real"));
            let shape = rows.shape.clone();
            let rows = graph.add_tensor(Tensor { name, ..rows });
            let real = graph.add_tensor(Tensor::value(real, DType::F32, shape));
            let name = node.name.clone();
            let op = Op::from(Dequantize {});
            graph.nodes.push(Node { name, op, inputs: vec![Some(rows)], outputs: vec![real] });
            node.op = Linear { clamp: Clamp::NONE }.into();
            node.inputs[1] = Some(real);
            changed = true;
        }
        graph.nodes.push(node);
    }
    changed
}

/// A matrix of bytes with the weights of an output in each row.
fn rows(b: &Tensor, transposed: bool) -> Option<Tensor> {
    let Some(&[k, n]) = b.shape.dims().as_deref() else { return None };
    let mut quant = b.quant.clone().filter(|_| b.dtype.is_8bit())?;
    if transposed {
        return Some(b.clone());
    }
    quant.axis = quant.axis.map(|axis| 1 - axis);
    let bytes = b.data.as_ref()?.bytes();
    let turned: Vec<u8> = (0..n).flat_map(|c| (0..k).map(move |r| bytes[r * n + c])).collect();
    let (shape, data) = (Shape::fixed(&[n, k]), Some(Data::from_bytes(&turned)));
    Some(Tensor { shape, data, quant: Some(quant), ..b.clone() })
}
