//! Padding.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{Gather, Pad, PadMode, Slice, TensorId};

/// What is put around.
#[derive(Clone, Copy)]
enum Around {
    /// What a node has a mode for.
    Mode(PadMode),
    /// The elements from the other end, again and again.
    Wrapped,
}

/// Padding and value are attributes at first, inputs from operator set 11 on.
pub(super) fn pad(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let mode = match attrs.text_or("mode", "constant")? {
        "constant" => Around::Mode(PadMode::Constant),
        "reflect" => Around::Mode(PadMode::Reflect),
        "edge" => Around::Mode(PadMode::Edge),
        "wrap" if cx.opset() >= 19 => Around::Wrapped,
        other => return Err(Stop::because(format!("attribute 'mode' is '{other}', which is not supported"))),
    };
    if cx.opset() < 11 {
        let pads = attrs.ints("pads")?.ok_or_else(|| Stop::because("attribute 'pads' is missing"))?;
        let value = attrs.float_or("value", 0.0)?;
        attrs.finish()?;
        let x = cx.input(0)?;
        // The default value is zero of any type.
        let value = match value {
            0.0 => None,
            value => Some(cx.scalar("value", value)?),
        };
        return known(cx, mode, x, pads, value);
    }
    attrs.finish()?;
    let (x, pads, value, axes) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?, cx.optional(3)?);
    let value = value.filter(|_| matches!(mode, Around::Mode(PadMode::Constant)));
    match (cx.const_ints(pads), axes) {
        (Some(pads), None) => known(cx, mode, x, &pads, value),
        (Some(pads), Some(axes)) => {
            let axes = cx.need_ints(axes, "its axes")?;
            let pads = on_all_axes(&pads, &axes, cx.rank(x))?;
            known(cx, mode, x, &pads, value)
        }
        (None, None) => {
            let Around::Mode(mode) = mode else {
                return Err(Stop::because("padding in the mode 'wrap' must be constant"));
            };
            let pads = cx.as_i64(pads)?;
            cx.emit(Pad { mode }, &[Some(x), Some(pads), value])
        }
        (None, Some(_)) => Err(Stop::because("padding along some axes only must be constant")),
    }
}

/// Begins, then ends, of all dimensions.
fn on_all_axes(pads: &[i64], axes: &[i64], rank: usize) -> Result<Vec<i64>, Stop> {
    if pads.len() != 2 * axes.len() {
        return Err(Stop::because(format!("it has {} paddings for {} axes", pads.len(), axes.len())));
    }
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    super::axes(&axes.iter().map(|&a| a as i64).collect::<Vec<_>>(), rank)?;
    let mut all = vec![0; 2 * rank];
    for (i, &axis) in axes.iter().enumerate() {
        all[axis] = pads[i];
        all[rank + axis] = pads[axes.len() + i];
    }
    Ok(all)
}

fn known(
    cx: &mut Context,
    mode: Around,
    x: TensorId,
    pads: &[i64],
    value: Option<TensorId>,
) -> Result<Vec<TensorId>, Stop> {
    let rank = cx.rank(x);
    if pads.len() != 2 * rank {
        return Err(Stop::because(format!("it has {} paddings for an input of rank {rank}", pads.len())));
    }
    let Around::Mode(mode) = mode else { return wrapped(cx, x, pads) };
    if pads.iter().all(|&p| p >= 0) {
        let pads = cx.int_vector("pads", pads)?;
        return cx.emit(Pad { mode }, &[Some(x), Some(pads), value]);
    }
    if mode != PadMode::Constant {
        return Err(Stop::because(format!("it cuts off elements ({pads:?}), in the mode '{}'", mode.name())));
    }
    // Negative padding cuts off: a slice, then the rest.
    let starts: Vec<i64> = pads[..rank].iter().map(|&p| p.min(0).saturating_neg()).collect();
    let ends: Vec<i64> = pads[rank..].iter().map(|&p| if p < 0 { p } else { i64::MAX }).collect();
    let starts = cx.int_vector("starts", &starts)?;
    let ends = cx.int_vector("ends", &ends)?;
    let cut = cx.inner("cut", Slice {}, &[Some(x), Some(starts), Some(ends)])?;
    let pads: Vec<i64> = pads.iter().map(|&p| p.max(0)).collect();
    let pads = cx.int_vector("pads", &pads)?;
    cx.emit(Pad { mode }, &[Some(cut), Some(pads), value])
}

/// The elements of each padded axis from the other end on, in the order of the numbers modulo its length.
fn wrapped(cx: &mut Context, x: TensorId, pads: &[i64]) -> Result<Vec<TensorId>, Stop> {
    let rank = cx.rank(x);
    if pads.iter().any(|&p| p < 0) {
        return Err(Stop::because(format!("it cuts off elements ({pads:?}), in the mode 'wrap'")));
    }
    let mut y = x;
    for axis in 0..rank {
        let (before, after) = (pads[axis], pads[rank + axis]);
        if before == 0 && after == 0 {
            continue;
        }
        let len = cx.extent(x, axis).and_then(|n| i64::try_from(n).ok()).filter(|&n| n > 0);
        let len = len.ok_or_else(|| {
            Stop::because(format!("the mode 'wrap' needs a fixed length of dimension {axis}"))
        })?;
        let end = len.checked_add(after);
        // Refused before it is made if it would be out of proportion to the file.
        let count = end.and_then(|n| n.checked_add(before)).and_then(|n| usize::try_from(n).ok());
        let Some(end) = end.filter(|_| count.is_some_and(|n| n <= cx.state.room / size_of::<i64>())) else {
            return Err(Stop::because(format!("its padding {pads:?} is too large for this model")));
        };
        let order: Vec<i64> = (-before..end).map(|i| i.rem_euclid(len)).collect();
        let order = cx.int_vector(&format!("order{axis}"), &order)?;
        y = cx.inner(&format!("wrapped{axis}"), Gather { axis }, &[Some(y), Some(order)])?;
    }
    Ok(vec![y])
}
