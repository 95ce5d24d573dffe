//! Normalizations that are made of plain operators.

use super::super::context::{Context, Stop};
use super::{axis, of_one, of_two};
use crate::graph::{
    ArgMax, BinaryKind, DType, Pool, PoolKind, Reduce, ReduceKind, Reshape, ShapeOf, TensorId, UnaryKind,
    Unsqueeze,
};

/// `(x - mean) / sqrt(variance + epsilon)` over these axes.
fn standardized(cx: &mut Context, x: TensorId, axes: &[usize], epsilon: f32) -> Result<TensorId, Stop> {
    let reduce = |kind| Reduce { kind, axes: axes.to_vec(), keep_dims: true };
    let mean = cx.inner("mean", reduce(ReduceKind::Mean), &[Some(x)])?;
    let centred = cx.inner("centred", of_two(BinaryKind::Sub), &[Some(x), Some(mean)])?;
    let square = cx.inner("square", of_two(BinaryKind::Mul), &[Some(centred), Some(centred)])?;
    let variance = cx.inner("variance", reduce(ReduceKind::Mean), &[Some(square)])?;
    let epsilon = cx.scalar("epsilon", epsilon)?;
    let variance = cx.inner("positive", of_two(BinaryKind::Add), &[Some(variance), Some(epsilon)])?;
    let deviation = cx.inner("deviation", of_one(UnaryKind::Sqrt), &[Some(variance)])?;
    cx.inner("standardized", of_two(BinaryKind::Div), &[Some(centred), Some(deviation)])
}

/// A vector of channels, to be broadcast to `[N, C, ..]` of this rank.
fn per_channel(cx: &mut Context, tag: &str, id: TensorId, rank: usize) -> Result<TensorId, Stop> {
    cx.inner(tag, Unsqueeze { axes: (1..rank - 1).collect() }, &[Some(id)])
}

fn need_channels(cx: &Context, x: TensorId) -> Result<usize, Stop> {
    match cx.rank(x) {
        rank @ 2.. => Ok(rank),
        rank => Err(Stop::because(format!("its input has rank {rank}, it must be [N, C, ..]"))),
    }
}

pub(super) fn instance_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let epsilon = attrs.float_or("epsilon", 1e-5)?;
    attrs.finish()?;
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let rank = need_channels(cx, x)?;
    let y = standardized(cx, x, &(2..rank).collect::<Vec<_>>(), epsilon)?;
    scaled(cx, y, scale, bias, rank)
}

/// `y * scale + bias`, one of each per channel.
fn scaled(
    cx: &mut Context,
    y: TensorId,
    scale: TensorId,
    bias: TensorId,
    rank: usize,
) -> Result<Vec<TensorId>, Stop> {
    let scale = per_channel(cx, "scale", scale, rank)?;
    let bias = per_channel(cx, "bias", bias, rank)?;
    let y = cx.inner("scaled", of_two(BinaryKind::Mul), &[Some(y), Some(scale)])?;
    cx.emit(of_two(BinaryKind::Add), &[Some(y), Some(bias)])
}

/// Channels in groups that are normalized together.
pub(super) fn group_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let epsilon = attrs.float_or("epsilon", 1e-5)?;
    let groups = attrs.int("num_groups")?.filter(|g| (1..=1 << 20).contains(g));
    let groups = groups.ok_or_else(|| Stop::because("attribute 'num_groups' is missing or out of range"))?;
    // Everything is computed in f32 anyway.
    attrs.ignore(&["stash_type"]);
    attrs.finish()?;
    let (x, mut scale, mut bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let rank = need_channels(cx, x)?;
    let channels = cx.extent(x, 1).and_then(|c| i64::try_from(c).ok()).filter(|c| c % groups == 0);
    let channels =
        channels.ok_or_else(|| Stop::because("its channels must be a fixed multiple of its groups"))?;
    let shape = cx.inner("shape", ShapeOf { start: 0, end: i64::MAX }, &[Some(x)])?;
    let grouped = cx.int_vector("grouped", &[0, groups, -1])?;
    let parts = cx.inner("parts", Reshape { allow_zero: false }, &[Some(x), Some(grouped)])?;
    let parts = standardized(cx, parts, &[2], epsilon)?;
    let y = cx.inner("joined", Reshape { allow_zero: false }, &[Some(parts), Some(shape)])?;
    // At first there was one scale per group.
    if cx.opset() < 21 {
        scale = repeated(cx, "scales", scale, groups, channels)?;
        bias = repeated(cx, "biases", bias, groups, channels)?;
    }
    scaled(cx, y, scale, bias, rank)
}

/// Each of `[groups]` as often as a group has channels.
fn repeated(cx: &mut Context, tag: &str, id: TensorId, groups: i64, channels: i64) -> Result<TensorId, Stop> {
    let column = cx.inner(&format!("{tag}/column"), Unsqueeze { axes: vec![1] }, &[Some(id)])?;
    let wide = cx.int_vector(&format!("{tag}/wide"), &[groups, channels / groups])?;
    let all = cx.inner(&format!("{tag}/all"), crate::graph::Expand {}, &[Some(column), Some(wide)])?;
    let flat = cx.int_vector(&format!("{tag}/flat"), &[channels])?;
    cx.inner(tag, Reshape { allow_zero: false }, &[Some(all), Some(flat)])
}

