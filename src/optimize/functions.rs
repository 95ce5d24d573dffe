//! Functions that were exported in pieces become one node.
//!
//! Matches products of x with a function of x, whatever the order and association of the factors:
//! - `x * sigmoid(x)`: Silu
//! - `x * clip(x + 3, 0, 6) / 6` and `x * hard_sigmoid(x)` with slope 1/6: HardSwish
//! - `clip(x + 3, 0, 6) / 6`: HardSigmoid
//! - `x * (1 + erf(x / sqrt 2)) / 2`: Gelu
//! - `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`: GeluTanh
//!
//! These are the definitions of the functions. The constants of an export are rounded, so they may be off by
//! [`TOLERANCE`], relatively.

use super::edit::Edit;
use crate::graph::{BinaryKind, Clamp, Graph, Op, TensorId, Unary, UnaryKind};

/// Rounding to f32 several times over stays well below this.
const TOLERANCE: f32 = 1e-5;

/// Constant factors that are looked through on the way to a function.
const MAX_FACTORS: usize = 3;

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Some(out) = edit.node(i).outputs.first().copied().filter(|&o| edit.is_f32(o)) else { continue };
        let Some((x, function)) = function(&edit, out) else { continue };
        // A factor may be broadcast; then the product has another shape than x.
        if edit.graph.tensor(x).shape != edit.graph.tensor(out).shape {
            continue;
        }
        let node = edit.node_mut(i);
        node.op = function.into();
        node.inputs = vec![Some(x)];
    }
    edit.finish()
}

/// A tensor times a number.
#[derive(Clone, Copy)]
struct Scaled {
    tensor: TensorId,
    scale: f32,
}

/// The ways to see `t` as a tensor times a number: as it is, then with one constant factor after another outside.
fn scalings(edit: &Edit, t: TensorId) -> Vec<Scaled> {
    let step = |s: &Scaled| {
        let (kind, a, b) = binary(edit, s.tensor)?;
        let (tensor, scale) = match (kind, edit.scalar(a), edit.scalar(b)) {
            (BinaryKind::Mul, _, Some(v)) => (a, s.scale * v),
            (BinaryKind::Mul, Some(v), _) => (b, s.scale * v),
            (BinaryKind::Div, _, Some(v)) => (a, s.scale / v),
            _ => return None,
        };
        Some(Scaled { tensor, scale })
    };
    std::iter::successors(Some(Scaled { tensor: t, scale: 1.0 }), step).take(MAX_FACTORS).collect()
}

/// The function that `out` is, and of what.
fn function(edit: &Edit, out: TensorId) -> Option<(TensorId, Unary)> {
    for whole in scalings(edit, out) {
        if near(whole.scale, 1.0 / 6.0)
            && let Some(x) = relu6_of_plus_3(edit, whole.tensor)
        {
            return Some((x, Unary { kind: UnaryKind::HardSigmoid, alpha: 1.0 / 6.0, beta: 0.5 }));
        }
        let Some((BinaryKind::Mul, left, right)) = binary(edit, whole.tensor) else { continue };
        for a in scalings(edit, left) {
            for b in scalings(edit, right) {
                let scale = whole.scale * a.scale * b.scale;
                for (x, f) in [(a.tensor, b.tensor), (b.tensor, a.tensor)] {
                    if let Some(kind) = gate(edit, scale, x, f) {
                        return Some((x, Unary { kind, alpha: 0.0, beta: 0.0 }));
                    }
                }
            }
        }
    }
    None
}

/// The function of x that `scale * x * f` is.
fn gate(edit: &Edit, scale: f32, x: TensorId, f: TensorId) -> Option<UnaryKind> {
    let is_x = |found: Option<TensorId>| found == Some(x);
    let sixth = |u: &Unary| near(u.alpha, 1.0 / 6.0) && near(u.beta, 0.5);
    if near(scale, 1.0) {
        if is_x(unary(edit, f, |u| u.kind == UnaryKind::Sigmoid)) {
            return Some(UnaryKind::Silu);
        }
        let hard = unary(edit, f, |u| u.kind == UnaryKind::HardSigmoid && sixth(u));
        return is_x(hard).then_some(UnaryKind::HardSwish);
    }
    if near(scale, 1.0 / 6.0) {
        return is_x(relu6_of_plus_3(edit, f)).then_some(UnaryKind::HardSwish);
    }
    let inner = plus(edit, f, 1.0).filter(|_| near(scale, 0.5))?;
    if is_x(erf_argument(edit, inner)) {
        return Some(UnaryKind::Gelu);
    }
    is_x(tanh_argument(edit, inner)).then_some(UnaryKind::GeluTanh)
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= TOLERANCE * b.abs()
}

