//! Recurrent layers step by step, in the arithmetic that `docs/arithmetic.md` defines: what ONNX has no operator for.

use super::super::Stop;
use super::super::messages::{float, int};
use super::super::onnx::{Layout, Writer};
use super::product::permuted;
use super::recurrent::{finish, sizes, time_first};
use super::scan::{Steps, parts};
use super::{NodeView, rows};
use crate::graph::*;
use std::ops::Range;

pub(super) fn recurrent(w: &mut Writer, n: &NodeView, op: &Recurrent) -> Result<(), Stop> {
    let directions = (0..op.direction.count())
        .map(|d| Cell { n, op, d, sizes: sizes(n, op)? }.write(w))
        .collect::<Result<Vec<_>, Stop>>()?;
    finish(w, n, op.batch_first, |w, outputs| {
        for (i, to) in outputs.into_iter().enumerate() {
            let along = if i == 0 { 1 } else { 0 };
            let axes = w.int_vector(&[along]);
            let each: Vec<String> =
                directions.iter().map(|values| w.calc("Unsqueeze", &[&values[i], &axes], vec![])).collect();
            w.push("Concat", &each, to, vec![int("axis", along)]);
        }
    });
    Ok(())
}

/// One direction of a layer.
struct Cell<'a> {
    n: &'a NodeView<'a>,
    op: &'a Recurrent,
    d: usize,
    /// Directions, rows of weights per direction, hidden units.
    sizes: [usize; 3],
}

