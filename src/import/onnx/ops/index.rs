//! Elements by index, order, sums that run, and what is made of ranges.

use super::super::context::{Context, Stop};
use super::{axis, elementwise::to_dtype, of_two};
use crate::graph::{
    BinaryKind, Concat, CumSum, DType, Data, Gather, GatherElements, GatherRows, Range, Reshape,
    ScatterElements, ScatterKind, ScatterRows, ShapeOf, TensorId, TopK, Unsqueeze, Where,
};

pub(super) fn gather_elements(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 0)?;
    attrs.finish()?;
    let (x, index) = (cx.input(0)?, cx.input(1)?);
    let (axis, index) = (axis(given, cx.rank(x))?, cx.as_i64(index)?);
    cx.emit(GatherElements { axis }, &[Some(x), Some(index)])
}

pub(super) fn gather_nd(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let batch_dims = if cx.opset() >= 12 { attrs.int_or("batch_dims", 0)? } else { 0 };
    attrs.finish()?;
    let batch_dims = usize::try_from(batch_dims)
        .map_err(|_| Stop::because(format!("attribute 'batch_dims' is {batch_dims}")))?;
    let (x, index) = (cx.input(0)?, cx.input(1)?);
    let index = cx.as_i64(index)?;
    cx.emit(GatherRows { batch_dims }, &[Some(x), Some(index)])
}

/// What a constant condition picks along an axis, or of all elements.
pub(super) fn compress(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int("axis")?;
    attrs.finish()?;
    let (x, condition) = (cx.input(0)?, cx.input(1)?);
    let Some(picks) = cx.data(condition).filter(|_| cx.dtype(condition) == DType::Bool) else {
        return Err(Stop::because(
            "its condition must be constant: what depends on data has no fixed length",
        ));
    };
    let picked = picks.bytes().iter().enumerate().filter(|(_, b)| **b != 0);
    let picked: Vec<i64> = picked.map(|(i, _)| i as i64).collect();
    let (x, axis) = match given {
        Some(given) => (x, axis(given, cx.rank(x))?),
        None => {
            let line = cx.int_vector("line", &[-1])?;
            (cx.inner("all", Reshape { allow_zero: false }, &[Some(x), Some(line)])?, 0)
        }
    };
    let picked = cx.int_vector("picked", &picked)?;
    cx.emit(Gather { axis }, &[Some(x), Some(picked)])
}

/// Where a constant is not 0: one row of indices per dimension.
pub(super) fn non_zero(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let x = cx.input(0)?;
    let (Some(data), Some(dims)) = (cx.data(x), cx.shape(x).dims()) else {
        return Err(Stop::because(
            "how many places it gives depends on the data, but shapes must follow from shapes: cut the model in front \
             of it, or export it with a constant mask",
        ));
    };
    let elements = data.bytes().chunks_exact(cx.dtype(x).size());
    let float = cx.dtype(x) == DType::F32;
    // -0.0 is zero, too.
    let is_set = |bytes: &[u8]| match (float, bytes) {
        (true, [a, b, c, d]) => [*a, *b, *c, d & 0x7f] != [0; 4],
        _ => bytes.iter().any(|b| *b != 0),
    };
    let places: Vec<usize> = elements.enumerate().filter(|(_, e)| is_set(e)).map(|(i, _)| i).collect();
    let mut rows = Vec::with_capacity(dims.len() * places.len());
    for axis in 0..dims.len() {
        let inner: usize = dims[axis + 1..].iter().product();
        rows.extend(places.iter().map(|i| (i / inner % dims[axis]) as i64));
    }
    let name = cx.output(0);
    let shape = [dims.len(), places.len()];
    Ok(vec![cx.constant_named(&name, DType::I64, &shape, Data::from_slice(&rows))?])
}

