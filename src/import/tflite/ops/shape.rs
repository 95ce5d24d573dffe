//! Operators that change shapes.

use super::super::super::node::{Stop, axes, axis};
use super::super::context::Context;
use crate::graph::{Pad, PadMode, Squeeze, TensorId, Transpose, Unsqueeze};

/// `SqueezeOptions`: squeeze_dims.
pub(in super::super) fn squeeze(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let dims: Vec<i64> = cx.options.ints(0)?.into_iter().map(i64::from).collect();
    let x = cx.input(0)?;
    let axes = axes(&dims, cx.rank(x))?;
    cx.emit_moved(Squeeze { axes }, &[x])
}

pub(in super::super) fn expand_dims(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let axis = axis(cx.int(1, "axis")?, cx.rank(x) + 1)?;
    cx.emit_moved(Unsqueeze { axes: vec![axis] }, &[x])
}

pub(in super::super) fn transpose(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let perm = cx.ints(1, "permutation")?;
    let perm = perm.into_iter().map(|p| axis(p, cx.rank(x))).collect::<Result<_, _>>()?;
    cx.emit_moved(Transpose { perm }, &[x])
}

/// Pads are `[rank, 2]`: before and after. A third input is the value.
pub(in super::super) fn pad(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let pads = cx.ints(1, "padding")?;
    let ends = pads.iter().skip(1).step_by(2);
    let pads: Vec<i64> = pads.iter().step_by(2).chain(ends).copied().collect();
    let mut inputs = vec![x, cx.int_vector("pads", &pads)?];
    if cx.has(2) {
        let value = cx.input(2)?;
        if cx.tensor(value).data.is_none() || cx.tensor(value).quant != cx.tensor(x).quant {
            return Err(Stop::because("its value must be constant, with the input's scale and zero point"));
        }
        inputs.push(value);
    }
    cx.emit_moved(Pad { mode: PadMode::Constant }, &inputs)
}
