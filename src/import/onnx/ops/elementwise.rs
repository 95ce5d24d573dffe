//! Functions of each element.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::{of_one, of_two};
use crate::graph::{
    Binary, BinaryKind, Cast, Clamp, DType, Data, Quant, Shape, Tensor, TensorId, Unary, UnaryKind, Where,
};

/// A function of one value and its parameters; the attributes that hold them, with ONNX's defaults.
fn unary_of(op: &str, attrs: &mut Attrs) -> Result<Unary, Stop> {
    Ok(match op {
        "Relu" => of_one(UnaryKind::Relu),
        "LeakyRelu" => Unary { alpha: attrs.float_or("alpha", 0.01)?, ..of_one(UnaryKind::LeakyRelu) },
        "Sigmoid" => of_one(UnaryKind::Sigmoid),
        "HardSigmoid" => Unary {
            kind: UnaryKind::HardSigmoid,
            alpha: attrs.float_or("alpha", 0.2)?,
            beta: attrs.float_or("beta", 0.5)?,
        },
        "HardSwish" => of_one(UnaryKind::HardSwish),
        "Tanh" => of_one(UnaryKind::Tanh),
        "Erf" => of_one(UnaryKind::Erf),
        "Elu" => Unary { alpha: attrs.float_or("alpha", 1.0)?, ..of_one(UnaryKind::Elu) },
        "Softplus" => of_one(UnaryKind::Softplus),
        "Exp" => of_one(UnaryKind::Exp),
        "Log" => of_one(UnaryKind::Log),
        "Sqrt" => of_one(UnaryKind::Sqrt),
        "Reciprocal" => of_one(UnaryKind::Reciprocal),
        "Abs" => of_one(UnaryKind::Abs),
        "Neg" => of_one(UnaryKind::Neg),
        "Floor" => of_one(UnaryKind::Floor),
        "Ceil" => of_one(UnaryKind::Ceil),
        "Round" => of_one(UnaryKind::Round),
        "Sign" => of_one(UnaryKind::Sign),
        "Not" | "BitwiseNot" => of_one(UnaryKind::Not),
        "Sin" => of_one(UnaryKind::Sin),
        "Cos" => of_one(UnaryKind::Cos),
        "Tan" => of_one(UnaryKind::Tan),
        "Asin" => of_one(UnaryKind::Asin),
        "Acos" => of_one(UnaryKind::Acos),
        "Atan" => of_one(UnaryKind::Atan),
        "Sinh" => of_one(UnaryKind::Sinh),
        "Cosh" => of_one(UnaryKind::Cosh),
        "Asinh" => of_one(UnaryKind::Asinh),
        "Acosh" => of_one(UnaryKind::Acosh),
        "Atanh" => of_one(UnaryKind::Atanh),
        "Softsign" => of_one(UnaryKind::Softsign),
        "Mish" => of_one(UnaryKind::Mish),
        "Swish" => match attrs.float_or("alpha", 1.0)? {
            1.0 => of_one(UnaryKind::Silu),
            other => return Err(Stop::because(format!("attribute 'alpha' is {other}: only 1 is supported"))),
        },
        "Selu" => Unary {
            kind: UnaryKind::Selu,
            alpha: attrs.float_or("alpha", 1.673_263_2)?,
            beta: attrs.float_or("gamma", 1.050_701)?,
        },
        "Celu" => match attrs.float_or("alpha", 1.0)? {
            alpha if alpha > 0.0 => Unary { alpha, ..of_one(UnaryKind::Celu) },
            other => return Err(Stop::because(format!("attribute 'alpha' is {other}, it must be positive"))),
        },
        "ThresholdedRelu" => {
            Unary { alpha: attrs.float_or("alpha", 1.0)?, ..of_one(UnaryKind::ThresholdedRelu) }
        }
        "Shrink" => Unary {
            kind: UnaryKind::Shrink,
            alpha: attrs.float_or("lambd", 0.5)?,
            beta: attrs.float_or("bias", 0.0)?,
        },
        _ => return Err(unknown()),
    })
}

pub(super) fn unary(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let op = unary_of(&cx.node.op_type, &mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.emit(op, &[Some(x)])
}

pub(super) fn gelu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let kind = match attrs.text_or("approximate", "none")? {
        "none" => UnaryKind::Gelu,
        "tanh" => UnaryKind::GeluTanh,
        other => {
            return Err(Stop::because(format!("attribute 'approximate' is '{other}': not none or tanh")));
        }
    };
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.emit(of_one(kind), &[Some(x)])
}

pub(super) fn binary(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let kind = binary_of(&cx.node.op_type)?;
    cx.attrs().finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    cx.emit(of_two(kind), &[Some(a), Some(b)])
}

