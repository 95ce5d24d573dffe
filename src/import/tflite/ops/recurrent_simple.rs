//! Recurrent layers with one gate, layers in both directions, and filters with a memory (SVDF).

use super::super::super::node::Stop;
use super::super::context::Context;
use super::recurrent::{Layer, Operands, first_state, floats, function, lstm_states, matrix, rows, run};
use crate::graph::{
    Binary, BinaryKind, Clamp, Concat, DType, Data, Dequantize, Dim, Direction, GateFunction, Linear, Quant,
    Recurrent, RecurrentCell, Reduce, ReduceKind, Requantize, RowQuant, Slice, Squeeze, Tensor, TensorId,
    Unary, UnaryKind, Unsqueeze,
};

/// A layer over `x`, batch first or time first.
fn layer(
    cx: &Context,
    x: TensorId,
    batch_first: bool,
    cell_clip: f32,
    rows: RowQuant,
) -> Result<Layer, Stop> {
    if cx.tensor(x).dtype != DType::F32 {
        return Err(Stop::because(format!("its input is {}: floats are supported", cx.tensor(x).dtype)));
    }
    let batch = cx.tensor(x).shape.get(usize::from(!batch_first)).copied().unwrap_or(Dim::Fixed(1));
    Ok(Layer { x, batch_first, cell_clip, peepholes: false, batch, rows })
}

/// Where the operands of a layer with one gate are: weights of the input, of the state, bias, state.
type Gate = [usize; 4];

/// All states of one direction.
fn states(
    cx: &mut Context,
    layer: &Layer,
    [w, r, bias, state]: Gate,
    direction: Direction,
    function: GateFunction,
) -> Result<TensorId, Stop> {
    let tag = direction.name();
    let ([hidden, input], square) = (matrix(cx, w)?, matrix(cx, r)?);
    if square != [hidden; 2] {
        return Err(Stop::because(format!("its weights are [{hidden}, {input}] and {square:?}")));
    }
    let mut inputs = vec![Some(layer.x)];
    for (what, i, dims) in [("w", w, [hidden, input]), ("r", r, square), ("bias", bias, [1, hidden])] {
        let info = cx.info(i)?;
        let name = format!("{}/{tag} {what}", cx.name);
        let codes = info.data.zip(info.quant.clone()).filter(|_| info.dtype == DType::I8);
        let tensor = match codes {
            Some((data, quant)) => {
                Tensor::constant(name, DType::I8, &dims, Data::from_bytes(data)).with_quant(quant)
            }
            None => Tensor::constant(name, DType::F32, &dims, Data::from_slice(&floats(cx, i)?)),
        };
        inputs.push(Some(cx.state.constant(tensor)?));
    }
    inputs.extend([None, Some(first_state(cx, layer, &format!("{tag} h"), state)?)]);
    let op = Recurrent {
        batch_first: layer.batch_first,
        functions: vec![function],
        rows: layer.rows,
        ..Recurrent::new(RecurrentCell::Rnn, direction)
    };
    run(cx, layer, op, inputs, &[state])
}

const GATE: Gate = [1, 2, 3, 4];

/// `RNNOptions`: fused_activation_function, asymmetric_quantize_inputs. One step. Inputs: x, weights, weights of the state, bias, state.
pub(in super::super) fn step(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let function = function(cx.options.scalar::<i8>(0, 0)?)?;
    let x = cx.input(0)?;
    let x = cx.inner("steps", Unsqueeze { axes: vec![0] }, &[x], (DType::F32, None))?;
    let layer = layer(cx, x, false, f32::INFINITY, rows(cx, 1)?)?;
    let all = states(cx, &layer, GATE, Direction::Forward, function)?;
    cx.emit(Squeeze { axes: vec![0, 1] }, &[all])
}

/// `LSTMOptions`: fused_activation_function, cell_clip, proj_clip, kernel_type (FULL, BASIC),
/// asymmetric_quantize_inputs. One step.
pub(in super::super) fn lstm_step(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (activation, clip) = (cx.options.scalar::<i8>(0, 0)?, cx.options.scalar::<f32>(1, 0.0)?);
    if cx.options.scalar::<i8>(3, 0)? != 0 || !cx.has(1) || cx.has(16) || (20..24).any(|i| cx.has(i)) {
        return Err(Stop::because(
            "only its full form is supported, with four gates, without projection and normalization",
        ));
    }
    let x = cx.input(0)?;
    let x = cx.inner("steps", Unsqueeze { axes: vec![0] }, &[x], (DType::F32, None))?;
    let mut layer = layer(cx, x, false, if clip > 0.0 { clip } else { f32::INFINITY }, rows(cx, 4)?)?;
    layer.peepholes = cx.has(10);
    let operands = Operands { shift: 0, states: [18, 19], direction: Direction::Forward };
    let all = lstm_states(cx, &layer, activation, &operands)?;
    cx.emit(Squeeze { axes: vec![0, 1] }, &[all])
}

