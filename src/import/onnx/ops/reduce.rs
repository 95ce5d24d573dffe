//! Reductions.

use super::super::context::{Context, Stop};
use super::super::qoperator::MEAN;
use super::elementwise::to_dtype;
use super::{axes, axis, of_one, of_two};
use crate::graph::{ArgMax, BinaryKind, DType, Op, Reduce, ReduceKind, TensorId, Unary, UnaryKind};

/// The axes of a reduction, and what becomes of them.
struct Target {
    axes: Vec<usize>,
    keep_dims: bool,
}

impl Target {
    fn reduce(&self, kind: ReduceKind) -> Op {
        Reduce { kind, axes: self.axes.clone(), keep_dims: self.keep_dims }.into()
    }
}

pub(super) fn reduce(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    // The operator set from which on the axes are an input.
    let axes_input_since = if cx.node.op_type == "ReduceSum" { 13 } else { 18 };
    let as_input = cx.opset() >= axes_input_since && cx.node.op_type != MEAN;
    let mut attrs = cx.attrs();
    let keep_dims = attrs.flag("keepdims", true)?;
    let given = if as_input { None } else { attrs.ints("axes")?.map(<[i64]>::to_vec) };
    let none_means_none = as_input && attrs.flag("noop_with_empty_axes", false)?;
    attrs.finish()?;
    let (x, input) = (cx.input(0)?, cx.optional(1)?);
    let given = match input {
        Some(_) if !as_input => return Err(Stop::because("its axes are an input, but must be an attribute")),
        Some(input) => Some(cx.need_ints(input, "its axes")?),
        None => given,
    };
    let rank = cx.rank(x);
    let axes = match given.as_deref() {
        None | Some([]) if none_means_none => vec![],
        None | Some([]) => (0..rank).collect(),
        Some(given) => axes(given, rank)?,
    };
    let plain = matches!(
        cx.node.op_type.as_str(),
        "ReduceSum" | "ReduceMean" | MEAN | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceLogSumExp"
    );
    if axes.is_empty() && plain && none_means_none {
        return Ok(vec![x]);
    }
    let to = Target { axes, keep_dims };
    // Truth values are bytes; other integers are wide on the way.
    let wide = match cx.dtype(x) {
        DType::Bool => Some(DType::U8),
        _ if cx.tensor(x).quant.is_some() => None,
        DType::U8 | DType::I8 | DType::I16 | DType::I32 => Some(DType::I64),
        _ => None,
    };
    match wide {
        None => composed(cx, x, &to, true).map(|y| vec![y]),
        Some(wide) => {
            let own = cx.dtype(x);
            let x = cx.cast("wide", x, wide)?;
            let y = composed(cx, x, &to, false)?;
            to_dtype(cx, y, own)
        }
    }
}

/// What the operator computes, made of plain reductions and functions. `ends`: the result is the node's output.
fn composed(cx: &mut Context, x: TensorId, to: &Target, ends: bool) -> Result<TensorId, Stop> {
    use ReduceKind::{Max, Mean, Min, Prod, Sum};
    match cx.node.op_type.as_str() {
        "ReduceMean" | MEAN => step(cx, ends, to.reduce(Mean), x),
        "ReduceMax" => step(cx, ends, to.reduce(Max), x),
        "ReduceMin" => step(cx, ends, to.reduce(Min), x),
        "ReduceProd" => step(cx, ends, to.reduce(Prod), x),
        "ReduceL1" => {
            let size = cx.inner("size", of_one(UnaryKind::Abs), &[Some(x)])?;
            step(cx, ends, to.reduce(Sum), size)
        }
        "ReduceSumSquare" => {
            let square = cx.inner("square", of_two(BinaryKind::Mul), &[Some(x), Some(x)])?;
            step(cx, ends, to.reduce(Sum), square)
        }
        "ReduceL2" => {
            let own = cx.dtype(x);
            let square = cx.inner("square", of_two(BinaryKind::Mul), &[Some(x), Some(x)])?;
            let sum = cx.inner("sum", to.reduce(Sum), &[Some(square)])?;
            if own == DType::F32 {
                return step(cx, ends, of_one(UnaryKind::Sqrt), sum);
            }
            let sum = cx.cast("float", sum, DType::F32)?;
            let root = cx.inner("root", of_one(UnaryKind::Sqrt), &[Some(sum)])?;
            cx.cast("whole", root, own)
        }
        "ReduceLogSum" => {
            cx.need_float(x)?;
            let sum = cx.inner("sum", to.reduce(Sum), &[Some(x)])?;
            step(cx, ends, of_one(UnaryKind::Log), sum)
        }
        "ReduceLogSumExp" => log_sum_exp(cx, x, to),
        _ => step(cx, ends, to.reduce(Sum), x),
    }
}

fn step(cx: &mut Context, ends: bool, op: impl Into<Op>, x: TensorId) -> Result<TensorId, Stop> {
    if ends { Ok(cx.emit(op, &[Some(x)])?[0]) } else { cx.inner("result", op, &[Some(x)]) }
}

/// `max + ln(sum of exp(x - max))`: nothing overflows.
fn log_sum_exp(cx: &mut Context, x: TensorId, to: &Target) -> Result<TensorId, Stop> {
    cx.need_float(x)?;
    let kept = Target { axes: to.axes.clone(), keep_dims: true };
    let greatest = cx.inner("greatest", kept.reduce(ReduceKind::Max), &[Some(x)])?;
    // Where all is infinite, the difference would not be a number.
    let finite = Unary { kind: UnaryKind::Clip, alpha: f32::MIN, beta: f32::MAX };
    let greatest = cx.inner("shift", finite, &[Some(greatest)])?;
    let below = cx.inner("below", of_two(BinaryKind::Sub), &[Some(x), Some(greatest)])?;
    let share = cx.inner("share", of_one(UnaryKind::Exp), &[Some(below)])?;
    let sum = cx.inner("sum", kept.reduce(ReduceKind::Sum), &[Some(share)])?;
    let log = cx.inner("log", of_one(UnaryKind::Log), &[Some(sum)])?;
    let y = of_two(BinaryKind::Add);
    if to.keep_dims {
        return Ok(cx.emit(y, &[Some(log), Some(greatest)])?[0]);
    }
    let y = cx.inner("kept", y, &[Some(log), Some(greatest)])?;
    // The dimensions that are left have length 1.
    Ok(cx.emit(to.reduce(ReduceKind::Max), &[Some(y)])?[0])
}

/// The index of the greatest value; of the least one as that of the greatest under the opposite order.
pub(super) fn arg_extremum(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 0)?;
    let keep_dims = attrs.flag("keepdims", true)?;
    let select_last = cx.opset() >= 12 && attrs.flag("select_last_index", false)?;
    attrs.finish()?;
    let mut x = cx.input(0)?;
    let axis = axis(given, cx.rank(x))?;
    let quantized = cx.tensor(x).quant.is_some();
    if cx.dtype(x) != DType::F32 && !(quantized && cx.node.op_type == "ArgMax") {
        x = match cx.dtype(x) {
            DType::I64 => x,
            _ => cx.cast("wide", x, DType::I64)?,
        };
    }
    if cx.node.op_type == "ArgMin" {
        // Of integers the bits are turned over: -x - 1, which can't overflow.
        let turned = if cx.dtype(x) == DType::F32 { UnaryKind::Neg } else { UnaryKind::Not };
        x = cx.inner("turned", of_one(turned), &[Some(x)])?;
    }
    cx.emit(ArgMax { axis, keep_dims, select_last }, &[Some(x)])
}