impl Cell<'_> {
    /// All states `[T, N, H]`, the last state and the last cell state `[N, H]`.
    fn write(&self, w: &mut Writer) -> Result<Vec<String>, Stop> {
        let [_, rows, hidden] = self.sizes;
        let x = time_first(w, self.n, self.op.batch_first, 0)?;
        let biases = self.biases(w)?;
        let mut projected = self.product(w, 1, 0..rows, &x)?;
        if let Some(bias) = &biases[0] {
            projected = w.calc("Add", &[&projected, bias], vec![]);
        }
        let batch = w.calc("Shape", &[&x], vec![int("start", 1), int("end", 2)]);
        let width = w.int_vector(&[hidden as i64]);
        let dims = w.calc("Concat", &[&batch, &width], vec![int("axis", 0)]);
        let mut states = vec![self.first(w, 5, &dims)?];
        if self.op.cell == RecurrentCell::Lstm {
            states.push(self.first(w, 6, &dims)?);
        }
        let backward = self.op.direction == Direction::Reverse || self.d == 1;
        let lengths = match self.n.node.input(4) {
            None => None,
            Some(id) => {
                let lengths = w.stored(id, Layout::Plain)?;
                Some(w.cast(&lengths, DType::I64))
            }
        };
        // Sequences of several lengths are turned around one by one.
        let turned = |w: &mut Writer, v: &str| match &lengths {
            Some(lengths) if backward => {
                let axes = vec![int("time_axis", 0), int("batch_axis", 1)];
                w.calc("ReverseSequence", &[v, lengths], axes)
            }
            _ => v.to_string(),
        };
        let mut inputs = vec![turned(w, &projected)];
        let mut ends = None;
        if let Some(lengths) = &lengths {
            let [zero, one, last] = [w.int_value(0), w.int_value(1), w.int_vector(&[1])];
            let steps = w.calc("Shape", &[&x], vec![int("end", 1)]);
            let steps = w.calc("Squeeze", &[&steps], vec![]);
            inputs.push(w.calc("Range", &[&zero, &steps, &one], vec![]));
            ends = Some(w.calc("Unsqueeze", &[lengths, &last], vec![]));
        }
        let reverse = backward && lengths.is_none();
        let all = Steps { states, inputs, reverse }.write(w, |w, states, inputs| {
            let mut next = self.step(w, &inputs[0], states, biases[1].as_deref())?;
            let mut output = next[0].clone();
            if let (Some(ends), Some(time)) = (&ends, inputs.get(1)) {
                let goes_on = w.calc("Less", &[time, ends], vec![]);
                for (next, state) in next.iter_mut().zip(states) {
                    *next = w.calc("Where", &[&goes_on, next, state], vec![]);
                }
                let zero = w.float_value(0.0);
                output = w.calc("Where", &[&goes_on, &output, &zero], vec![]);
            }
            Ok((next, vec![output]))
        })?;
        let outputs = all.outputs.iter().map(|y| turned(w, y)).collect::<Vec<_>>();
        Ok([outputs, all.states].concat())
    }

    /// The first state, `[N, H]`.
    fn first(&self, w: &mut Writer, i: usize, dims: &str) -> Result<String, Stop> {
        let given = time_first(w, self.n, self.op.batch_first, i)?;
        if given.is_empty() {
            let zero = w.float_value(0.0);
            return Ok(w.calc("Expand", &[&zero, dims], vec![]));
        }
        Ok(self.own(w, &given))
    }

    /// What belongs to this direction of what has them along the first dimension.
    fn own(&self, w: &mut Writer, all: &str) -> String {
        let d = w.int_value(self.d as i64);
        w.calc("Gather", &[all, &d], vec![int("axis", 0)])
    }

    /// What is added to the inputs' products, and to the hidden gate's product of a GRU whose reset gate acts behind it.
    fn biases(&self, w: &mut Writer) -> Result<[Option<String>; 2], Stop> {
        let [_, rows, hidden] = self.sizes;
        let Some(id) = self.n.node.input(3) else { return Ok([None, None]) };
        let all = w.real(id, Layout::Plain)?;
        let own = self.own(w, &all);
        if w.graph.tensor(id).shape.get(1) == Some(&Dim::Fixed(rows)) {
            return Ok([Some(own), None]);
        }
        if !self.resets_product() {
            let both = parts(w, &own, &[rows, rows]);
            return Ok([Some(w.calc("Add", &[&both[0], &both[1]], vec![])), None]);
        }
        let three = parts(w, &own, &[rows, rows - hidden, hidden]);
        let zeros = Data::from_slice(&vec![0f32; hidden]);
        let zeros = w.initializer(&format!("{}/rest", w.scope), DType::F32, &[hidden], &zeros);
        let gates = w.calc("Concat", &[&three[1], &zeros], vec![int("axis", 0)]);
        Ok([Some(w.calc("Add", &[&three[0], &gates], vec![])), Some(three[2].clone())])
    }

    fn resets_product(&self) -> bool {
        self.op.cell == RecurrentCell::Gru && self.op.reset_after
    }

    /// The next states. `x` holds the products of the inputs.
    fn step(
        &self,
        w: &mut Writer,
        x: &str,
        states: &[String],
        hidden_bias: Option<&str>,
    ) -> Result<Vec<String>, Stop> {
        let [_, rows, hidden] = self.sizes;
        let h = states[0].as_str();
        match self.op.cell {
            RecurrentCell::Lstm => self.lstm(w, x, h, &states[1]),
            RecurrentCell::Gru => {
                let x = parts(w, x, &[rows - hidden, hidden]);
                let gates = self.product(w, 2, 0..rows - hidden, h)?;
                let gates = w.calc("Add", &[&gates, &x[0]], vec![]);
                let gates = self.function(w, 0, &gates);
                let gates = parts(w, &gates, &[hidden, hidden]);
                let (update, reset) = (&gates[0], &gates[1]);
                let candidate = if self.resets_product() {
                    let mut product = self.product(w, 2, rows - hidden..rows, h)?;
                    if let Some(bias) = hidden_bias {
                        product = w.calc("Add", &[&product, bias], vec![]);
                    }
                    w.calc("Mul", &[reset, &product], vec![])
                } else {
                    let kept = w.calc("Mul", &[reset, h], vec![]);
                    self.product(w, 2, rows - hidden..rows, &kept)?
                };
                let candidate = w.calc("Add", &[&candidate, &x[1]], vec![]);
                let candidate = self.function(w, 1, &candidate);
                let one = w.float_value(1.0);
                let share = w.calc("Sub", &[&one, update], vec![]);
                let new = w.calc("Mul", &[&share, &candidate], vec![]);
                let old = w.calc("Mul", &[update, h], vec![]);
                Ok(vec![w.calc("Add", &[&new, &old], vec![])])
            }
            RecurrentCell::Rnn => {
                let product = self.product(w, 2, 0..rows, h)?;
                let sum = w.calc("Add", &[&product, x], vec![]);
                Ok(vec![self.function(w, 0, &sum)])
            }
        }
    }

    fn lstm(&self, w: &mut Writer, x: &str, h: &str, c: &str) -> Result<Vec<String>, Stop> {
        let [_, rows, hidden] = self.sizes;
        let product = self.product(w, 2, 0..rows, h)?;
        let sums = w.calc("Add", &[&product, x], vec![]);
        let [mut i, mut o, mut f, g] = <[String; 4]>::try_from(parts(w, &sums, &[hidden; 4]))
            .map_err(|_| Stop::because("it has no four gates"))?;
        let peepholes = match self.n.node.input(7) {
            None => None,
            Some(id) => {
                let all = w.real(id, Layout::Plain)?;
                let own = self.own(w, &all);
                Some(parts(w, &own, &[hidden; 3]))
            }
        };
        let look = |w: &mut Writer, gate: &str, peephole: usize, c: &str| match &peepholes {
            None => gate.to_string(),
            Some(all) => {
                let seen = w.calc("Mul", &[&all[peephole], c], vec![]);
                w.calc("Add", &[gate, &seen], vec![])
            }
        };
        i = look(w, &i, 0, c);
        i = self.function(w, 0, &i);
        if self.op.couple_forget {
            let one = w.float_value(1.0);
            f = w.calc("Sub", &[&one, &i], vec![]);
        } else {
            f = look(w, &f, 2, c);
            f = self.function(w, 0, &f);
        }
        let g = self.function(w, 1, &g);
        let kept = w.calc("Mul", &[&f, c], vec![]);
        let new = w.calc("Mul", &[&i, &g], vec![]);
        let cell = w.calc("Add", &[&kept, &new], vec![]);
        let cell = bounded(w, &cell, self.op.cell_clip);
        o = look(w, &o, 1, &cell);
        o = self.function(w, 0, &o);
        let shown = self.function_unclipped(w, 2, &cell);
        Ok(vec![w.calc("Mul", &[&o, &shown], vec![]), cell])
    }

    /// A gate's function of what is kept within the clip.
    fn function(&self, w: &mut Writer, i: usize, x: &str) -> String {
        let x = bounded(w, x, self.op.clip);
        self.function_unclipped(w, i, &x)
    }

    fn function_unclipped(&self, w: &mut Writer, i: usize, x: &str) -> String {
        let GateFunction { kind, alpha, beta } = self.op.functions[self.d * self.op.cell.functions() + i];
        let (alpha_attribute, beta_attribute) = (float("alpha", alpha), float("beta", beta));
        match kind {
            GateKind::Sigmoid => w.calc("Sigmoid", &[x], vec![]),
            GateKind::Tanh => w.calc("Tanh", &[x], vec![]),
            GateKind::Relu => w.calc("Relu", &[x], vec![]),
            GateKind::Softsign => w.calc("Softsign", &[x], vec![]),
            GateKind::Softplus => w.calc("Softplus", &[x], vec![]),
            GateKind::LeakyRelu => w.calc("LeakyRelu", &[x], vec![alpha_attribute]),
            GateKind::ThresholdedRelu => w.calc("ThresholdedRelu", &[x], vec![alpha_attribute]),
            GateKind::Elu => w.calc("Elu", &[x], vec![alpha_attribute]),
            GateKind::HardSigmoid => w.calc("HardSigmoid", &[x], vec![alpha_attribute, beta_attribute]),
            GateKind::Affine => {
                let [alpha, beta] = [alpha, beta].map(|v| w.float_value(v));
                let scaled = w.calc("Mul", &[&alpha, x], vec![]);
                w.calc("Add", &[&scaled, &beta], vec![])
            }
            GateKind::ScaledTanh => {
                let [alpha, beta] = [alpha, beta].map(|v| w.float_value(v));
                let scaled = w.calc("Mul", &[&beta, x], vec![]);
                let tanh = w.calc("Tanh", &[&scaled], vec![]);
                w.calc("Mul", &[&alpha, &tanh], vec![])
            }
        }
    }

    /// The product of rows of `x` with these rows of this direction's weights, input 1 or 2.
    fn product(&self, w: &mut Writer, slot: usize, rows: Range<usize>, x: &str) -> Result<String, Stop> {
        let (tensor, data, dims) = (self.n.tensor(slot)?, self.n.constant(slot)?, self.n.dims(slot)?);
        let first = self.d * self.sizes[1];
        let rows = first + rows.start..first + rows.end;
        let (columns, each) = (dims.get(1).copied().unwrap_or(0), tensor.dtype.size());
        let bytes = data.bytes().get(rows.start * columns * each..rows.end * columns * each);
        let bytes = Data::from_bytes(bytes.ok_or_else(|| Stop::because("its weights are too short"))?);
        let (turned_dims, turned) = permuted(&bytes, each, &[rows.len(), columns], &[1, 0]);
        let weights = w.initializer(&tensor.name, tensor.dtype, &turned_dims, &turned);
        if tensor.quant.is_none() {
            return Ok(w.calc("MatMul", &[x, &weights], vec![]));
        }
        let (scales, zeros) = self.n.rows(slot)?;
        let (Some(scales), Some(zeros)) = (scales.get(rows.clone()), zeros.get(rows.clone())) else {
            return Err(Stop::because("its weights have too few scales"));
        };
        let name = format!("{}/scale", tensor.name);
        let scales = w.initializer(&name, DType::F32, &[rows.len()], &Data::from_slice(scales));
        let own = match zeros.iter().all(|z| *z == 0) {
            true => String::new(),
            false => {
                let values: Vec<i8> = zeros.iter().map(|&z| z as i8).collect();
                let name = format!("{}/zero_point", tensor.name);
                w.initializer(&name, DType::I8, &[rows.len()], &Data::from_slice(&values))
            }
        };
        let [codes, scale, zero] = rows::quantized(w, self.op.rows, x);
        let sums = w.calc("MatMulInteger", &[&codes, &weights, "", &own], vec![]);
        let sum = |(row, zero): (&[u8], &i32)| row.iter().map(|&v| i32::from(v as i8) - zero).sum::<i32>();
        let totals: Vec<i32> = bytes.bytes().chunks(columns.max(1)).zip(zeros).map(sum).collect();
        let name = format!("{}/sums", tensor.name);
        let totals = w.initializer(&name, DType::I32, &[rows.len()], &Data::from_slice(&totals));
        let share = w.calc("Mul", &[&zero, &totals], vec![]);
        let sums = w.calc("Sub", &[&sums, &share], vec![]);
        Ok(reals(w, &sums, &scale, &scales))
    }
}

/// `f32(sum) * (s * s_w)`
fn reals(w: &mut Writer, sums: &str, scale: &str, scales: &str) -> String {
    let sums = w.cast(sums, DType::F32);
    let scale = w.calc("Mul", &[scale, scales], vec![]);
    w.calc("Mul", &[&sums, &scale], vec![])
}

/// Kept within this distance of 0; infinity: as it is.
fn bounded(w: &mut Writer, x: &str, distance: f32) -> String {
    if distance == f32::INFINITY {
        return x.to_string();
    }
    let [least, most] = [-distance, distance].map(|v| w.float_value(v));
    w.calc("Clip", &[x, &least, &most], vec![])
}
