//! From one element type or quantization to another.

use super::super::{PlanError, Planned, Planner};
use super::unary::{byte_table, plan_table};
use super::{Affine, Call, NodeView, values, values_mut};
use crate::graph::{DType, Tensor};
use crate::run::{Io, Views};
use ottava_kernels::cast::{Number, cast};
use ottava_kernels::quantize::{Int8, dequantize, quantize};

/// Scale and zero point of an 8-bit tensor, signed or not.
fn single(v: NodeView<'_>, t: &Tensor) -> Result<(f32, i32), PlanError> {
    let q = t.quant.as_ref().and_then(|q| q.single());
    q.ok_or_else(|| v.unsupported(format!("'{}' needs one scale and zero point for the whole tensor", t.name)))
}

pub(super) fn plan_quantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    match (x.dtype, y.dtype) {
        (DType::F32, DType::U8) => {
            let (scale, zero) = single(v, y)?;
            quantize_step::<u8>(p, v, scale, zero as u8)
        }
        (DType::F32, DType::I8) => {
            let (scale, zero) = single(v, y)?;
            quantize_step::<i8>(p, v, scale, zero as i8)
        }
        _ => Err(v.no_kernel()),
    }
}

fn quantize_step<T: Int8 + bytemuck::Pod + Send + Sync>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    scale: f32,
    zero: T,
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        quantize::<T>(isa, values(x, y.len()), scale, zero, values_mut(y));
    };
    let kernel = Call { name: format!("quantize-{} {isa}", v.out().dtype), cost: 0, run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

pub(super) fn plan_dequantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    match (x.dtype, y.dtype) {
        (DType::U8, DType::F32) => {
            let (scale, zero) = single(v, x)?;
            dequantize_step::<u8>(p, v, scale, zero as u8)
        }
        (DType::I8, DType::F32) => {
            let (scale, zero) = single(v, x)?;
            dequantize_step::<i8>(p, v, scale, zero as i8)
        }
        _ => Err(v.no_kernel()),
    }
}

fn dequantize_step<T: Int8 + bytemuck::Pod + Send + Sync>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    scale: f32,
    zero: T,
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        let y = values_mut::<f32>(y);
        dequantize::<T>(isa, values(x, y.len()), scale, zero, y);
    };
    let kernel = Call { name: format!("dequantize-{} {isa}", v.tensor(0)?.dtype), cost: 0, run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

/// 8 bits to 8 bits is a table, whatever the scales, zero points and signedness.
pub(super) fn plan_requantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
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
                DType::F16 => cast_step::<$x, half::f16>(p, v),
                DType::I8 => cast_step::<$x, i8>(p, v),
                DType::U8 => cast_step::<$x, u8>(p, v),
                DType::I16 => cast_step::<$x, i16>(p, v),
                DType::I32 => cast_step::<$x, i32>(p, v),
                DType::I64 => cast_step::<$x, i64>(p, v),
                DType::Bool => cast_step::<$x, bool>(p, v),
            }
        };
    }
    match v.tensor(0)?.dtype {
        DType::F32 => from!(f32),
        DType::F16 => from!(half::f16),
        DType::I8 => from!(i8),
        DType::U8 | DType::Bool => from!(u8),
        DType::I16 => from!(i16),
        DType::I32 => from!(i32),
        DType::I64 => from!(i64),
    }
}
