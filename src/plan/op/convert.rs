//! From one element type or quantization to another.

use super::super::{PlanError, Planned, Planner};
use super::unary::{byte_table, plan_table};
use super::{Affine, Call, NodeView, plan_elements, q16, values, values_mut};
use crate::graph::{DType, Tensor, Unpack};
use crate::run::{Io, Views};
use half::slice::HalfFloatSliceExt;
use ottava_kernels::cast::{CastFrom, Zero, cast, is_nonzero};
use ottava_kernels::quantize::{Code, dequantize, quantize};

/// Scale and zero point of a tensor of integers.
fn single(v: NodeView<'_>, t: &Tensor) -> Result<(f32, i32), PlanError> {
    let q = t.quant.as_ref().and_then(|q| q.single());
    q.ok_or_else(|| {
        v.unsupported(format!("'{}' needs one scale and zero point for the whole tensor", t.name))
    })
}

/// Calls a function that is generic over the type of integers with that of a tensor and its parameters.
macro_rules! by_code {
    ($p:expr, $v:expr, $bytes:expr, $step:ident) => {{
        let (scale, zero) = single($v, $bytes)?;
        match $bytes.dtype {
            DType::U8 => $step::<u8>($p, $v, scale, zero as u8),
            DType::I8 => $step::<i8>($p, $v, scale, zero as i8),
            DType::I16 => $step::<i16>($p, $v, scale, zero as i16),
            _ => Err($v.no_kernel()),
        }
    }};
}

pub(super) fn plan_quantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    if v.tensor(0)?.dtype != DType::F32 {
        return Err(v.no_kernel());
    }
    by_code!(p, v, v.out(), quantize_step)
}

fn quantize_step<T: Code + bytemuck::Pod + Send + Sync>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    scale: f32,
    zero: T,
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    plan_elements(v, format!("quantize-{} {isa}", v.out().dtype), 0, move |x, y| {
        let y = values_mut::<T>(y);
        quantize::<T>(isa, values(x, y.len()), scale, zero, y);
    })
}

pub(super) fn plan_dequantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    if v.out().dtype != DType::F32 {
        return Err(v.no_kernel());
    }
    if let Some(axis) = v.tensor(0)?.quant.as_ref().and_then(|q| q.axis) {
        return match v.tensor(0)?.dtype {
            DType::U8 => dequantize_along::<u8>(p, v, axis),
            DType::I8 => dequantize_along::<i8>(p, v, axis),
            DType::I16 => dequantize_along::<i16>(p, v, axis),
            _ => Err(v.no_kernel()),
        };
    }
    by_code!(p, v, v.tensor(0)?, dequantize_step)
}

fn dequantize_step<T: Code + bytemuck::Pod + Send + Sync>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    scale: f32,
    zero: T,
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    plan_elements(v, format!("dequantize-{} {isa}", v.tensor(0)?.dtype), 0, move |x, y| {
        let y = values_mut::<f32>(y);
        dequantize::<T>(isa, values(x, y.len()), scale, zero, y);
    })
}

/// A scale and zero point per index of a dimension.
fn dequantize_along<T: Code + bytemuck::Pod + Send + Sync>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    axis: usize,
) -> Result<Planned, PlanError> {
    let x = v.tensor(0)?;
    let dims = v.dims(x)?;
    let inner: usize = dims.get(axis + 1..).unwrap_or_default().iter().product();
    let quant = x.quant.clone().unwrap_or(crate::graph::Quant::per_tensor(1.0, 0));
    let isa = p.isa;
    step(v, format!("dequantize-{}-along {isa}", x.dtype), move |x, y| {
        let y = values_mut::<f32>(y);
        let runs = values::<T>(x, y.len()).chunks_exact(inner.max(1)).zip(y.chunks_exact_mut(inner.max(1)));
        let parameters = quant.scale.iter().zip(&quant.zero_point).cycle();
        for ((x, y), (&scale, &zero)) in runs.zip(parameters) {
            dequantize::<T>(isa, x, scale, T::narrow(zero), y);
        }
    })
}

