//! Recurrent layers over floats; those over integers are in `recurrent_integer`.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::weights::dequantized;
use super::recurrent_integer;
use crate::graph::{
    DType, Data, Dim, Direction, GateFunction, GateKind, Node, Quant, Recurrent, RecurrentCell, RowQuant,
    Shape, Squeeze, Tensor, TensorId, Unsqueeze,
};

/// Where the four gates are among the operands of a kind, in the order that the graph wants them: input, output,
/// forget, cell. The file has input, forget, cell, output.
pub(super) const GATES: [usize; 4] = [0, 3, 1, 2];
pub(super) const INPUT_WEIGHTS: usize = 1;
pub(super) const STATE_WEIGHTS: usize = 5;
/// Input, forget, output.
const PEEPHOLES: usize = 9;
pub(super) const BIASES: usize = 12;
const PROJECTION: usize = 16;
pub(super) const STATE: usize = 18;
pub(super) const CELL_STATE: usize = 19;
const LAYER_NORM: usize = 20;

/// What the layers of all element types have in common.
pub(super) struct Layer {
    pub x: TensorId,
    /// x is `[N,T,I]`.
    pub batch_first: bool,
    /// Infinite if there is none.
    pub cell_clip: f32,
    pub peepholes: bool,
    /// The dimension of x that is the batch.
    pub batch: Dim,
    /// How floats become bytes for weights in i8.
    pub rows: RowQuant,
}

/// `UnidirectionalSequenceLSTMOptions`: fused_activation_function, cell_clip, proj_clip, time_major,
/// asymmetric_quantize_inputs.
pub(in super::super) fn lstm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let activation = cx.options.scalar::<i8>(0, 0)?;
    let clip = cx.options.scalar::<f32>(1, 0.0)?;
    let batch_first = !cx.options.flag(3)?;
    let x = cx.input(0)?;
    if !cx.has(INPUT_WEIGHTS) {
        return Err(Stop::because("its input gate is coupled to the forget gate"));
    }
    if cx.has(PROJECTION) || (LAYER_NORM..LAYER_NORM + 4).any(|i| cx.has(i)) {
        return Err(Stop::because("it projects its states or normalizes its gates"));
    }
    let layer = Layer {
        x,
        batch_first,
        cell_clip: cell_clip(clip),
        peepholes: cx.has(PEEPHOLES + 1),
        batch: batch(cx, x, batch_first),
        rows: rows(cx, 4)?,
    };
    match (cx.tensor(x).dtype, cx.tensor(x).quant.is_some()) {
        (DType::F32, _) => float(cx, &layer, activation),
        (DType::U8, true) => recurrent_integer::lstm(cx, &layer, activation),
        (other, _) => Err(Stop::because(format!("its input is {other}: floats and i8 are supported"))),
    }
}

/// The dimension of `x` that is the batch.
pub(super) fn batch(cx: &Context, x: TensorId, batch_first: bool) -> Dim {
    cx.tensor(x).shape.get(usize::from(!batch_first)).copied().unwrap_or(Dim::Fixed(1))
}

/// The option `cell_clip`, infinite where it is 0: there is none.
pub(super) fn cell_clip(option: f32) -> f32 {
    if option > 0.0 { option } else { f32::INFINITY }
}

/// How rows become bytes, by the option `asymmetric_quantize_inputs` in `slot`.
pub(super) fn rows(cx: &Context, slot: usize) -> Result<RowQuant, Stop> {
    Ok(if cx.options.flag(slot)? { RowQuant::Asymmetric } else { RowQuant::Symmetric })
}

/// The function with this number in `ActivationFunctionType`.
pub(super) fn function(activation: i8) -> Result<GateFunction, Stop> {
    match activation {
        0 => Ok(GateFunction { kind: GateKind::Affine, alpha: 1.0, beta: 0.0 }),
        1 => Ok(GateKind::Relu.into()),
        4 => Ok(GateKind::Tanh.into()),
        other => Err(Stop::because(format!("its activation has the number {other}"))),
    }
}

/// Weights are floats, or i8 with inputs and states that are quantized as they come.
fn float(cx: &mut Context, layer: &Layer, activation: i8) -> Result<Vec<TensorId>, Stop> {
    let operands = Operands { shift: 0, states: [STATE, CELL_STATE], direction: Direction::Forward };
    let states = lstm_states(cx, layer, activation, &operands)?;
    let direction = if layer.batch_first { 2 } else { 1 };
    cx.emit(Squeeze { axes: vec![direction] }, &[states])
}

/// Where the operands of one direction of an LSTM layer are.
pub(super) struct Operands {
    /// Weights and biases: so much further than those of a layer with one direction.
    pub shift: usize,
    /// State, cell state.
    pub states: [usize; 2],
    pub direction: Direction,
}

