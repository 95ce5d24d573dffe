//! Every layer against the equations of the standard in f64, and the gates' bits on every instruction set.

use super::*;
use crate::testing::{Random, on_every_isa};
use crate::unary::{UnaryFn, unary_f64};

/// One layer with its operands.
struct Case {
    cell: Cell,
    clip: f32,
    extents: Extents,
    reverse: bool,
    x: Vec<f32>,
    w: Vec<f32>,
    r: Vec<f32>,
    bias: Vec<f32>,
    lengths: Option<Vec<i32>>,
    h: Vec<f32>,
    c: Vec<f32>,
    peepholes: Vec<f32>,
}

impl Case {
    fn new(cell: Cell, extents: Extents, reverse: bool, seed: u64) -> Case {
        let Extents { batch, input, hidden, .. } = extents;
        let (n, state) = (cell.gates() * hidden, batch * hidden);
        let mut random = Random::new(seed);
        Case {
            cell,
            clip: f32::INFINITY,
            extents,
            reverse,
            x: random.floats(extents.rows() * input, 1.0),
            w: random.floats(n * input, 0.7),
            r: random.floats(n * hidden, 0.7),
            bias: random.floats(2 * n, 0.3),
            lengths: None,
            h: random.floats(state, 1.0),
            c: random.floats(state, 1.0),
            peepholes: vec![],
        }
    }

    /// All states (dense, in the order of the inputs), last states, last cell states.
    fn run(&self, isa: Isa) -> [Vec<f32>; 3] {
        let weights = Weights { input: Rows::Float(&self.w), state: Rows::Float(&self.r), bias: &self.bias };
        self.run_with(isa, Arithmetic::Float, &weights)
    }

    fn run_with(&self, isa: Isa, arithmetic: Arithmetic, weights: &Weights<'_>) -> [Vec<f32>; 3] {
        let Extents { steps, batch, hidden, batch_first, .. } = self.extents;
        let layer = Recurrence::new(isa, arithmetic, self.cell, self.clip, self.extents, self.reverse);
        // Packed weights lie aligned in a plan; floats do here.
        let mut packed = vec![0f32; layer.packed_len() / 4];
        layer.pack(weights, bytes_mut(&mut packed));
        let packed = bytes_mut(&mut packed);
        let mut projected = vec![f32::NAN; self.extents.rows() * layer.projected_len()];
        let mut scratch = vec![f32::NAN; layer.project_scratch().div_ceil(4)];
        layer.project(packed, &self.x, 0..self.extents.rows(), &mut projected, bytes_mut(&mut scratch));
        let (mut h, mut c) = (self.h.clone(), self.c.clone());
        let mut y = vec![f32::NAN; self.extents.rows() * hidden];
        let states = States {
            h: &mut h,
            c: &mut c,
            y: &mut y,
            y_step: if batch_first { hidden } else { batch * hidden },
            y_sequence: if batch_first { steps * hidden } else { hidden },
            lengths: self.lengths.as_deref(),
            peepholes: &self.peepholes,
        };
        layer.run(packed, &projected, states, &mut vec![f32::NAN; layer.run_scratch()]);
        [y, h, c]
    }

    /// The same by the standard's equations.
    fn exact(&self) -> [Vec<f64>; 3] {
        let Extents { steps, batch, hidden, .. } = self.extents;
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (mut h, mut c) = (wide(&self.h), wide(&self.c));
        let mut y = vec![0.0; self.extents.rows() * hidden];
        for n in 0..batch {
            let len = self.lengths.as_ref().map_or(steps, |l| l[n] as usize);
            for step in 0..len {
                let row = self.extents.row(if self.reverse { len - 1 - step } else { step }, n);
                let range = n * hidden..(n + 1) * hidden;
                self.exact_step(row, &mut h[range.clone()], &mut c[range.clone()]);
                y[row * hidden..][..hidden].copy_from_slice(&h[range]);
            }
        }
        [y, h, c]
    }

