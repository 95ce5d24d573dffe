//! The gates of one time step of one sequence.

use crate::Isa;
use crate::math::Real;
use crate::multiversion::multiversion;
use crate::unary::{UnaryFn, sigmoid, unary_f32_inplace};

/// What a recurrent layer computes per step. Names and equations are those of ONNX.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Gates: input, output, forget, cell.
    Lstm {
        /// Of the gates, of the cell's input, of the cell's output.
        functions: [UnaryFn; 3],
        /// Bound of the cell state's magnitude; infinity: none.
        cell_clip: f32,
        /// The forget gate is 1 minus the input gate.
        couple_forget: bool,
    },
    /// Gates: update, reset, hidden.
    Gru {
        /// Of the gates, of the hidden one.
        functions: [UnaryFn; 2],
        /// The reset gate acts behind the product with the recurrent weights.
        reset_after: bool,
    },
    /// One gate.
    Rnn {
        /// Its function.
        function: UnaryFn,
    },
}

impl Cell {
    /// How many gates there are.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } => 3,
            Cell::Rnn { .. } => 1,
        }
    }

    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Cell::Lstm { .. } => "lstm",
            Cell::Gru { .. } => "gru",
            Cell::Rnn { .. } => "rnn",
        }
    }
}

/// Functions of gates, with what goes into them kept within `clip` of 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gates {
    pub isa: Isa,
    /// Infinity: not clipped.
    pub clip: f32,
}

impl Gates {
    /// `x = f(clip(x))`
    fn apply(self, f: UnaryFn, x: &mut [f32]) {
        bound(self.isa, x, self.clip);
        unary_f32_inplace(self.isa, f, x);
    }

    /// An LSTM's step: `gates` holds the products of the recurrent weights, `x` those of the input weights.
    /// `peepholes` may be empty. Changes the cell state `c`, writes the state `h`.
    #[expect(clippy::too_many_arguments, reason = "the operands of the equations")]
    pub fn lstm(
        self,
        functions: [UnaryFn; 3],
        cell_clip: f32,
        couple_forget: bool,
        x: &[f32],
        peepholes: &[f32],
        gates: &mut [f32],
        c: &mut [f32],
        h: &mut [f32],
    ) {
        let (isa, n) = (self.isa, c.len());
        let unbounded = self.clip == f32::INFINITY && cell_clip == f32::INFINITY;
        if functions == USUAL && unbounded && peepholes.is_empty() && !couple_forget {
            return usual_lstm(isa, x, gates, c, h);
        }
        let [gate, candidate, output] = functions;
        add(isa, x, gates);
        let (before, g) = gates.split_at_mut(3 * n);
        if peepholes.is_empty() {
            self.apply(gate, before);
        } else {
            let (i, rest) = before.split_at_mut(n);
            let f = &mut rest[n..];
            multiply_add(isa, &peepholes[..n], c, i);
            multiply_add(isa, &peepholes[2 * n..], c, f);
            self.apply(gate, i);
            self.apply(gate, f);
        }
        self.apply(candidate, g);
        let (i, rest) = before.split_at_mut(n);
        let (o, f) = rest.split_at_mut(n);
        if couple_forget {
            complement(isa, i, f);
        }
        update(isa, i, f, g, c);
        bound(isa, c, cell_clip);
        if !peepholes.is_empty() {
            multiply_add(isa, &peepholes[n..2 * n], c, o);
            self.apply(gate, o);
        }
        h.copy_from_slice(c);
        unary_f32_inplace(isa, output, h);
        multiply(isa, o, h);
    }

    /// A GRU's gates: `gates` (update, reset) holds the products of the recurrent weights, `x` those of the input
    /// weights.
    pub fn gru_gates(self, function: UnaryFn, x: &[f32], gates: &mut [f32]) {
        add(self.isa, x, gates);
        self.apply(function, gates);
    }

    /// What a GRU's recurrent weights are multiplied with: the state after the reset gate.
    pub fn gru_reset(self, reset: &[f32], h: &[f32], out: &mut [f32]) {
        out.copy_from_slice(h);
        multiply(self.isa, reset, out);
    }

