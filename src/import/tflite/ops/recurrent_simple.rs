//! Recurrent layers with one gate, of one step, and in both directions.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::recurrent::{
    Layer, Operands, batch, cell_clip, first_state, floats, function, lstm_states, matrix, rows, run,
};
use crate::graph::{
    Concat, DType, Data, Direction, GateFunction, Recurrent, RecurrentCell, RowQuant, Squeeze, Tensor,
    TensorId, Unsqueeze,
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
    Ok(Layer { x, batch_first, cell_clip, peepholes: false, batch: batch(cx, x, batch_first), rows })
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

/// `RNNOptions`: fused_activation_function, asymmetric_quantize_inputs. One step. Inputs: x, weights, weights of the
/// state, bias, state.
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
    let mut layer = layer(cx, x, false, cell_clip(clip), rows(cx, 4)?)?;
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
    let mut layer = layer(cx, x, batch_first, cell_clip(clip), rows(cx, 5)?)?;
    let mut all = vec![];
    for (shift, states, direction) in
        [(0, [35, 36], Direction::Forward), (BACKWARD, [37, 38], Direction::Reverse)]
    {
        layer.peepholes = cx.has(shift + 10);
        all.push(lstm_states(cx, &layer, activation, &Operands { shift, states, direction })?);
    }
    emit_both(cx, batch_first, [all[0], all[1]], merged)
}