    fn exact_step(&self, row: usize, h: &mut [f64], c: &mut [f64]) {
        let Extents { input, hidden, .. } = self.extents;
        let n = self.cell.gates() * hidden;
        let before = h.to_vec();
        let bias = |i: usize| self.bias.get(i).map_or(0.0, |&b| f64::from(b));
        let of_x = |gate: usize, j: usize| {
            let i = gate * hidden + j;
            let products = (0..input).map(|k| self.w[i * input + k] as f64 * self.x[row * input + k] as f64);
            products.sum::<f64>() + bias(i)
        };
        let of_h = |gate: usize, j: usize, h: &dyn Fn(usize) -> f64| {
            let i = gate * hidden + j;
            (0..hidden).map(|k| f64::from(self.r[i * hidden + k]) * h(k)).sum::<f64>() + bias(n + i)
        };
        let plain = |k: usize| before[k];
        let f = |f: UnaryFn, x: f64| unary_f64(f, x.clamp(-f64::from(self.clip), f64::from(self.clip)));
        let peephole = |i: usize| self.peepholes.get(i).map_or(0.0, |&p| f64::from(p));
        for j in 0..hidden {
            let gate = |i: usize| of_x(i, j) + of_h(i, j, &plain);
            match self.cell {
                Cell::Lstm { functions: [gates, candidate, output], cell_clip, couple_forget } => {
                    let i = f(gates, gate(0) + peephole(j) * c[j]);
                    let forget = f(gates, gate(2) + peephole(2 * hidden + j) * c[j]);
                    let forget = if couple_forget { 1.0 - i } else { forget };
                    let cell = forget * c[j] + i * f(candidate, gate(3));
                    c[j] = cell.clamp(-f64::from(cell_clip), f64::from(cell_clip));
                    let o = f(gates, gate(1) + peephole(hidden + j) * c[j]);
                    h[j] = o * unary_f64(output, c[j]);
                }
                Cell::Gru { functions: [gates, candidate], reset_after } => {
                    let z = f(gates, gate(0));
                    let hidden_gate = if reset_after {
                        f(gates, gate(1)) * of_h(2, j, &plain)
                    } else {
                        let reset = |k: usize| f(gates, of_x(1, k) + of_h(1, k, &plain)) * before[k];
                        of_h(2, j, &reset)
                    };
                    h[j] = (1.0 - z) * f(candidate, of_x(2, j) + hidden_gate) + z * before[j];
                }
                Cell::Rnn { function } => h[j] = f(function, gate(0)),
            }
        }
    }

    fn check(&self, isa: Isa, what: &str) {
        let (got, want) = (self.run(isa), self.exact());
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.len(), want.len());
            for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
                let close = (f64::from(got) - want).abs() <= 3e-5 * want.abs().max(1.0);
                assert!(close, "{isa} {what}: {got} at {i}, not {want}");
            }
        }
    }
}

const LSTM: Cell = Cell::Lstm {
    functions: [UnaryFn::Sigmoid, UnaryFn::Tanh, UnaryFn::Tanh],
    cell_clip: f32::INFINITY,
    couple_forget: false,
};

fn cells() -> Vec<Cell> {
    use UnaryFn::*;
    let gru = |reset_after| Cell::Gru { functions: [Sigmoid, Tanh], reset_after };
    vec![
        LSTM,
        Cell::Lstm {
            functions: [HardSigmoid { alpha: 0.3, beta: 0.4 }, Softsign, Tanh],
            cell_clip: 0.4,
            couple_forget: true,
        },
        gru(false),
        gru(true),
        Cell::Rnn { function: Tanh },
        Cell::Rnn { function: ScaledTanh { alpha: 1.2, beta: 0.8 } },
    ]
}

#[test]
fn layers_are_the_standards() {
    let sizes = [(1, 1, 1, 1), (5, 1, 3, 7), (4, 3, 8, 16), (3, 2, 17, 33), (2, 13, 5, 20), (6, 1, 64, 64)];
    for (i, (steps, batch, input, hidden)) in sizes.into_iter().enumerate() {
        for (j, cell) in cells().into_iter().enumerate() {
            for (batch_first, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                let extents = Extents { steps, batch, input, hidden, batch_first };
                let mut case = Case::new(cell, extents, reverse, (i * 10 + j) as u64);
                on_every_isa(|isa| case.check(isa, &format!("{cell:?} {extents:?}")));
                case.lengths = Some((0..batch).map(|n| ((n * 7 + 1) % (steps + 1)) as i32).collect());
                case.clip = 0.6;
                case.bias.clear();
                if matches!(cell, Cell::Lstm { .. }) {
                    case.peepholes = Random::new(9).floats(3 * hidden, 1.0);
                }
                on_every_isa(|isa| case.check(isa, &format!("all options, {cell:?} {extents:?}")));
            }
        }
    }
}

#[test]
fn empty_layers_do_nothing() {
    for (steps, batch, input, hidden) in [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)] {
        for cell in cells() {
            let case = Case::new(cell, Extents { steps, batch, input, hidden, batch_first: false }, false, 1);
            on_every_isa(|isa| case.check(isa, "empty"));
        }
    }
}

/// Products aside, whose order of additions is free in float, the gates have the same bits everywhere.
#[test]
fn gates_have_the_same_bits_everywhere() {
    for hidden in [1, 7, 16, 31, 32, 64, 100] {
        for cell in cells() {
            let extents = Extents { steps: 3, batch: 2, input: 1, hidden, batch_first: false };
            let mut case = Case::new(cell, extents, false, hidden as u64);
            // One product per input, none per state: no sums that could be added in another order.
            case.r.fill(0.0);
            case.bias.clear();
            if matches!(cell, Cell::Lstm { .. }) {
                case.peepholes = Random::new(3).floats(3 * hidden, 1.0);
            }
            let bits = |v: [Vec<f32>; 3]| v.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>());
            let want = bits(case.run(Isa::SCALAR));
            on_every_isa(|isa| assert_eq!(bits(case.run(isa)), want, "{isa} {cell:?} {hidden}"));
        }
    }
}

