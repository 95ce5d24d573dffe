//! What stands between reals and integers.

use super::super::Stop;
use super::super::onnx::{Layout, Writer, codes, integers};
use super::NodeView;
use super::elementwise::layout;
use crate::graph::*;
use crate::import::onnx::proto::data_type;

/// What a tensor's type and quantization say: reals are made of the input, and the output of reals.
pub(super) fn convert(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let (layout, x, y) = (layout(w, n), n.input(0)?, n.out());
    let (from, out) = (w.graph.tensor(x), w.graph.tensor(y));
    let real = match &from.quant {
        Some(quant) if is_constant(w, x) => constant_real(w, x, quant)?,
        // Integers of 32 bits.
        Some(quant) if codes(from).is_none() => {
            let codes = w.stored(x, layout)?;
            let real = w.fresh(&format!("{codes}/real"));
            w.convert("DequantizeLinear", codes, real.clone(), &from.name, from.dtype, &layout.quant(quant))?;
            real
        }
        _ => w.real(x, layout)?,
    };
    let to = w.make(y, layout);
    let Some(quant) = &out.quant else {
        match out.dtype {
            DType::F16 => w.push_cast(real, to, DType::F16),
            _ => w.push("Identity", &[real], to, vec![]),
        }
        return Ok(());
    };
    if out.dtype == DType::I32 {
        return steps(w, &real, to, quant);
    }
    w.convert("QuantizeLinear", real, to, &out.name, out.dtype, &layout.quant(quant))
}

/// True for a constant, and for what is unpacked from one.
fn is_constant(w: &Writer, id: TensorId) -> bool {
    let unpacks = |i: usize| matches!(w.graph.nodes[i].op, Op::Unpack(_));
    w.graph.tensor(id).data.is_some() || w.producer(id).is_some_and(unpacks)
}

/// The reals of constant integers. `DequantizeLinear` would say the same, but ONNX Runtime computes that one in every
/// run, and these once, when the model is loaded.
fn constant_real(w: &mut Writer, x: TensorId, quant: &Quant) -> Result<String, Stop> {
    let tensor = w.graph.tensor(x);
    let codes = w.stored(x, Layout::Plain)?;
    let along = |len: usize| match quant.axis {
        // [n] becomes [n, 1, ..], which lies along the axis.
        Some(axis) => [vec![len], vec![1; tensor.shape.rank() - 1 - axis]].concat(),
        None => vec![],
    };
    let mut real = w.cast(&codes, DType::F32);
    if quant.zero_point.iter().any(|z| *z != 0) {
        let zeros: Vec<f32> = quant.zero_point.iter().map(|&z| z as f32).collect();
        let name = format!("{}/zero_point", tensor.name);
        let zeros = w.initializer(&name, DType::F32, &along(zeros.len()), &Data::from_slice(&zeros));
        real = w.calc("Sub", &[&real, &zeros], vec![]);
    }
    let name = format!("{}/scale", tensor.name);
    let scale = w.initializer(&name, DType::F32, &along(quant.scale.len()), &Data::from_slice(&quant.scale));
    Ok(w.calc("Mul", &[&real, &scale], vec![]))
}

/// Integers of 32 bits, which `QuantizeLinear` does not make.
fn steps(w: &mut Writer, real: &str, to: String, quant: &Quant) -> Result<(), Stop> {
    let Some((scale, zero)) = quant.single() else {
        return Err(Stop::because("ONNX makes 32-bit integers with one scale only"));
    };
    let (scale, zero) = (w.float_value(scale), w.float_value(zero as f32));
    let quotient = w.calc("Div", &[real, &scale], vec![]);
    let whole = w.calc("Round", &[&quotient], vec![]);
    let sum = w.calc("Add", &[&whole, &zero], vec![]);
    // The greatest float that is an i32.
    let (least, most) = (w.float_value(-2147483648.0), w.float_value(2147483520.0));
    let bounded = w.calc("Clip", &[&sum, &least, &most], vec![]);
    w.push_cast(bounded, to, DType::I32);
    Ok(())
}

/// Integers of up to 4 bits stay two to a byte, others get a byte each.
pub(super) fn unpack(w: &mut Writer, n: &NodeView, op: &Unpack) -> Result<(), Stop> {
    let bytes = n.constant(0)?.bytes();
    let count = op.dims.iter().product::<usize>();
    let base = format!("{}/codes", n.node.name);
    let codes = if op.bits <= 4 {
        let nibble = |i: usize| if i < count { op.code(bytes, i) as u8 & 15 } else { 0 };
        let packed: Vec<u8> = (0..count).step_by(2).map(|i| nibble(i) | nibble(i + 1) << 4).collect();
        w.raw(&base, data_type::INT4, &op.dims, &Data::from_bytes(&packed))
    } else {
        let codes = integers(DType::I8, (0..count).map(|i| op.code(bytes, i).into()));
        let codes = codes.ok_or_else(|| Stop::because("its integers have no type"))?;
        w.initializer(&base, DType::I8, &op.dims, &codes)
    };
    let to = w.make(n.out(), Layout::Plain);
    w.push_cast(codes, to, DType::I8);
    Ok(())
}
