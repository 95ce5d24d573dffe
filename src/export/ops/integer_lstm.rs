//! LSTM layers in integers, step by step with the integers of `docs/arithmetic.md`, section 14: the same bits.

use super::super::Stop;
use super::super::messages::{int, ints};
use super::super::onnx::{Layout, Writer};
use super::NodeView;
use super::elementwise::floor_div;
use super::normalize::transposed;
use super::product::permuted;
use super::scan::{Steps, parts};
use crate::graph::*;
use ottava_kernels::fixed::{self, Multiplier};
use ottava_kernels::integer_lstm::GATES;

/// Steps of what goes into the functions of gates, and of what comes out of them, in one.
const GATE_STEPS: f32 = 4096.0;
const FRACTION_STEPS: f64 = 32768.0;

pub(super) fn integer_lstm(w: &mut Writer, n: &NodeView, op: &IntegerLstm) -> Result<(), Stop> {
    let layer = Layer::of(n, op)?;
    let x = w.stored(n.input(0)?, Layout::Plain)?;
    let x = if op.batch_first { transposed(w, &x, &[1, 0, 2]) } else { x };
    let input = layer.product(w, n, 1, &x, layer.zeros[0])?;
    let bias = w.stored(n.input(3)?, Layout::Plain)?;
    let input = w.calc("Add", &[&input, &bias], vec![]);
    let input = multiplied(w, &input, &layer.input);
    let input = saturated(w, &input);
    let mut states = Vec::new();
    for i in [4, 5] {
        states.push(w.stored(n.input(i)?, Layout::Plain)?);
    }
    let tables = [
        w.table("logistic", || all_values(fixed::logistic)),
        w.table("tanh/3", || all_values(|x| fixed::tanh(x, 3))),
        w.table(&format!("tanh/{}", layer.cell_bits), || all_values(|x| fixed::tanh(x, layer.cell_bits))),
    ];
    let all = Steps { states, inputs: vec![input], reverse: false }.write(w, |w, states, inputs| {
        let next = layer.step(w, n, &tables, states, &inputs[0])?;
        let output = next[0].clone();
        Ok((next, vec![output]))
    })?;
    let names: Vec<String> = n.node.outputs.iter().map(|&id| w.make(id, Layout::Plain)).collect();
    for (i, (made, to)) in [all.outputs, all.states].concat().into_iter().zip(names).enumerate() {
        match i == 0 && op.batch_first {
            true => w.push("Transpose", &[made], to, vec![ints("perm", [1, 0, 2])]),
            false => w.push("Identity", &[made], to, vec![]),
        }
    }
    Ok(())
}

/// What the quantization of the layer's tensors makes of it.
struct Layer {
    hidden: usize,
    /// Zero points of input and states.
    zeros: [i32; 2],
    /// Of each row of weights.
    input: Vec<Multiplier>,
    state: Vec<Multiplier>,
    output: Multiplier,
    /// Bits in front of the cell state's point.
    cell_bits: u32,
    /// How far the cell state goes from 0.
    cell_clip: Option<i32>,
}

impl Layer {
    fn of(n: &NodeView, op: &IntegerLstm) -> Result<Layer, Stop> {
        let single = |i: usize| -> Result<(f32, i32), Stop> {
            let t = n.tensor(i)?;
            let one = t.quant.as_ref().and_then(|q| q.single());
            one.ok_or_else(|| Stop::because(format!("'{}' needs one scale and zero point", t.name)))
        };
        let ((x, x_zero), (h, h_zero), (c, _)) = (single(0)?, single(4)?, single(5)?);
        let hidden = n.dims(2)?.get(1).copied().unwrap_or(0);
        let rows = |i: usize, scale: f32| -> Result<Vec<Multiplier>, Stop> {
            n.rows(i)?.0.into_iter().map(|own| multiplier(f64::from(own * scale * GATE_STEPS))).collect()
        };
        let cell_bits = (0..=6).find(|&bits| 2f32.powi(bits as i32 - 15) == c);
        let clip = (op.cell_clip / c).min(32767.0) as i32;
        Ok(Layer {
            hidden,
            zeros: [x_zero, h_zero],
            input: rows(1, x)?,
            state: rows(2, h)?,
            output: multiplier(f64::from((1.0 / FRACTION_STEPS / f64::from(h) / FRACTION_STEPS) as f32))?,
            cell_bits: cell_bits
                .ok_or_else(|| Stop::because("the scale of its cell state must be 2^-15 to 2^-9"))?,
            cell_clip: Some(clip).filter(|clip| op.cell_clip.is_finite() && *clip > 0),
        })
    }

    /// Sums of products with weights `i`, as i32.
    fn product(&self, w: &mut Writer, n: &NodeView, i: usize, x: &str, zero: i32) -> Result<String, Stop> {
        let (tensor, data, dims) = (n.tensor(i)?, n.constant(i)?, n.dims(i)?);
        let (dims, turned) = permuted(data, 1, &dims, &[1, 0]);
        let weights = w.initializer(&tensor.name, DType::I8, &dims, &turned);
        let zero = Data::from_bytes(&[zero as u8]);
        let zero = w.initializer(&format!("{}/zero_point", tensor.name), DType::U8, &[], &zero);
        Ok(w.calc("MatMulInteger", &[x, &weights, &zero], vec![]))
    }

