//! Operators over height and width: pooling and resizing.

use super::super::Stop;
use super::super::onnx::{Layout, TO_NCHW, Writer, float, int, ints, text};
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
    if op.kind == PoolKind::Max {
        let x = w.stored(x, Layout::Nchw)?;
        let to = w.make(y, Layout::Nchw);
        w.push("MaxPool", &[x], to, attributes);
        return Ok(());
    }
    attributes.push(int("count_include_pad", op.count_include_pad.into()));
    let x = w.real(x, Layout::Nchw)?;
    w.computed("AveragePool", &[x], attributes, (y, Layout::Nchw), Clamp::NONE)
}

pub(super) fn resize(w: &mut Writer, n: &NodeView, op: &Resize) -> Result<(), Stop> {
    let attributes = vec![
        text("mode", op.mode.name()),
        text("coordinate_transformation_mode", op.coord.name()),
        text("nearest_mode", op.nearest.name()),
    ];
    resized(w, n, attributes, op.mode == ResizeMode::Nearest)
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
        if n.node.input(from).is_none() {
            continue;
        }
        let (tensor, data) = (n.tensor(from)?, n.constant(from)?);
        let each = tensor.dtype.size();
        let ordered: Vec<u8> = match spatial {
            true => TO_NCHW
                .iter()
                .filter_map(|&p| data.bytes().get(p * each..(p + 1) * each))
                .flatten()
                .copied()
                .collect(),
            false => data.bytes().to_vec(),
        };
        let name = w.initializer(
            &format!("{}/order", tensor.name),
            tensor.dtype,
            &[ordered.len() / each],
            &Data::from_bytes(&ordered),
        )?;
        inputs.truncate(to);
        inputs.push(name);
    }
    if moves {
        let to = w.make(y, layout);
        w.push("Resize", &inputs, to, attributes);
        return Ok(());
    }
    w.computed("Resize", &inputs, attributes, (y, layout), Clamp::NONE)
}
