//! Recurrent layers that ONNX or ONNX Runtime has operators for; the others are written step by step (`steps.rs`).

use super::super::Stop;
use super::super::messages::{float, floats, int, ints, text, texts};
use super::super::onnx::{Layout, MICROSOFT, Writer};
use super::normalize::transposed;
use super::{MAX_ROWS, NodeView, steps};
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

pub(super) fn recurrent(w: &mut Writer, n: &NodeView, op: &Recurrent) -> Result<(), Stop> {
    let bytes = n.tensor(1)?.dtype == DType::I8;
    // Clips that ONNX does not know: 0 stands for none there, and cell states have none.
    let usual = op.cell_clip == f32::INFINITY && op.clip > 0.0;
    match bytes {
        false if usual => float_layer(w, n, op),
        // ONNX Runtime has one for LSTMs, without zero points, which quantizes all rows together.
        true if usual && op.rows == RowQuant::Shared && op.cell == RecurrentCell::Lstm && symmetric(n)? => {
            dynamic_lstm(w, n, op)
        }
        _ => steps::recurrent(w, n, op),
    }
}

/// True if no weights have zero points.
fn symmetric(n: &NodeView) -> Result<bool, Stop> {
    let zero = |i: usize| Ok(n.rows(i)?.1.iter().all(|z| *z == 0));
    Ok(zero(1)? && zero(2)?)
}

/// Sizes of a layer: directions, rows of weights per direction, hidden units.
pub(super) fn sizes(n: &NodeView, op: &Recurrent) -> Result<[usize; 3], Stop> {
    let dims = n.dims(2)?;
    let hidden = dims.get(1).copied().filter(|h| *h <= MAX_ROWS);
    let hidden = hidden.ok_or_else(|| Stop::because("its weights are no matrix that fits"))?;
    Ok([op.direction.count(), op.cell.gates() * hidden, hidden])
}

fn attributes(op: &Recurrent, hidden: usize) -> Vec<AttributeProto> {
    let given: [Vec<f32>; 2] = [0, 1].map(|i| {
        let having = op.functions.iter().filter(|f| f.kind.parameters()[i]);
        having.map(|f| if i == 0 { f.alpha } else { f.beta }).collect()
    });
    let names: Vec<&str> = op.functions.iter().map(|f| name(f.kind)).collect();
    let mut all = vec![
        int("hidden_size", hidden as i64),
        text("direction", op.direction.name()),
        texts("activations", &names),
    ];
    for (name, values) in ["activation_alpha", "activation_beta"].into_iter().zip(given) {
        if !values.is_empty() {
            all.push(floats(name, values));
        }
    }
    if op.clip.is_finite() {
        all.push(float("clip", op.clip));
    }
    match op.cell {
        RecurrentCell::Lstm => all.push(int("input_forget", op.couple_forget.into())),
        RecurrentCell::Gru => all.push(int("linear_before_reset", op.reset_after.into())),
        RecurrentCell::Rnn => {}
    }
    all
}

fn name(kind: GateKind) -> &'static str {
    match kind {
        GateKind::Sigmoid => "Sigmoid",
        GateKind::Tanh => "Tanh",
        GateKind::Relu => "Relu",
        GateKind::Affine => "Affine",
        GateKind::LeakyRelu => "LeakyRelu",
        GateKind::ThresholdedRelu => "ThresholdedRelu",
        GateKind::ScaledTanh => "ScaledTanh",
        GateKind::HardSigmoid => "HardSigmoid",
        GateKind::Elu => "Elu",
        GateKind::Softsign => "Softsign",
        GateKind::Softplus => "Softplus",
    }
}

/// Input `i` in ONNX's order, `[T, N, I]` or `[D, N, H]`; empty if it is left out.
pub(super) fn time_first(w: &mut Writer, n: &NodeView, batch_first: bool, i: usize) -> Result<String, Stop> {
    let Some(id) = n.node.input(i) else { return Ok(String::new()) };
    let x = w.real(id, Layout::Plain)?;
    Ok(if batch_first { transposed(w, &x, &[1, 0, 2]) } else { x })
}

/// `[D, 2*G*H]`; a bias of the inputs' weights alone gets zeros for the states'.
fn bias(w: &mut Writer, n: &NodeView, [directions, rows, _]: [usize; 3]) -> Result<String, Stop> {
    let Some(id) = n.node.input(3) else { return Ok(String::new()) };
    let name = w.real(id, Layout::Plain)?;
    if w.graph.tensor(id).shape.get(1) != Some(&Dim::Fixed(rows)) {
        return Ok(name);
    }
    let zeros = Data::from_slice(&vec![0f32; directions * rows]);
    let zeros = w.initializer(&format!("{name}/rest"), DType::F32, &[directions, rows], &zeros);
    Ok(w.calc("Concat", &[&name, &zeros], vec![int("axis", 1)]))
}

