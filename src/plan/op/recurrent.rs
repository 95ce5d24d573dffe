//! Recurrent layers.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::weights::{Packing, packed_for};
use super::{NodeView, values, values_mut};
use crate::graph::{
    DType, Data, Direction, GateFunction, GateKind, Recurrent, RecurrentCell, RowQuant, TensorId,
};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::recurrent::{self, Arithmetic, Cell, Extents, Recurrence, States};
use ottava_kernels::unary::UnaryFn;

/// The most products of u8 and i8 whose sum surely fits 32 bits.
const MAX_PRODUCTS: usize = (i32::MAX / (255 * 255)) as usize;
/// Most outputs of a node.
const OUTPUTS: usize = 3;
/// The optional inputs, as the step numbers its own.
const LENGTHS: usize = 4;
const FIRST_H: usize = 5;
const FIRST_C: usize = 6;

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &Recurrent) -> Result<Planned, PlanError> {
    let extents = extents(v, op.batch_first, op.cell.gates())?;
    let Extents { input, hidden, .. } = extents;
    let directions = op.direction.count();
    if op.functions.len() != directions * op.cell.functions() {
        return Err(v.unsupported("the number of its functions is not that of its cell"));
    }
    let (weights, state) = (Matrix::of(v, 1)?, Matrix::of(v, 2)?);
    let arithmetic = match (&weights, &state) {
        (Matrix::Float(_), Matrix::Float(_)) => Arithmetic::Float,
        (Matrix::Bytes(..), Matrix::Bytes(..)) => Arithmetic::Dynamic { rows: rows(op.rows) },
        _ => return Err(v.no_kernel()),
    };
    if input.max(hidden) > MAX_PRODUCTS && arithmetic != Arithmetic::Float {
        return Err(v.unsupported(format!("sums of {} products don't fit 32 bits", input.max(hidden))));
    }
    let bias = if v.node.input(3).is_some() { v.floats(3)? } else { vec![] };
    let peepholes = if v.node.input(7).is_some() { v.floats(7)? } else { vec![] };
    let mut parts = Vec::new();
    for (d, functions) in op.functions.chunks(op.cell.functions()).enumerate() {
        let reverse = op.direction == Direction::Reverse || d == 1;
        let cell = cell(v, op, functions)?;
        let recurrence = Recurrence::new(p.isa, arithmetic, cell, op.clip, extents, reverse);
        let weights = recurrent::Weights {
            input: weights.rows(d, directions),
            state: state.rows(d, directions),
            bias: part(&bias, d, directions),
        };
        let packing = Packing { part: d, layout: 0, len: recurrence.packed_len() };
        let packed = packed_for(p, v, v.input(1)?, packing, |_| false, |to| recurrence.pack(&weights, to));
        let packed = packed.bytes;
        let peepholes = part(&peepholes, d, directions).to_vec();
        parts.push(Part { recurrence, packed, peepholes });
    }
    // Outputs that nobody reads are not written.
    let graph = v.graph;
    let read = |id: &TensorId| {
        graph.outputs.contains(id) || graph.nodes.iter().any(|n| n.present_inputs().any(|i| i == *id))
    };
    let wanted: Vec<bool> = v.node.outputs.iter().map(read).collect();
    let outputs: Vec<TensorId> =
        v.node.outputs.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(id, _)| *id).collect();
    let mut slots = [None; OUTPUTS];
    let mut next = 0..;
    for (slot, _) in slots.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted) {
        *slot = next.next();
    }
    let mut inputs = vec![v.input(0)?];
    let mut optional = |i: usize| {
        let id = v.node.input(i)?;
        inputs.push(id);
        Some(inputs.len() - 1)
    };
    let [lengths, h, c] = [optional(LENGTHS), optional(FIRST_H), optional(FIRST_C)];
    let layer = Layer { parts, extents, lengths, h, c, slots, node: v.node.name.clone() };
    Ok(Planned::Step { kernel: Box::new(layer), inputs, outputs })
}

fn rows(rows: RowQuant) -> recurrent::RowQuant {
    match rows {
        RowQuant::Each => recurrent::RowQuant::Each,
        RowQuant::Shared => recurrent::RowQuant::Shared,
        RowQuant::Symmetric => recurrent::RowQuant::Symmetric,
        RowQuant::Asymmetric => recurrent::RowQuant::Asymmetric,
    }
}

