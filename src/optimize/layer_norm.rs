//! Layer normalization that was exported in pieces becomes one node.
//!
//! - `d / sqrt(mean(d * d) + epsilon)` with `d = x - mean(x)`: LayerNorm
//! - `x / sqrt(mean(x * x) + epsilon)`: LayerNorm without the mean (rms)
//! - a product with, then a sum with a constant that has one value for each that is normalized: its scale and bias
//!
//! A power of 2 has become a product before; the quotient may be a product with the reciprocal. Means are over the last
//! dimensions.

use super::edit::Edit;
use crate::graph::*;

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Op::Binary(op) = &edit.node(i).op else { continue };
        let (kind, clamp) = (op.kind, op.clamp);
        let (Some(a), Some(b)) = (edit.node(i).input(0), edit.node(i).input(1)) else { continue };
        if !clamp.is_none() || !edit.is_f32(a) {
            continue;
        }
        let found = match kind {
            BinaryKind::Div => normalized(&edit, a, deviation(&edit, b)),
            BinaryKind::Mul => {
                let by = |d, r| normalized(&edit, d, inverse(&edit, r));
                by(a, b).or_else(|| by(b, a))
            }
            _ => None,
        };
        if let Some((x, op)) = found {
            let node = edit.node_mut(i);
            (node.op, node.inputs) = (op.into(), vec![Some(x)]);
            continue;
        }
        let slot = match kind {
            BinaryKind::Mul => 1,
            BinaryKind::Add => 2,
            _ => continue,
        };
        if !absorbed(&mut edit, i, a, b, slot) {
            absorbed(&mut edit, i, b, a, slot);
        }
    }
    edit.finish()
}

/// Makes constant `c` the scale (slot 1) or bias (slot 2) of the LayerNorm that computes `x` for node `i` alone.
fn absorbed(edit: &mut Edit, i: usize, x: TensorId, c: TensorId, slot: usize) -> bool {
    let Some(p) = edit.sole_producer(x) else { return false };
    let Op::LayerNorm(op) = &edit.node(p).op else { return false };
    let free = (slot..3).all(|s| edit.node(p).input(s).is_none());
    let over = edit.graph.tensor(x).shape.get(op.axis..).and_then(|dims| Shape(dims.to_vec()).dims());
    let is_whole = over.is_some() && edit.graph.tensor(c).shape.dims() == over;
    let Some(values) = edit.f32s(c).filter(|_| free && is_whole) else { return false };
    edit.set_constant(p, slot, &over.unwrap_or_default(), &values);
    edit.absorb(p, i);
    true
}

/// What a deviation is of: the root of `mean(squares) + epsilon` over the last dimensions from `axis` on.
struct Deviation {
    squares: TensorId,
    axis: usize,
    epsilon: f32,
}

/// Function and input of the node of one value that makes `t`.
fn unary(edit: &Edit, t: TensorId) -> Option<(UnaryKind, TensorId)> {
    let node = edit.producer(t)?;
    match &node.op {
        Op::Unary(op) => Some((op.kind, node.input(0)?)),
        _ => None,
    }
}

fn binary(edit: &Edit, t: TensorId) -> Option<(BinaryKind, TensorId, TensorId)> {
    let node = edit.producer(t)?;
    match &node.op {
        Op::Binary(op) if op.clamp.is_none() => Some((op.kind, node.input(0)?, node.input(1)?)),
        _ => None,
    }
}

fn deviation(edit: &Edit, t: TensorId) -> Option<Deviation> {
    match unary(edit, t)? {
        (UnaryKind::Sqrt, raised) => raised_mean(edit, raised),
        _ => None,
    }
}

/// The deviation whose inverse `t` is.
fn inverse(edit: &Edit, t: TensorId) -> Option<Deviation> {
    if let Some((UnaryKind::Reciprocal, root)) = unary(edit, t) {
        return deviation(edit, root);
    }
    match binary(edit, t)? {
        (BinaryKind::Pow, raised, power) if edit.scalar(power) == Some(-0.5) => raised_mean(edit, raised),
        (BinaryKind::Div, one, root) if edit.scalar(one) == Some(1.0) => deviation(edit, root),
        _ => None,
    }
}

/// `mean(squares) + epsilon`
fn raised_mean(edit: &Edit, t: TensorId) -> Option<Deviation> {
    let (BinaryKind::Add, a, b) = binary(edit, t)? else { return None };
    for (mean, epsilon) in [(a, b), (b, a)] {
        if let Some(epsilon) = edit.scalar(epsilon).filter(|e| *e >= 0.0 && e.is_finite())
            && let Some((squares, axis)) = mean_of(edit, mean)
        {
            return Some(Deviation { squares, axis, epsilon });
        }
    }
    None
}

/// What `t` is the mean of over its last dimensions, and the first of these.
fn mean_of(edit: &Edit, t: TensorId) -> Option<(TensorId, usize)> {
    let node = edit.producer(t)?;
    let Op::Reduce(op) = &node.op else { return None };
    let x = node.input(0)?;
    let axis = *op.axes.first()?;
    let last: Vec<usize> = (axis..edit.graph.tensor(x).shape.rank()).collect();
    (op.kind == ReduceKind::Mean && op.keep_dims && op.axes == last).then_some((x, axis))
}

/// What `t` is the square of.
fn root_of(edit: &Edit, t: TensorId) -> Option<TensorId> {
    binary(edit, t).filter(|(kind, a, b)| *kind == BinaryKind::Mul && a == b).map(|(_, a, _)| a)
}

/// The normalization that dividing `d` by the deviation is, and of what.
fn normalized(edit: &Edit, d: TensorId, by: Option<Deviation>) -> Option<(TensorId, LayerNorm)> {
    let Deviation { squares, axis, epsilon } = by?;
    // Some exporters compute the difference once for the square and once for the quotient.
    let (root, own) = (root_of(edit, squares)?, difference(edit, d));
    match own.filter(|(_, a)| *a == axis) {
        Some((x, _)) if root == d || difference(edit, root) == own => {
            Some((x, LayerNorm { axis, epsilon, rms: false }))
        }
        _ if root == d => Some((d, LayerNorm { axis, epsilon, rms: true })),
        _ => None,
    }
}

/// x and the axis, if `t` is `x - mean(x)`.
fn difference(edit: &Edit, t: TensorId) -> Option<(TensorId, usize)> {
    let (BinaryKind::Sub, x, mean) = binary(edit, t)? else { return None };
    mean_of(edit, mean).filter(|(of, _)| *of == x)
}