/// `SequenceRNNOptions`: time_major, fused_activation_function, asymmetric_quantize_inputs. Inputs as those of a step.
pub(in super::super) fn sequence(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (batch_first, function) = (!cx.options.flag(0)?, function(cx.options.scalar::<i8>(1, 0)?)?);
    let x = cx.input(0)?;
    let layer = layer(cx, x, batch_first, f32::INFINITY, rows(cx, 2)?)?;
    let all = states(cx, &layer, GATE, Direction::Forward, function)?;
    cx.emit(Squeeze { axes: vec![if batch_first { 2 } else { 1 }] }, &[all])
}

/// Gives out the states of both directions, joined or not.
fn emit_both(
    cx: &mut Context,
    batch_first: bool,
    all: [TensorId; 2],
    merged: bool,
) -> Result<Vec<TensorId>, Stop> {
    let op = Squeeze { axes: vec![if batch_first { 2 } else { 1 }] };
    if cx.operator.outputs.len() != if merged { 1 } else { 2 } {
        return Err(Stop::because("it has one output where its directions are merged, else two"));
    }
    if !merged {
        return (0..2).map(|i| cx.emit_nth(i, op.clone(), &[all[i]])).collect();
    }
    let parts = ["forward", "backward"].iter().zip(all);
    let parts = parts.map(|(tag, all)| cx.inner(tag, op.clone(), &[all], (DType::F32, None)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    cx.emit(Concat { axis: 2 }, &parts)
}

/// `BidirectionalSequenceRNNOptions`: time_major, fused_activation_function, merge_outputs,
/// asymmetric_quantize_inputs.
pub(in super::super) fn both(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (batch_first, function) = (!cx.options.flag(0)?, function(cx.options.scalar::<i8>(1, 0)?)?);
    let merged = cx.options.flag(2)?;
    if (9..12).any(|i| cx.has(i)) {
        return Err(Stop::because("it has auxiliary inputs"));
    }
    let x = cx.input(0)?;
    let layer = layer(cx, x, batch_first, f32::INFINITY, rows(cx, 3)?)?;
    let forward = states(cx, &layer, GATE, Direction::Forward, function)?;
    let backward = states(cx, &layer, [5, 6, 7, 8], Direction::Reverse, function)?;
    emit_both(cx, batch_first, [forward, backward], merged)
}

/// `BidirectionalSequenceLSTMOptions`: fused_activation_function, cell_clip, proj_clip, merge_outputs, time_major,
/// asymmetric_quantize_inputs.
pub(in super::super) fn both_lstm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    /// What the backward direction's weights lie behind those of the forward one.
    const BACKWARD: usize = 17;
    let (activation, clip) = (cx.options.scalar::<i8>(0, 0)?, cx.options.scalar::<f32>(1, 0.0)?);
    let (merged, batch_first) = (cx.options.flag(3)?, cx.options.scalar::<u8>(4, 1)? == 0);
    if !cx.has(1) || !cx.has(1 + BACKWARD) {
        return Err(Stop::because("its input gate is coupled to the forget gate"));
    }
    if cx.has(16) || cx.has(16 + BACKWARD) || (39..48).any(|i| cx.has(i)) {
        return Err(Stop::because("it projects its states or has auxiliary inputs"));
    }
    let x = cx.input(0)?;
    let mut layer = layer(cx, x, batch_first, if clip > 0.0 { clip } else { f32::INFINITY }, rows(cx, 5)?)?;
    let mut all = vec![];
    for (shift, states, direction) in
        [(0, [35, 36], Direction::Forward), (BACKWARD, [37, 38], Direction::Reverse)]
    {
        layer.peepholes = cx.has(shift + 10);
        all.push(lstm_states(cx, &layer, activation, &Operands { shift, states, direction })?);
    }
    emit_both(cx, batch_first, [all[0], all[1]], merged)
}

/// `SVDFOptions`: rank, fused_activation_function. Inputs: x `[N,I]`, weights of features `[F,I]`, of time `[F,M]`, bias
/// `[F/rank]`, state `[N,F*M]`. Each feature is remembered for M runs; a unit sums what it remembers of its `rank`
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
    let (rank, dim) = (rank.ok_or_else(fault)?, |n: usize| i64::try_from(n).unwrap_or(i64::MAX));
    let units = features / rank;
    let batch = cx.tensor(x).shape.first().copied().unwrap_or(Dim::Fixed(1));
    let real = (DType::F32, None);
    // The features of this run, in the form in which the state has them.
    let state_info = cx.info(4)?;
    let form = (state_info.dtype, state_info.quant.clone());
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
    let state = cx.variable(4, batch)?;
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
    let products = Binary { kind: BinaryKind::Mul, clamp: Clamp::NONE };
    let products = cx.inner("products", products, &[all, over_time], real.clone())?;
    let by_unit = cx.reshaped("units", products, &[-1, dim(units), dim(rank.saturating_mul(memory))])?;
    let sum = Reduce { kind: ReduceKind::Sum, axes: vec![2], keep_dims: false };
    let Some(bias) = unit_bias(cx)? else {
        let sums = cx.inner("sums", sum, &[by_unit], real)?;
        return cx.emit_real(Unary { kind: UnaryKind::Clip, alpha: clamp.min, beta: clamp.max }, &[sums]);
    };
    let sums = cx.inner("sums", sum, &[by_unit], real)?;
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