/// The sizes of a layer whose inputs 0 and 2 are x and the weights of its state. With these, no length that plans or
/// kernels of so many gates compute overflows.
pub(super) fn extents(v: NodeView<'_>, batch_first: bool, gates: usize) -> Result<Extents, PlanError> {
    let dims = v.dims(v.tensor(0)?)?;
    let [a, b, input] = dims[..] else {
        return Err(v.unsupported(format!("its input has the shape {dims:?}, not three dimensions")));
    };
    let (steps, batch) = if batch_first { (b, a) } else { (a, b) };
    let hidden = v.dims(v.tensor(2)?)?.last().copied().unwrap_or(0);
    let width = hidden.checked_mul(gates + 4).filter(|&w| w > 0);
    let rows = steps.checked_mul(batch).and_then(|rows| rows.checked_add(batch));
    let bytes = width.zip(rows).and_then(|(w, r)| w.checked_mul(r)?.checked_mul(8));
    if bytes.is_none_or(|b| isize::try_from(b).is_err()) {
        return Err(v.unsupported(format!("{steps} steps of {batch} sequences with {hidden} hidden units")));
    }
    Ok(Extents { steps, batch, input, hidden, batch_first })
}

/// Weights of all directions.
enum Matrix {
    Float(Vec<f32>),
    /// With a scale and a zero point for each row.
    Bytes(Vec<i8>, Vec<f32>, Vec<i16>),
}

impl Matrix {
    /// Input `i`, which must be constant.
    fn of(v: NodeView<'_>, i: usize) -> Result<Matrix, PlanError> {
        let tensor = v.tensor(i)?;
        if tensor.dtype != DType::I8 {
            return Ok(Matrix::Float(v.floats(i)?));
        }
        let values = v.constant(i)?.to_vec::<i8>();
        let rows = v.dims(tensor)?.first().copied().unwrap_or(0);
        let per_row = tensor.quant.as_ref().and_then(|q| match (q.axis, q.single()) {
            (_, Some((scale, zero))) => Some((vec![scale; rows], vec![zero; rows])),
            (Some(0), _) if q.scale.len() == rows && q.zero_point.len() == rows => {
                Some((q.scale.clone(), q.zero_point.clone()))
            }
            _ => None,
        });
        let Some((scales, zeros)) = per_row else {
            return Err(
                v.unsupported(format!("'{}' should be quantized per tensor or along axis 0", tensor.name))
            );
        };
        // Zero points of i8 fit.
        Ok(Matrix::Bytes(values, scales, zeros.into_iter().map(|z| z as i16).collect()))
    }

    /// Those of direction `d`.
    fn rows(&self, d: usize, directions: usize) -> recurrent::Rows<'_> {
        match self {
            Matrix::Float(values) => recurrent::Rows::Float(part(values, d, directions)),
            Matrix::Bytes(values, scales, zeros) => {
                let (values, scales) = (part(values, d, directions), part(scales, d, directions));
                let zero_points =
                    if zeros.iter().all(|&z| z == 0) { &[] } else { part(zeros, d, directions) };
                recurrent::Rows::Bytes { values, scales, zero_points }
            }
        }
    }
}

/// One of so many equal parts.
fn part<T>(all: &[T], i: usize, parts: usize) -> &[T] {
    let len = all.len() / parts;
    &all[i * len..][..len]
}

/// The cell of one direction.
fn cell(v: NodeView<'_>, op: &Recurrent, functions: &[GateFunction]) -> Result<Cell, PlanError> {
    let functions: Vec<UnaryFn> = functions.iter().map(function).collect();
    match (op.cell, &functions[..]) {
        (RecurrentCell::Lstm, &[gate, input, output]) => Ok(Cell::Lstm {
            functions: [gate, input, output],
            cell_clip: op.cell_clip,
            couple_forget: op.couple_forget,
        }),
        (RecurrentCell::Gru, &[gate, hidden]) => {
            Ok(Cell::Gru { functions: [gate, hidden], reset_after: op.reset_after })
        }
        (RecurrentCell::Rnn, &[function]) => Ok(Cell::Rnn { function }),
        _ => Err(v.unsupported("the number of its functions is not that of its cell")),
    }
}

