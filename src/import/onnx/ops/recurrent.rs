//! Recurrent layers.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use crate::graph::{
    DType, Data, Direction, GateFunction, GateKind, Quant, Recurrent, RecurrentCell, RowQuant, TensorId,
};

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
    let (w, r) = (cx.input(1)?, cx.input(2)?);
    for id in [w, r] {
        cx.need_float(id)?;
    }
    let (Some([wd, wn, input]), Some([rd, rn, hidden])) = (matrices(cx, w), matrices(cx, r)) else {
        return Err(Stop::because("the shapes of its weights must be known and have rank 3"));
    };
    check_sizes(&op, hidden_size, [wd, wn, input], [rd, rn, hidden])?;
    let w = cx.reordered_weights(w, "rows", &[wd, wn, input], &[0, 1, 2], &[wd * wn, input])?;
    let r = cx.reordered_weights(r, "rows", &[rd, rn, hidden], &[0, 1, 2], &[rd * rn, hidden])?;
    emit_with(cx, op, w, r)
}

/// Fails unless the weights `[directions, rows, columns]` go together.
fn check_sizes(op: &Recurrent, hidden_size: Option<i64>, w: [usize; 3], r: [usize; 3]) -> Result<(), Stop> {
    let (directions, gates, hidden) = (op.direction.count(), op.cell.gates(), r[2]);
    if let Some(h) = hidden_size.filter(|&h| usize::try_from(h) != Ok(hidden)) {
        return Err(Stop::because(format!("attribute 'hidden_size' is {h}, its weights are for {hidden}")));
    }
    let rows = gates.checked_mul(hidden);
    if [w[0], r[0]] != [directions; 2] || [Some(w[1]), Some(r[1])] != [rows; 2] {
        return Err(Stop::because(format!(
            "its weights {w:?} and {r:?} (directions, rows, columns) must be [{directions}, {gates} * hidden, inputs] \
             and [{directions}, {gates} * hidden, hidden]"
        )));
    }
    Ok(())
}

/// The node with these weights and the other inputs as they are.
fn emit_with(cx: &mut Context, op: Recurrent, w: TensorId, r: TensorId) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let mut inputs = vec![Some(x), Some(w), Some(r)];
    for i in 3..cx.node.input.len().min(8) {
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

/// ONNX Runtime's LSTM with weights in 8 bits: `[directions, columns, rows]`, scales and zero points behind the usual
/// inputs.
pub(super) fn dynamic_lstm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let couple_forget = attrs.flag("input_forget", false)?;
    let op =
        Recurrent { couple_forget, rows: RowQuant::Shared, ..common(cx, &mut attrs, RecurrentCell::Lstm)? };
    let hidden_size = attrs.int("hidden_size")?;
    attrs.finish()?;
    let (w, r) = (Codes::of(cx, 1, 8)?, Codes::of(cx, 2, 10)?);
    check_sizes(&op, hidden_size, w.dims, r.dims)?;
    let (w, r) = (w.constant(cx, "w")?, r.constant(cx, "r")?);
    emit_with(cx, op, w, r)
}

/// Weights of 8 bits, row by row.
struct Codes {
    /// Directions, rows, columns.
    dims: [usize; 3],
    /// `[direction][row][column]`
    values: Vec<i8>,
    /// Of each row.
    quant: Quant,
}

impl Codes {
    /// Input `at`; its scales are input `scales_at`, its zero points the one behind.
    fn of(cx: &Context, at: usize, scales_at: usize) -> Result<Codes, Stop> {
        let id = cx.input(at)?;
        let constant = |what: &str| Stop::because(format!("its weights must be constants: {what} are not"));
        let Some([d, k, n]) = matrices(cx, id) else {
            return Err(Stop::because("the shapes of its weights must be known and have rank 3"));
        };
        let codes = bytes(cx, id).ok_or_else(|| constant("the weights"))?;
        let scales = cx.const_floats(cx.input(scales_at)?).ok_or_else(|| constant("the scales"))?;
        let zeros = match cx.optional(scales_at + 1)? {
            Some(zeros) if cx.dtype(zeros) != cx.dtype(id) => {
                return Err(Stop::because("its weights and their zero points are of different types"));
            }
            Some(zeros) => bytes(cx, zeros).ok_or_else(|| constant("the zero points"))?,
            None if cx.dtype(id) == DType::U8 => vec![i8::MIN; scales.len()],
            None => vec![0; scales.len()],
        };
        // One for all, one per direction, or one per row.
        let rows = d * n;
        if ![1, d, rows].contains(&scales.len()) || zeros.len() != scales.len() {
            let (s, z) = (scales.len(), zeros.len());
            return Err(Stop::because(format!(
                "{s} scales and {z} zero points don't fit {rows} rows of weights"
            )));
        }
        let value = |i: usize| {
            let (row, column) = (i / k, i % k);
            codes[(row / n * k + column) * n + row % n]
        };
        let group = |row: usize| row * scales.len() / rows;
        Ok(Codes {
            dims: [d, n, k],
            values: (0..codes.len()).map(value).collect(),
            quant: Quant {
                axis: Some(0),
                scale: (0..rows).map(|row| scales[group(row)]).collect(),
                zero_point: (0..rows).map(|row| zeros[group(row)].into()).collect(),
            },
        })
    }

    /// As a constant of the graph.
    fn constant(self, cx: &mut Context, tag: &str) -> Result<TensorId, Stop> {
        let [d, n, k] = self.dims;
        let id = cx.constant(tag, DType::I8, &[d * n, k], Data::from_slice(&self.values))?;
        cx.state.build.describe(id, self.quant);
        Ok(id)
    }
}

/// The values of a constant of 8-bit integers; of unsigned ones 128 is taken off.
fn bytes(cx: &Context, id: TensorId) -> Option<Vec<i8>> {
    let data = cx.data(id)?.bytes();
    match cx.dtype(id) {
        DType::U8 => Some(data.iter().map(|&b| (b ^ 0x80) as i8).collect()),
        DType::I8 => Some(data.iter().map(|&b| b as i8).collect()),
        _ => None,
    }
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