fn scatter_kind(name: &str) -> Result<ScatterKind, Stop> {
    Ok(match name {
        "none" => ScatterKind::Replace,
        "add" => ScatterKind::Add,
        "mul" => ScatterKind::Mul,
        "max" => ScatterKind::Max,
        "min" => ScatterKind::Min,
        other => {
            return Err(Stop::because(format!("attribute 'reduction' is '{other}', which does not exist")));
        }
    })
}

pub(super) fn scatter_elements(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 0)?;
    let kind = scatter_kind(if cx.opset() >= 16 { attrs.text_or("reduction", "none")? } else { "none" })?;
    attrs.finish()?;
    let (x, index, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (axis, index) = (axis(given, cx.rank(x))?, cx.as_i64(index)?);
    cx.emit(ScatterElements { axis, kind }, &[Some(x), Some(index), Some(updates)])
}

pub(super) fn scatter_nd(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let kind = scatter_kind(if cx.opset() >= 16 { attrs.text_or("reduction", "none")? } else { "none" })?;
    attrs.finish()?;
    let (x, index, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let index = cx.as_i64(index)?;
    cx.emit(ScatterRows { kind }, &[Some(x), Some(index), Some(updates)])
}

pub(super) fn cum_sum(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (exclusive, reverse) = (attrs.flag("exclusive", false)?, attrs.flag("reverse", false)?);
    attrs.finish()?;
    let (x, along) = (cx.input(0)?, cx.input(1)?);
    let axis = match cx.need_ints(along, "its axis")?[..] {
        [given] => axis(given, cx.rank(x))?,
        _ => return Err(Stop::because("its axis is not one number")),
    };
    cx.emit(CumSum { axis, exclusive, reverse }, &[Some(x)])
}

/// The values are those at the indices.
pub(super) fn top_k(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", -1)?;
    let mut largest = true;
    if cx.opset() >= 11 {
        largest = attrs.flag("largest", true)?;
        // In order is one of the orders that may be any.
        attrs.flag("sorted", true)?;
    }
    let k = if cx.opset() < 10 { attrs.int("k")? } else { None };
    attrs.finish()?;
    let x = cx.input(0)?;
    let k = match (k, cx.optional(1)?) {
        (Some(k), None) => cx.int_vector("k", &[k])?,
        (None, Some(k)) => cx.as_i64(k)?,
        _ => return Err(Stop::because("how many values it takes is missing")),
    };
    let axis = axis(given, cx.rank(x))?;
    let index = cx.core("indices", TopK { axis, largest }, &[Some(x), Some(k)])?;
    let best = cx.last("values", GatherElements { axis }, &[Some(x), Some(index)])?;
    Ok(vec![best[0], index])
}

pub(super) fn range(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    attrs.ignore(&["stash_type"]);
    attrs.finish()?;
    let inputs = cx.inputs()?;
    let dtype = cx.dtype(inputs[0]);
    if dtype == DType::F32 {
        return float_range(cx, &inputs);
    }
    let mut bounds = Vec::with_capacity(3);
    for id in inputs {
        bounds.push(Some(cx.as_i64(id)?));
    }
    match dtype {
        DType::I64 => cx.emit(Range {}, &bounds),
        other => {
            let wide = cx.inner("wide", Range {}, &bounds)?;
            to_dtype(cx, wide, other)
        }
    }
}

/// Floats can't be told from shapes: they must be constant.
fn float_range(cx: &mut Context, inputs: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    let one = |id: TensorId| match cx.const_floats(id).as_deref() {
        Some([v]) => Ok(*v),
        _ => Err(Stop::because("start, limit and step must be constant where they are floats")),
    };
    let [start, limit, step] = [one(inputs[0])?, one(inputs[1])?, one(inputs[2])?];
    let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil();
    if !(count.is_finite() && count < 1e9) {
        return Err(Stop::because(format!("from {start} to {limit} by {step} are not a number of values")));
    }
    let count = count.max(0.0) as usize;
    // Refused before it is made if it would be out of proportion to the file.
    if count > cx.state.room / size_of::<f32>() {
        return Err(Stop::because(format!("{count} constants are too many for this model")));
    }
    let values: Vec<f32> = (0..count).map(|i| start + i as f32 * step).collect();
    let name = cx.output(0);
    Ok(vec![cx.constant_named(&name, DType::F32, &[count], Data::from_slice(&values))?])
}

/// A vector 0, 1, .. as long as dimension `of` of `x`, which lies along dimension `at` of a matrix.
fn numbered(cx: &mut Context, tag: &str, x: TensorId, of: usize, at: usize) -> Result<TensorId, Stop> {
    let [zero, one] = [0, 1].map(|n| Data::from_slice(&[n as i64]));
    let zero = cx.constant(&format!("{tag}/zero"), DType::I64, &[], zero)?;
    let one = cx.constant(&format!("{tag}/one"), DType::I64, &[], one)?;
    let shape = ShapeOf { start: of as i64, end: of as i64 + 1 };
    let len = cx.inner(&format!("{tag}/len"), shape, &[Some(x)])?;
    let all = cx.inner(&format!("{tag}/all"), Range {}, &[Some(zero), Some(len), Some(one)])?;
    cx.inner(tag, Unsqueeze { axes: vec![1 - at] }, &[Some(all)])
}

/// Column minus row for the last two dimensions of `x`: the number of the diagonal.
fn diagonals(cx: &mut Context, x: TensorId) -> Result<TensorId, Stop> {
    let rank = cx.rank(x);
    if rank < 2 {
        return Err(Stop::because(format!("its input has rank {rank}, it must be at least 2")));
    }
    let rows = numbered(cx, "rows", x, rank - 2, 0)?;
    let columns = numbered(cx, "columns", x, rank - 1, 1)?;
    cx.inner("diagonals", of_two(BinaryKind::Sub), &[Some(columns), Some(rows)])
}

/// One side of a diagonal is kept, the other one becomes zero.
pub(super) fn trilu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let upper = attrs.flag("upper", true)?;
    attrs.finish()?;
    let (x, k) = (cx.input(0)?, cx.optional(1)?);
    let k = match k {
        Some(k) => cx.as_i64(k)?,
        None => cx.int_vector("k", &[0])?,
    };
    let dtype = cx.dtype(x);
    let number = diagonals(cx, x)?;
    let kind = if upper { BinaryKind::GreaterEqual } else { BinaryKind::LessEqual };
    let kept = cx.inner("kept", of_two(kind), &[Some(number), Some(k)])?;
    let zero = cx.constant("zero", dtype, &[], Data::from_bytes(&vec![0; dtype.size()]))?;
    cx.emit(Where {}, &[Some(kept), Some(x), Some(zero)])
}

