//! Functions of one element: tables for bytes, written-out math for floats.

use super::super::{PlanError, Planned, Planner};
use super::{Affine, NodeView, plan_elements, q16, values, values_mut};
use crate::graph::{DType, Unary, UnaryKind};
use ottava_kernels::cast::CastFrom;
use ottava_kernels::table::table;
use ottava_kernels::unary::{UnaryFn, unary_f32, unary_f64};

fn function(op: &Unary) -> Option<UnaryFn> {
    let (alpha, beta) = (op.alpha, op.beta);
    Some(match op.kind {
        UnaryKind::Relu => UnaryFn::Relu,
        UnaryKind::LeakyRelu => UnaryFn::LeakyRelu { alpha },
        UnaryKind::Clip => UnaryFn::Clip { min: alpha, max: beta },
        UnaryKind::Sigmoid => UnaryFn::Sigmoid,
        UnaryKind::HardSigmoid => UnaryFn::HardSigmoid { alpha, beta },
        UnaryKind::HardSwish => UnaryFn::HardSwish,
        UnaryKind::Silu => UnaryFn::Silu,
        UnaryKind::Tanh => UnaryFn::Tanh,
        UnaryKind::Erf => UnaryFn::Erf,
        UnaryKind::Gelu => UnaryFn::Gelu,
        UnaryKind::GeluTanh => UnaryFn::GeluTanh,
        UnaryKind::Elu => UnaryFn::Elu { alpha },
        UnaryKind::Softplus => UnaryFn::Softplus,
        UnaryKind::Exp => UnaryFn::Exp,
        UnaryKind::Log => UnaryFn::Log,
        UnaryKind::Sqrt => UnaryFn::Sqrt,
        UnaryKind::Reciprocal => UnaryFn::Reciprocal,
        UnaryKind::Abs => UnaryFn::Abs,
        UnaryKind::Neg => UnaryFn::Neg,
        UnaryKind::Floor => UnaryFn::Floor,
        UnaryKind::Ceil => UnaryFn::Ceil,
        UnaryKind::Round => UnaryFn::Round,
        UnaryKind::Sign => UnaryFn::Sign,
        UnaryKind::Sin => UnaryFn::Sin,
        UnaryKind::Cos => UnaryFn::Cos,
        UnaryKind::Tan => UnaryFn::Tan,
        UnaryKind::Asin => UnaryFn::Asin,
        UnaryKind::Acos => UnaryFn::Acos,
        UnaryKind::Atan => UnaryFn::Atan,
        UnaryKind::Sinh => UnaryFn::Sinh,
        UnaryKind::Cosh => UnaryFn::Cosh,
        UnaryKind::Asinh => UnaryFn::Asinh,
        UnaryKind::Acosh => UnaryFn::Acosh,
        UnaryKind::Atanh => UnaryFn::Atanh,
        UnaryKind::Softsign => UnaryFn::Softsign,
        UnaryKind::Mish => UnaryFn::Mish,
        UnaryKind::Selu => UnaryFn::Selu { alpha, gamma: beta },
        UnaryKind::Celu => UnaryFn::Celu { alpha },
        UnaryKind::ThresholdedRelu => UnaryFn::ThresholdedRelu { alpha },
        UnaryKind::Shrink => UnaryFn::Shrink { lambda: alpha, bias: beta },
        UnaryKind::Not => return None,
    })
}

/// What a value of a float function costs; see [`Kernel::cost`](super::Kernel::cost).
fn cost(f: UnaryFn) -> u64 {
    use UnaryFn::*;
    match f {
        Relu | LeakyRelu { .. } | Clip { .. } | HardSigmoid { .. } | HardSwish | Sqrt | Reciprocal => 16,
        Abs | Neg | Floor | Ceil | Round | Sign | Softsign | ThresholdedRelu { .. } | Shrink { .. } => 16,
        // Those that are written out as polynomials.
        _ => 200,
    }
}

/// The table of a function between two quantized tensors: dequantize to f32, the f64 definition rounded to f32,
/// quantize.
pub(super) fn byte_table(x: Affine, y: Affine, f: impl Fn(f64) -> f64) -> [u8; 256] {
    std::array::from_fn(|q| {
        let real = (q as f32 - f32::from(x.zero)) * x.scale;
        // A function that is undefined here (the logarithm of a negative) saturates low.
        y.quantize(f(f64::from(real)) as f32)
    })
}

/// A step that looks every byte up in a table.
pub(super) fn plan_table(
    p: &Planner<'_>,
    v: NodeView<'_>,
    name: &str,
    entries: [u8; 256],
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    plan_elements(v, format!("{name} {isa}"), 0, move |x, y| table(isa, &entries, &x[..y.len()], y))
}

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &Unary) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    let isa = p.isa;
    match (x.dtype, y.dtype, function(op)) {
        (DType::U8, DType::U8, Some(f)) if x.quant.is_some() => {
            let entries = byte_table(v.affine(x)?, v.affine(y)?, |r| unary_f64(f, r));
            plan_table(p, v, &format!("table-{}", op.kind.name()), entries)
        }
        (DType::I16, DType::I16, Some(_)) if x.quant.is_some() => q16::plan_unary(p, v, op),
        (DType::F32, DType::F32, Some(f)) => {
            plan_elements(v, format!("{}-f32 {isa}", op.kind.name()), cost(f), move |x, y| {
                let y = values_mut::<f32>(y);
                unary_f32(isa, f, values(x, y.len()), y);
            })
        }
        (DType::Bool, DType::Bool, None) => plan_elements(v, "not-bool".to_string(), 0, |x, y| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = u8::from(*x == 0));
        }),
        (DType::U8, DType::U8, _) => integer::<u8>(v, op.kind),
        (DType::I8, DType::I8, _) => integer::<i8>(v, op.kind),
        (DType::I16, DType::I16, _) => integer::<i16>(v, op.kind),
        (DType::I32, DType::I32, _) => integer::<i32>(v, op.kind),
        (DType::I64, DType::I64, _) => integer::<i64>(v, op.kind),
        _ => Err(v.no_kernel()),
    }
}

/// Functions of integers that are not quantized, in i64 and back: what overflows wraps.
fn integer<T>(v: NodeView<'_>, kind: UnaryKind) -> Result<Planned, PlanError>
where
    T: bytemuck::Pod + CastFrom<i64>,
    i64: CastFrom<T>,
{
    let f: fn(i64) -> i64 = match kind {
        UnaryKind::Abs => i64::wrapping_abs,
        UnaryKind::Neg => i64::wrapping_neg,
        UnaryKind::Sign => i64::signum,
        UnaryKind::Relu => |x| x.max(0),
        UnaryKind::Not => |x| !x,
        _ => return Err(v.no_kernel()),
    };
    plan_elements(v, format!("{}-{}", kind.name(), v.out().dtype), 0, move |x, y| {
        let y = values_mut::<T>(y);
        let x = values::<T>(x, y.len());
        y.iter_mut().zip(x).for_each(|(y, x)| *y = T::cast_from(f(i64::cast_from(*x))));
    })
}
