//! Values from nowhere, and values that stay as they are.

use super::super::context::{Context, Stop};
use super::super::narrow::Narrow;
use super::super::tensor::{computed_dtype, constant as read_constant, type_name};
use super::elementwise::to_dtype;
use crate::graph::{DType, Data, Fill, ShapeOf, TensorId};

/// All forms of a constant; exactly one of the attributes must be there.
pub(super) fn constant(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let [attribute] = &cx.node.attribute[..] else {
        let count = cx.node.attribute.len();
        return Err(Stop::because(format!("it has {count} attributes, it must have one: its value")));
    };
    let output = cx.node.output.first().cloned().unwrap_or_default();
    if attribute.name == "value" {
        let Some(proto) = attrs.tensor("value")? else {
            return Err(Stop::because("attribute 'value' holds no tensor"));
        };
        let t =
            read_constant(&output, proto, &cx.state.external).map_err(|e| Stop::because(e.to_string()))?;
        let dims = t.shape.dims().unwrap_or_default();
        let data = t.data.unwrap_or_else(|| Data::from_bytes(&[]));
        let id = cx.constant_named(&output, t.dtype, &dims, data)?;
        cx.state.narrow.extend(Narrow::of(proto.data_type).map(|narrow| (id, narrow)));
        return Ok(vec![id]);
    }
    let (dtype, dims, data) = match cx.opset() {
        ..12 => (DType::F32, None, None),
        _ => match attribute.name.as_str() {
            "value_float" => {
                (DType::F32, Some(vec![]), attrs.float("value_float")?.map(|v| Data::from_slice(&[v])))
            }
            "value_int" => {
                (DType::I64, Some(vec![]), attrs.int("value_int")?.map(|v| Data::from_slice(&[v])))
            }
            "value_floats" => {
                let values = attrs.floats("value_floats")?;
                (DType::F32, values.map(|v| vec![v.len()]), values.map(Data::from_slice))
            }
            "value_ints" => {
                let values = attrs.ints("value_ints")?;
                (DType::I64, values.map(|v| vec![v.len()]), values.map(Data::from_slice))
            }
            _ => (DType::F32, None, None),
        },
    };
    match (dims, data) {
        (Some(dims), Some(data)) => Ok(vec![cx.constant_named(&output, dtype, &dims, data)?]),
        _ => Err(Stop::because(format!("a constant given by '{}' is not supported", attribute.name))),
    }
}

pub(super) fn constant_of_shape(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.tensor("value")?;
    attrs.finish()?;
    let value = match given {
        None => cx.scalar("value", 0.0)?,
        Some(proto) if Narrow::of(proto.data_type).is_some() => {
            let name = type_name(proto.data_type);
            return Err(Stop::because(format!("attribute 'value' is {name}, which can't be computed with")));
        }
        Some(proto) => {
            let t = read_constant("value", proto, &cx.state.external);
            let t = t.map_err(|e| Stop::because(e.to_string()))?;
            match (t.shape.elements(), t.data) {
                (Some(1), Some(data)) => cx.constant("value", t.dtype, &[], data)?,
                _ => return Err(Stop::because("attribute 'value' must hold one element")),
            }
        }
    };
    let shape = cx.input(0)?;
    let shape = cx.as_i64(shape)?;
    cx.emit(Fill {}, &[Some(shape), Some(value)])
}

pub(super) fn identity(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    Ok(vec![cx.input(0)?])
}

/// Does nothing in inference.
pub(super) fn dropout(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    attrs.ignore(match cx.opset() {
        ..12 => &["ratio"],
        _ => &["seed"],
    });
    attrs.finish()?;
    let x = cx.input(0)?;
    if let Some(training) = cx.optional(2)? {
        let off = cx.dtype(training) == DType::Bool && cx.data(training).is_some_and(|d| d.bytes() == [0]);
        if !off {
            return Err(Stop::because("'training_mode' must be false: export the model for inference"));
        }
    }
    if !cx.is_read(1) {
        return Ok(vec![x]);
    }
    // The mask keeps everything.
    let kept = cx.constant("kept", DType::Bool, &[], Data::from_bytes(&[1]))?;
    let shape = cx.inner("shape", ShapeOf { start: 0, end: i64::MAX }, &[Some(x)])?;
    let mask = cx.inner("mask", Fill {}, &[Some(shape), Some(kept)])?;
    Ok(vec![x, mask])
}

/// To the element type of the second input.
pub(super) fn cast_like(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    attrs.ignore(&["saturate", "round_mode"]);
    attrs.finish()?;
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(like);
    to_dtype(cx, x, dtype)
}

pub(super) fn cast(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let to = attrs.int("to")?.ok_or_else(|| Stop::because("attribute 'to' is missing"))?;
    // How values that don't fit 8-bit floats are treated; there are none here.
    attrs.ignore(&["saturate", "round_mode"]);
    attrs.finish()?;
    let dtype = i32::try_from(to).ok().and_then(computed_dtype);
    let dtype = dtype.ok_or_else(|| {
        let name = i32::try_from(to).map_or_else(|_| to.to_string(), type_name);
        Stop::because(format!("attribute 'to' is {name}, which can't be computed with"))
    })?;
    let x = cx.input(0)?;
    to_dtype(cx, x, dtype)
}