pub(super) fn eye_like(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let k = attrs.int_or("k", 0)?;
    let to = attrs.int("dtype")?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let dtype = match to {
        None => cx.dtype(x),
        Some(to) => {
            i32::try_from(to).ok().and_then(super::super::tensor::computed_dtype).ok_or_else(|| {
                Stop::because(format!("attribute 'dtype' is {to}, which can't be computed with"))
            })?
        }
    };
    if cx.rank(x) != 2 {
        return Err(Stop::because(format!("its input has rank {}, it must be 2", cx.rank(x))));
    }
    let number = diagonals(cx, x)?;
    let k = cx.int_vector("k", &[k])?;
    if dtype == DType::Bool {
        return cx.emit(of_two(BinaryKind::Equal), &[Some(number), Some(k)]);
    }
    let on = cx.inner("on", of_two(BinaryKind::Equal), &[Some(number), Some(k)])?;
    to_dtype(cx, on, dtype)
}

/// `on` where the number along the new axis is the index, `off` elsewhere.
pub(super) fn one_hot(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", -1)?;
    attrs.finish()?;
    let (index, depth, values) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let rank = cx.rank(index) + 1;
    let axis = axis(given, rank)?;
    let index = if cx.dtype(index) == DType::I64 { index } else { cx.cast("index", index, DType::I64)? };
    let depth = match cx.const_floats(depth).as_deref() {
        // Any number may say how deep it is.
        Some([v]) if v.fract() == 0.0 => cx.int_vector("depth", &[*v as i64])?,
        _ => cx.as_i64(depth)?,
    };
    let [zero, one] = [0, 1].map(|n| Data::from_slice(&[n as i64]));
    let zero = cx.constant("zero", DType::I64, &[], zero)?;
    let one = cx.constant("one", DType::I64, &[], one)?;
    // Negative indices count from the end, once.
    let below = cx.inner("below", of_two(BinaryKind::Less), &[Some(index), Some(zero)])?;
    let raised = cx.inner("raised", of_two(BinaryKind::Add), &[Some(index), Some(depth)])?;
    let raised = if cx.rank(index) == 0 {
        let scalar = cx.constant("no_axes", DType::I64, &[0], Data::from_bytes(&[]))?;
        cx.inner("raised_scalar", Reshape { allow_zero: false }, &[Some(raised), Some(scalar)])?
    } else {
        raised
    };
    let index = cx.inner("from_start", Where {}, &[Some(below), Some(raised), Some(index)])?;
    let index = cx.inner("spread", Unsqueeze { axes: vec![axis] }, &[Some(index)])?;
    let all = cx.inner("all", Range {}, &[Some(zero), Some(depth), Some(one)])?;
    let others = (1..rank - axis).collect();
    let all = cx.inner("along", Unsqueeze { axes: others }, &[Some(all)])?;
    let on = cx.inner("is_on", of_two(BinaryKind::Equal), &[Some(index), Some(all)])?;
    let off_value = cx.inner("off", Gather { axis: 0 }, &[Some(values), Some(zero)])?;
    let on_value = cx.inner("on", Gather { axis: 0 }, &[Some(values), Some(one)])?;
    cx.emit(Where {}, &[Some(on), Some(on_value), Some(off_value)])
}

