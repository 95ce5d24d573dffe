//! Pooling windows over NHWC.

use super::super::{PlanError, Planned, Planner};
use super::{NodeView, RowsCall, values, values_mut};
use crate::graph::{Clamp, DType, Pool as PoolOp, PoolKind};
use ottava_kernels::pool::{
    PoolShape, QAverage, avg_pool_codes, avg_pool_f32, avg_pool_i16, avg_pool_u8, max_pool,
};
use std::ops::Range;

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &PoolOp) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    let (&[n, h, w, c], &[_, oh, ow, _]) = (&xd[..], &yd[..]) else {
        return Err(v.unsupported("pooling needs a tensor of rank 4"));
    };
    let PoolOp { kernel, strides, dilations, pads: pad, count_include_pad, .. } = op.clone();
    let y_stride = v.spacing(c);
    let shape =
        PoolShape { n, h, w, c, kernel, strides, dilations, pad, oh, ow, count_include_pad, y_stride };
    let isa = p.isa;
    let name = format!("{}-pool-{} {isa}", op.kind.name(), x.dtype);
    let window = (kernel[0] * kernel[1]) as u64;
    let cost = (shape.y_len() as u64).saturating_mul(window).saturating_mul(4);
    let xn = shape.x_len();
    let lines = [n * oh, ow * y_stride * y.dtype.size()];
    match (op.kind, x.dtype, y.dtype) {
        (PoolKind::Max, DType::U8, DType::U8) if x.quant == y.quant => {
            let run = move |rows, x: &[u8], y: &mut [u8]| max_pool::<u8>(isa, &shape, &x[..xn], y, rows);
            step(v, name, cost, lines, run)
        }
        (PoolKind::Max, DType::U8, DType::U8) => {
            Err(v.unsupported("a maximum keeps its input's scale and zero point; the output has others"))
        }
        (PoolKind::Max, DType::F32, DType::F32) => {
            let run = move |rows, x: &[u8], y: &mut [u8]| {
                max_pool::<f32>(isa, &shape, values(x, xn), values_mut(y), rows)
            };
            step(v, name, cost, lines, run)
        }
        (PoolKind::Average, DType::U8, DType::U8) => {
            let (xq, yq) = (v.affine(x)?, v.affine(y)?);
            let average = QAverage {
                x_zero_point: xq.zero,
                x_scale: xq.scale,
                y_scale: yq.scale,
                out: yq.output(Clamp::NONE),
            };
            let run =
                move |rows, x: &[u8], y: &mut [u8]| avg_pool_u8(isa, &shape, &average, &x[..xn], y, rows);
            step(v, name, cost, lines, run)
        }
        (PoolKind::AverageUnsigned | PoolKind::AverageSigned, DType::U8, DType::U8)
            if x.quant == y.quant && !count_include_pad =>
        {
            let centre = if op.kind == PoolKind::AverageSigned { 128 } else { 0 };
            let run =
                move |rows, x: &[u8], y: &mut [u8]| avg_pool_codes(isa, &shape, centre, &x[..xn], y, rows);
            step(v, name, cost, lines, run)
        }
        (PoolKind::AverageUnsigned | PoolKind::AverageSigned, DType::U8, DType::U8) => Err(v.unsupported(
            "a mean of integers keeps its input's scale and zero point, and does not count padding in",
        )),
        (PoolKind::Max, DType::I16, DType::I16) if x.quant == y.quant => {
            let run = move |rows, x: &[u8], y: &mut [u8]| {
                max_pool::<i16>(isa, &shape, values(x, xn), values_mut(y), rows)
            };
            step(v, name, cost, lines, run)
        }
        // Sums of so many stay within an i32.
        (PoolKind::AverageSigned, DType::I16, DType::I16)
            if x.quant == y.quant && !count_include_pad && window <= 1 << 16 =>
        {
            let run = move |rows, x: &[u8], y: &mut [u8]| {
                avg_pool_i16(isa, &shape, values(x, xn), values_mut(y), rows)
            };
            step(v, name, cost, lines, run)
        }
        (_, DType::F32, DType::F32) => {
            let run = move |rows, x: &[u8], y: &mut [u8]| {
                avg_pool_f32(isa, &shape, values(x, xn), values_mut(y), rows)
            };
            step(v, name, cost, lines, run)
        }
        _ => Err(v.no_kernel()),
    }
}

/// The step of a pooling: `run` computes some of the output's lines. `lines`: how many there are, and the bytes from one
/// to the next.
fn step(
    v: NodeView<'_>,
    name: String,
    cost: u64,
    lines: [usize; 2],
    run: impl Fn(Range<usize>, &[u8], &mut [u8]) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| run(rows, x, y);
    let [rows, stride] = lines;
    let kernel = RowsCall { name, cost, rows, grain: 1, stride, inputs: [0], run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}
