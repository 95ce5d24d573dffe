//! LSTM layers in integers: bytes in and out, weights in i8, the cell state in 16 bits with a power of two as scale. The arithmetic is
//! that of TensorFlow Lite's kernel ([`fixed`](crate::fixed)), `docs/arithmetic.md`, section 14; only the sums of
//! products, which are exact, come from the kernels that all integer products use.

use crate::bytes::ints;
use crate::fixed::{Multiplier, logistic, round_shift32, saturate16, tanh};
use crate::multiversion::multiversion;
use crate::qconv::{DynamicQConv, Source};
use crate::recurrent::Extents;
use crate::{ConvShape, Filter, Isa, SLACK};
use std::ops::Range;

/// Gates, in this order: input, output, forget, cell.
pub const GATES: usize = 4;

/// What defines a layer besides its sizes.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// `[GATES * hidden][input]`
    pub input_weights: &'a [i8],
    /// `[GATES * hidden][hidden]`
    pub state_weights: &'a [i8],
    /// `[GATES * hidden]`, at the scale of the products with the input.
    pub bias: &'a [i32],
    /// Of the input.
    pub input_zero_point: u8,
    /// Of the states, which are the outputs.
    pub state_zero_point: u8,
    /// From the sums of each gate's products with the input to 16 bits with 12 behind the point.
    pub input_multipliers: [Multiplier; GATES],
    /// From the sums of each gate's products with the state to the same.
    pub state_multipliers: [Multiplier; GATES],
    /// From the product of output gate and cell output, two 16-bit fractions of 1, to states.
    pub output_multiplier: Multiplier,
    /// Bits in front of the point of the cell state: 0 to 6. Its scale is `2^(cell_bits - 15)`.
    pub cell_bits: u32,
    /// The cell state is kept within this distance of 0; 32768: it is not.
    pub cell_clip: i32,
}

/// A layer with everything decided but the data.
#[derive(Clone, Debug)]
pub struct IntegerLstm {
    isa: Isa,
    extents: Extents,
    input: Box<DynamicQConv>,
    state: Box<DynamicQConv>,
    /// What the zero point of the inputs makes of the bias, and that of the states of none.
    input_bias: Vec<i32>,
    state_bias: Vec<i32>,
    cell: Cell,
}

/// What the gates of all steps have in common.
#[derive(Clone, Copy, Debug)]
struct Cell {
    input: [Multiplier; GATES],
    state: [Multiplier; GATES],
    output: Multiplier,
    output_zero: i32,
    bits: u32,
    clip: i32,
}

/// `bias - zero_point * sum of w`, modulo 2^32 as the sums are.
fn folded(weights: &[i8], k: usize, bias: impl Iterator<Item = i32>, zero_point: u8) -> Vec<i32> {
    let sum = |row: &[i8]| row.iter().map(|&w| i32::from(w)).sum::<i32>();
    let rows = weights.chunks_exact(k.max(1));
    rows.zip(bias).map(|(row, b)| b.wrapping_sub(i32::from(zero_point).wrapping_mul(sum(row)))).collect()
}

impl IntegerLstm {
    /// Panics if a slice has another length, or the cell state more than 6 bits in front of its point.
    pub fn new(isa: Isa, extents: Extents, p: &Parameters<'_>) -> IntegerLstm {
        let Extents { batch, input, hidden, .. } = extents;
        let n = GATES * hidden;
        assert_eq!(p.input_weights.len(), n * input, "weights of the input");
        assert_eq!(p.state_weights.len(), n * hidden, "weights of the state");
        assert_eq!(p.bias.len(), n, "biases");
        assert!(p.cell_bits <= 6, "bits of the cell state");
        let sums = |rows, k| Box::new(DynamicQConv::sums(isa, ConvShape::linear(rows, k, n)));
        IntegerLstm {
            isa,
            extents,
            input: sums(extents.rows(), input),
            state: sums(batch, hidden),
            input_bias: folded(p.input_weights, input, p.bias.iter().copied(), p.input_zero_point),
            state_bias: folded(p.state_weights, hidden, std::iter::repeat(0), p.state_zero_point),
            cell: Cell {
                input: p.input_multipliers,
                state: p.state_multipliers,
                output: p.output_multiplier,
                output_zero: i32::from(p.state_zero_point),
                bits: p.cell_bits,
                clip: p.cell_clip,
            },
        }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> String {
        format!("integer lstm {}", self.input.kernel())
    }

    /// Sums per row of inputs.
    pub fn projected_len(&self) -> usize {
        GATES * self.extents.hidden
    }

    /// Bytes of the packed weights: a multiple of 64.
    pub fn packed_len(&self) -> usize {
        self.input.packed_len() + self.state.packed_len()
    }

    /// Packs the weights that the layer was made with.
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, p: &Parameters<'_>, packed: &mut [u8]) {
        let scales = vec![1.0; self.projected_len()];
        let (input, rest) = packed.split_at_mut(self.input.packed_len());
        for (product, weights, to) in [
            (&self.input, p.input_weights, input),
            (&self.state, p.state_weights, &mut rest[..self.state.packed_len()]),
        ] {
            product.pack(&Filter { weights, multiplier: &scales, ..Filter::default() }, &[], to);
        }
    }

