//! Attention as what it is made of: two products and a softmax.

use super::super::Stop;
use super::super::messages::{int, ints};
use super::super::onnx::{Layout, Writer};
use super::normalize::transposed;
use super::{MAX_ROWS, NodeView};
use crate::graph::*;

pub(super) fn attention(w: &mut Writer, n: &NodeView, op: &Attention) -> Result<(), Stop> {
    let mut q = w.real(n.input(0)?, Layout::Plain)?;
    if !op.q_heads_first {
        q = transposed(w, &q, &[0, 2, 1, 3]);
    }
    let k = w.real(n.input(1)?, Layout::Plain)?;
    // [N, G, D, T]
    let mut k = transposed(w, &k, if op.k_heads_first { &[0, 1, 3, 2] } else { &[0, 2, 3, 1] });
    let mut v = w.real(n.input(2)?, Layout::Plain)?;
    if !op.v_heads_first {
        v = transposed(w, &v, &[0, 2, 1, 3]);
    }
    let heads = |i: usize, first: bool| Ok(n.tensor(i)?.shape.get(if first { 1 } else { 2 }).copied());
    let (q_heads, kv_heads) = (heads(0, op.q_heads_first)?, heads(1, op.k_heads_first)?);
    if q_heads != kv_heads {
        let fixed = |d: Option<Dim>| d.and_then(Dim::fixed);
        let Some((h, g)) =
            fixed(q_heads).zip(fixed(kv_heads)).filter(|(h, g)| *g > 0 && h % g == 0 && *h <= MAX_ROWS)
        else {
            return Err(Stop::because("how many heads of queries share keys must be known"));
        };
        let indices = w.int_vector(&(0..h).map(|i| (i / (h / g)) as i64).collect::<Vec<_>>());
        [k, v] = [k, v].map(|x| w.calc("Gather", &[&x, &indices], vec![int("axis", 1)]));
    }
    let mut scores = w.calc("MatMul", &[&q, &k], vec![]);
    if op.scale != 1.0 {
        let scale = w.float_value(op.scale);
        scores = w.calc("Mul", &[&scores, &scale], vec![]);
    }
    if let Some(mask) = n.node.input(3) {
        let mask = w.real(mask, Layout::Plain)?;
        scores = w.calc("Add", &[&scores, &mask], vec![]);
    }
    if op.causal {
        scores = causal(w, &scores);
    }
    let weights = w.calc("Softmax", &[&scores], vec![int("axis", -1)]);
    let product = w.calc("MatMul", &[&weights, &v], vec![]);
    let perm = ints("perm", [0, 2, 1, 3]);
    w.computed("Transpose", &[product], vec![perm], (n.out(), Layout::Plain), Clamp::NONE)
}

/// Query i of S sees the keys up to i + T - S only: scores `[N, H, S, T]` beyond become minus infinity.
fn causal(w: &mut Writer, scores: &str) -> String {
    let extent = |w: &mut Writer, from: i64| {
        let extent = w.calc("Shape", &[scores], vec![int("start", from), int("end", from + 1)]);
        w.calc("Squeeze", &[&extent], vec![])
    };
    let [queries, keys] = [extent(w, 2), extent(w, 3)];
    let back = w.calc("Sub", &[&keys, &queries], vec![]);
    let square = w.calc("Shape", &[scores], vec![int("start", 2)]);
    let one = w.float_value(1.0);
    let ones = w.calc("Expand", &[&one, &square], vec![]);
    let seen = w.calc("Trilu", &[&ones, &back], vec![int("upper", 0)]);
    let seen = w.cast(&seen, DType::Bool);
    let never = w.float_value(f32::NEG_INFINITY);
    w.calc("Where", &[&seen, scores, &never], vec![])
}