/// A layer with weights in i8, for inputs quantized as they come.
fn dynamic(case: &Case, isa: Isa, quant: RowQuant, moved: bool) -> [Vec<f32>; 3] {
    let Extents { input, hidden, .. } = case.extents;
    let (w, w_scales) = bytes(&case.w, input);
    let (r, r_scales) = bytes(&case.r, hidden);
    // Zero points move the codes: the weights are nearly the same.
    let zeros: Vec<i16> = (0..w_scales.len()).map(|i| if moved { i as i16 % 40 - 20 } else { 0 }).collect();
    let shift = |codes: &[i8], k: usize| -> Vec<i8> {
        codes.iter().enumerate().map(|(i, &c)| (i16::from(c) + zeros[i / k]).clamp(-128, 127) as i8).collect()
    };
    let (w, r) = (shift(&w, input), shift(&r, hidden));
    let zero_points = if moved { &zeros[..] } else { &[] };
    let rows = |values, scales| Rows::Bytes { values, scales, zero_points };
    let weights = Weights { input: rows(&w, &w_scales), state: rows(&r, &r_scales), bias: &case.bias };
    case.run_with(isa, Arithmetic::Dynamic { rows: quant }, &weights)
}

/// Each row of weights in i8, with its scale.
fn bytes(weights: &[f32], k: usize) -> (Vec<i8>, Vec<f32>) {
    let scale = |row: &[f32]| row.iter().fold(1e-9f32, |m, v| m.max(v.abs())) / 127.0;
    let scales: Vec<f32> = weights.chunks(k).map(scale).collect();
    let codes = weights.iter().enumerate().map(|(i, w)| (w / scales[i / k]).round() as i8);
    (codes.collect(), scales)
}

#[test]
fn dynamic_layers_have_the_same_bits_everywhere_and_are_near() {
    let sizes = [(1, 1, 1, 1), (5, 1, 3, 7), (4, 3, 8, 16), (3, 2, 17, 33), (2, 19, 5, 20), (20, 1, 64, 64)];
    for (i, (steps, batch, input, hidden)) in sizes.into_iter().enumerate() {
        for (j, cell) in cells().into_iter().enumerate() {
            for (quant, moved) in [
                (RowQuant::Each, false),
                (RowQuant::Shared, false),
                (RowQuant::Each, true),
                (RowQuant::Symmetric, false),
                (RowQuant::Asymmetric, false),
            ] {
                let extents = Extents { steps, batch, input, hidden, batch_first: false };
                let mut case = Case::new(cell, extents, false, (i * 10 + j) as u64);
                // Small weights: what quantization adds does not grow from step to step.
                case.r.iter_mut().for_each(|r| *r *= 0.2);
                let bits = |v: &[Vec<f32>; 3]| {
                    v.clone().map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                };
                let want = dynamic(&case, Isa::SCALAR, quant, moved);
                on_every_isa(|isa| {
                    assert_eq!(
                        bits(&dynamic(&case, isa, quant, moved)),
                        bits(&want),
                        "{isa} {cell:?} {extents:?} {quant:?}"
                    );
                });
                let exact = case.exact();
                let far =
                    want[0].iter().zip(&exact[0]).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(moved || far < 0.06, "{cell:?} {extents:?} {quant:?}: off by {far}");
            }
        }
    }
}

#[test]
fn rows_with_their_own_scale_do_not_depend_on_each_other() {
    for cell in cells() {
        let extents = Extents { steps: 4, batch: 3, input: 6, hidden: 10, batch_first: true };
        let all = Case::new(cell, extents, false, 77);
        for (n, quant) in [RowQuant::Each, RowQuant::Symmetric, RowQuant::Asymmetric].into_iter().enumerate()
        {
            let together = dynamic(&all, Isa::best(), quant, true);
            let mut alone = Case::new(cell, Extents { batch: 1, ..extents }, false, 77);
            alone.x = all.x[n * 24..][..24].to_vec();
            alone.h = all.h[n * 10..][..10].to_vec();
            alone.c = all.c[n * 10..][..10].to_vec();
            (alone.w, alone.r, alone.bias) = (all.w.clone(), all.r.clone(), all.bias.clone());
            assert_eq!(dynamic(&alone, Isa::best(), quant, true)[0], together[0][n * 40..][..40]);
        }
    }
}

#[test]
fn one_pass_gives_the_bits_of_several() {
    for hidden in [1, 15, 16, 33, 64] {
        let extents = Extents { steps: 4, batch: 2, input: 3, hidden, batch_first: false };
        let mut case = Case::new(LSTM, extents, false, hidden as u64);
        on_every_isa(|isa| {
            case.clip = f32::INFINITY;
            let fused = case.run(isa);
            // A bound that nothing reaches: the same functions, one after the other.
            case.clip = f32::MAX;
            assert_eq!(case.run(isa), fused, "{isa} {hidden}");
        });
    }
}