/// The inputs behind the weights: bias, lengths, first states, peepholes.
fn others(w: &mut Writer, n: &NodeView, op: &Recurrent, sizes: [usize; 3]) -> Result<Vec<String>, Stop> {
    let mut all = vec![bias(w, n, sizes)?];
    all.push(w.optional(n.node.input(4))?);
    all.push(time_first(w, n, op.batch_first, 5)?);
    if op.cell == RecurrentCell::Lstm {
        all.push(time_first(w, n, op.batch_first, 6)?);
        all.push(match n.node.input(7) {
            Some(id) => w.real(id, Layout::Plain)?,
            None => String::new(),
        });
    }
    Ok(all)
}

/// Names for ONNX's outputs, brought to the layer's order afterwards.
pub(super) fn finish(
    w: &mut Writer,
    n: &NodeView,
    batch_first: bool,
    node: impl FnOnce(&mut Writer, Vec<String>),
) {
    let names: Vec<(String, String)> = n
        .node
        .outputs
        .iter()
        .map(|&id| {
            let to = w.make(id, Layout::Plain);
            (if batch_first { w.fresh(&format!("{to}/steps")) } else { to.clone() }, to)
        })
        .collect();
    node(w, names.iter().map(|(made, _)| made.clone()).collect());
    if batch_first {
        for (i, (made, to)) in names.into_iter().enumerate() {
            let perm: &[i64] = if i == 0 { &[2, 0, 1, 3] } else { &[1, 0, 2] };
            w.push("Transpose", &[made], to, vec![ints("perm", perm.iter().copied())]);
        }
    }
}

fn float_layer(w: &mut Writer, n: &NodeView, op: &Recurrent) -> Result<(), Stop> {
    let sizes = sizes(n, op)?;
    let [directions, rows, hidden] = sizes;
    let mut inputs = vec![time_first(w, n, op.batch_first, 0)?];
    for i in [1, 2] {
        let columns = n.dims(i)?.get(1).copied().unwrap_or(0);
        inputs.push(match n.constant(i) {
            Ok(data) => {
                let tensor = n.tensor(i)?;
                w.initializer(&tensor.name, tensor.dtype, &[directions, rows, columns], data)
            }
            Err(_) => {
                let plain = w.real(n.input(i)?, Layout::Plain)?;
                let shape = w.int_vector(&[directions, rows, columns].map(|d| d as i64));
                w.calc("Reshape", &[&plain, &shape], vec![])
            }
        });
    }
    inputs.extend(others(w, n, op, sizes)?);
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    let name = match op.cell {
        RecurrentCell::Lstm => "LSTM",
        RecurrentCell::Gru => "GRU",
        RecurrentCell::Rnn => "RNN",
    };
    finish(w, n, op.batch_first, |w, outputs| {
        w.push_many(("", name), &inputs, outputs, attributes(op, hidden));
    });
    Ok(())
}

/// ONNX Runtime's LSTM with weights in 8 bits, `[directions, columns, rows]`.
fn dynamic_lstm(w: &mut Writer, n: &NodeView, op: &Recurrent) -> Result<(), Stop> {
    let sizes = sizes(n, op)?;
    let [directions, rows, hidden] = sizes;
    let mut inputs = vec![time_first(w, n, op.batch_first, 0)?];
    let mut scales = Vec::new();
    for i in [1, 2] {
        let tensor = n.tensor(i)?;
        let (codes, columns) = (n.constant(i)?.bytes(), n.dims(i)?.get(1).copied().unwrap_or(0));
        let at = |to: usize| {
            let (direction, rest) = (to / (columns * rows), to % (columns * rows));
            (direction * rows + rest % rows) * columns + rest / rows
        };
        let turned: Vec<u8> = (0..codes.len()).map(|to| codes[at(to)]).collect();
        let dims = [directions, columns, rows];
        inputs.push(w.initializer(&tensor.name, DType::I8, &dims, &Data::from_bytes(&turned)));
        let (all, _) = n.rows(i)?;
        let name = format!("{}/scale", tensor.name);
        scales.push(w.initializer(&name, DType::F32, &[directions, rows], &Data::from_slice(&all)));
        let zeros = Data::from_bytes(&vec![0; directions * rows]);
        let name = format!("{}/zero_point", tensor.name);
        scales.push(w.initializer(&name, DType::I8, &[directions, rows], &zeros));
    }
    inputs.extend(others(w, n, op, sizes)?);
    inputs.extend(scales);
    finish(w, n, op.batch_first, |w, outputs| {
        w.push_many((MICROSOFT, "DynamicQuantizeLSTM"), &inputs, outputs, attributes(op, hidden));
    });
    Ok(())
}
