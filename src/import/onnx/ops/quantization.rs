//! Between reals and 8-bit integers. What a tensor's integers stand for is written at the tensor.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use crate::graph::{Cast, DType, Data, Dequantize, Node, Quant, Quantize, Shape, Tensor, TensorId};

/// The attributes that both operators have: the axis, and the element type of the output.
fn attributes(mut attrs: Attrs) -> Result<(i64, i64), Stop> {
    let axis = attrs.int_or("axis", 1)?;
    let output = attrs.int_or("output_dtype", 0)?;
    let block = attrs.int_or("block_size", 0)?;
    // `saturate` is about 8-bit floats, `precision` about the type of the division.
    attrs.ignore(&["saturate", "precision"]);
    attrs.finish()?;
    match block {
        0 => Ok((axis, output)),
        _ => Err(Stop::because("scales of blocks are not supported: use one per tensor or per channel")),
    }
}

pub(super) fn quantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (axis, output) = attributes(cx.attrs())?;
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    cx.need_float(x)?;
    let dtype = match (zero, output) {
        (Some(zero), _) => cx.dtype(zero),
        (None, 0) => DType::U8,
        (None, output) => i32::try_from(output)
            .ok()
            .and_then(super::super::tensor::computed_dtype)
            .ok_or_else(|| Stop::because(format!("its output's element type {output} is not supported")))?,
    };
    if !dtype.is_8bit() {
        return Err(Stop::because(format!("it quantizes to {dtype}: only u8 and i8 are supported")));
    }
    let quant = parameters(cx, x, scale, zero, axis)?;
    let name = cx.output(0);
    if let Some(codes) = cx.tensor(x).quantized(dtype, &quant) {
        let dims = cx.shape(x).dims().unwrap_or_default();
        let id = cx.constant_named(&name, dtype, &dims, codes)?;
        cx.state.build.describe(id, quant);
        return Ok(vec![id]);
    }
    if quant.axis.is_some() {
        return Err(Stop::because(
            "scales per channel are supported for constants only: quantize activations per tensor",
        ));
    }
    let node =
        Node { name: cx.name.to_string(), op: Quantize {}.into(), inputs: vec![Some(x)], outputs: vec![] };
    Ok(cx.state.build.push_as(node, vec![Tensor::value(name, dtype, Shape::default()).with_quant(quant)])?)
}

pub(super) fn dequantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (axis, output) = attributes(cx.attrs())?;
    if !matches!(output, 0 | 1) {
        return Err(Stop::because("it dequantizes to another type than FLOAT"));
    }
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    if let Some(zero) = zero.filter(|&zero| cx.dtype(zero) != cx.dtype(x)) {
        let (zero, x) = (cx.dtype(zero), cx.dtype(x));
        return Err(Stop::because(format!("its zero point is {zero}, its input {x}")));
    }
    let quant = parameters(cx, x, scale, zero, axis)?;
    dequantized(cx, x, quant)
}

/// A bias of a quantized product: 32-bit integers whose scale is the product of two others.
pub(super) fn dequantize_bias(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, a, w) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (a, w) = (need_scales(cx, a)?, need_scales(cx, w)?);
    let [a] = a[..] else {
        return Err(Stop::because("its input has more than one scale"));
    };
    let scale: Vec<f32> = w.iter().map(|w| a * w).collect();
    let zero_point = vec![0; scale.len()];
    let quant = Quant { axis: (scale.len() > 1).then_some(0), scale, zero_point };
    check(cx, x, &quant)?;
    dequantized(cx, x, quant)
}

