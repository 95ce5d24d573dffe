//! Integers whose scale and zero point come with the data, and sums of integers.

use super::super::Stop;
use super::super::onnx::{Layout, Writer, integers};
use super::elementwise::layout;
use super::product::{reordered, window};
use super::{MAX_ROWS, NodeView};
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

pub(super) fn quantize(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let layout = layout(w, n);
    let x = w.real(n.input(0)?, layout)?;
    let place = |i: usize| if i == 0 { layout } else { Layout::Plain };
    let mut outputs: Vec<String> =
        n.node.outputs.iter().enumerate().map(|(i, &id)| w.make(id, place(i))).collect();
    while outputs.len() < 3 {
        let rest = w.fresh(&format!("{}/rest", n.node.name));
        outputs.push(rest);
    }
    w.push_many(("", "DynamicQuantizeLinear"), &[x], outputs, vec![]);
    Ok(())
}

/// True if a convolution or product reads what was quantized at run time.
pub(super) fn is_dynamic(n: &NodeView) -> bool {
    n.node.input(3).is_some()
}

/// Numbers of all channels as a constant, one if they are the same. `tail`: dimensions behind the channels.
fn channels<T: Copy + PartialEq>(values: &[T], tail: usize) -> (&[T], Vec<usize>) {
    match values.first() {
        Some(first) if values.iter().all(|v| v == first) => (&values[..1], vec![]),
        _ => (values, [vec![values.len()], vec![1; tail]].concat()),
    }
}

/// Zero points of weights as a constant of their type; empty: 0.
fn weight_zeros(w: &mut Writer, n: &NodeView, zeros: &[i32]) -> Result<String, Stop> {
    let tensor = n.tensor(1)?;
    if zeros.iter().all(|z| *z == 0) {
        return Ok(String::new());
    }
    let (zeros, dims) = channels(zeros, 0);
    let data = integers(tensor.dtype, zeros.iter().copied()).ok_or_else(no_bytes)?;
    Ok(w.initializer(&format!("{}/zero_point", tensor.name), tensor.dtype, &dims, &data))
}

/// From sums to the output: `f32(sum) * (s * s_w) + bias`, clamped. `tail`: dimensions behind the channels.
fn reals(
    w: &mut Writer,
    n: &NodeView,
    sums: &str,
    tail: usize,
    out: (TensorId, Layout),
    clamp: Clamp,
) -> Result<(), Stop> {
    let (name, (scales, _)) = (format!("{}/scale", n.tensor(1)?.name), n.rows(1)?);
    let (scales, dims) = channels(&scales, tail);
    let own = w.initializer(&name, DType::F32, &dims, &Data::from_slice(scales));
    let source = w.stored(n.input(3)?, Layout::Plain)?;
    let scale = w.calc("Mul", &[&source, &own], vec![]);
    let sums = w.cast(sums, DType::F32);
    let Some(bias) = n.node.input(2) else {
        return w.computed("Mul", &[sums, scale], vec![], out, clamp);
    };
    let mut bias = w.stored(bias, Layout::Plain)?;
    if tail > 0 {
        let shape = w.int_vector(&[vec![-1], vec![1; tail]].concat());
        bias = w.calc("Reshape", &[&bias, &shape], vec![]);
    }
    let products = w.calc("Mul", &[&sums, &scale], vec![]);
    w.computed("Add", &[products, bias], vec![], out, clamp)
}

pub(super) fn linear(w: &mut Writer, n: &NodeView, op: &Linear) -> Result<(), Stop> {
    let x = w.stored(n.input(0)?, Layout::Plain)?;
    let weights = reordered(w, n, &[1, 0], 1)?;
    let zero = w.stored(n.input(4)?, Layout::Plain)?;
    let zeros = weight_zeros(w, n, &n.rows(1)?.1)?;
    let sums = w.calc("MatMulInteger", &[&x, &weights, &zero, &zeros], vec![]);
    reals(w, n, &sums, 0, (n.out(), Layout::Plain), op.clamp)
}

pub(super) fn convolution(w: &mut Writer, n: &NodeView, op: &Conv) -> Result<(), Stop> {
    let x = w.stored(n.input(0)?, Layout::Nchw)?;
    let weights = reordered(w, n, &[0, 3, 1, 2], 1)?;
    let zero = w.stored(n.input(4)?, Layout::Plain)?;
    let zeros = Zeros::known(w, n, &n.rows(1)?.1)?;
    let attributes = window(n, [op.strides, op.dilations], op.pads, op.groups)?;
    let sums = integer_conv(w, n, [&x, &weights, &zero], zeros, attributes)?;
    reals(w, n, &sums, 2, (n.out(), Layout::Nchw), op.clamp)
}