/// All states of one direction of an LSTM layer, with a dimension for the direction.
pub(super) fn lstm_states(
    cx: &mut Context,
    layer: &Layer,
    activation: i8,
    operands: &Operands,
) -> Result<TensorId, Stop> {
    let function = function(activation)?;
    let &Operands { shift, states, direction } = operands;
    let tag = direction.name();
    let (w, [hidden, input]) = weights(cx, &format!("{tag} w"), shift + INPUT_WEIGHTS)?;
    let (r, [rows, columns]) = weights(cx, &format!("{tag} r"), shift + STATE_WEIGHTS)?;
    if [rows, columns] != [hidden; 2] {
        let what = format!("its weights are [{hidden}, {input}] and [{rows}, {columns}] per gate");
        return Err(Stop::because(what));
    }
    let mut bias = Vec::new();
    for gate in GATES {
        bias.extend(floats(cx, shift + BIASES + gate)?);
    }
    let bias = cx.constant(&format!("{tag} bias"), DType::F32, &[1, bias.len()], Data::from_slice(&bias))?;
    let mut inputs = vec![Some(layer.x), Some(w), Some(r), Some(bias), None];
    for (what, i) in ["h", "c"].into_iter().zip(states) {
        inputs.push(Some(first_state(cx, layer, &format!("{tag} {what}"), i)?));
    }
    if layer.peepholes {
        let mut all = Vec::new();
        for i in [0, 2, 1] {
            all.extend(floats(cx, shift + PEEPHOLES + i)?);
        }
        let all =
            cx.constant(&format!("{tag} peepholes"), DType::F32, &[1, all.len()], Data::from_slice(&all))?;
        inputs.push(Some(all));
    }
    let op = Recurrent {
        batch_first: layer.batch_first,
        functions: vec![GateKind::Sigmoid.into(), function, function],
        cell_clip: layer.cell_clip,
        rows: layer.rows,
        ..Recurrent::new(RecurrentCell::Lstm, direction)
    };
    run(cx, layer, op, inputs, &states)
}

/// What the variable tensor that is input `i` holds, as the first state of a layer.
pub(super) fn first_state(cx: &mut Context, layer: &Layer, tag: &str, i: usize) -> Result<TensorId, Stop> {
    let state = cx.variable(i, layer.batch)?;
    // The graph's layers have directions.
    let direction = vec![usize::from(layer.batch_first)];
    cx.inner(tag, Unsqueeze { axes: direction }, &[state], (DType::F32, None))
}

/// Adds the layer; the variable tensors that are inputs `states` hold what it ends with. All states come back.
pub(super) fn run(
    cx: &mut Context,
    layer: &Layer,
    op: Recurrent,
    inputs: Vec<Option<TensorId>>,
    states: &[usize],
) -> Result<TensorId, Stop> {
    let tag = op.direction.name();
    let name = format!("{}/{tag}", cx.name);
    let outputs = 1 + states.len();
    let output = |i| Tensor::value(format!("{name}/out{i}"), DType::F32, Shape::default());
    let node = Node { name: name.clone(), op: op.into(), inputs, outputs: vec![] };
    let made = cx.state.build.push_as(node, (0..outputs).map(output).collect())?;
    let direction = vec![usize::from(layer.batch_first)];
    for (i, (&state, &last)) in states.iter().zip(&made[1..]).enumerate() {
        let tag = format!("{tag} next{i}");
        let next = cx.inner(&tag, Squeeze { axes: direction.clone() }, &[last], (DType::F32, None))?;
        cx.assign_variable(state, next)?;
    }
    Ok(made[0])
}

/// The weights of all gates from input `first` on as one constant, and the dimensions of one gate's.
fn weights(cx: &mut Context, tag: &str, first: usize) -> Result<(TensorId, [usize; 2]), Stop> {
    let hybrid = cx.info(first)?.dtype == DType::I8;
    if hybrid {
        let Codes { values, scales, dims: [n, k] } = codes(cx, first)?;
        let quant = Quant::per_channel(0, scales);
        let name = format!("{}/{tag}", cx.name);
        let tensor = Tensor::constant(name, DType::I8, &[GATES.len() * n, k], Data::from_slice(&values));
        return Ok((cx.state.constant(tensor.with_quant(quant))?, [n, k]));
    }
    let mut all = Vec::new();
    let dims = matrix(cx, first)?;
    for gate in GATES {
        if matrix(cx, first + gate)? != dims {
            return Err(Stop::because("its gates have weights of different shapes"));
        }
        all.extend(floats(cx, first + gate)?);
    }
    let [n, k] = dims;
    Ok((cx.constant(tag, DType::F32, &[GATES.len() * n, k], Data::from_slice(&all))?, dims))
}

/// The i8 weights of all gates.
pub(super) struct Codes {
    pub values: Vec<i8>,
    /// Of each row.
    pub scales: Vec<f32>,
    /// Of one gate's weights.
    pub dims: [usize; 2],
}

/// The i8 weights of all gates from input `first` on.
pub(super) fn codes(cx: &Context, first: usize) -> Result<Codes, Stop> {
    let (mut values, mut scales) = (Vec::new(), Vec::new());
    let dims = matrix(cx, first)?;
    for gate in GATES {
        let info = cx.info(first + gate)?;
        let quant = info.quant.as_ref().and_then(Quant::single).filter(|(_, zero)| *zero == 0);
        let (Some(data), Some((scale, _)), DType::I8) = (info.data, quant, info.dtype) else {
            let what = format!("'{}' must be constant i8 with one scale and the zero point 0", info.name);
            return Err(Stop::because(what));
        };
        if matrix(cx, first + gate)? != dims {
            return Err(Stop::because("its gates have weights of different shapes"));
        }
        values.extend(data.iter().map(|&b| b as i8));
        scales.extend(std::iter::repeat_n(scale, dims[0]));
    }
    Ok(Codes { values, scales, dims })
}

/// The dimensions of input `i`, which must be two.
pub(super) fn matrix(cx: &Context, i: usize) -> Result<[usize; 2], Stop> {
    let info = cx.info(i)?;
    let dims = info.sizes().and_then(|dims| <[usize; 2]>::try_from(dims).ok());
    dims.ok_or_else(|| Stop::because(format!("'{}' must be a matrix", info.name)))
}

/// The reals of input `i`, which must be constant.
pub(super) fn floats(cx: &Context, i: usize) -> Result<Vec<f32>, Stop> {
    let info = cx.info(i)?;
    match (info.data, info.dtype) {
        (Some(data), DType::F32) => Ok(Data::from_bytes(data).to_vec::<f32>()),
        (Some(_), _) => dequantized(&info),
        (None, _) => Err(Stop::because(format!("'{}' must be constant", info.name))),
    }
}
