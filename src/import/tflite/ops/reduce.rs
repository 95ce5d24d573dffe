//! Operators that look along axes.

use super::super::super::node::{Stop, axes, axis, of_one, of_two};
use super::super::context::Context;
use crate::graph::{
    ArgMax, Binary, BinaryKind, Cast, CumSum, DType, Data, Reduce, ReduceKind, Softmax, TensorId, Unary,
    UnaryKind,
};

/// `ReducerOptions`: keep_dims. Integers that are not quantized are reduced in 64 bits.
pub(in super::super) fn reduce(cx: &mut Context, kind: ReduceKind) -> Result<Vec<TensorId>, Stop> {
    let (keep_dims, x) = (cx.options.flag(0)?, cx.input(0)?);
    let axes = axes(&cx.ints(1, "axes")?, cx.rank(x))?;
    let op = Reduce { kind, axes, keep_dims };
    match (cx.tensor(x).dtype, kind) {
        (DType::I32, ReduceKind::Mean) => Err(Stop::because("means of integers are not supported")),
        (DType::I32 | DType::Bool, _) => {
            let x = cx.inner("i64", Cast {}, &[x], (DType::I64, None))?;
            let y = cx.inner("reduced", op, &[x], (DType::I64, None))?;
            cx.emit(Cast {}, &[y])
        }
        _ => cx.emit(op, &[x]),
    }
}

/// `SoftmaxOptions`: beta. Bytes to 16 bits, and what is scaled, is computed with reals.
pub(in super::super) fn softmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let beta = cx.options.scalar::<f32>(0, 0.0)?;
    let x = cx.input(0)?;
    let last = cx.rank(x).checked_sub(1).ok_or_else(|| Stop::because("its input is a scalar"))?;
    let op = Softmax { axis: last, log: false };
    if beta == 1.0 && cx.tensor(x).dtype == cx.template(0)?.dtype {
        return cx.emit(op, &[x]);
    }
    let mut x = cx.real(0)?;
    if beta != 1.0 {
        let beta = cx.constant("beta", DType::F32, &[], Data::from_slice(&[beta]))?;
        let scaled = of_two(BinaryKind::Mul);
        x = cx.inner("scaled", scaled, &[x, beta], (DType::F32, None))?;
    }
    cx.emit_real(op, &[x])
}

pub(in super::super) fn log_softmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.real(0)?;
    let last = cx.rank(x).checked_sub(1).ok_or_else(|| Stop::because("its input is a scalar"))?;
    cx.emit_real(Softmax { axis: last, log: true }, &[x])
}

/// `CumsumOptions`: exclusive, reverse. Inputs: x, axis.
pub(in super::super) fn cum_sum(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (exclusive, reverse, x) = (cx.options.flag(0)?, cx.options.flag(1)?, cx.input(0)?);
    let axis = axis(cx.int(1, "axis")?, cx.rank(x))?;
    cx.emit(CumSum { axis, exclusive, reverse }, &[x])
}

/// What a sum of squares is at least before its root divides.
const LEAST_NORM: f32 = 1e-6;

/// `L2NormOptions`: fused_activation_function. Over the last axis.
pub(in super::super) fn l2_normalization(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let clamp = cx.options.activation(0)?;
    let x = cx.real(0)?;
    let last = cx.rank(x).checked_sub(1).ok_or_else(|| Stop::because("its input is a scalar"))?;
    let form = (DType::F32, None);
    let product = of_two(BinaryKind::Mul);
    let squares = cx.inner("squares", product, &[x, x], form.clone())?;
    let sum = Reduce { kind: ReduceKind::Sum, axes: vec![last], keep_dims: true };
    let sum = cx.inner("sum", sum, &[squares], form.clone())?;
    let bounded = Unary { kind: UnaryKind::Clip, alpha: LEAST_NORM, beta: f32::INFINITY };
    let sum = cx.inner("bounded", bounded, &[sum], form.clone())?;
    let root = cx.inner("root", of_one(UnaryKind::Sqrt), &[sum], form)?;
    cx.emit_real(Binary { kind: BinaryKind::Div, clamp }, &[x, root])
}

/// Index of the least: of the greatest negative. The output's type says what `ArgMinOptions` says.
pub(in super::super) fn arg_min(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.real(0)?;
    let form = (cx.tensor(x).dtype, None);
    let negative = cx.inner("negative", of_one(UnaryKind::Neg), &[x], form)?;
    greatest(cx, negative)
}

/// The output's type says what `ArgMaxOptions` says.
pub(in super::super) fn arg_max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    greatest(cx, x)
}

fn greatest(cx: &mut Context, mut x: TensorId) -> Result<Vec<TensorId>, Stop> {
    let axis = axis(cx.int(1, "axis")?, cx.rank(x))?;
    if cx.tensor(x).dtype == DType::I32 {
        x = cx.inner("wide", Cast {}, &[x], (DType::I64, None))?;
    }
    let op = ArgMax { axis, keep_dims: false, select_last: false };
    if cx.out(0)?.dtype == DType::I64 {
        return cx.emit(op, &[x]);
    }
    let wide = cx.inner("i64", op, &[x], (DType::I64, None))?;
    cx.emit(Cast {}, &[wide])
}
