//! Between reals and integers. What a tensor's integers stand for is written at the tensor.
//!
//! Constants, and activations with one constant scale, have kernels; what has none is made of functions of floats
//! (`quantization_float`).

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::super::narrow::Narrow;
use super::super::tensor::{computed_dtype, type_name};
use super::quantization_float::{self as float, Reals};
use crate::graph::{Cast, DType, Data, Dequantize, Node, Quant, Quantize, Shape, Tensor, TensorId};

/// The attributes that both operators have.
struct Attributes {
    axis: i64,
    /// The element type of the output, 0 if it is not said.
    output: i32,
    /// Elements along the axis that share a scale; 0: all of them.
    block: usize,
}

impl Attributes {
    fn read(mut attrs: Attrs) -> Result<Attributes, Stop> {
        let axis = attrs.int_or("axis", 1)?;
        let output = attrs.int_or("output_dtype", 0)?;
        let block = attrs.int_or("block_size", 0)?;
        // `saturate` is about 8-bit floats, `precision` about the type of the division.
        attrs.ignore(&["saturate", "precision"]);
        attrs.finish()?;
        let output = i32::try_from(output)
            .map_err(|_| Stop::because(format!("attribute 'output_dtype' is {output}, which is no type")))?;
        let block = usize::try_from(block)
            .map_err(|_| Stop::because(format!("attribute 'block_size' is {block}, it can't be negative")))?;
        Ok(Attributes { axis, output, block })
    }
}

/// The integers that a tensor is quantized to.
#[derive(Clone, Copy)]
pub(super) struct Integers {
    pub dtype: DType,
    /// Where the file has a type that the graph does not have.
    pub narrow: Option<Narrow>,
}

impl Integers {
    /// Those of the zero point, of the attribute, or u8.
    fn wanted(cx: &Context, zero: Option<TensorId>, output: i32) -> Result<Integers, Stop> {
        let integers = match (zero, output) {
            (Some(zero), _) => Integers::of(cx, zero),
            (None, 0) => Integers { dtype: DType::U8, narrow: None },
            (None, output) => {
                let narrow = Narrow::of(output);
                let dtype = narrow.map(|n| n.dtype).or(computed_dtype(output));
                let dtype = dtype.ok_or_else(|| {
                    let name = type_name(output);
                    Stop::because(format!("it quantizes to {name}, which can't be computed with"))
                })?;
                Integers { dtype, narrow }
            }
        };
        match integers.dtype {
            DType::U8 | DType::I8 | DType::I16 => Ok(integers),
            other => Err(Stop::because(format!(
                "it quantizes to {other}: only integers of up to 16 bits are supported"
            ))),
        }
    }

    /// Those that the tensor holds.
    fn of(cx: &Context, t: TensorId) -> Integers {
        Integers { dtype: cx.dtype(t), narrow: cx.state.narrow.get(&t).copied() }
    }

    /// The zero point of tensors that have none.
    pub fn zero(self) -> i32 {
        self.narrow.map_or(0, |n| -n.offset)
    }

    /// The least and the greatest one.
    pub fn range(self) -> [i32; 2] {
        match (self.narrow, self.dtype) {
            (Some(narrow), _) => narrow.range,
            (None, DType::U8) => [0, 255],
            (None, DType::I8) => [-128, 127],
            (None, _) => [-32768, 32767],
        }
    }

    /// True if these are all the integers of the element type.
    fn fill_dtype(self) -> bool {
        Integers { narrow: None, ..self }.range() == self.range()
    }
}

pub(super) fn quantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let Attributes { axis, output, block } = Attributes::read(cx.attrs())?;
    let (mut x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    if cx.dtype(x) == DType::I32 {
        x = cx.cast("real", x, DType::F32)?;
    }
    cx.need_float(x)?;
    let to = Integers::wanted(cx, zero, output)?;
    let reals = Reals { x, scale, zero, axis, block };
    let made = match parameters(cx, &reals, to).transpose()? {
        Some(quant) if to.fill_dtype() => quantize_constantly(cx, x, to, quant)?,
        _ => None,
    };
    let id = match made {
        Some(id) => id,
        None => float::quantize(cx, &reals, to)?,
    };
    cx.state.narrow.extend(to.narrow.map(|narrow| (id, narrow)));
    Ok(vec![id])
}