fn function(f: &GateFunction) -> UnaryFn {
    let GateFunction { alpha, beta, .. } = *f;
    match f.kind {
        GateKind::Sigmoid => UnaryFn::Sigmoid,
        GateKind::Tanh => UnaryFn::Tanh,
        GateKind::Relu => UnaryFn::Relu,
        GateKind::Affine => UnaryFn::Affine { alpha, beta },
        GateKind::LeakyRelu => UnaryFn::LeakyRelu { alpha },
        GateKind::ThresholdedRelu => UnaryFn::ThresholdedRelu { alpha },
        GateKind::ScaledTanh => UnaryFn::ScaledTanh { alpha, beta },
        GateKind::HardSigmoid => UnaryFn::HardSigmoid { alpha, beta },
        GateKind::Elu => UnaryFn::Elu { alpha },
        GateKind::Softsign => UnaryFn::Softsign,
        GateKind::Softplus => UnaryFn::Softplus,
    }
}

/// One direction.
struct Part {
    recurrence: Recurrence,
    packed: Data,
    peepholes: Vec<f32>,
}

/// A recurrent layer.
struct Layer {
    parts: Vec<Part>,
    extents: Extents,
    /// Which of the step's inputs the optional ones are.
    lengths: Option<usize>,
    h: Option<usize>,
    c: Option<usize>,
    /// Which of the step's outputs all states, the last state and the last cell state are.
    slots: [Option<usize>; OUTPUTS],
    node: String,
}

impl Layer {
    /// Bytes of scratch of one thread that projects inputs.
    fn project_scratch(&self) -> usize {
        let most = self.parts.iter().map(|p| p.recurrence.project_scratch()).max().unwrap_or(0);
        most.next_multiple_of(64)
    }

    fn macs_of(&self, columns: usize) -> u64 {
        let rows = self.extents.rows() as u64 * self.parts.len() as u64;
        rows * self.parts[0].recurrence.projected_len() as u64 * columns as u64
    }

    /// f32 elements of projected inputs of one direction, of state and cell state, and of the steps' scratch.
    fn lens(&self) -> [usize; 4] {
        let recurrence = &self.parts[0].recurrence;
        let state = self.extents.batch * self.extents.hidden;
        [
            self.extents.rows() * recurrence.projected_len(),
            state,
            state,
            self.parts.iter().map(|p| p.recurrence.run_scratch()).max().unwrap_or(0),
        ]
        .map(|len| len.next_multiple_of(16))
    }

    /// Where in a tensor of single states the state of sequence `n` is.
    fn state_at(&self, direction: usize, n: usize) -> usize {
        let Extents { batch, hidden, batch_first, .. } = self.extents;
        let row = if batch_first { n * self.parts.len() + direction } else { direction * batch + n };
        row * hidden
    }

    /// The sequences' lengths, all checked.
    fn lengths<'a>(&self, bytes: &'a [u8]) -> Result<&'a [i32], RunError> {
        let lengths = values::<i32>(bytes, self.extents.batch);
        let steps = self.extents.steps;
        match lengths.iter().find(|&&l| usize::try_from(l).map_or(true, |l| l > steps)) {
            None => Ok(lengths),
            Some(&index) => {
                Err(RunError::Index { node: self.node.clone(), index: index.into(), len: steps + 1 })
            }
        }
    }
}

