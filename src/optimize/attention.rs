//! Attention that was exported in pieces becomes one node, which reads its operands where they lie.
//!
//! Matches `Transpose(softmax(scale * MatMul(q, k) + mask) MatMul v)` with the scale on the scores, on q or on k, as
//! factor or divisor, or absent; the mask too may be absent. q, k and v may be transposed from `[N,S,H,D]`, or be
//! `[N,H,S,D]` already. Scores are scaled after the product; otherwise it is the same computation.

use super::edit::Edit;
use crate::graph::*;

/// Heads and rows change places.
const SWAP: [usize; 4] = [0, 2, 1, 3];

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Op::Transpose(op) = &edit.node(i).op else { continue };
        if op.perm != SWAP {
            continue;
        }
        if let Some((op, inputs)) = edit.node(i).input(0).and_then(|context| attention(&edit, context)) {
            let node = edit.node_mut(i);
            node.op = op.into();
            node.inputs = inputs;
        }
    }
    edit.finish()
}

/// The attention whose result, heads first, `context` is.
fn attention(edit: &Edit, context: TensorId) -> Option<(Attention, Vec<Option<TensorId>>)> {
    let [weights, v] = product(edit, context, false)?;
    let softmax = sole(edit, weights)?;
    let scores = match &softmax.op {
        Op::Softmax(Softmax { axis: 3, log: false }) => softmax.input(0)?,
        _ => return None,
    };
    let (scores, mask) = masked(edit, scores);
    let (scores, scale) = scaled(edit, scores);
    let transposed = matches!(&sole(edit, scores)?.op, Op::MatMul(op) if op.transpose_b);
    let [q, k] = product(edit, scores, transposed)?;
    let ((q, q_scale), (k, k_scale)) = (scaled(edit, q), scaled(edit, k));
    let q = heads(edit, q, &SWAP, None)?;
    let k = match transposed {
        true => heads(edit, k, &SWAP, None)?,
        false => heads(edit, k, &[0, 2, 3, 1], Some(&[0, 1, 3, 2]))?,
    };
    let v = heads(edit, v, &SWAP, None)?;
    let scale = scale * q_scale * k_scale;
    let fits = alike(edit, &q, &k, &v) && scale.is_finite() && mask.is_none_or(|m| covers(edit, m, scores));
    let op = Attention {
        scale,
        causal: false,
        q_heads_first: q.first,
        k_heads_first: k.first,
        v_heads_first: v.first,
    };
    let inputs = [Some(q.tensor), Some(k.tensor), Some(v.tensor), mask];
    fits.then(|| (op, inputs.into_iter().filter(Option::is_some).collect()))
}

/// The node that computes `t` for one reader only.
fn sole<'e>(edit: &'e Edit, t: TensorId) -> Option<&'e Node> {
    edit.sole_producer(t).map(|i| edit.node(i))
}

/// The factors of the product that alone gives `t`.
fn product(edit: &Edit, t: TensorId, transpose_b: bool) -> Option<[TensorId; 2]> {
    let node = sole(edit, t)?;
    match &node.op {
        Op::MatMul(op) if op.transpose_b == transpose_b => Some([node.input(0)?, node.input(1)?]),
        _ => None,
    }
}

/// Scores and mask of a sum of both, or the scores alone. Scores are what comes from a product.
fn masked(edit: &Edit, t: TensorId) -> (TensorId, Option<TensorId>) {
    let Some(node) = sole(edit, t) else { return (t, None) };
    if let Op::Binary(op) = &node.op
        && op.kind == BinaryKind::Add
        && op.clamp.is_none()
        && let (Some(a), Some(b)) = (node.input(0), node.input(1))
    {
        let is_scores =
            |t: TensorId| sole(edit, scaled(edit, t).0).is_some_and(|n| matches!(n.op, Op::MatMul(_)));
        return match (is_scores(a), is_scores(b)) {
            (true, false) => (a, Some(b)),
            (false, true) => (b, Some(a)),
            _ => (t, None),
        };
    }
    (t, None)
}

/// What is multiplied or divided by constants to give `t`, and the factor.
fn scaled(edit: &Edit, t: TensorId) -> (TensorId, f32) {
    let (mut t, mut scale) = (t, 1.0);
    while let Some(node) = sole(edit, t) {
        let Op::Binary(op) = &node.op else { break };
        let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { break };
        let step = match (op.kind, edit.scalar(a), edit.scalar(b)) {
            (BinaryKind::Mul, _, Some(v)) => (a, v),
            (BinaryKind::Mul, Some(v), _) => (b, v),
            (BinaryKind::Div, _, Some(v)) => (a, 1.0 / v),
            _ => break,
        };
        // A factor of more dimensions would give the result more.
        if !op.clamp.is_none() || edit.graph.tensor(step.0).shape != edit.graph.tensor(t).shape {
            break;
        }
        (t, scale) = (step.0, scale * step.1);
    }
    (t, scale)
}

/// An operand where it lies.
struct Heads {
    tensor: TensorId,
    /// Heads before rows.
    first: bool,
}

impl Heads {
    /// Batch, heads, rows, depth.
    fn dims(&self, edit: &Edit) -> Option<[Dim; 4]> {
        let [batch, a, b, depth] = edit.graph.tensor(self.tensor).shape.0[..] else { return None };
        Some(if self.first { [batch, a, b, depth] } else { [batch, b, a, depth] })
    }
}

/// The operand behind `t`: transposed by `rows_first` from rows before heads, by `heads_first` from heads before rows;
/// without that, `t` itself has heads first.
fn heads(edit: &Edit, t: TensorId, rows_first: &[usize], heads_first: Option<&[usize]>) -> Option<Heads> {
    if edit.graph.tensor(t).shape.rank() != 4 {
        return None;
    }
    // Others may read what is transposed: it is only read here as well.
    if let Some(node) = edit.producer(t)
        && let Op::Transpose(op) = &node.op
    {
        if op.perm == rows_first {
            return Some(Heads { tensor: node.input(0)?, first: false });
        }
        if heads_first == Some(&op.perm[..]) {
            return Some(Heads { tensor: node.input(0)?, first: true });
        }
    }
    heads_first.is_none().then_some(Heads { tensor: t, first: true })
}

/// True if batches, heads and lengths are the same: products would broadcast them.
fn alike(edit: &Edit, q: &Heads, k: &Heads, v: &Heads) -> bool {
    let (Some(q), Some(k), Some(v)) = (q.dims(edit), k.dims(edit), v.dims(edit)) else { return false };
    q[..2] == k[..2] && k[..3] == v[..3] && q[3] == k[3]
}

/// True if the mask has a value for every key and is no larger than the scores, as far as lengths are known. Free ones
/// that turn out otherwise are refused when they are bound.
fn covers(edit: &Edit, mask: TensorId, scores: TensorId) -> bool {
    let (mask, scores) = (&edit.graph.tensor(mask).shape, &edit.graph.tensor(scores).shape);
    let may_be = |m: Dim, s: Dim| m == s || m.fixed().is_none() || s.fixed().is_none();
    let last = mask.last().zip(scores.last());
    let mut pairs = mask.iter().rev().zip(scores.iter().rev());
    mask.rank() <= 4
        && last.is_some_and(|(&m, &s)| m == s || (m != Dim::Fixed(1) && may_be(m, s)))
        && pairs.all(|(&m, &s)| m == Dim::Fixed(1) || may_be(m, s))
}