/// With scales that are known: a constant at once, activations by a node if they have one scale.
fn quantize_constantly(
    cx: &mut Context,
    x: TensorId,
    to: Integers,
    quant: Quant,
) -> Result<Option<TensorId>, Stop> {
    let name = cx.output(0);
    if let Some(codes) = cx.tensor(x).quantized(to.dtype, &quant) {
        let dims = cx.shape(x).dims().unwrap_or_default();
        let id = cx.constant_named(&name, to.dtype, &dims, codes)?;
        cx.state.build.describe(id, quant);
        return Ok(Some(id));
    }
    if quant.axis.is_some() || !is_normal(&quant) {
        return Ok(None);
    }
    let node =
        Node { name: cx.name.to_string(), op: Quantize {}.into(), inputs: vec![Some(x)], outputs: vec![] };
    let output = Tensor::value(name, to.dtype, Shape::default()).with_quant(quant);
    Ok(cx.state.build.push_as(node, vec![output])?.first().copied())
}

pub(super) fn dequantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let Attributes { axis, output, block } = Attributes::read(cx.attrs())?;
    if output != 0 && computed_dtype(output) != Some(DType::F32) {
        let name = type_name(output);
        return Err(Stop::because(format!("it dequantizes to {name}, which is no float")));
    }
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    let from = Integers::of(cx, x);
    if !matches!(from.dtype, DType::U8 | DType::I8 | DType::I16 | DType::I32) {
        let (name, dtype) = (&cx.tensor(x).name, from.dtype);
        return Err(Stop::because(format!(
            "'{name}' is {dtype}: only integers of up to 32 bits stand for reals"
        )));
    }
    if let Some(zero) = zero.filter(|&zero| cx.dtype(zero) != from.dtype) {
        let (zero, x) = (cx.dtype(zero), from.dtype);
        return Err(Stop::because(format!("its zero point is {zero}, its input {x}")));
    }
    let reals = Reals { x, scale, zero, axis, block };
    let has_kernel = |quant: &Quant| from.dtype != DType::I32 && is_normal(quant);
    let quant = parameters(cx, &reals, from).transpose()?;
    match quant.filter(|quant| cx.data(x).is_some() || has_kernel(quant)) {
        Some(quant) => dequantized(cx, x, quant),
        None => float::dequantize(cx, &reals, from),
    }
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
    if tensor.dtype == DType::I32 {
        return Err(Stop::because(format!("'{}' must be a constant", tensor.name)));
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

/// Scales that the graph can hold.
fn is_normal(quant: &Quant) -> bool {
    quant.scale.iter().all(|s| s.is_normal())
}

/// What the integers stand for; `None` if that is computed, differs by blocks, or along an axis of free length.
fn parameters(cx: &Context, reals: &Reals, integers: Integers) -> Option<Result<Quant, Stop>> {
    let scales = cx.const_floats(reals.scale).filter(|_| reals.block == 0)?;
    let zero_point = match reals.zero {
        None => vec![integers.zero(); scales.len()],
        Some(zero) => cx.tensor(zero).codes()?,
    };
    let along = super::axis(reals.axis, cx.rank(reals.x)).ok();
    if scales.len() > 1 && along.is_some_and(|axis| cx.extent(reals.x, axis).is_none()) {
        return None;
    }
    Some(per_axis(cx, reals.x, scales, zero_point, reals.axis))
}

fn per_axis(
    cx: &Context,
    x: TensorId,
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    axis: i64,
) -> Result<Quant, Stop> {
    if zero_point.len() != scale.len() {
        let (s, z) = (scale.len(), zero_point.len());
        return Err(Stop::because(format!("it has {s} scales and {z} zero points")));
    }
    // A vector of one scale is one for the tensor.
    let axis = match scale.len() {
        1 => None,
        _ => Some(super::axis(axis, cx.rank(x))?),
    };
    let quant = Quant { axis, scale, zero_point };
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
