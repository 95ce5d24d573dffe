//! Recurrent layers.

use super::super::super::node::Stop;
use super::super::context::Context;
use crate::graph::{
    DType, Data, Dim, Direction, GateFunction, GateKind, Node, Recurrent, RecurrentCell, Shape, Squeeze,
    Tensor, TensorId,
};

/// Where the four gates are among the operands of a kind, in the order that the graph wants them: input, output,
/// forget, cell. The file has input, forget, cell, output.
const GATES: [usize; 4] = [0, 3, 1, 2];
const INPUT_WEIGHTS: usize = 1;
const STATE_WEIGHTS: usize = 5;
/// Input, forget, output.
const PEEPHOLES: usize = 9;
const BIASES: usize = 12;
const PROJECTION: usize = 16;
const LAYER_NORM: usize = 20;

/// `UnidirectionalSequenceLSTMOptions`: fused_activation_function, cell_clip, proj_clip, time_major, ...
///
/// Every run starts from states of zeros.
pub(in super::super) fn lstm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let function = match cx.options.scalar::<i8>(0, 0)? {
        0 => GateFunction { kind: GateKind::Affine, alpha: 1.0, beta: 0.0 },
        1 => GateKind::Relu.into(),
        4 => GateKind::Tanh.into(),
        other => return Err(Stop::because(format!("its activation has the number {other}"))),
    };
    let clip = cx.options.scalar::<f32>(1, 0.0)?;
    let batch_first = !cx.options.flag(3)?;
    let x = cx.input(0)?;
    if cx.tensor(x).dtype != DType::F32 {
        let dtype = cx.info(0)?.dtype;
        return Err(Stop::because(format!("its input is {dtype}: only layers over floats are supported")));
    }
    if !cx.has(INPUT_WEIGHTS) {
        return Err(Stop::because("its input gate is coupled to the forget gate"));
    }
    if cx.has(PROJECTION) || (LAYER_NORM..LAYER_NORM + 4).any(|i| cx.has(i)) {
        return Err(Stop::because("it projects its states or normalizes its gates"));
    }
    let time = if batch_first { 1 } else { 0 };
    if cx.tensor(x).shape.get(time) == Some(&Dim::Fixed(1)) {
        return Err(Stop::because("it takes one step per run: its state would have to outlive a run"));
    }
    let (w, [hidden, input]) = gates(cx, INPUT_WEIGHTS)?;
    let (r, [rows, columns]) = gates(cx, STATE_WEIGHTS)?;
    if [rows, columns] != [hidden; 2] {
        let what = format!("its weights are [{hidden}, {input}] and [{rows}, {columns}] per gate");
        return Err(Stop::because(what));
    }
    let (bias, _) = gates(cx, BIASES)?;
    let mut inputs = vec![Some(x)];
    inputs.push(Some(cx.constant("w", DType::F32, &[4 * hidden, input], Data::from_slice(&w))?));
    inputs.push(Some(cx.constant("r", DType::F32, &[4 * hidden, hidden], Data::from_slice(&r))?));
    inputs.push(Some(cx.constant("bias", DType::F32, &[1, bias.len()], Data::from_slice(&bias))?));
    if cx.has(PEEPHOLES + 1) {
        let mut all = Vec::new();
        for i in [0, 2, 1] {
            all.extend(floats(cx, PEEPHOLES + i)?.0);
        }
        let all = cx.constant("peepholes", DType::F32, &[1, all.len()], Data::from_slice(&all))?;
        inputs.extend([None, None, None, Some(all)]);
    }
    let op = Recurrent {
        batch_first,
        functions: vec![GateKind::Sigmoid.into(), function, function],
        cell_clip: if clip > 0.0 { clip } else { f32::INFINITY },
        ..Recurrent::new(RecurrentCell::Lstm, Direction::Forward)
    };
    let node = Node { name: cx.name.to_string(), op: op.into(), inputs, outputs: vec![] };
    let states = Tensor::value(format!("{}/states", cx.name), DType::F32, Shape::default());
    let made = cx.state.build.push_as(node, vec![states])?;
    // The graph's layers have directions.
    cx.emit(Squeeze { axes: vec![if batch_first { 2 } else { 1 }] }, &made)
}

/// The operands of all gates from input `first` on, joined, and the dimensions of one.
fn gates(cx: &mut Context, first: usize) -> Result<(Vec<f32>, [usize; 2]), Stop> {
    let mut all = Vec::new();
    let mut dims = None;
    for gate in GATES {
        let (values, own) = floats(cx, first + gate)?;
        if *dims.get_or_insert(own) != own {
            return Err(Stop::because("its gates have weights of different shapes"));
        }
        all.extend(values);
    }
    Ok((all, dims.unwrap_or_default()))
}

/// The values of input `i`, which must be a constant of floats, and its dimensions: a vector is one column.
fn floats(cx: &mut Context, i: usize) -> Result<(Vec<f32>, [usize; 2]), Stop> {
    let id = cx.input(i)?;
    let t = cx.tensor(id);
    let dims = match t.shape.dims().unwrap_or_default()[..] {
        [n] => Some([n, 1]),
        [n, k] => Some([n, k]),
        _ => None,
    };
    let values = t.data.as_ref().filter(|_| t.dtype == DType::F32).map(|d| d.to_vec::<f32>());
    values.zip(dims).ok_or_else(|| {
        Stop::because(format!(
            "'{}' is {}, it must be a constant of floats with rank 1 or 2",
            t.name, t.dtype
        ))
    })
}