impl Kernel for Layer {
    fn name(&self) -> String {
        self.parts[0].recurrence.kernel()
    }
    fn macs(&self) -> u64 {
        self.macs_of(self.extents.input + self.extents.hidden)
    }
    fn cost(&self) -> u64 {
        self.macs_of(self.extents.input)
    }
    fn weight_bytes(&self) -> usize {
        self.parts.iter().map(|p| p.packed.bytes().len() + p.peepholes.len() * 4).sum()
    }
    fn scratch_len(&self, threads: usize) -> usize {
        4 * self.lens().iter().sum::<usize>() + threads * self.project_scratch()
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Extents { batch, hidden, batch_first, steps, .. } = self.extents;
        let slot = |input: Option<usize>| input.unwrap_or(0);
        let inputs = [0, slot(self.lengths), slot(self.h), slot(self.c)];
        let ([x, lengths, first_h, first_c], mut outputs, scratch) =
            views(io, inputs, self.slots.iter().flatten().count());
        let lengths = self.lengths.map(|_| self.lengths(lengths)).transpose()?;
        let (floats, project_scratch) = scratch.split_at_mut(4 * self.lens().iter().sum::<usize>());
        let [projected_len, state_len, ..] = self.lens();
        let (projected, floats) = values_mut::<f32>(floats).split_at_mut(projected_len);
        let (h, floats) = floats.split_at_mut(state_len);
        let (c, steps_scratch) = floats.split_at_mut(state_len);
        let mut output = |slot: Option<usize>| match slot {
            Some(slot) => values_mut::<f32>(std::mem::take(&mut outputs[slot])),
            None => &mut [],
        };
        let [all, last_h, last_c] = self.slots.map(&mut output);
        let x = values::<f32>(x, self.extents.rows() * self.extents.input);
        for (d, part) in self.parts.iter().enumerate() {
            let rows = Rows {
                count: self.extents.rows(),
                grain: 1,
                stride: 4 * part.recurrence.projected_len(),
                y: bytemuck::cast_slice_mut(&mut projected[..]),
                scratch_len: self.project_scratch(),
                scratch: project_scratch,
            };
            let packed = part.packed.bytes();
            pool.split(self.cost() / self.parts.len() as u64, rows, &|rows, y, scratch| {
                part.recurrence.project(packed, x, rows, values_mut(y), scratch);
            });
            let state_values = self.parts.len() * batch * hidden;
            for (state, given, first) in [(&mut *h, self.h, first_h), (&mut *c, self.c, first_c)] {
                let first = values::<f32>(first, if given.is_some() { state_values } else { 0 });
                for (n, state) in state.chunks_exact_mut(hidden.max(1)).take(batch).enumerate() {
                    match given {
                        Some(_) => state.copy_from_slice(&first[self.state_at(d, n)..][..hidden]),
                        None => state.fill(0.0),
                    }
                }
            }
            // Directions lie side by side: `[T, D, N, H]` or `[N, T, D, H]`.
            let directions = self.parts.len();
            let (y_step, y_sequence, first) = match batch_first {
                true => (directions * hidden, steps * directions * hidden, d * hidden),
                false => (directions * batch * hidden, hidden, d * batch * hidden),
            };
            let y = all.get_mut(first..).unwrap_or_default();
            let states = States {
                h: &mut h[..batch * hidden],
                c: &mut c[..batch * hidden],
                y,
                y_step,
                y_sequence,
                lengths,
                peepholes: &part.peepholes,
            };
            part.recurrence.run(packed, projected, states, steps_scratch);
            for (to, state) in [(&mut *last_h, &*h), (&mut *last_c, &*c)] {
                if to.is_empty() {
                    continue;
                }
                for (n, state) in state.chunks_exact(hidden.max(1)).take(batch).enumerate() {
                    to[self.state_at(d, n)..][..hidden].copy_from_slice(state);
                }
            }
        }
        Ok(())
    }
}

/// A step's operands: four inputs, as many outputs as it has (the others empty), scratch.
fn views<'a>(
    io: &'a mut Io<'_>,
    inputs: [usize; 4],
    outputs: usize,
) -> ([&'a [u8]; 4], [&'a mut [u8]; OUTPUTS], &'a mut [u8]) {
    match outputs {
        3 => {
            let Views { inputs, outputs, scratch } = io.views(inputs, [0, 1, 2]);
            (inputs, outputs, scratch)
        }
        2 => {
            let Views { inputs, outputs: [a, b], scratch } = io.views(inputs, [0, 1]);
            (inputs, [a, b, &mut []], scratch)
        }
        1 => {
            let Views { inputs, outputs: [a], scratch } = io.views(inputs, [0]);
            (inputs, [a, &mut [], &mut []], scratch)
        }
        _ => {
            let Views { inputs, outputs: [], scratch } = io.views(inputs, []);
            (inputs, [&mut [], &mut [], &mut []], scratch)
        }
    }
}
