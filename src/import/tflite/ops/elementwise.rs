//! Functions of the elements of one or two tensors.

use super::super::super::node::{Stop, of_one, of_two};
use super::super::context::Context;
use crate::graph::{Binary, BinaryKind, Clamp, DType, TensorId, Unary, UnaryKind};

/// `AddOptions`, `SubOptions`, `MulOptions`, `DivOptions`: fused_activation_function, ...
pub(in super::super) fn arithmetic(cx: &mut Context, kind: BinaryKind) -> Result<Vec<TensorId>, Stop> {
    let clamp = cx.options.activation(0)?;
    emit(cx, kind, clamp)
}

pub(in super::super) fn binary(cx: &mut Context, kind: BinaryKind) -> Result<Vec<TensorId>, Stop> {
    emit(cx, kind, Clamp::NONE)
}

fn emit(cx: &mut Context, kind: BinaryKind, clamp: Clamp) -> Result<Vec<TensorId>, Stop> {
    let inputs = cx.inputs()?;
    if !clamp.is_none() && inputs.iter().any(|&id| matches!(cx.tensor(id).dtype, DType::I32 | DType::I64)) {
        return Err(Stop::because("integers that are not quantized can't have a fused activation"));
    }
    cx.emit(Binary { kind, clamp }, &inputs)
}

pub(in super::super) fn unary(cx: &mut Context, kind: UnaryKind) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    cx.emit(of_one(kind), &[x])
}

pub(in super::super) fn clip(cx: &mut Context, min: f32, max: f32) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    cx.emit(Unary { kind: UnaryKind::Clip, alpha: min, beta: max }, &[x])
}

/// `LeakyReluOptions`: alpha.
pub(in super::super) fn leaky_relu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (alpha, x) = (cx.options.scalar::<f32>(0, 0.0)?, cx.input(0)?);
    cx.emit(Unary { kind: UnaryKind::LeakyRelu, alpha, beta: 0.0 }, &[x])
}

/// `GeluOptions`: approximate.
pub(in super::super) fn gelu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let kind = if cx.options.flag(0)? { UnaryKind::GeluTanh } else { UnaryKind::Gelu };
    unary(cx, kind)
}

pub(in super::super) fn elu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    cx.emit(Unary { kind: UnaryKind::Elu, alpha: 1.0, beta: 0.0 }, &[x])
}

/// One over the square root.
pub(in super::super) fn rsqrt(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.real(0)?;
    let root = cx.inner("root", of_one(UnaryKind::Sqrt), &[x], (DType::F32, None))?;
    cx.emit_real(of_one(UnaryKind::Reciprocal), &[root])
}

pub(in super::super) fn square(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.real(0)?;
    cx.emit_real(of_two(BinaryKind::Mul), &[x, x])
}

pub(in super::super) fn squared_difference(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let inputs = [cx.real(0)?, cx.real(1)?];
    let dtype = cx.tensor(inputs[0]).dtype;
    let difference = cx.inner("difference", of_two(BinaryKind::Sub), &inputs, (dtype, None))?;
    cx.emit_real(of_two(BinaryKind::Mul), &[difference, difference])
}

/// Quotients toward minus infinity: of floats the quotient's floor, of integers that of what the remainder leaves.
pub(in super::super) fn floor_div(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let [a, b] = [cx.real(0)?, cx.real(1)?];
    let dtype = cx.tensor(a).dtype;
    if dtype == DType::F32 {
        let quotient = cx.inner("quotient", of_two(BinaryKind::Div), &[a, b], (dtype, None))?;
        return cx.emit_real(of_one(UnaryKind::Floor), &[quotient]);
    }
    let rest = cx.inner("rest", of_two(BinaryKind::Mod), &[a, b], (dtype, None))?;
    let whole = cx.inner("whole", of_two(BinaryKind::Sub), &[a, rest], (dtype, None))?;
    cx.emit(of_two(BinaryKind::Div), &[whole, b])
}

pub(in super::super) fn floor_mod(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let inputs = [cx.real(0)?, cx.real(1)?];
    cx.emit_real(of_two(BinaryKind::Mod), &inputs)
}

pub(in super::super) fn add_n(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let inputs = cx.inputs()?;
    let [first, middle @ .., last] = &inputs[..] else {
        return Err(Stop::because("it adds fewer than two tensors"));
    };
    let mut sum = *first;
    let dtype = cx.tensor(sum).dtype;
    for (i, &x) in middle.iter().enumerate() {
        sum = cx.inner(&format!("sum{i}"), of_two(BinaryKind::Add), &[sum, x], (dtype, None))?;
    }
    cx.emit(of_two(BinaryKind::Add), &[sum, *last])
}
