//! Relu and Clip move into the node before them.
//!
//! Matches `Unary(Relu | Clip)` that alone reads the output of a Conv, ConvTranspose, Linear or Binary, at once or behind
//! nodes that only rearrange elements. These operators clamp their result as a last step, so the same comparisons are
//! made on the same values. Integers of one scale and zero point are clamped to the integers of the bounds, before as
//! behind: rounding is monotone.

use super::edit::Edit;
use crate::graph::{Clamp, DType, Graph, Op, TensorId, UnaryKind};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Some(bounds) = bounds(&edit.node(i).op) else { continue };
        let alike = |x: &TensorId| clamps_alike(edit.graph, *x, edit.node(i).outputs[0]);
        let Some(x) = edit.node(i).input(0).filter(alike) else { continue };
        let Some(last) = edit.sole_producer(x) else { continue };
        let Some(p) = clamping(&edit, last) else { continue };
        if let Some(clamp) = clamp_mut(&mut edit.node_mut(p).op) {
            *clamp = clamp.then(bounds);
        }
        edit.absorb(last, i);
    }
    edit.finish()
}

/// The node that clamps, of those in front of node `i` that only rearrange, and are read by one only; itself if it does.
fn clamping(edit: &Edit, mut i: usize) -> Option<usize> {
    loop {
        let node = edit.node(i);
        if clamp_of(&node.op).is_some() {
            return Some(i);
        }
        let x = node
            .input(0)
            .filter(|x| node.op.rearranges() && clamps_alike(edit.graph, *x, node.outputs[0]))?;
        i = edit.sole_producer(x)?;
    }
}

/// True if clamping `x` into `y` compares reals, or integers that stand for the same ones in both.
fn clamps_alike(graph: &Graph, x: TensorId, y: TensorId) -> bool {
    let (x, y) = (graph.tensor(x), graph.tensor(y));
    match x.dtype {
        DType::F32 => true,
        DType::U8 | DType::I16 => y.dtype == x.dtype && x.quant.is_some() && x.quant == y.quant,
        _ => false,
    }
}

/// The bounds of a function that only clamps.
fn bounds(op: &Op) -> Option<Clamp> {
    let Op::Unary(u) = op else { return None };
    match u.kind {
        UnaryKind::Relu => Some(Clamp::RELU),
        UnaryKind::Clip if u.alpha <= u.beta => Some(Clamp { min: u.alpha, max: u.beta }),
        _ => None,
    }
}

/// The fused activation of an operator that can have one.
pub(super) fn clamp_of(op: &Op) -> Option<Clamp> {
    match op {
        Op::Conv(o) => Some(o.clamp),
        Op::ConvTranspose(o) => Some(o.clamp),
        Op::Linear(o) => Some(o.clamp),
        Op::Binary(o) => Some(o.clamp),
        _ => None,
    }
}

/// The fused activation of an operator that can have one, to change.
pub(super) fn clamp_mut(op: &mut Op) -> Option<&mut Clamp> {
    match op {
        Op::Conv(o) => Some(&mut o.clamp),
        Op::ConvTranspose(o) => Some(&mut o.clamp),
        Op::Linear(o) => Some(&mut o.clamp),
        Op::Binary(o) => Some(&mut o.clamp),
        _ => None,
    }
}