/// Each sequence backwards up to its length, the rest as it is: element `t` is element `length - 1 - t`, or `t`.
pub(super) fn reverse_sequence(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (batch, time) = (attrs.int_or("batch_axis", 1)?, attrs.int_or("time_axis", 0)?);
    attrs.finish()?;
    let (x, lengths) = (cx.input(0)?, cx.input(1)?);
    let (batch, time) = match (batch, time) {
        (0, 1) => (0, 1),
        (1, 0) => (1, 0),
        _ => return Err(Stop::because("'batch_axis' and 'time_axis' must be 0 and 1")),
    };
    let lengths = cx.as_i64(lengths)?;
    let lengths = cx.inner("lengths", Unsqueeze { axes: vec![time] }, &[Some(lengths)])?;
    let at = numbered(cx, "at", x, time, time)?;
    let one = cx.int_vector("one", &[1])?;
    let last = cx.inner("last", of_two(BinaryKind::Sub), &[Some(lengths), Some(one)])?;
    let back = cx.inner("back", of_two(BinaryKind::Sub), &[Some(last), Some(at)])?;
    let inside = cx.inner("inside", of_two(BinaryKind::Less), &[Some(at), Some(lengths)])?;
    let from = cx.inner("from", Where {}, &[Some(inside), Some(back), Some(at)])?;
    // Rows are named by both coordinates.
    let rows = numbered(cx, "batches", x, batch, batch)?;
    let zero = cx.inner("zero", of_two(BinaryKind::Sub), &[Some(from), Some(from)])?;
    let rows = cx.inner("rows", of_two(BinaryKind::Add), &[Some(rows), Some(zero)])?;
    let [rows, from] = [("row", rows), ("place", from)]
        .map(|(tag, id)| cx.inner(tag, Unsqueeze { axes: vec![2] }, &[Some(id)]));
    let (rows, from) = (rows?, from?);
    let names = if time == 0 { [Some(from), Some(rows)] } else { [Some(rows), Some(from)] };
    let names = cx.inner("names", Concat { axis: 2 }, &names)?;
    cx.emit(GatherRows { batch_dims: 0 }, &[Some(x), Some(names)])
}