fn binary_of(op: &str) -> Result<BinaryKind, Stop> {
    Ok(match op {
        "Add" | "Sum" => BinaryKind::Add,
        "Sub" => BinaryKind::Sub,
        "Mul" => BinaryKind::Mul,
        "Div" => BinaryKind::Div,
        "Min" => BinaryKind::Min,
        "Max" => BinaryKind::Max,
        "PRelu" => BinaryKind::PRelu,
        "Equal" => BinaryKind::Equal,
        "Less" => BinaryKind::Less,
        "Greater" => BinaryKind::Greater,
        "LessOrEqual" => BinaryKind::LessEqual,
        "GreaterOrEqual" => BinaryKind::GreaterEqual,
        "And" | "BitwiseAnd" => BinaryKind::And,
        "Or" | "BitwiseOr" => BinaryKind::Or,
        "Xor" | "BitwiseXor" => BinaryKind::Xor,
        _ => return Err(unknown()),
    })
}

/// For a name in the table of operators that is in none of these.
fn unknown() -> Stop {
    Stop::because("this function is not supported")
}

/// The exponent may be of another type than the base, whose type the result has.
pub(super) fn pow(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (base, exponent) = (cx.input(0)?, cx.input(1)?);
    let op = of_two(BinaryKind::Pow);
    match (cx.dtype(base), cx.dtype(exponent)) {
        (to, from) if to == from => cx.emit(op, &[Some(base), Some(exponent)]),
        // An integer to the power of a fraction is computed in floats.
        (to, DType::F32) => {
            let base = cx.cast("base", base, DType::F32)?;
            let power = cx.inner("power", op, &[Some(base), Some(exponent)])?;
            to_dtype(cx, power, to)
        }
        (to, _) => {
            let exponent = cx.cast("exponent", exponent, to)?;
            cx.emit(op, &[Some(base), Some(exponent)])
        }
    }
}

/// Remainders: with the sign of the divisor, or of the dividend where `fmod` is set.
pub(super) fn modulo(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let kind = if attrs.flag("fmod", false)? { BinaryKind::Fmod } else { BinaryKind::Mod };
    attrs.finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    cx.emit(of_two(kind), &[Some(a), Some(b)])
}

pub(super) fn bit_shift(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let kind = match attrs.text_or("direction", "")? {
        "LEFT" => BinaryKind::ShiftLeft,
        "RIGHT" => BinaryKind::ShiftRight,
        other => return Err(Stop::because(format!("attribute 'direction' is '{other}': not LEFT or RIGHT"))),
    };
    attrs.finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    cx.emit(of_two(kind), &[Some(a), Some(b)])
}

/// Nothing equals what is not a number, not even itself.
pub(super) fn is_nan(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let op = of_two(BinaryKind::Equal);
    let number = cx.inner("is_number", op, &[Some(x), Some(x)])?;
    cx.emit(of_one(UnaryKind::Not), &[Some(number)])
}

pub(super) fn is_inf(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (negative, positive) = (attrs.flag("detect_negative", true)?, attrs.flag("detect_positive", true)?);
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let (x, bound) = match (negative, positive) {
        (true, true) => {
            let size = of_one(UnaryKind::Abs);
            (cx.inner("size", size, &[Some(x)])?, f32::INFINITY)
        }
        (true, false) => (x, f32::NEG_INFINITY),
        (false, true) => (x, f32::INFINITY),
        // Nothing equals what is not a number.
        (false, false) => (x, f32::NAN),
    };
    let bound = cx.scalar("bound", bound)?;
    cx.emit(of_two(BinaryKind::Equal), &[Some(x), Some(bound)])
}

/// Any number of inputs, combined from left to right.
pub(super) fn variadic(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let op = Binary { kind: binary_of(&cx.node.op_type)?, clamp: Clamp::NONE };
    cx.attrs().finish()?;
    let inputs = cx.inputs()?;
    let (Some((&first, middle)), last) = (inputs.split_first(), inputs.last().copied()) else {
        return Err(Stop::because("it has no inputs"));
    };
    let Some(middle) = middle.split_last().map(|(_, middle)| middle) else {
        return Ok(vec![first]);
    };
    let mut sofar = first;
    for (i, &input) in middle.iter().enumerate() {
        sofar = cx.inner(&format!("part{i}"), op.clone(), &[Some(sofar), Some(input)])?;
    }
    cx.emit(op, &[Some(sofar), last])
}

/// The mean of any number of inputs.
pub(super) fn mean(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let inputs = cx.inputs()?;
    let Some((&first, others)) = inputs.split_first() else {
        return Err(Stop::because("it has no inputs"));
    };
    cx.need_float(first)?;
    let mut sum = first;
    for (i, &input) in others.iter().enumerate() {
        sum = cx.inner(&format!("sum{i}"), of_two(BinaryKind::Add), &[Some(sum), Some(input)])?;
    }
    let count = cx.scalar("count", inputs.len() as f32)?;
    cx.emit(of_two(BinaryKind::Div), &[Some(sum), Some(count)])
}

pub(super) fn select(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let inputs = cx.inputs()?.into_iter().map(Some).collect::<Vec<_>>();
    cx.emit(Where {}, &inputs)
}

