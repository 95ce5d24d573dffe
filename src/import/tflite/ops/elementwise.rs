//! Functions of the elements of one or two tensors.

use super::super::super::node::Stop;
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
    cx.emit(Unary { kind, alpha: 0.0, beta: 0.0 }, &[x])
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
