//! Comparisons, choices, and elements picked by indices.

use super::super::super::node::{Stop, axis, of_one, of_two};
use super::super::context::Context;
use crate::graph::{
    BinaryKind, Cast, DType, Data, Gather, GatherElements, GatherRows, ScatterKind, ScatterRows, TensorId,
    TopK, Unary, UnaryKind, Unsqueeze, Where,
};

/// Comparisons: of quantized tensors, of the reals that they stand for.
pub(in super::super) fn compare(cx: &mut Context, kind: BinaryKind) -> Result<Vec<TensorId>, Stop> {
    let inputs = [cx.real(0)?, cx.real(1)?];
    cx.emit(of_two(kind), &inputs)
}

pub(in super::super) fn not_equal(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let inputs = [cx.real(0)?, cx.real(1)?];
    let op = of_two(BinaryKind::Equal);
    let equal = cx.inner("equal", op, &inputs, (DType::Bool, None))?;
    cx.emit(NOT, &[equal])
}

const NOT: Unary = of_one(UnaryKind::Not);

/// Of truth values.
pub(in super::super) fn logical(cx: &mut Context, kind: BinaryKind) -> Result<Vec<TensorId>, Stop> {
    let inputs = cx.inputs()?;
    cx.emit(of_two(kind), &inputs)
}

pub(in super::super) fn logical_not(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    cx.emit(NOT, &[x])
}

/// Inputs: condition, a, b. A vector of conditions before matrices chooses rows.
pub(in super::super) fn select(cx: &mut Context, by_rows: bool) -> Result<Vec<TensorId>, Stop> {
    let mut condition = cx.input(0)?;
    let x = cx.input(1)?;
    let rank = cx.rank(x);
    if by_rows && cx.rank(condition) == 1 && rank > 1 {
        condition =
            cx.inner("rows", Unsqueeze { axes: (1..rank).collect() }, &[condition], (DType::Bool, None))?;
    }
    let (a, b, out) = (cx.input(1)?, cx.input(2)?, cx.template(0)?);
    if [a, b].iter().all(|&x| cx.tensor(x).quant == out.quant) {
        return cx.emit(Where {}, &[condition, a, b]);
    }
    let (a, b) = (cx.real(1)?, cx.real(2)?);
    cx.emit_real(Where {}, &[condition, a, b])
}

/// Indices as i64.
fn indices(cx: &mut Context, i: usize) -> Result<TensorId, Stop> {
    let id = cx.input(i)?;
    match cx.tensor(id).dtype {
        DType::I32 | DType::I64 => cx.as_i64(i),
        other => Err(Stop::because(format!("its indices are {other}, they must be i32 or i64"))),
    }
}

/// `GatherOptions`: axis, batch_dims. Inputs: x, indices.
pub(in super::super) fn gather(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (at, batch) = (cx.options.scalar::<i32>(0, 0)?, cx.options.scalar::<i32>(1, 0)?);
    let x = cx.input(0)?;
    let at = axis(at.into(), cx.rank(x))?;
    if batch == 0 {
        let by = cx.input(1)?;
        return cx.emit_moved(Gather { axis: at }, &[x, by]);
    }
    let by = indices(cx, 1)?;
    let batch_dims = axis(batch.into(), cx.rank(by))?;
    if at != batch_dims {
        return Err(Stop::because(format!(
            "it gathers along axis {at} behind {batch_dims} batch dimensions: only the first one behind them is \
             supported"
        )));
    }
    let tuples = cx.inner("tuples", Unsqueeze { axes: vec![cx.rank(by)] }, &[by], (DType::I64, None))?;
    cx.emit_moved(GatherRows { batch_dims }, &[x, tuples])
}

/// Inputs: x, tuples of indices.
pub(in super::super) fn gather_nd(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, by) = (cx.input(0)?, indices(cx, 1)?);
    cx.emit_moved(GatherRows { batch_dims: 0 }, &[x, by])
}

/// Inputs: tuples of indices, values, shape. What is placed twice is added up.
pub(in super::super) fn scatter_nd(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (by, values, shape) = (indices(cx, 0)?, cx.input(1)?, cx.ints(2, "shape")?);
    let dtype = cx.tensor(values).dtype;
    if !matches!(dtype, DType::F32 | DType::I32 | DType::I64) {
        return Err(Stop::because(format!(
            "its values are {dtype}: floats and integers of 32 and 64 bits are supported"
        )));
    }
    let fault = || Stop::because(format!("its shape is {shape:?}"));
    let dims: Vec<usize> =
        shape.iter().map(|&d| usize::try_from(d).map_err(|_| fault())).collect::<Result<_, _>>()?;
    let bytes = dims.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d)).filter(|&n| n <= cx.state.room);
    let zeros = Data::from_bytes(&vec![0; bytes.ok_or_else(fault)?]);
    let zeros = cx.constant("zeros", dtype, &dims, zeros)?;
    cx.emit(ScatterRows { kind: ScatterKind::Add }, &[zeros, by, values])
}

/// Inputs: x, how many. Outputs: values, indices, along the last axis.
pub(in super::super) fn top_k(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, k) = (cx.input(0)?, cx.int(1, "count")?);
    let axis = cx.rank(x).checked_sub(1).ok_or_else(|| Stop::because("its input is a scalar"))?;
    let k = cx.int_vector("count", &[k])?;
    let by = cx.inner("places", TopK { axis, largest: true }, &[x, k], (DType::I64, None))?;
    let values = cx.emit_nth(0, GatherElements { axis }, &[x, by])?;
    let places = cx.template(1)?;
    Ok(vec![values, cx.push("indices", Cast {}, &[by], vec![places])?[0]])
}

/// Inputs: indices, rows.
pub(in super::super) fn embedding(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (by, rows, out) = (cx.input(0)?, cx.input(1)?, cx.template(0)?);
    if cx.tensor(rows).quant == out.quant && cx.tensor(rows).dtype == out.dtype {
        return cx.emit(Gather { axis: 0 }, &[rows, by]);
    }
    let rows = cx.real(1)?;
    cx.emit_real(Gather { axis: 0 }, &[rows, by])
}

/// `OneHotOptions`: axis. Inputs: indices, depth, value at the index, value elsewhere. An index out of range has none.
pub(in super::super) fn one_hot(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (by, depth) = (cx.input(0)?, cx.int(1, "depth")?);
    let rank = cx.rank(by) + 1;
    let at = axis(cx.options.scalar::<i32>(0, 0)?.into(), rank)?;
    let Some(n) = usize::try_from(depth).ok().filter(|&n| n.saturating_mul(8) <= cx.state.room) else {
        return Err(Stop::because(format!("its depth is {depth}")));
    };
    let all: Vec<i64> = (0..depth).collect();
    let mut dims = vec![1; rank];
    dims[at] = n;
    let all = cx.constant("all", DType::I64, &dims, Data::from_slice(&all))?;
    let by = indices(cx, 0)?;
    let by = cx.inner("spread", Unsqueeze { axes: vec![at] }, &[by], (DType::I64, None))?;
    let op = of_two(BinaryKind::Equal);
    let hit = cx.inner("hit", op, &[by, all], (DType::Bool, None))?;
    let (on, off) = (cx.input(2)?, cx.input(3)?);
    cx.emit(Where {}, &[hit, on, off])
}
