//! Parts of tensors.

use super::super::super::node::Stop;
use super::super::context::Context;
use crate::graph::{Slice, Squeeze, TensorId};

/// Inputs: x, begin, size (-1: all that is left).
pub(in super::super) fn slice(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let (begin, size) = (cx.ints(1, "begin")?, cx.ints(2, "size")?);
    if begin.iter().any(|&b| b < 0) || size.iter().any(|&s| s < -1) || size.len() != begin.len() {
        return Err(Stop::because(format!("it can't start at {begin:?} and be {size:?} long")));
    }
    let end = |(b, s): (&i64, &i64)| if *s < 0 { i64::MAX } else { b.saturating_add(*s) };
    let ends: Vec<i64> = begin.iter().zip(&size).map(end).collect();
    let inputs = [x, cx.int_vector("starts", &begin)?, cx.int_vector("ends", &ends)?];
    cx.emit_moved(Slice {}, &inputs)
}

/// `StridedSliceOptions`: begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask, offset. Inputs: x,
/// begin, end, strides.
pub(in super::super) fn strided(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mask = |cx: &Context, slot| cx.options.scalar::<i32>(slot, 0);
    let (no_begin, no_end, shrink) = (mask(cx, 0)?, mask(cx, 1)?, mask(cx, 4)?);
    if mask(cx, 2)? != 0 || mask(cx, 3)? != 0 || cx.options.flag(5)? {
        return Err(Stop::because("ellipsis_mask, new_axis_mask and offset are not supported"));
    }
    let x = cx.input(0)?;
    let (mut starts, mut ends) = (cx.ints(1, "begin")?, cx.ints(2, "end")?);
    let steps = cx.ints(3, "strides")?;
    if starts.len() > cx.rank(x) || ends.len() != starts.len() || steps.len() != starts.len() {
        return Err(Stop::because("its begin, end and strides do not fit its input"));
    }
    let has = |mask: i32, i: usize| mask >> i & 1 != 0;
    let mut shrunk = vec![];
    for i in 0..starts.len() {
        let back = steps[i] < 0;
        if has(shrink, i) {
            shrunk.push(i);
            ends[i] = if starts[i] == -1 { i64::MAX } else { starts[i].saturating_add(1) };
            if steps[i] != 1 {
                return Err(Stop::because(format!("axis {i} has a stride of {}, and goes", steps[i])));
            }
            continue;
        }
        if has(no_begin, i) {
            starts[i] = if back { i64::MAX } else { 0 };
        }
        if has(no_end, i) {
            ends[i] = if back { i64::MIN } else { i64::MAX };
        }
    }
    let axes: Vec<i64> = (0..starts.len() as i64).collect();
    let mut inputs = vec![x];
    for (tag, values) in [("starts", &starts), ("ends", &ends), ("axes", &axes), ("steps", &steps)] {
        inputs.push(cx.int_vector(tag, values)?);
    }
    if shrunk.is_empty() {
        return cx.emit_moved(Slice {}, &inputs);
    }
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let cut = cx.inner("cut", Slice {}, &inputs, form)?;
    cx.emit_moved(Squeeze { axes: shrunk }, &[cut])
}