/// The bounds are attributes at first, inputs from operator set 11 on.
pub(super) fn clip(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = match cx.opset() {
        ..11 => Some((attrs.float("min")?, attrs.float("max")?)),
        _ => None,
    };
    attrs.finish()?;
    let x = cx.input(0)?;
    if let Some((min, max)) = given {
        return clip_between(cx, x, min, max);
    }
    let (min, max) = (cx.optional(1)?, cx.optional(2)?);
    let constant = |bound: Option<TensorId>| match bound {
        None => Some(None),
        Some(id) => match cx.const_floats(id)?[..] {
            [value] => Some(Some(value)),
            _ => None,
        },
    };
    if cx.dtype(x) == DType::F32
        && let (Some(min), Some(max)) = (constant(min), constant(max))
    {
        return clip_between(cx, x, min, max);
    }
    if cx.dtype(x).is_8bit()
        && let Some(clipped) = clip_codes(cx, x, [min, max])?
    {
        return Ok(vec![clipped]);
    }
    clip_by_tensors(cx, x, min, max)
}

/// Quantized integers between constant ones, as networks write them whose activations use a part of their range: the
/// reals between the bounds' reals. Constants are clipped at once. `None` for other integers.
fn clip_codes(
    cx: &mut Context,
    x: TensorId,
    bounds: [Option<TensorId>; 2],
) -> Result<Option<TensorId>, Stop> {
    let dtype = cx.dtype(x);
    let all = if dtype == DType::U8 { [0, 255] } else { [-128, 127] };
    let mut codes = all;
    for (code, bound) in codes.iter_mut().zip(bounds) {
        let Some(bound) = bound else { continue };
        match cx.tensor(bound).codes().as_deref() {
            Some(&[value]) if cx.dtype(bound) == dtype => *code = value,
            _ => return Ok(None),
        }
    }
    // Where the bounds are crossed, ONNX gives the upper one everywhere.
    let [low, high] = [codes[0].min(codes[1]), codes[1]];
    if let (Some(values), Some(dims)) = (cx.tensor(x).codes(), cx.shape(x).dims()) {
        let clipped: Vec<u8> = values.into_iter().map(|v| v.clamp(low, high) as u8).collect();
        let name = cx.output(0);
        let made = cx.constant_named(&name, dtype, &dims, Data::from_bytes(&clipped))?;
        if let Some(quant) = cx.tensor(x).quant.clone() {
            cx.state.build.describe(made, quant);
        }
        return Ok(Some(made));
    }
    let Some((scale, zero)) = cx.tensor(x).quant.as_ref().and_then(|q| q.single()) else {
        return Ok(None);
    };
    let real = |q: i32| (q - zero) as f32 * scale;
    let op = Unary { kind: UnaryKind::Clip, alpha: real(low), beta: real(high) };
    let made = cx.emit(op, &[Some(x)])?;
    made.iter().for_each(|&id| cx.state.build.describe(id, Quant::per_tensor(scale, zero)));
    Ok(made.first().copied())
}

fn clip_between(
    cx: &mut Context,
    x: TensorId,
    min: Option<f32>,
    max: Option<f32>,
) -> Result<Vec<TensorId>, Stop> {
    let (min, max) = (min.unwrap_or(f32::NEG_INFINITY), max.unwrap_or(f32::INFINITY));
    if min.is_nan() || max.is_nan() {
        return Err(Stop::because("a bound is not a number"));
    }
    cx.need_float(x)?;
    // Where the bounds are crossed, ONNX gives the upper one everywhere.
    cx.emit(Unary { kind: UnaryKind::Clip, alpha: min.min(max), beta: max }, &[Some(x)])
}

/// Bounds that are computed, or integers.
fn clip_by_tensors(
    cx: &mut Context,
    x: TensorId,
    min: Option<TensorId>,
    max: Option<TensorId>,
) -> Result<Vec<TensorId>, Stop> {
    for bound in [min, max].into_iter().flatten() {
        let elements = cx.shape(bound).elements();
        if elements != Some(1) {
            return Err(Stop::because(format!("its bound '{}' must be one value", cx.tensor(bound).name)));
        }
    }
    match (min, max) {
        (None, None) => Ok(vec![x]),
        (Some(min), None) => cx.emit(of_two(BinaryKind::Max), &[Some(x), Some(min)]),
        (None, Some(max)) => cx.emit(of_two(BinaryKind::Min), &[Some(x), Some(max)]),
        (Some(min), Some(max)) => {
            let above = cx.inner("min", of_two(BinaryKind::Max), &[Some(x), Some(min)])?;
            cx.emit(of_two(BinaryKind::Min), &[Some(above), Some(max)])
        }
    }
}

/// To another element type; floats of all widths are one.
pub(super) fn to_dtype(cx: &mut Context, x: TensorId, dtype: DType) -> Result<Vec<TensorId>, Stop> {
    if cx.dtype(x) == dtype {
        return Ok(vec![x]);
    }
    let output = cx.node.output.first().cloned().unwrap_or_default();
    let output = Tensor::value(output, dtype, Shape::default());
    Ok(vec![cx.state.build.node_as(cx.name, Cast {}, &[x], output)?])
}
