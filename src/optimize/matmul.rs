//! A matrix product with a constant becomes Linear, whose weights can be packed, quantized and given a bias.
//!
//! Matches `MatMul(a, b)` where b is an f32 constant matrix and a is at least a matrix. Linear multiplies with rows
//! of its weights, so b `[K, N]` is stored transposed: the products and their number are the same.

use super::edit::Edit;
use crate::graph::{Clamp, Graph, Linear, Op};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Op::MatMul(op) = &edit.node(i).op else { continue };
        let transposed = op.transpose_b;
        let (Some(a), Some(b)) = (edit.node(i).input(0), edit.node(i).input(1)) else { continue };
        if !edit.is_f32(a) || edit.graph.tensor(a).shape.rank() < 2 || edit.graph.tensor(a).data.is_some() {
            continue;
        }
        let Some(&[rows, columns]) = edit.graph.tensor(b).shape.dims().as_deref() else { continue };
        let Some(values) = edit.f32s(b) else { continue };
        if !transposed {
            let turned: Vec<f32> = (0..columns)
                .flat_map(|c| (0..rows).map(move |r| (r, c)))
                .map(|(r, c)| values[r * columns + c])
                .collect();
            edit.set_constant(i, 1, &[columns, rows], &turned);
        }
        edit.node_mut(i).op = Linear { clamp: Clamp::NONE }.into();
    }
    edit.finish()
}
