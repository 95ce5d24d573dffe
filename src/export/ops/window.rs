//! Operators over height and width: pooling and resizing.

use super::super::Stop;
use super::super::messages::{float, int, ints, text};
use super::super::onnx::{Layout, TO_NCHW, Writer};
use super::NodeView;
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

pub(super) fn pool(w: &mut Writer, n: &NodeView, op: &Pool) -> Result<(), Stop> {
    let pair = |name, v: [usize; 2]| ints(name, v.map(|v| v as i64));
    let mut attributes = vec![
        pair("kernel_shape", op.kernel),
        pair("strides", op.strides),
        ints("pads", op.pads.map(|p| p as i64)),
        int("ceil_mode", op.ceil.into()),
    ];
    if op.dilations != [1, 1] {
        attributes.push(pair("dilations", op.dilations));
    }
    let (x, y) = (n.input(0)?, n.out());
    // ONNX Runtime finds the greatest of floats, and of bytes.
    if op.kind == PoolKind::Max && n.tensor(0)?.dtype == DType::I16 {
        let x = w.real(x, Layout::Nchw)?;
        return w.computed("MaxPool", &[x], attributes, (y, Layout::Nchw), Clamp::NONE);
    }
    if op.kind == PoolKind::Max {
        let x = w.stored(x, Layout::Nchw)?;
        let to = w.make(y, Layout::Nchw);
        w.push("MaxPool", &[x], to, attributes);
        return Ok(());
    }
    attributes.push(int("count_include_pad", op.count_include_pad.into()));
    if let Some(half) = halves(n, op)? {
        return average_codes(w, n, op, half, attributes);
    }
    let x = w.real(x, Layout::Nchw)?;
    w.computed("AveragePool", &[x], attributes, (y, Layout::Nchw), Clamp::NONE)
}

/// The greatest window whose averages floats tell apart from the halves between integers.
const MAX_WINDOW: usize = 2048;

/// Where halves of integers go away from, if the averages can be halves and do not go to even ones.
fn halves(n: &NodeView, op: &Pool) -> Result<Option<f32>, Stop> {
    let (x, y) = (n.tensor(0)?, n.graph.tensor(n.out()));
    let area = op.kernel[0].saturating_mul(op.kernel[1]);
    let whole = op.count_include_pad || (op.pads == [0; 4] && !op.ceil);
    let apart = area % 2 == 1 && whole;
    let same = x.quant.is_some() && x.quant == y.quant && x.dtype == DType::U8;
    Ok(match op.kind {
        _ if apart || !same || area > MAX_WINDOW => None,
        PoolKind::AverageUnsigned => Some(0.0),
        PoolKind::AverageSigned => Some(128.0),
        PoolKind::Average | PoolKind::Max => None,
    })
}

/// Averages of integers as TensorFlow Lite rounds them, `QuantizeLinear` would send halves to even integers.
fn average_codes(
    w: &mut Writer,
    n: &NodeView,
    op: &Pool,
    half: f32,
    attributes: Vec<AttributeProto>,
) -> Result<(), Stop> {
    let single = n.tensor(0)?.quant.as_ref().and_then(|q| q.single());
    let (_, zero) = single.ok_or_else(|| Stop::because("it has no single scale"))?;
    let x = w.stored(n.input(0)?, Layout::Nchw)?;
    let x = w.cast(&x, DType::F32);
    let zero = zero as f32;
    let [padding, apart, center] = [zero, zero - half, half].map(|v| w.float_value(v));
    let x = w.calc("Sub", &[&x, &padding], vec![]);
    let mean = w.calc("AveragePool", &[&x], attributes);
    let mean = w.calc("Add", &[&mean, &apart], vec![]);
    // More than a half by less than any other average is: what floats make of a half goes up with it.
    let up = w.float_value(0.5 + 0.25 / (op.kernel[0] * op.kernel[1]) as f32);
    let (sign, size) = (w.calc("Sign", &[&mean], vec![]), w.calc("Abs", &[&mean], vec![]));
    let size = w.calc("Add", &[&size, &up], vec![]);
    let size = w.calc("Floor", &[&size], vec![]);
    let mean = w.calc("Mul", &[&sign, &size], vec![]);
    let code = w.calc("Add", &[&mean, &center], vec![]);
    let to = w.make(n.out(), Layout::Nchw);
    w.push_cast(code, to, DType::U8);
    Ok(())
}

pub(super) fn resize(w: &mut Writer, n: &NodeView, op: &Resize) -> Result<(), Stop> {
    let attributes = vec![
        text("mode", op.mode.name()),
        text("coordinate_transformation_mode", op.coord.name()),
        text("nearest_mode", op.nearest.name()),
    ];
    resized(w, n, attributes, op.mode == ResizeMode::Nearest && n.tensor(0)?.dtype != DType::I16)
}

pub(super) fn resample(w: &mut Writer, n: &NodeView, op: &Resample) -> Result<(), Stop> {
    let attributes = vec![
        text("mode", op.filter.name()),
        text("coordinate_transformation_mode", op.coord.name()),
        float("cubic_coeff_a", op.coefficient),
        int("antialias", op.antialias.into()),
        int("exclude_outside", op.exclude_outside.into()),
    ];
    resized(w, n, attributes, false)
}

/// `moves`: values are moved, and may be integers.
fn resized(w: &mut Writer, n: &NodeView, attributes: Vec<AttributeProto>, moves: bool) -> Result<(), Stop> {
    let (x, y) = (n.input(0)?, n.out());
    let spatial = n.tensor(0)?.shape.rank() == 4;
    let layout = if spatial { Layout::Nchw } else { Layout::Plain };
    let x = if moves { w.stored(x, layout)? } else { w.real(x, layout)? };
    let mut inputs = vec![x, String::new(), String::new()];
    // Sizes and scales are those of the axes in their new order.
    for (from, to) in [(2, 2), (1, 3)] {
        let Some(id) = n.node.input(from) else { continue };
        let mut each = w.stored(id, Layout::Plain)?;
        if spatial {
            let order = w.int_vector(&TO_NCHW.map(|p| p as i64));
            each = w.calc("Gather", &[&each, &order], vec![]);
        }
        inputs.truncate(to);
        inputs.push(each);
    }
    if moves {
        let to = w.make(y, layout);
        w.push("Resize", &inputs, to, attributes);
        return Ok(());
    }
    w.computed("Resize", &inputs, attributes, (y, layout), Clamp::NONE)
}
