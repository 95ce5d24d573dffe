//! Pooling.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::super::window::{AutoPad, RawWindow};
use super::spatial;
use crate::graph::{Pool, PoolKind, Reduce, ReduceKind, TensorId};

pub(super) fn max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, cx.opset() >= 10)?;
    let ceil = ceil_mode(cx, &mut attrs)?;
    // Only says how the indices are counted, which are not computed.
    attrs.ignore(&["storage_order"]);
    attrs.finish()?;
    pool(cx, raw, PoolKind::Max, ceil, false)
}

pub(super) fn average(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, cx.opset() >= 19)?;
    let ceil = ceil_mode(cx, &mut attrs)?;
    let count_include_pad = attrs.flag("count_include_pad", false)?;
    attrs.finish()?;
    pool(cx, raw, PoolKind::Average, ceil, count_include_pad)
}

fn ceil_mode(cx: &Context, attrs: &mut Attrs) -> Result<bool, Stop> {
    if cx.opset() >= 10 { attrs.flag("ceil_mode", false) } else { Ok(false) }
}

fn pool(
    cx: &mut Context,
    raw: RawWindow,
    kind: PoolKind,
    ceil: bool,
    count_include_pad: bool,
) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let window = raw.over(cx.rank(x), None)?;
    let input = spatial::height_width(cx, x)?;
    let pads = window.padding(input)?;
    for axis in 0..2 {
        let reach = window.reach(axis);
        // The standard's text says that the output is not rounded up, its shape inference and the runtimes do so.
        let even = |n: usize| n.checked_sub(reach).is_none_or(|n| n.is_multiple_of(window.strides[axis]));
        if ceil && window.auto_pad == AutoPad::Valid && !input[axis].fixed().is_some_and(even) {
            return Err(Stop::because(
                "'ceil_mode' with 'auto_pad' VALID is not defined alike everywhere: export it with explicit pads",
            ));
        }
        if pads[axis] >= reach || pads[axis + 2] >= reach {
            return Err(Stop::because(format!("its padding {pads:?} is as large as its window, {reach}")));
        }
    }
    let op = Pool {
        kind,
        kernel: window.kernel,
        strides: window.strides,
        pads,
        dilations: window.dilations,
        // With automatic padding the output's size is given, there is nothing to round.
        ceil: ceil && window.auto_pad == AutoPad::Explicit,
        count_include_pad,
    };
    spatial::in_nhwc(cx, op, x, &[])
}

pub(super) fn global_max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    global(cx, ReduceKind::Max)
}

pub(super) fn global_average(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    global(cx, ReduceKind::Mean)
}

fn global(cx: &mut Context, kind: ReduceKind) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    if rank < 3 {
        return Err(Stop::because(format!("the input has rank {rank}, it must be at least 3: [N, C, ...]")));
    }
    cx.emit(Reduce { kind, axes: (2..rank).collect(), keep_dims: true }, &[Some(x)])
}