/// Zero points of weights.
enum Zeros {
    /// One for all, by its name; empty: 0.
    One(String),
    /// One for each channel: the name of an i32 tensor `[O, 1, 1]`.
    Each(String),
}

impl Zeros {
    /// As constants.
    fn known(w: &mut Writer, n: &NodeView, zeros: &[i32]) -> Result<Zeros, Stop> {
        if zeros.iter().all(|z| *z == zeros[0]) {
            return weight_zeros(w, n, zeros).map(Zeros::One);
        }
        let (name, dims) = (format!("{}/zero_points", n.tensor(1)?.name), [zeros.len(), 1, 1]);
        Ok(Zeros::Each(w.initializer(&name, DType::I32, &dims, &Data::from_slice(zeros))))
    }
}

fn no_bytes() -> Stop {
    Stop::because("its weights are no integers of 8 bits")
}

/// Sums of a convolution, channels first. ONNX Runtime takes one zero point for all weights: where they differ, their
/// share is a convolution with ones.
fn integer_conv(
    w: &mut Writer,
    n: &NodeView,
    [x, weights, zero]: [&str; 3],
    zeros: Zeros,
    attributes: Vec<AttributeProto>,
) -> Result<String, Stop> {
    let zeros = match zeros {
        Zeros::One(own) => return Ok(w.calc("ConvInteger", &[x, weights, zero, &own], attributes)),
        Zeros::Each(zeros) => zeros,
    };
    let sums = w.calc("ConvInteger", &[x, weights, zero], attributes.clone());
    let (dtype, name) = (n.tensor(1)?.dtype, n.tensor(1)?.name.clone());
    let [o, kh, kw, c] = n.dims(1)?[..] else {
        return Err(Stop::because("its weights have no four dimensions"));
    };
    let count = [kh, kw, c].iter().try_fold(o, |n, d| n.checked_mul(*d)).filter(|n| *n <= MAX_ROWS);
    let count = count.ok_or_else(|| Stop::because("it has too many weights"))?;
    let ones = integers(dtype, vec![1; count]).ok_or_else(no_bytes)?;
    let ones = w.initializer(&format!("{name}/ones"), dtype, &[o, c, kh, kw], &ones);
    let inputs = w.calc("ConvInteger", &[x, &ones, zero], attributes);
    let share = w.calc("Mul", &[&inputs, &zeros], vec![]);
    Ok(w.calc("Sub", &[&sums, &share], vec![]))
}

pub(super) fn matmul(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let mut inputs = n.inputs(w)?;
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    let to = w.make(n.out(), Layout::Plain);
    w.push("MatMulInteger", &inputs, to, vec![]);
    Ok(())
}

pub(super) fn conv(w: &mut Writer, n: &NodeView, op: &IntegerConv) -> Result<(), Stop> {
    let mut x = w.stored(n.input(0)?, Layout::Nchw)?;
    let mut zero = w.optional(n.node.input(2))?;
    // ONNX Runtime's are unsigned.
    if n.tensor(0)?.dtype == DType::I8 {
        let off = w.initializer(&format!("{x}/off"), DType::I32, &[], &Data::from_slice(&[128i32]));
        let mut raised = |v: &str| {
            let wide = w.cast(v, DType::I32);
            let wide = w.calc("Add", &[&wide, &off], vec![]);
            w.cast(&wide, DType::U8)
        };
        x = raised(&x);
        zero = match zero.is_empty() {
            false => raised(&zero),
            true => w.initializer("zero_point", DType::U8, &[], &Data::from_bytes(&[128])),
        };
    }
    let weights = match n.constant(1) {
        Ok(_) => reordered(w, n, &[0, 3, 1, 2], 1)?,
        Err(_) => w.stored(n.input(1)?, Layout::Nchw)?,
    };
    let zeros = match n.node.input(3) {
        None => Zeros::One(String::new()),
        Some(id) => match w.graph.tensor(id).codes() {
            Some(zeros) => Zeros::known(w, n, &zeros)?,
            None if w.graph.tensor(id).shape.elements() == Some(1) => {
                Zeros::One(w.stored(id, Layout::Plain)?)
            }
            None => {
                let zeros = w.stored(id, Layout::Plain)?;
                let zeros = w.cast(&zeros, DType::I32);
                let shape = w.int_vector(&[-1, 1, 1]);
                Zeros::Each(w.calc("Reshape", &[&zeros, &shape], vec![]))
            }
        },
    };
    let attributes = window(n, [op.strides, op.dilations], op.pads, op.groups)?;
    let sums = integer_conv(w, n, [&x, &weights, &zero], zeros, attributes)?;
    w.is(n.out(), Layout::Nchw, sums);
    Ok(())
}