/// Kind and operands of the binary operation without activation that makes `t`.
fn binary(edit: &Edit, t: TensorId) -> Option<(BinaryKind, TensorId, TensorId)> {
    let node = edit.producer(t)?;
    match &node.op {
        Op::Binary(op) if op.clamp.is_none() => Some((op.kind, node.input(0)?, node.input(1)?)),
        _ => None,
    }
}

/// The input of the function of one value that makes `t`, if it is wanted.
fn unary(edit: &Edit, t: TensorId, wanted: impl Fn(&Unary) -> bool) -> Option<TensorId> {
    let node = edit.producer(t)?;
    match &node.op {
        Op::Unary(op) if wanted(op) => node.input(0),
        _ => None,
    }
}

/// x, if `t` is `x + value`.
fn plus(edit: &Edit, t: TensorId, value: f32) -> Option<TensorId> {
    let (BinaryKind::Add, a, b) = binary(edit, t)? else { return None };
    other_operand(edit, a, b, value)
}

/// The one of two operands whose partner is this constant.
fn other_operand(edit: &Edit, a: TensorId, b: TensorId, value: f32) -> Option<TensorId> {
    let is_value = |t: TensorId| edit.scalar(t).is_some_and(|v| near(v, value));
    if is_value(b) { Some(a) } else { Some(b).filter(|_| is_value(a)) }
}

/// x, if `t` is `clip(x + 3, 0, 6)`, with the clip already fused or not.
fn relu6_of_plus_3(edit: &Edit, t: TensorId) -> Option<TensorId> {
    if let Some(sum) = unary(edit, t, |u| u.kind == UnaryKind::Clip && (u.alpha, u.beta) == (0.0, 6.0)) {
        return plus(edit, sum, 3.0);
    }
    let node = edit.producer(t)?;
    match &node.op {
        Op::Binary(op) if op.kind == BinaryKind::Add && op.clamp == (Clamp { min: 0.0, max: 6.0 }) => {
            other_operand(edit, node.input(0)?, node.input(1)?, 3.0)
        }
        _ => None,
    }
}

/// x, if `t` is `erf(x / sqrt 2)`.
fn erf_argument(edit: &Edit, t: TensorId) -> Option<TensorId> {
    let inner = unary(edit, t, |u| u.kind == UnaryKind::Erf)?;
    scaled_by(edit, inner, std::f32::consts::FRAC_1_SQRT_2)
}

/// x, if `t` is `tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`.
fn tanh_argument(edit: &Edit, t: TensorId) -> Option<TensorId> {
    let inner = unary(edit, t, |u| u.kind == UnaryKind::Tanh)?;
    let sum = scaled_by(edit, inner, (2.0 / std::f32::consts::PI).sqrt())?;
    let (BinaryKind::Add, a, b) = binary(edit, sum)? else { return None };
    let is_cubic = |x: TensorId, t: TensorId| {
        let power = scaled_by(edit, t, 0.044715).and_then(|p| binary(edit, p));
        matches!(power, Some((BinaryKind::Pow, base, e)) if base == x && edit.scalar(e) == Some(3.0))
    };
    if is_cubic(a, b) { Some(a) } else { Some(b).filter(|_| is_cubic(b, a)) }
}

/// The tensor that is multiplied by `scale` to make `t`.
fn scaled_by(edit: &Edit, t: TensorId, scale: f32) -> Option<TensorId> {
    scalings(edit, t).into_iter().find(|s| near(s.scale, scale)).map(|s| s.tensor)
}