    /// A GRU's new state: `hidden` holds the product of the recurrent weights, `x` that of the input weights;
    /// `reset` is applied to the former unless it is empty.
    pub fn gru_state(
        self,
        function: UnaryFn,
        x: &[f32],
        update: &[f32],
        reset: &[f32],
        hidden: &mut [f32],
        h: &mut [f32],
    ) {
        if !reset.is_empty() {
            multiply(self.isa, reset, hidden);
        }
        add(self.isa, x, hidden);
        self.apply(function, hidden);
        blend(self.isa, update, hidden, h);
    }

    /// A simple cell's new state: `gates` holds the product of the recurrent weights, `x` that of the input
    /// weights.
    pub fn rnn(self, function: UnaryFn, x: &[f32], gates: &mut [f32], h: &mut [f32]) {
        add(self.isa, x, gates);
        self.apply(function, gates);
        h.copy_from_slice(gates);
    }
}

/// The functions that nearly all LSTMs have.
const USUAL: [UnaryFn; 3] = [UnaryFn::Sigmoid, UnaryFn::Tanh, UnaryFn::Tanh];

multiversion! {
    /// A step of an LSTM with the usual functions and no options, in one pass: the same bits as in several.
    fn usual_lstm(x: &[f32], gates: &[f32], c: &mut [f32], h: &mut [f32]) => usual_lstm_body
}

#[inline(always)]
fn usual_lstm_body(x: &[f32], gates: &[f32], c: &mut [f32], h: &mut [f32]) {
    let n = c.len();
    let (xi, xo, xf, xg) = (&x[..n], &x[n..][..n], &x[2 * n..][..n], &x[3 * n..][..n]);
    let (ri, ro) = (&gates[..n], &gates[n..][..n]);
    let (rf, rg) = (&gates[2 * n..][..n], &gates[3 * n..][..n]);
    let (c, h) = (&mut c[..n], &mut h[..n]);
    for j in 0..n {
        let i = sigmoid(ri[j] + xi[j]);
        let f = sigmoid(rf[j] + xf[j]);
        let g = Real::tanh(rg[j] + xg[j]);
        let cell = f * c[j] + i * g;
        c[j] = cell;
        h[j] = Real::tanh(cell) * sigmoid(ro[j] + xo[j]);
    }
}

multiversion! {
    /// `y += x`
    fn add(x: &[f32], y: &mut [f32]) => add_body
}

#[inline(always)]
fn add_body(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

multiversion! {
    /// `y *= x`
    fn multiply(x: &[f32], y: &mut [f32]) => multiply_body
}

#[inline(always)]
fn multiply_body(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y *= x;
    }
}

multiversion! {
    /// `y += a * b`
    fn multiply_add(a: &[f32], b: &[f32], y: &mut [f32]) => multiply_add_body
}

#[inline(always)]
fn multiply_add_body(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y += a * b;
    }
}

multiversion! {
    /// `y = 1 - x`
    fn complement(x: &[f32], y: &mut [f32]) => complement_body
}

#[inline(always)]
fn complement_body(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = 1.0 - x;
    }
}

multiversion! {
    /// `c = f * c + i * g`
    fn update(i: &[f32], f: &[f32], g: &[f32], c: &mut [f32]) => update_body
}

#[inline(always)]
fn update_body(i: &[f32], f: &[f32], g: &[f32], c: &mut [f32]) {
    for (((c, &i), &f), &g) in c.iter_mut().zip(i).zip(f).zip(g) {
        *c = f * *c + i * g;
    }
}

multiversion! {
    /// `h = (1 - z) * g + z * h`
    fn blend(z: &[f32], g: &[f32], h: &mut [f32]) => blend_body
}

#[inline(always)]
fn blend_body(z: &[f32], g: &[f32], h: &mut [f32]) {
    for ((h, &z), &g) in h.iter_mut().zip(z).zip(g) {
        *h = (1.0 - z) * g + z * *h;
    }
}

/// Keeps `x` within `distance` of 0; infinity: leaves it alone.
fn bound(isa: Isa, x: &mut [f32], distance: f32) {
    if distance < f32::INFINITY {
        unary_f32_inplace(isa, UnaryFn::Clip { min: -distance, max: distance }, x);
    }
}
