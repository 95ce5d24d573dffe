//! Matrix products.

use super::super::context::{Context, Stop};
use super::of_two;
use crate::graph::{
    Binary, BinaryKind, Clamp, DType, Data, Linear, MatMul, Op, Squeeze, TensorId, Transpose, Unsqueeze,
};

pub(super) fn gemm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let alpha = attrs.float_or("alpha", 1.0)?;
    let beta = attrs.float_or("beta", 1.0)?;
    let transpose_a = attrs.flag("transA", false)?;
    let transpose_b = attrs.flag("transB", false)?;
    attrs.finish()?;
    let (mut a, b, c) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    if c.is_none() && cx.opset() < 11 {
        return Err(Stop::because("input 2 is missing"));
    }
    for id in [Some(a), Some(b), c].into_iter().flatten() {
        cx.need_float(id)?;
    }
    if (cx.rank(a), cx.rank(b)) != (2, 2) {
        let (a, b) = (cx.rank(a), cx.rank(b));
        return Err(Stop::because(format!("its factors have ranks {a} and {b}, both must be 2")));
    }
    if let Some(c) = c.filter(|c| cx.rank(*c) > 2) {
        return Err(Stop::because(format!("its addend has rank {}, at most 2 is possible", cx.rank(c))));
    }
    if transpose_a {
        a = cx.inner("a", Transpose { perm: vec![1, 0] }, &[Some(a)])?;
    }
    let addend = c.filter(|_| beta != 0.0);
    let weights = match transpose_b {
        true => Some(b).filter(|b| cx.is_constant(*b)),
        false => transposed(cx, b)?,
    };
    // A bias that is one value per column of a plain product is part of Linear.
    let bias = match (weights, addend) {
        (Some(w), Some(c)) if alpha == 1.0 && beta == 1.0 => bias_vector(cx, c, w)?,
        _ => None,
    };
    let mut rest = Sum { alpha, beta, addend: addend.filter(|_| bias.is_none()) }.steps();
    let last = rest.pop();
    let inputs = [Some(a), Some(weights.unwrap_or(b)), bias];
    let Some(last) = last else {
        return match weights {
            Some(_) => cx.emit(Linear { clamp: Clamp::NONE }, &inputs),
            None => cx.emit(MatMul { transpose_b }, &inputs[..2]),
        };
    };
    let mut y = match weights {
        Some(_) => cx.core("product", Linear { clamp: Clamp::NONE }, &inputs)?,
        None => cx.core("product", MatMul { transpose_b }, &inputs[..2])?,
    };
    for step in rest {
        let (tag, op, other) = step.node(cx)?;
        y = cx.inner(tag, op, &[Some(y), Some(other)])?;
    }
    let (tag, op, other) = last.node(cx)?;
    cx.last(tag, op, &[Some(y), Some(other)])
}

/// What Gemm does with its product: `alpha * product + beta * addend`.
struct Sum {
    alpha: f32,
    beta: f32,
    addend: Option<TensorId>,
}

/// One operation on the product.
enum Step {
    Scale(f32),
    Add(TensorId, f32),
}

impl Sum {
    fn steps(&self) -> Vec<Step> {
        let scale = (self.alpha != 1.0).then_some(Step::Scale(self.alpha));
        let add = self.addend.map(|c| Step::Add(c, self.beta));
        scale.into_iter().chain(add).collect()
    }
}

impl Step {
    /// The operation, and its second input.
    fn node(&self, cx: &mut Context) -> Result<(&'static str, Binary, TensorId), Stop> {
        match *self {
            Step::Scale(alpha) => Ok(("alpha", of_two(BinaryKind::Mul), cx.scalar("alpha_value", alpha)?)),
            Step::Add(c, 1.0) => Ok(("add", of_two(BinaryKind::Add), c)),
            Step::Add(c, beta) => {
                let beta = cx.scalar("beta_value", beta)?;
                let scaled = cx.inner("beta", of_two(BinaryKind::Mul), &[Some(c), Some(beta)])?;
                Ok(("add", of_two(BinaryKind::Add), scaled))
            }
        }
    }
}

/// A constant matrix `[K, N]` as `[N, K]`.
fn transposed(cx: &mut Context, b: TensorId) -> Result<Option<TensorId>, Stop> {
    match cx.shape(b).dims().as_deref() {
        Some(&[k, n]) if cx.is_constant(b) => {
            cx.reordered_weights(b, "nk", &[k, n], &[1, 0], &[n, k]).map(Some)
        }
        _ => Ok(None),
    }
}

/// A constant addend as `[N]`, where it is one value per output of the weights `[N, K]`.
fn bias_vector(cx: &mut Context, c: TensorId, weights: TensorId) -> Result<Option<TensorId>, Stop> {
    let Some(n) = cx.extent(weights, 0) else { return Ok(None) };
    let Some(values) = cx.const_floats(c) else {
        return match cx.shape(c).dims().as_deref() {
            Some([len] | [1, len]) if *len == n && cx.is_constant(c) => {
                cx.reordered(c, "n", &[n], &[0], &[n])
            }
            _ => Ok(None),
        };
    };
    match cx.shape(c).dims().as_deref() {
        Some(&[len]) if len == n => Ok(Some(c)),
        Some([1, len]) if *len == n => {
            Ok(Some(cx.constant("bias", DType::F32, &[n], Data::from_slice(&values))?))
        }
        Some([] | [1] | [1, 1]) => {
            let values = vec![values[0]; n];
            Ok(Some(cx.constant("bias", DType::F32, &[n], Data::from_slice(&values))?))
        }
        _ => Ok(None),
    }
}

pub(super) fn matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    cx.need_float(a)?;
    cx.need_float(b)?;
    if cx.rank(a) == 0 || cx.rank(b) == 0 {
        return Err(Stop::because("a factor has no dimensions"));
    }
    if let Some(weights) = transposed(cx, b)? {
        return cx.emit(Linear { clamp: Clamp::NONE }, &[Some(a), Some(weights), None]);
    }
    matrices(cx, a, b, MatMul { transpose_b: false }, &[])
}

/// A product `op(a, b, more..)` of matrices. A vector stands for one of one row (left) or one column (right), which goes
/// again afterwards.
pub(super) fn matrices(
    cx: &mut Context,
    a: TensorId,
    b: TensorId,
    op: impl Into<Op>,
    more: &[Option<TensorId>],
) -> Result<Vec<TensorId>, Stop> {
    let (row, column) = (cx.rank(a) == 1, cx.rank(b) == 1);
    let a = if row { cx.inner("row", Unsqueeze { axes: vec![0] }, &[Some(a)])? } else { a };
    let b = if column { cx.inner("column", Unsqueeze { axes: vec![1] }, &[Some(b)])? } else { b };
    let inputs: Vec<Option<TensorId>> = [Some(a), Some(b)].into_iter().chain(more.iter().copied()).collect();
    if !row && !column {
        return cx.emit(op, &inputs);
    }
    let y = cx.core("product", op, &inputs)?;
    let rank = cx.rank(y);
    let axes = match (row, column) {
        (true, true) => vec![rank - 2, rank - 1],
        (true, false) => vec![rank - 2],
        _ => vec![rank - 1],
    };
    cx.last("vector", Squeeze { axes }, &[Some(y)])
}
