//! Recurrent layers: LSTM, GRU and simple RNN, one direction at a time.
//!
//! The products of all time steps with the input weights are one matrix product ([`Recurrence::project`]); what is
//! left per step is the product of the last state with the recurrent weights and the functions of the gates
//! ([`Recurrence::run`]). Gates are computed in f32 with the crate's own functions, whatever the products are
//! computed in.

mod cell;
mod product;
#[cfg(test)]
mod tests;

pub use crate::dynamic::RowQuant;
pub use cell::Cell;
pub use product::{Arithmetic, Rows};

use crate::Isa;
use crate::bytes::bytes_mut;
use cell::Gates;
use product::Product;
use std::ops::Range;

/// Sizes of one direction of a recurrent layer, and where its rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Time steps.
    pub steps: usize,
    /// Sequences.
    pub batch: usize,
    /// Elements of an input.
    pub input: usize,
    /// Elements of a state.
    pub hidden: usize,
    /// Inputs lie sequence by sequence, not step by step.
    pub batch_first: bool,
}

impl Extents {
    /// Inputs of all sequences and steps.
    pub fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// Which input sequence `n` has at time `t`.
    pub(crate) fn row(&self, t: usize, n: usize) -> usize {
        if self.batch_first { n * self.steps + t } else { t * self.batch + n }
    }
}

/// Weights of one direction, as ONNX has them: gate by gate.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// `[gates * hidden][input]`
    pub input: Rows<'a>,
    /// `[gates * hidden][hidden]`
    pub state: Rows<'a>,
    /// Of the input weights, then of the state's: `[2 * gates * hidden]`; the latter or both may be left out.
    pub bias: &'a [f32],
}

/// What the steps of one direction read and change.
pub struct States<'a> {
    /// `[batch][hidden]`: first state, then last.
    pub h: &'a mut [f32],
    /// `[batch][hidden]`: first cell state, then last; empty unless the cell is an LSTM.
    pub c: &'a mut [f32],
    /// The states of all steps are written here, unless it is empty.
    pub y: &'a mut [f32],
    /// Elements from one step to the next in `y`.
    pub y_step: usize,
    /// Elements from one sequence to the next in `y`.
    pub y_sequence: usize,
    /// Length of each sequence, at most all steps; `None`: as long as there are steps.
    pub lengths: Option<&'a [i32]>,
    /// An LSTM's peepholes `[3 * hidden]` (input, output, forget), or empty.
    pub peepholes: &'a [f32],
}

/// One direction of a recurrent layer with everything decided but the data.
#[derive(Clone, Debug)]
pub struct Recurrence {
    cell: Cell,
    gates: Gates,
    extents: Extents,
    reverse: bool,
    input: Product,
    /// Products with the state, in the order of the gates they belong to.
    state: Vec<Product>,
}

impl Recurrence {
    /// `clip`: what goes into the functions of gates is kept within this distance of 0; infinity: it is not.
    /// `reverse`: each sequence is gone through from its last step to its first.
    pub fn new(
        isa: Isa,
        arithmetic: Arithmetic,
        cell: Cell,
        clip: f32,
        extents: Extents,
        reverse: bool,
    ) -> Recurrence {
        let Extents { batch, input, hidden, .. } = extents;
        let parts: &[usize] = match cell {
            Cell::Lstm { .. } => &[4],
            Cell::Gru { .. } => &[2, 1],
            Cell::Rnn { .. } => &[1],
        };
        Recurrence {
            cell,
            gates: Gates { isa, clip },
            extents,
            reverse,
            input: Product::new(isa, arithmetic, extents.rows(), input, cell.gates() * hidden),
            state: parts
                .iter()
                .map(|gates| Product::new(isa, arithmetic, batch, hidden, gates * hidden))
                .collect(),
        }
    }

    /// What runs, for people: cell and products.
    pub fn kernel(&self) -> String {
        format!("{} {}", self.cell.name(), self.input.kernel())
    }

    /// Elements of a row of projected inputs.
    pub fn projected_len(&self) -> usize {
        self.cell.gates() * self.extents.hidden
    }

    /// Bytes of the packed weights: a multiple of 64.
    pub fn packed_len(&self) -> usize {
        self.input.packed_len() + self.state.iter().map(Product::packed_len).sum::<usize>()
    }