pub(super) fn mean_variance_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec();
    attrs.finish()?;
    let x = cx.input(0)?;
    let axes = super::axes(&given, cx.rank(x))?;
    // The standard's function adds this to the deviation; to the variance it is as good as that.
    let y = standardized(cx, x, &axes, 1e-18)?;
    Ok(vec![y])
}

/// `x / norm`, and 0 where all is 0.
pub(super) fn lp_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (given, p) = (attrs.int_or("axis", -1)?, attrs.int_or("p", 2)?);
    attrs.finish()?;
    let x = cx.input(0)?;
    let axis = axis(given, cx.rank(x))?;
    let sum = Reduce { kind: ReduceKind::Sum, axes: vec![axis], keep_dims: true };
    let norm = match p {
        1 => {
            let size = cx.inner("size", of_one(UnaryKind::Abs), &[Some(x)])?;
            cx.inner("norm", sum, &[Some(size)])?
        }
        2 => {
            let square = cx.inner("square", of_two(BinaryKind::Mul), &[Some(x), Some(x)])?;
            let square = cx.inner("sum", sum, &[Some(square)])?;
            cx.inner("norm", of_one(UnaryKind::Sqrt), &[Some(square)])?
        }
        other => return Err(Stop::because(format!("attribute 'p' is {other}, it must be 1 or 2"))),
    };
    let least = cx.scalar("least", f32::MIN_POSITIVE)?;
    let norm = cx.inner("positive", of_two(BinaryKind::Max), &[Some(norm), Some(least)])?;
    cx.emit(of_two(BinaryKind::Div), &[Some(x), Some(norm)])
}

/// `x / (bias + alpha * mean of x^2 over neighbouring channels) ^ beta`: the mean is a pool along the channels.
pub(super) fn local_response_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let alpha = attrs.float_or("alpha", 1e-4)?;
    let beta = attrs.float_or("beta", 0.75)?;
    let bias = attrs.float_or("bias", 1.0)?;
    let size = attrs.int("size")?.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=1 << 15).contains(n));
    let size = size.ok_or_else(|| Stop::because("attribute 'size' is missing or out of range"))?;
    attrs.finish()?;
    let x = cx.input(0)?;
    need_channels(cx, x)?;
    let shape = cx.inner("shape", ShapeOf { start: 0, end: i64::MAX }, &[Some(x)])?;
    let square = cx.inner("square", of_two(BinaryKind::Mul), &[Some(x), Some(x)])?;
    let flat = cx.int_vector("flat", &[0, 0, -1, 1])?;
    let flat = cx.inner("columns", Reshape { allow_zero: false }, &[Some(square), Some(flat)])?;
    let before = (size - 1) / 2;
    let pool = Pool {
        kind: PoolKind::Average,
        kernel: [size, 1],
        strides: [1, 1],
        pads: [before, 0, size - 1 - before, 0],
        dilations: [1, 1],
        ceil: false,
        count_include_pad: true,
    };
    let mean = cx.inner("mean", pool, &[Some(flat)])?;
    let mean = cx.inner("means", Reshape { allow_zero: false }, &[Some(mean), Some(shape)])?;
    let [alpha, bias, beta] =
        [("alpha", alpha), ("bias", bias), ("beta", beta)].map(|(t, v)| cx.scalar(t, v));
    let y = cx.inner("share", of_two(BinaryKind::Mul), &[Some(mean), Some(alpha?)])?;
    let y = cx.inner("base", of_two(BinaryKind::Add), &[Some(y), Some(bias?)])?;
    let y = cx.inner("divisor", of_two(BinaryKind::Pow), &[Some(y), Some(beta?)])?;
    cx.emit(of_two(BinaryKind::Div), &[Some(x), Some(y)])
}

/// 1 at the first greatest value, 0 elsewhere.
pub(super) fn hardmax(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", if cx.opset() < 13 { 1 } else { -1 })?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let axis = axis(given, rank)?;
    if cx.opset() < 13 && axis + 1 != rank {
        return Err(Stop::because(
            "before operator set 13 it looks at all dimensions from 'axis' on: only the last one is supported",
        ));
    }
    let best = ArgMax { axis, keep_dims: true, select_last: false };
    let best = cx.inner("best", best, &[Some(x)])?;
    let [zero, one] = [0, 1].map(|n| crate::graph::Data::from_slice(&[n as i64]));
    let zero = cx.constant("zero", DType::I64, &[], zero)?;
    let one = cx.constant("one", DType::I64, &[], one)?;
    let len = ShapeOf { start: axis as i64, end: axis as i64 + 1 };
    let len = cx.inner("len", len, &[Some(x)])?;
    let all = cx.inner("all", crate::graph::Range {}, &[Some(zero), Some(len), Some(one)])?;
    let all = cx.inner("along", Unsqueeze { axes: (1..rank - axis).collect() }, &[Some(all)])?;
    let on = cx.inner("on", of_two(BinaryKind::Equal), &[Some(best), Some(all)])?;
    super::elementwise::to_dtype(cx, on, DType::F32)
}