fn dequantized(cx: &mut Context, x: TensorId, quant: Quant) -> Result<Vec<TensorId>, Stop> {
    let tensor = cx.tensor(x).clone();
    if !matches!(tensor.dtype, DType::U8 | DType::I8 | DType::I32) {
        return Err(Stop::because(format!(
            "'{}' is {}: only u8, i8 and constants of i32 stand for reals",
            tensor.name, tensor.dtype
        )));
    }
    if let Some(data) = &tensor.data {
        // Scales that the graph can't hold, as those of channels that are always 0.
        if quant.scale.iter().any(|s| !s.is_normal()) {
            let reals = tensor.with_quant(quant).dequantized().unwrap_or_default();
            let (name, dims) = (cx.output(0), cx.shape(x).dims().unwrap_or_default());
            return Ok(vec![cx.constant_named(&name, DType::F32, &dims, Data::from_slice(&reals))?]);
        }
        // Shared constants may have another meaning for each reader; the bytes are not copied.
        let codes = match &tensor.quant {
            Some(known) if *known == quant => x,
            None => x,
            Some(_) => {
                cx.constant("codes", tensor.dtype, &cx.shape(x).dims().unwrap_or_default(), data.clone())?
            }
        };
        return Ok(vec![cx.dequantize_constant(codes, quant)?]);
    }
    if quant.axis.is_some() || tensor.dtype == DType::I32 {
        return Err(Stop::because(format!(
            "'{}' is computed: only constants may be i32 or have scales per channel",
            tensor.name
        )));
    }
    let given = cx.state.build.graph().inputs.contains(&x);
    let x = match &tensor.quant {
        Some(known) if *known == quant => x,
        None if given => {
            cx.state.build.describe(x, quant);
            x
        }
        // The same integers with another meaning.
        _ => {
            let name = format!("{}/codes", cx.name);
            let output = Tensor::value(name.as_str(), tensor.dtype, Shape::default()).with_quant(quant);
            cx.state.build.node_as(&name, Cast {}, &[x], output)?
        }
    };
    cx.emit(Dequantize {}, &[Some(x)])
}

fn need_scales(cx: &Context, scale: TensorId) -> Result<Vec<f32>, Stop> {
    cx.const_floats(scale).ok_or_else(|| {
        let name = &cx.tensor(scale).name;
        Stop::because(format!("its scale ('{name}') must be a constant of floats"))
    })
}

/// What the integers of (or made of) `x` stand for.
fn parameters(
    cx: &Context,
    x: TensorId,
    scale: TensorId,
    zero: Option<TensorId>,
    axis: i64,
) -> Result<Quant, Stop> {
    let scales = need_scales(cx, scale)?;
    let zero_point = match zero {
        None => vec![0; scales.len()],
        Some(zero) => cx.tensor(zero).codes().ok_or_else(|| {
            let name = &cx.tensor(zero).name;
            Stop::because(format!("its zero point ('{name}') must be a constant of u8, i8 or i32"))
        })?,
    };
    if zero_point.len() != scales.len() {
        let (s, z) = (scales.len(), zero_point.len());
        return Err(Stop::because(format!("it has {s} scales and {z} zero points")));
    }
    // A vector of one scale is one for the tensor.
    let axis = match scales.len() {
        1 => None,
        _ => Some(super::axis(axis, cx.rank(x))?),
    };
    let quant = Quant { axis, scale: scales, zero_point };
    check(cx, x, &quant)?;
    Ok(quant)
}

fn check(cx: &Context, x: TensorId, quant: &Quant) -> Result<(), Stop> {
    let limit = f32::MAX / 255.0;
    if let Some(s) = quant.scale.iter().find(|s| !(**s > 0.0 && **s <= limit)) {
        return Err(Stop::because(format!("the scale {s} is not positive and at most {limit:e}")));
    }
    if cx.dtype(x) == DType::I32 && quant.zero_point.iter().any(|&z| z != 0) {
        return Err(Stop::because("integers of 32 bits need the zero point 0"));
    }
    let Some(axis) = quant.axis else { return Ok(()) };
    match cx.extent(x, axis) {
        Some(n) if n == quant.scale.len() => Ok(()),
        found => {
            let found = found.map_or("of free length".to_string(), |n| format!("{n} long"));
            Err(Stop::because(format!(
                "it has {} scales for axis {axis}, which is {found}",
                quant.scale.len()
            )))
        }
    }
}