    /// Packs the weights.
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &Weights<'_>, packed: &mut [u8]) {
        let Extents { hidden, .. } = self.extents;
        let n = self.projected_len();
        let bias = |i: usize| weights.bias.get(i).copied().unwrap_or(0.0);
        // The reset gate of a GRU acts on the state's bias too: that one can't go over to the input's.
        let apart = match self.cell {
            Cell::Gru { reset_after: true, .. } => 2 * hidden,
            _ => n,
        };
        let input_bias: Vec<f32> =
            (0..n).map(|i| if i < apart { bias(i) + bias(n + i) } else { bias(i) }).collect();
        let state_bias: Vec<f32> = (0..n).map(|i| if i < apart { 0.0 } else { bias(n + i) }).collect();
        let (to, mut rest) = packed.split_at_mut(self.input.packed_len());
        self.input.pack(weights.input, &input_bias, to);
        let mut first = 0;
        for product in &self.state {
            let (to, behind) = std::mem::take(&mut rest).split_at_mut(product.packed_len());
            product.pack(weights.state.from(first, hidden), &state_bias[first..], to);
            rest = behind;
            first += product.width();
        }
    }

    /// Bytes of scratch that a call of [`project`](Self::project) needs.
    pub fn project_scratch(&self) -> usize {
        self.input.scratch_len()
    }

    /// Multiplies inputs `rows` of `x` with the input weights. `projected` starts with the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn project(
        &self,
        packed: &[u8],
        x: &[f32],
        rows: Range<usize>,
        projected: &mut [f32],
        scratch: &mut [u8],
    ) {
        self.input.run(self.gates.isa, packed, x, rows, projected, scratch);
    }

    /// f32 elements of scratch that a call of [`run`](Self::run) needs.
    pub fn run_scratch(&self) -> usize {
        let Extents { batch, hidden, .. } = self.extents;
        let reset = if matches!(self.cell, Cell::Gru { .. }) { hidden } else { 0 };
        let products = self.state.iter().map(Product::scratch_len).max().unwrap_or(0);
        (batch * (self.projected_len() + reset)).next_multiple_of(16) + products.div_ceil(4)
    }

    /// Goes through all steps, from the projected inputs of all rows to the states.
    ///
    /// Panics if a slice is too short or a length is not one of `0..=steps`.
    pub fn run(&self, packed: &[u8], projected: &[f32], states: States<'_>, scratch: &mut [f32]) {
        let Extents { steps, batch, hidden, .. } = self.extents;
        if batch == 0 || hidden == 0 {
            return;
        }
        let States { h, c, y, y_step, y_sequence, lengths, peepholes } = states;
        let length =
            |n: usize| lengths.map_or(steps, |l| usize::try_from(l[n]).expect("a length is positive"));
        let width = self.projected_len();
        let reset = if matches!(self.cell, Cell::Gru { .. }) { hidden } else { 0 };
        // Whole lines, so that what comes behind lies aligned.
        let (own, scratch) = scratch.split_at_mut((batch * (width + reset)).next_multiple_of(16));
        let (gates, reset) = own.split_at_mut(batch * width);
        let mut work = Work { gates, reset, h, c, scratch: bytes_mut(scratch) };
        for step in 0..steps {
            // Which input a sequence reads in this step; none behind its end.
            let time = |n: usize| match length(n).checked_sub(step + 1) {
                Some(left) if self.reverse => Some(left),
                Some(_) => Some(step),
                None => None,
            };
            let input = |n: usize| {
                let row = self.extents.row(time(n)?, n);
                Some(&projected[row * self.projected_len()..][..self.projected_len()])
            };
            self.step(&packed[self.input.packed_len()..], input, peepholes, &mut work);
            if y.is_empty() {
                continue;
            }
            for n in 0..batch {
                // Behind the end of a sequence its outputs are 0.
                let state = time(n).map(|t| (t, &work.h[n * hidden..][..hidden]));
                let to = &mut y[state.map_or(step, |(t, _)| t) * y_step + n * y_sequence..][..hidden];
                match state {
                    Some((_, state)) => to.copy_from_slice(state),
                    None => to.fill(0.0),
                }
            }
        }
    }

    /// One step of all sequences; `input` gives a sequence's projected input, or none where it has ended.
    fn step<'a>(
        &self,
        packed: &[u8],
        input: impl Fn(usize) -> Option<&'a [f32]>,
        peepholes: &[f32],
        work: &mut Work<'_>,
    ) {
        let Extents { batch, hidden, .. } = self.extents;
        let Work { gates, reset, h, c, scratch } = work;
        let first = &self.state[0];
        let (width, rest) = (first.width(), &packed[first.packed_len()..]);
        let (gates, hidden_gate) = gates.split_at_mut(batch * width);
        first.run(self.gates.isa, packed, h, 0..batch, gates, scratch);
        let rows = (0..batch).filter_map(|n| Some((n, input(n)?)));
        match self.cell {
            Cell::Lstm { functions, cell_clip, couple_forget } => {
                for (n, x) in rows {
                    let gates = &mut gates[n * width..][..width];
                    let (c, h) = (&mut c[n * hidden..][..hidden], &mut h[n * hidden..][..hidden]);
                    self.gates.lstm(functions, cell_clip, couple_forget, x, peepholes, gates, c, h);
                }
            }
            Cell::Rnn { function } => {
                for (n, x) in rows {
                    let gates = &mut gates[n * width..][..width];
                    self.gates.rnn(function, x, gates, &mut h[n * hidden..][..hidden]);
                }
            }
            Cell::Gru { functions: [function, hidden_function], reset_after } => {
                for (n, x) in rows.clone() {
                    let gates = &mut gates[n * width..][..width];
                    self.gates.gru_gates(function, &x[..width], gates);
                    let reset = &mut reset[n * hidden..][..hidden];
                    self.gates.gru_reset(&gates[hidden..], &h[n * hidden..][..hidden], reset);
                }
                let product = &self.state[1];
                let state: &[f32] = if reset_after { h } else { reset };
                product.run(self.gates.isa, rest, state, 0..batch, hidden_gate, scratch);
                for (n, x) in rows {
                    let (update, reset) = gates[n * width..][..width].split_at(hidden);
                    let reset = if reset_after { reset } else { &[] };
                    let hidden_gate = &mut hidden_gate[n * hidden..][..hidden];
                    let h = &mut h[n * hidden..][..hidden];
                    self.gates.gru_state(hidden_function, &x[width..], update, reset, hidden_gate, h);
                }
            }
        }
    }
}

/// What the steps work on.
struct Work<'a> {
    gates: &'a mut [f32],
    /// A GRU's states after the reset gate.
    reset: &'a mut [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
    scratch: &'a mut [u8],
}
