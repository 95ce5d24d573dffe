//! Parts of tensors.

use super::super::super::node::Stop;
use super::super::context::Context;
use crate::graph::{Slice, Squeeze, TensorId, Unsqueeze};

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

/// What a `STRIDED_SLICE` does, axis by axis.
#[derive(Default)]
struct Cuts {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Vec<i64>,
    steps: Vec<i64>,
    /// Axes of the input that go.
    shrunk: Vec<usize>,
    /// Axes of the output that are new.
    added: Vec<usize>,
}

impl Cuts {
    fn push(&mut self, axis: usize, start: i64, end: i64, step: i64) {
        self.axes.push(axis as i64);
        self.starts.push(start);
        self.ends.push(end);
        self.steps.push(step);
    }
}

/// `StridedSliceOptions`: begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask, offset. Inputs: x,
/// begin, end, strides.
pub(in super::super) fn strided(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let cuts = cuts(cx, cx.rank(x))?;
    let (dtype, quant) = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let mut inputs = vec![x];
    for (tag, values) in
        [("starts", &cuts.starts), ("ends", &cuts.ends), ("axes", &cuts.axes), ("steps", &cuts.steps)]
    {
        inputs.push(cx.int_vector(tag, values)?);
    }
    let (shrinks, adds) = (!cuts.shrunk.is_empty(), !cuts.added.is_empty());
    if !shrinks && !adds {
        return cx.emit_moved(Slice {}, &inputs);
    }
    let mut y = cx.inner("cut", Slice {}, &inputs, (dtype, quant.clone()))?;
    if !adds {
        return cx.emit_moved(Squeeze { axes: cuts.shrunk }, &[y]);
    }
    if shrinks {
        y = cx.inner("shrunk", Squeeze { axes: cuts.shrunk }, &[y], (dtype, quant))?;
    }
    cx.emit_moved(Unsqueeze { axes: cuts.added }, &[y])
}

fn cuts(cx: &Context, rank: usize) -> Result<Cuts, Stop> {
    let mask = |slot| cx.options.scalar::<i32>(slot, 0);
    let (no_begin, no_end, ellipsis, new, shrink) = (mask(0)?, mask(1)?, mask(2)?, mask(3)?, mask(4)?);
    let relative = cx.options.flag(5)?;
    let (starts, ends) = (cx.ints(1, "begin")?, cx.ints(2, "end")?);
    let steps = cx.ints(3, "strides")?;
    let fault = || Stop::because("its begin, end and strides do not fit its input");
    if starts.len() > 32 || ends.len() != starts.len() || steps.len() != starts.len() {
        return Err(fault());
    }
    let has = |mask: i32, i: usize| mask >> i & 1 != 0;
    let named = (0..starts.len()).filter(|&i| !has(ellipsis, i) && !has(new, i)).count();
    // What the dots stand for.
    let mut rest = rank.checked_sub(named).ok_or_else(fault)?;
    let (mut cuts, mut axis, mut out) = (Cuts::default(), 0, 0);
    for i in 0..starts.len() {
        if has(ellipsis, i) {
            axis += rest;
            out += rest;
            rest = 0;
            continue;
        }
        if has(new, i) {
            cuts.added.push(out);
            out += 1;
            continue;
        }
        let (mut start, mut end, step) = (starts[i], ends[i], steps[i]);
        let back = step < 0;
        if relative {
            end = start.saturating_add(end);
        }
        if has(shrink, i) {
            if step != 1 {
                return Err(Stop::because(format!("axis {axis} has a stride of {step}, and goes")));
            }
            cuts.shrunk.push(axis);
            cuts.push(axis, start, if start == -1 { i64::MAX } else { start.saturating_add(1) }, 1);
            axis += 1;
            continue;
        }
        if has(no_begin, i) {
            start = if back { i64::MAX } else { 0 };
        }
        if has(no_end, i) {
            end = if back { i64::MIN } else { i64::MAX };
        }
        cuts.push(axis, start, end, step);
        axis += 1;
        out += 1;
    }
    Ok(cuts)
}