    /// Bytes of scratch that a call of [`project`](Self::project) needs.
    pub fn project_scratch(&self) -> usize {
        self.input.scratch_len()
    }

    /// Multiplies inputs `rows` of `x`, which has [`SLACK`] bytes behind it, with their weights. `projected` starts
    /// with the sums of the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn project(
        &self,
        packed: &[u8],
        x: &[u8],
        rows: Range<usize>,
        projected: &mut [u8],
        scratch: &mut [u8],
    ) {
        let packed = &packed[..self.input.packed_len()];
        self.input.run(packed, x, Source { scale: 1.0, zero_point: 0 }, projected, rows, scratch);
    }

    /// Bytes of the state's sums, and of the states with slack.
    fn lens(&self) -> [usize; 2] {
        let Extents { batch, hidden, .. } = self.extents;
        [batch * self.projected_len() * 4, batch * hidden + SLACK].map(|len| len.next_multiple_of(64))
    }

    /// Bytes of scratch that a call of [`run`](Self::run) needs.
    pub fn run_scratch(&self) -> usize {
        self.lens().iter().sum::<usize>() + self.state.scratch_len()
    }

    /// Goes through all steps, from the projected inputs of all rows to the outputs. `h` `[batch][hidden]` and `c`
    /// `[batch][hidden]` are the first states, then the last ones; `y` gets the states of all steps, rows as `x` has
    /// them. `scratch` lies aligned.
    ///
    /// Panics if a slice is too short.
    pub fn run(
        &self,
        packed: &[u8],
        projected: &[u8],
        h: &mut [u8],
        c: &mut [i16],
        y: &mut [u8],
        scratch: &mut [u8],
    ) {
        let Extents { steps, batch, hidden, .. } = self.extents;
        if batch == 0 || hidden == 0 {
            return;
        }
        let packed = &packed[self.input.packed_len()..][..self.state.packed_len()];
        let n = self.projected_len();
        let projected = ints(projected);
        let [sums_len, state_len] = self.lens();
        let (sums, scratch) = scratch.split_at_mut(sums_len);
        let (state, scratch) = scratch.split_at_mut(state_len);
        state[..h.len()].copy_from_slice(h);
        for t in 0..steps {
            let raw = Source { scale: 1.0, zero_point: 0 };
            self.state.run(packed, state, raw, &mut sums[..batch * n * 4], 0..batch, scratch);
            for (b, c) in c.chunks_exact_mut(hidden).take(batch).enumerate() {
                let row = self.extents.row(t, b);
                let sums = Sums {
                    input: &projected[row * n..][..n],
                    state: &ints(sums)[b * n..][..n],
                    input_bias: &self.input_bias,
                    state_bias: &self.state_bias,
                };
                let h = &mut state[b * hidden..][..hidden];
                step(self.isa, &self.cell, sums, c, h);
                y[row * hidden..][..hidden].copy_from_slice(h);
            }
        }
        let len = h.len();
        h.copy_from_slice(&state[..len]);
    }
}

/// The sums of one step of one sequence, `[GATES * hidden]` each, and what is added to them.
#[derive(Clone, Copy)]
struct Sums<'a> {
    input: &'a [i32],
    state: &'a [i32],
    input_bias: &'a [i32],
    state_bias: &'a [i32],
}

multiversion! {
    /// From sums and the cell state to the next cell state and output.
    fn step(cell: &Cell, sums: Sums<'_>, c: &mut [i16], h: &mut [u8]) => step_body
}

/// What goes into the function of gate `g` of unit `j` of `n`: 16 bits with 12 behind the point.
#[inline(always)]
fn gate(cell: &Cell, sums: Sums<'_>, n: usize, g: usize, j: usize) -> i32 {
    let i = g * n + j;
    let input = cell.input[g].apply(sums.input[i].wrapping_add(sums.input_bias[i]));
    let state = cell.state[g].apply(sums.state[i].wrapping_add(sums.state_bias[i]));
    saturate16(saturate16(input).saturating_add(state))
}

#[inline(always)]
fn step_body(cell: &Cell, sums: Sums<'_>, c: &mut [i16], h: &mut [u8]) {
    let n = c.len();
    for j in 0..n {
        let (input, forget) = (logistic(gate(cell, sums, n, 0, j)), logistic(gate(cell, sums, n, 2, j)));
        let candidate = tanh(gate(cell, sums, n, 3, j), 3);
        let kept = round_shift32(forget * i32::from(c[j]), 15);
        let added = round_shift32(input * candidate, 15 + cell.bits);
        let next = saturate16(kept + i32::from(added as i16)).clamp(-cell.clip, cell.clip);
        c[j] = next as i16;
        let output = logistic(gate(cell, sums, n, 1, j));
        let product = output * tanh(next, cell.bits);
        let code = cell.output.apply(product).saturating_add(cell.output_zero);
        h[j] = code.clamp(0, 255) as u8;
    }
}