/// Integers of a few bits.
pub(super) fn plan_unpack(v: NodeView<'_>, op: &Unpack) -> Result<Planned, PlanError> {
    let bits = op.bits;
    if !(1..=8).contains(&bits) {
        return Err(v.unsupported(format!("integers of {bits} bits don't fit i8")));
    }
    let op = op.clone();
    step(v, format!("unpack-{bits}-bits"), move |x, y| {
        for (i, y) in values_mut::<i8>(y).iter_mut().enumerate() {
            *y = op.code(x, i);
        }
    })
}

/// 8 bits to 8 bits is a table, whatever the scales, zero points and signedness.
pub(super) fn plan_requantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    if [x.dtype, y.dtype].iter().any(|d| matches!(d, DType::I16 | DType::I32)) {
        return q16::plan_requantize(p, v, single(v, x)?, single(v, y)?);
    }
    if !x.dtype.is_8bit() || !y.dtype.is_8bit() {
        return Err(v.no_kernel());
    }
    // An i8 is its u8 neighbour shifted by 128: the flipped top bit, on either side of the table.
    let side = |t: &Tensor| -> Result<(Affine, u8), PlanError> {
        let (scale, zero) = single(v, t)?;
        Ok(match t.dtype {
            DType::I8 => (Affine { scale, zero: (zero + 128) as u8 }, 0x80),
            _ => (Affine { scale, zero: zero as u8 }, 0),
        })
    };
    let ((xq, x_flip), (yq, y_flip)) = (side(x)?, side(y)?);
    let plain = byte_table(xq, yq, |r| r);
    let entries = std::array::from_fn(|q| plain[q ^ x_flip as usize] ^ y_flip);
    plan_table(p, v, "requantize", entries)
}

pub(super) fn plan_cast(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    macro_rules! from {
        ($x:ty) => {
            match v.out().dtype {
                DType::F32 => cast_step::<$x, f32>(p, v),
                DType::I8 => cast_step::<$x, i8>(p, v),
                DType::U8 => cast_step::<$x, u8>(p, v),
                DType::I16 => cast_step::<$x, i16>(p, v),
                DType::I32 => cast_step::<$x, i32>(p, v),
                DType::I64 => cast_step::<$x, i64>(p, v),
                DType::Bool => truth_step::<$x>(p, v),
                DType::F64 => cast_step::<$x, f64>(p, v),
                DType::F16 | DType::BF16 => Err(v.no_kernel()),
            }
        };
    }
    match (v.tensor(0)?.dtype, v.out().dtype) {
        (DType::F16, DType::F32) => cast_call(v, |x, y| {
            values::<half::f16>(x, y.len() / 4).convert_to_f32_slice(values_mut(y));
        }),
        (DType::F32, DType::F16) => cast_call(v, |x, y| {
            let y = values_mut::<half::f16>(y);
            y.convert_from_f32_slice(values(x, y.len()));
        }),
        (a, b) if a == b => Ok(Planned::Alias { from: v.input(0)? }),
        (DType::F32, _) => from!(f32),
        (DType::I8, _) => from!(i8),
        // A truth value is a byte, 0 or 1.
        (DType::U8 | DType::Bool, _) => from!(u8),
        (DType::I16, _) => from!(i16),
        (DType::I32, _) => from!(i32),
        (DType::I64, _) => from!(i64),
        (DType::F64, _) => from!(f64),
        (DType::F16 | DType::BF16, _) => Err(v.no_kernel()),
    }
}

fn cast_call(
    v: NodeView<'_>,
    run: impl Fn(&[u8], &mut [u8]) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    plan_elements(v, format!("cast-{}-{}", v.tensor(0)?.dtype, v.out().dtype), 0, run)
}

/// A step from the bytes of one tensor to those of another, on one thread.
fn step(
    v: NodeView<'_>,
    name: String,
    run: impl Fn(&[u8], &mut [u8]) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        run(x, y);
    };
    Ok(Planned::step(Call { name, run }, &[v.input(0)?], &v.node.outputs))
}

fn cast_step<A, B>(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError>
where
    A: bytemuck::Pod,
    B: bytemuck::Pod + CastFrom<A>,
{
    let isa = p.isa;
    cast_call(v, move |x, y| {
        let y = values_mut::<B>(y);
        cast::<A, B>(isa, values(x, y.len()), y);
    })
}

fn truth_step<A: bytemuck::Pod + Zero>(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let isa = p.isa;
    cast_call(v, move |x, y| is_nonzero::<A>(isa, values(x, y.len()), y))
}
