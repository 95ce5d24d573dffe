//! Pooling.

use super::super::super::node::{Stop, of_one, of_two};
use super::super::context::Context;
use super::super::window::{Window, is_same, pair};
use crate::graph::{BinaryKind, Clamp, DType, Pool, PoolKind, TensorId, UnaryKind};

pub(in super::super) fn max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    pool(cx, PoolKind::Max)
}

/// Of integers that keep their meaning, as is the rule, the mean is an integer's: halves go away from 0.
pub(in super::super) fn average(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, y) = (cx.info(0)?, cx.out(0)?);
    let kind = match y.dtype {
        _ if x.quant.is_none() || x.quant != y.quant => PoolKind::Average,
        DType::U8 => PoolKind::AverageUnsigned,
        DType::I8 | DType::I16 => PoolKind::AverageSigned,
        _ => PoolKind::Average,
    };
    pool(cx, kind)
}

fn pool(cx: &mut Context, kind: PoolKind) -> Result<Vec<TensorId>, Stop> {
    let (op, clamp) = window(cx, kind)?;
    let x = cx.input(0)?;
    cx.emit_with(op, &[x], clamp)
}

/// `Pool2DOptions`: padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function. Averages
/// do not count the padding in.
fn window(cx: &mut Context, kind: PoolKind) -> Result<(Pool, Clamp), Stop> {
    let window = Window {
        kernel: pair(&cx.options, "window", 3, 0)?,
        strides: pair(&cx.options, "stride", 1, 1)?,
        dilations: [1, 1],
        same: is_same(&cx.options, 0)?,
    };
    let clamp = cx.options.activation(5)?;
    let x = cx.input(0)?;
    let [_, h, w, _] = cx.image(x)?;
    let pads = window.padding([h, w])?;
    let Window { kernel, strides, dilations, .. } = window;
    Ok((Pool { kind, kernel, strides, pads, dilations, ceil: false, count_include_pad: false }, clamp))
}

/// The root of the mean of squares.
pub(in super::super) fn l2(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (op, clamp) = window(cx, PoolKind::Average)?;
    let x = cx.input(0)?;
    let form = (DType::F32, None);
    let product = of_two(BinaryKind::Mul);
    let squares = cx.inner("squares", product, &[x, x], form.clone())?;
    let means = cx.inner("means", op, &[squares], form)?;
    cx.emit_with(of_one(UnaryKind::Sqrt), &[means], clamp)
}