    /// The next state and cell state. `input`: what the input gives to the gates.
    fn step(
        &self,
        w: &mut Writer,
        n: &NodeView,
        [logistic, tanh, cell_tanh]: &[String; 3],
        states: &[String],
        input: &str,
    ) -> Result<Vec<String>, Stop> {
        let sums = self.product(w, n, 2, &states[0], self.zeros[1])?;
        let state = multiplied(w, &sums, &self.state);
        let gates = w.calc("Add", &[input, &state], vec![]);
        let gates = saturated(w, &gates);
        let gates = parts(w, &gates, &[self.hidden; GATES]);
        let [i, o, f] = [0, 1, 2].map(|gate| looked_up(w, logistic, &gates[gate]));
        let g = looked_up(w, tanh, &gates[3]);
        let c = w.cast(&states[1], DType::I64);
        let kept = w.calc("Mul", &[&f, &c], vec![]);
        let kept = rounded_shift(w, &kept, 15);
        let added = w.calc("Mul", &[&i, &g], vec![]);
        let added = rounded_shift(w, &added, 15 + self.cell_bits);
        // What 16 bits keep of it.
        let added = w.cast(&added, DType::I16);
        let added = w.cast(&added, DType::I64);
        let sum = w.calc("Add", &[&kept, &added], vec![]);
        let mut cell = saturated(w, &sum);
        if let Some(clip) = self.cell_clip {
            cell = between(w, &cell, -i64::from(clip), clip.into());
        }
        let shown = looked_up(w, cell_tanh, &cell);
        let product = w.calc("Mul", &[&o, &shown], vec![]);
        let code = multiplied(w, &product, &[self.output]);
        let zero = w.int_value(self.zeros[1].into());
        let code = w.calc("Add", &[&code, &zero], vec![]);
        let code = between(w, &code, 0, 255);
        Ok(vec![w.cast(&code, DType::U8), w.cast(&cell, DType::I16)])
    }
}

fn multiplier(factor: f64) -> Result<Multiplier, Stop> {
    Multiplier::new(factor).ok_or_else(|| Stop::because(format!("its scales make the factor {factor}")))
}

/// All values of a function of 16 bits, from that of the least integer on.
fn all_values(f: impl Fn(i32) -> i32) -> Vec<i16> {
    (-32768..=32767).map(|x| f(x) as i16).collect()
}

/// The entry of a 16-bit integer, as i64.
fn looked_up(w: &mut Writer, table: &str, x: &str) -> String {
    let half = w.int_value(32768);
    let place = w.calc("Add", &[x, &half], vec![]);
    let value = w.calc("Gather", &[table, &place], vec![int("axis", 0)]);
    w.cast(&value, DType::I64)
}

fn between(w: &mut Writer, x: &str, least: i64, most: i64) -> String {
    let (least, most) = (w.int_value(least), w.int_value(most));
    w.calc("Clip", &[x, &least, &most], vec![])
}

/// Into the range of i16.
fn saturated(w: &mut Writer, x: &str) -> String {
    between(w, x, -32768, 32767)
}

/// i32 times a multiplier per column, as i64: `Multiplier::apply`.
fn multiplied(w: &mut Writer, x: &str, by: &[Multiplier]) -> String {
    let shift = |m: &Multiplier| m.parts().1;
    let mut column = |tag: &str, f: &dyn Fn(&Multiplier) -> i64| {
        let values: Vec<i64> = by.iter().map(f).collect();
        let base = format!("{}/{tag}", w.scope);
        w.initializer(&base, DType::I64, &[values.len()], &Data::from_slice(&values))
    };
    let left = column("left", &|m| 1 << shift(m).max(0));
    let value = column("value", &|m| m.parts().0.into());
    let right = |m: &Multiplier| (-shift(m)).max(0) as u32;
    let divisor = column("divisor", &|m| 1 << right(m));
    let half = column("half", &|m| (1 << right(m)) >> 1);
    let odd = column("odd", &|m| i64::from(right(m) > 0));
    // What leaves 32 bits is cut off there.
    let wide = w.cast(x, DType::I64);
    let wide = w.calc("Mul", &[&wide, &left], vec![]);
    let wide = w.cast(&wide, DType::I32);
    let wide = w.cast(&wide, DType::I64);
    let product = w.calc("Mul", &[&wide, &value], vec![]);
    let up = w.int_value(1 << 30);
    let product = w.calc("Add", &[&product, &up], vec![]);
    let high = w.int_value(1 << 31);
    let high = floor_div(w, &product, &high);
    rounded(w, &high, &divisor, &half, &odd)
}

/// `x / 2^shift` rounded to nearest, halves away from zero.
fn rounded_shift(w: &mut Writer, x: &str, shift: u32) -> String {
    let [divisor, half, odd] = [1 << shift, (1 << shift) >> 1, 1].map(|v| w.int_value(v));
    rounded(w, x, &divisor, &half, &odd)
}

/// The same where half of the divisor is given, and 1 where it is not 0.
fn rounded(w: &mut Writer, x: &str, divisor: &str, half: &str, odd: &str) -> String {
    let zero = w.int_value(0);
    let below = w.calc("Less", &[x, &zero], vec![]);
    let below = w.cast(&below, DType::I64);
    let below = w.calc("Mul", &[&below, odd], vec![]);
    let raised = w.calc("Add", &[x, half], vec![]);
    let raised = w.calc("Sub", &[&raised, &below], vec![]);
    floor_div(w, &raised, divisor)
}
