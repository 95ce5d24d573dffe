//! Operators that look along axes: sums, means, extremes, softmax.

use super::super::{PlanError, Planned, Planner};
use super::{Call, NodeView, RowsCall, around, q16, values, values_mut};
use crate::graph::{ArgMax, Clamp, DType, Reduce, ReduceKind, Softmax};
use crate::run::{Io, Views};
use ottava_kernels::pool::Extremum;
use ottava_kernels::q16::reduce::reduce_sum;
use ottava_kernels::reduce::{
    MAX_QUANTIZED_TERMS, QReduce, ReduceFn, Reduction, argmax, reduce_f32, reduce_i64, reduce_max,
    reduce_min, reduce_sum_u8,
};
use ottava_kernels::softmax::{QSoftmax, softmax_f32};
use std::ops::Range;

fn call(
    v: NodeView<'_>,
    name: String,
    run: impl Fn(&mut Io<'_>) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    Ok(Planned::step(Call { name, run }, &[v.input(0)?], &v.node.outputs))
}

pub(super) fn plan_reduce(p: &Planner<'_>, v: NodeView<'_>, op: &Reduce) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    let dims = v.dims(x)?;
    let len: usize = dims.iter().product();
    let r = Reduction::new(&dims, &op.axes);
    let r = r.ok_or_else(|| v.unsupported(format!("axes {:?} do not fit the shape {dims:?}", op.axes)))?;
    let isa = p.isa;
    let name = format!("{}-{} {isa}", op.kind.name(), x.dtype);
    let f = match op.kind {
        ReduceKind::Mean => ReduceFn::Mean,
        ReduceKind::Sum => ReduceFn::Sum,
        ReduceKind::Max => ReduceFn::Max,
        ReduceKind::Min => ReduceFn::Min,
        ReduceKind::Prod => ReduceFn::Prod,
    };
    match (x.dtype, y.dtype, op.kind) {
        (DType::F32, DType::F32, _) => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_f32(isa, f, &r, values(x, len), values_mut(y));
        }),
        (DType::I64, DType::I64, _) => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_i64(f, &r, values(x, len), values_mut(y));
        }),
        (DType::U8, DType::U8, ReduceKind::Mean | ReduceKind::Sum) => {
            if r.terms() == 0 {
                return Err(v.unsupported("there is no mean or sum of no bytes: keep this node in float"));
            }
            if r.terms() > MAX_QUANTIZED_TERMS {
                return Err(v.unsupported(format!("a sum of {} bytes does not fit 32 bits", r.terms())));
            }
            let (xq, yq) = (v.affine(x)?, v.affine(y)?);
            let terms = if op.kind == ReduceKind::Mean { r.terms() as f32 } else { 1.0 };
            let multiplier = xq.scale / (yq.scale * terms);
            let sum = QReduce { x_zero_point: xq.zero, multiplier, out: yq.output(Clamp::NONE) };
            call(v, name, move |io| {
                let Views { inputs: [x], outputs: [y], .. } = io.one();
                reduce_sum_u8(isa, &r, &sum, &x[..len], y);
            })
        }
        (DType::I16, DType::I16, ReduceKind::Mean | ReduceKind::Sum) => {
            let factor = q16::sum_factor(v, r.terms(), op.kind == ReduceKind::Mean)?;
            call(v, name, move |io| {
                let Views { inputs: [x], outputs: [y], .. } = io.one();
                reduce_sum(isa, factor, &r, values(x, len), values_mut(y));
            })
        }
        (DType::I16, DType::I16, ReduceKind::Max) if x.quant == y.quant => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_max::<i16>(isa, &r, values(x, len), values_mut(y));
        }),
        (DType::I16, DType::I16, ReduceKind::Min) if x.quant == y.quant => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_min::<i16>(isa, &r, values(x, len), values_mut(y));
        }),
        (DType::U8, DType::U8, ReduceKind::Max) if x.quant == y.quant => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_max::<u8>(isa, &r, &x[..len], y);
        }),
        (DType::U8, DType::U8, ReduceKind::Min) if x.quant == y.quant => call(v, name, move |io| {
            let Views { inputs: [x], outputs: [y], .. } = io.one();
            reduce_min::<u8>(isa, &r, &x[..len], y);
        }),
        _ => Err(v.no_kernel()),
    }
}

pub(super) fn plan_softmax(p: &Planner<'_>, v: NodeView<'_>, op: &Softmax) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    let dims = around(v, &v.dims(x)?, op.axis)?;
    if x.dtype == DType::I16 && !op.log && dims[2] == 1 {
        return q16::plan_softmax(v, dims[0], dims[1]);
    }
    let (isa, log) = (p.isa, op.log);
    let name = format!("{}softmax-{}", if log { "log-" } else { "" }, x.dtype);
    let [rows, row_len] = [dims[0], dims[1] * dims[2]];
    let part = move |rows: Range<usize>| [rows.len(), dims[1], dims[2]];
    match (x.dtype, y.dtype) {
        (DType::F32, DType::F32) => {
            let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| {
                let x = values(&x[rows.start * row_len * 4..], rows.len() * row_len);
                softmax_f32(isa, part(rows), log, x, values_mut(y));
            };
            let (name, cost, stride) = (format!("{name} {isa}"), (rows * row_len) as u64 * 200, row_len * 4);
            let kernel = RowsCall { name, cost, rows, grain: 1, stride, inputs: [0], run };
            Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
        }
        (DType::U8, DType::U8) if !log => {
            let (xq, yq) = (v.affine(x)?, v.affine(y)?);
            let softmax = QSoftmax::new(xq.scale, yq.scale, yq.zero);
            let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| {
                let x = &x[rows.start * row_len..][..rows.len() * row_len];
                softmax.run(part(rows), x, y);
            };
            let (cost, stride) = ((rows * row_len) as u64 * 600, row_len);
            let kernel = RowsCall { name, cost, rows, grain: 1, stride, inputs: [0], run };
            Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
        }
        _ => Err(v.no_kernel()),
    }
}

pub(super) fn plan_argmax(v: NodeView<'_>, op: &ArgMax) -> Result<Planned, PlanError> {
    let x = v.tensor(0)?;
    let dims = around(v, &v.dims(x)?, op.axis)?;
    if dims[1] == 0 {
        return Err(v.unsupported("there is no greatest of nothing"));
    }
    match x.dtype {
        DType::F32 => argmax_step::<f32>(v, dims, op.select_last),
        DType::U8 => argmax_step::<u8>(v, dims, op.select_last),
        DType::I16 => argmax_step::<i16>(v, dims, op.select_last),
        DType::I64 => argmax_step::<i64>(v, dims, op.select_last),
        _ => Err(v.no_kernel()),
    }
}

fn argmax_step<T: Extremum + bytemuck::Pod>(
    v: NodeView<'_>,
    dims: [usize; 3],
    last: bool,
) -> Result<Planned, PlanError> {
    call(v, format!("argmax-{}", v.tensor(0)?.dtype), move |io| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        argmax::<T>(dims, last, values(x, dims.iter().product()), values_mut(y));
    })
}
