//! Recurrent layers.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use crate::graph::{DType, Direction, GateFunction, GateKind, Recurrent, RecurrentCell, TensorId};

pub(super) fn lstm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let couple_forget = attrs.flag("input_forget", false)?;
    let op = Recurrent { couple_forget, ..common(cx, &mut attrs, RecurrentCell::Lstm)? };
    emit(cx, attrs, op)
}

pub(super) fn gru(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let reset_after = attrs.int_or("linear_before_reset", 0)? != 0;
    let op = Recurrent { reset_after, ..common(cx, &mut attrs, RecurrentCell::Gru)? };
    emit(cx, attrs, op)
}

pub(super) fn rnn(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let op = common(cx, &mut attrs, RecurrentCell::Rnn)?;
    emit(cx, attrs, op)
}

/// The attributes that all cells have.
fn common(cx: &Context, attrs: &mut Attrs, cell: RecurrentCell) -> Result<Recurrent, Stop> {
    let direction = match attrs.text_or("direction", "forward")? {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return Err(Stop::because(format!("attribute 'direction' is '{other}'"))),
    };
    let mut op = Recurrent::new(cell, direction);
    if let Some(names) = attrs.texts("activations")? {
        if names.len() != op.functions.len() {
            let (are, must) = (names.len(), op.functions.len());
            return Err(Stop::because(format!(
                "attribute 'activations' has {are} names, it must have {must}"
            )));
        }
        op.functions = names.iter().map(|name| function(name)).collect::<Result<_, _>>()?;
    }
    parameters(&mut op.functions, attrs)?;
    if let Some(clip) = attrs.float("clip")? {
        // 0 stands for none, as the reference has it.
        op.clip = if clip > 0.0 { clip } else { f32::INFINITY };
    }
    if cx.opset() >= 14 {
        op.batch_first = attrs.flag("layout", false)?;
    }
    Ok(op)
}

/// A function by its name, with the default parameters of ONNX's operator of this name; NaN where there is none.
fn function(name: &str) -> Result<GateFunction, Stop> {
    let (kind, alpha, beta) = match name.to_ascii_lowercase().as_str() {
        "sigmoid" => (GateKind::Sigmoid, 0.0, 0.0),
        "tanh" => (GateKind::Tanh, 0.0, 0.0),
        "relu" => (GateKind::Relu, 0.0, 0.0),
        "affine" => (GateKind::Affine, f32::NAN, f32::NAN),
        "leakyrelu" => (GateKind::LeakyRelu, 0.01, 0.0),
        "thresholdedrelu" => (GateKind::ThresholdedRelu, 1.0, 0.0),
        "scaledtanh" => (GateKind::ScaledTanh, f32::NAN, f32::NAN),
        "hardsigmoid" => (GateKind::HardSigmoid, 0.2, 0.5),
        "elu" => (GateKind::Elu, 1.0, 0.0),
        "softsign" => (GateKind::Softsign, 0.0, 0.0),
        "softplus" => (GateKind::Softplus, 0.0, 0.0),
        _ => return Err(Stop::because(format!("the activation '{name}' is unknown"))),
    };
    Ok(GateFunction { kind, alpha, beta })
}

/// The given parameters belong, in order, to the functions that have one.
fn parameters(functions: &mut [GateFunction], attrs: &mut Attrs) -> Result<(), Stop> {
    for (i, name) in ["activation_alpha", "activation_beta"].into_iter().enumerate() {
        let given = attrs.floats(name)?.unwrap_or_default();
        if let Some(v) = given.iter().find(|v| !v.is_finite()) {
            return Err(Stop::because(format!("attribute '{name}' has the value {v}, it must be finite")));
        }
        let having = functions.iter_mut().filter(|f| f.kind.parameters()[i]);
        for (f, &value) in having.zip(given) {
            *(if i == 0 { &mut f.alpha } else { &mut f.beta }) = value;
        }
    }
    match functions.iter().find(|f| f.alpha.is_nan() || f.beta.is_nan()) {
        None => Ok(()),
        Some(f) => Err(Stop::because(format!(
            "the activation {} has no default parameters: give 'activation_alpha' and 'activation_beta'",
            f.kind.name()
        ))),
    }
}

fn emit(cx: &mut Context, mut attrs: Attrs, op: Recurrent) -> Result<Vec<TensorId>, Stop> {
    let hidden_size = attrs.int("hidden_size")?;
    attrs.finish()?;
    let (x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    for id in [x, w, r] {
        cx.need_float(id)?;
    }
    let (directions, gates) = (op.direction.count(), op.cell.gates());
    let (Some([wd, wn, input]), Some([rd, rn, hidden])) = (matrices(cx, w), matrices(cx, r)) else {
        return Err(Stop::because("the shapes of its weights must be known and have rank 3"));
    };
    if hidden_size.is_some_and(|h| usize::try_from(h) != Ok(hidden)) {
        let h = hidden_size.unwrap_or(0);
        return Err(Stop::because(format!("attribute 'hidden_size' is {h}, its weights are for {hidden}")));
    }
    let rows = gates.checked_mul(hidden);
    if wd != directions || rd != directions || Some(wn) != rows || Some(rn) != rows {
        return Err(Stop::because(format!(
            "its weights have the shapes [{wd}, {wn}, {input}] and [{rd}, {rn}, {hidden}], they must be \
             [{directions}, {gates} * hidden, inputs] and [{directions}, {gates} * hidden, hidden]"
        )));
    }
    let w = cx.reordered_weights(w, "rows", &[wd, wn, input], &[0, 1, 2], &[wd * wn, input])?;
    let r = cx.reordered_weights(r, "rows", &[rd, rn, hidden], &[0, 1, 2], &[rd * rn, hidden])?;
    let mut inputs = vec![Some(x), Some(w), Some(r)];
    for i in 3..cx.node.input.len() {
        let id = cx.optional(i)?;
        inputs.push(match id {
            Some(id) if i == 4 => Some(lengths(cx, id)?),
            Some(id) => {
                cx.need_float(id)?;
                Some(id)
            }
            None => None,
        });
    }
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    cx.emit_all(op, &inputs)
}

/// The dimensions of a tensor of rank 3.
fn matrices(cx: &Context, id: TensorId) -> Option<[usize; 3]> {
    cx.shape(id).dims()?.try_into().ok()
}

/// Lengths of sequences as i32.
fn lengths(cx: &mut Context, id: TensorId) -> Result<TensorId, Stop> {
    match cx.dtype(id) {
        DType::I32 => Ok(id),
        DType::I64 => cx.cast("lengths", id, DType::I32),
        other => Err(Stop::because(format!("the lengths of its sequences are {other}, they must be i32"))),
    }
}
