//! Filters with a memory (SVDF).

use super::super::super::node::{Stop, of_two};
use super::super::context::Context;
use super::dim;
use super::recurrent::{batch, floats, matrix};
use crate::graph::{
    Binary, BinaryKind, Clamp, Concat, DType, Data, Dequantize, Linear, Quant, Reduce, ReduceKind,
    Requantize, Slice, Tensor, TensorId, Unary, UnaryKind,
};

/// `SVDFOptions`: rank, fused_activation_function. Inputs: x `[N,I]`, weights of features `[F,I]`, of time `[F,M]`,
/// bias `[F/rank]`, state `[N,F*M]`. Each feature is remembered for M runs; a unit sums what it remembers of its `rank`
/// features over time.
///
/// Of integers, features have the state's 16 bits; what is remembered is summed as reals.
pub(in super::super) fn svdf(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (rank, clamp) = (cx.options.scalar::<i32>(0, 0)?, cx.options.activation(1)?);
    let x = cx.input(0)?;
    let ([features, inputs], [rows, memory]) = (matrix(cx, 1)?, matrix(cx, 2)?);
    let fault =
        || Stop::because(format!("it has {features} features, {rows} rows over time and the rank {rank}"));
    let rank = usize::try_from(rank).ok().filter(|&r| r > 0 && features % r == 0 && rows == features);
    let rank = rank.ok_or_else(fault)?;
    let units = features / rank;
    let real = (DType::F32, None);
    // The features of this run, in the form in which the state has them.
    let state_info = cx.info(4)?;
    let form = (state_info.dtype, state_info.quant.clone());
    if form.1.is_some() && form.0 != DType::I16 {
        return Err(Stop::because(format!("its state is {}: i16 and floats are supported", form.0)));
    }
    let w = feature_weights(cx, x, [features, inputs])?;
    let mut inputs = [x, w];
    if form.1.is_some() {
        // The same integers less their zero point: products of 16 bits round as the state does.
        let scale = cx.tensor(x).quant.as_ref().and_then(Quant::single).map_or(1.0, |(scale, _)| scale);
        let wide = (DType::I16, Some(Quant::per_tensor(scale, 0)));
        inputs[0] = cx.inner("wide", Requantize {}, &[x], wide)?;
    }
    let now = cx.inner("features", Linear { clamp: Clamp::NONE }, &inputs, form.clone())?;
    let now = cx.reshaped("newest", now, &[-1, dim(features), 1])?;
    let state = cx.variable(4, batch(cx, x, true))?;
    let old = cx.reshaped("old", state, &[-1, dim(features), dim(memory)])?;
    let mut slice = vec![old];
    for (tag, value) in [("starts", 1), ("ends", i64::MAX), ("axes", 2)] {
        slice.push(cx.int_vector(tag, &[value])?);
    }
    let kept = cx.inner("kept", Slice {}, &slice, form.clone())?;
    let mut all = cx.inner("memory", Concat { axis: 2 }, &[kept, now], form.clone())?;
    let next = cx.reshaped("next", all, &[-1, dim(features.saturating_mul(memory))])?;
    cx.assign_variable(4, next)?;
    if form.1.is_some() {
        all = cx.inner("remembered", Dequantize {}, &[all], real.clone())?;
    }
    let values = Data::from_slice(&floats(cx, 2)?);
    let over_time = cx.constant("time", DType::F32, &[features, memory], values)?;
    let products = of_two(BinaryKind::Mul);
    let products = cx.inner("products", products, &[all, over_time], real.clone())?;
    let by_unit = cx.reshaped("units", products, &[-1, dim(units), dim(rank.saturating_mul(memory))])?;
    let sum = Reduce { kind: ReduceKind::Sum, axes: vec![2], keep_dims: false };
    let sums = cx.inner("sums", sum, &[by_unit], real)?;
    let Some(bias) = unit_bias(cx)? else {
        return cx.emit_real(Unary { kind: UnaryKind::Clip, alpha: clamp.min, beta: clamp.max }, &[sums]);
    };
    let bias = cx.constant("bias", DType::F32, &[bias.len()], Data::from_slice(&bias))?;
    cx.emit_real(Binary { kind: BinaryKind::Add, clamp }, &[sums, bias])
}

/// The weights of features: i8 for integers, else floats.
fn feature_weights(cx: &mut Context, x: TensorId, dims: [usize; 2]) -> Result<TensorId, Stop> {
    let info = cx.info(1)?;
    if cx.tensor(x).dtype == DType::F32 {
        let values = Data::from_slice(&floats(cx, 1)?);
        return cx.constant("weights", DType::F32, &dims, values);
    }
    let Some((data, quant)) = info.data.zip(info.quant).filter(|_| info.dtype == DType::I8) else {
        return Err(Stop::because(format!("'{}' must be constant i8 with a scale", info.name)));
    };
    let name = format!("{}/weights", cx.name);
    let tensor = Tensor::constant(name, DType::I8, &dims, Data::from_bytes(data));
    cx.state.constant(tensor.with_quant(quant))
}

/// The bias as reals: that of integers has the scale of the products of state and time.
fn unit_bias(cx: &Context) -> Result<Option<Vec<f32>>, Stop> {
    if !cx.has(3) {
        return Ok(None);
    }
    let info = cx.info(3)?;
    let Some(data) = info.data.filter(|_| info.dtype == DType::I32) else { return floats(cx, 3).map(Some) };
    let single = |i| Ok::<_, Stop>(cx.info(i)?.quant.and_then(|q| q.single()).map(|(scale, _)| scale));
    let scale = single(2)?.zip(single(4)?).map(|(time, state)| f64::from(time) * f64::from(state));
    let scale = scale.ok_or_else(|| Stop::because("its weights and its state must have one scale each"))?;
    let codes = Data::from_bytes(data).to_vec::<i32>();
    Ok(Some(codes.into_iter().map(|q| (f64::from(q) * scale) as f32).collect()))
}
