//! Pooling.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::super::window::{AutoPad, RawWindow, Window};
use super::{of_one, of_two, spatial, unpool, volume};
use crate::graph::{BinaryKind, Dim, Pool, PoolKind, Reduce, ReduceKind, TensorId, UnaryKind};

pub(super) fn max(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, cx.opset() >= 10)?;
    let ceil = ceil_mode(cx, &mut attrs)?;
    // How images are counted in the second output.
    let by_columns = cx.opset() >= 8 && attrs.flag("storage_order", false)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let mut outputs = pool(cx, x, raw.clone(), PoolKind::Max, ceil, false)?;
    if cx.is_read(1) {
        outputs.push(unpool::places(cx, x, outputs[0], raw, by_columns)?);
    }
    Ok(outputs)
}

pub(super) fn average(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, cx.opset() >= 19)?;
    let ceil = ceil_mode(cx, &mut attrs)?;
    let count_include_pad = attrs.flag("count_include_pad", false)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    pool(cx, x, raw, PoolKind::Average, ceil, count_include_pad)
}

/// `(sum of |x|^p) ^ (1 / p)` per window: the mean of the powers, padding counted in, times the window.
pub(super) fn lp(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, cx.opset() >= 18)?;
    if cx.opset() >= 18 && attrs.flag("ceil_mode", false)? {
        return Err(Stop::because("attribute 'ceil_mode' is 1: export it with explicit pads"));
    }
    let p = Norm::read(&mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let powers = p.powers(cx, x)?;
    let kernel = raw.kernel_size()?;
    let mean = pool(cx, powers, raw, PoolKind::Average, false, true)?;
    let kernel = cx.scalar("window", kernel)?;
    let sum = cx.inner("sum", of_two(BinaryKind::Mul), &[Some(mean[0]), Some(kernel)])?;
    Ok(vec![p.root(cx, sum)?])
}

/// The same over all of height and width.
pub(super) fn global_lp(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let p = Norm::read(&mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let axes = spatial_axes(cx, x)?;
    let powers = p.powers(cx, x)?;
    let sum = cx.inner("sum", Reduce { kind: ReduceKind::Sum, axes, keep_dims: true }, &[Some(powers)])?;
    Ok(vec![p.root(cx, sum)?])
}

/// Which power is summed and which root taken.
struct Norm(f32);

impl Norm {
    fn read(attrs: &mut Attrs) -> Result<Norm, Stop> {
        match attrs.int_or("p", 2)? {
            p @ 1..=64 => Ok(Norm(p as f32)),
            p => Err(Stop::because(format!("attribute 'p' is {p}, it must be 1 to 64"))),
        }
    }

    fn powers(&self, cx: &mut Context, x: TensorId) -> Result<TensorId, Stop> {
        if self.0 == 2.0 {
            return cx.inner("powers", of_two(BinaryKind::Mul), &[Some(x), Some(x)]);
        }
        let size = cx.inner("size", of_one(UnaryKind::Abs), &[Some(x)])?;
        self.power(cx, "powers", size, self.0)
    }

    fn root(&self, cx: &mut Context, sum: TensorId) -> Result<TensorId, Stop> {
        match self.0 == 2.0 {
            true => cx.inner("root", of_one(UnaryKind::Sqrt), &[Some(sum)]),
            false => self.power(cx, "root", sum, 1.0 / self.0),
        }
    }

    fn power(&self, cx: &mut Context, tag: &str, x: TensorId, exponent: f32) -> Result<TensorId, Stop> {
        if exponent == 1.0 {
            return Ok(x);
        }
        let exponent = cx.scalar(&format!("{tag}_exponent"), exponent)?;
        cx.inner(tag, of_two(BinaryKind::Pow), &[Some(x), Some(exponent)])
    }
}

fn ceil_mode(cx: &Context, attrs: &mut Attrs) -> Result<bool, Stop> {
    if cx.opset() >= 10 { attrs.flag("ceil_mode", false) } else { Ok(false) }
}

fn pool(
    cx: &mut Context,
    x: TensorId,
    raw: RawWindow,
    kind: PoolKind,
    ceil: bool,
    count_include_pad: bool,
) -> Result<Vec<TensorId>, Stop> {
    let over = |window: &Window, input| windowed(window, input, kind, ceil, count_include_pad);
    if cx.rank(x) == 5 {
        return volume::pool(cx, x, raw.over_volume(None)?, over);
    }
    let window = raw.over(cx.rank(x), None)?;
    let op = over(&window, spatial::height_width(cx, x)?)?;
    spatial::in_nhwc(cx, op, x, &[])
}

/// The pool with this window over an input of this height and width.
fn windowed(
    window: &Window,
    input: [Dim; 2],
    kind: PoolKind,
    ceil: bool,
    count_include_pad: bool,
) -> Result<Pool, Stop> {
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
    Ok(Pool {
        kind,
        kernel: window.kernel,
        strides: window.strides,
        pads,
        dilations: window.dilations,
        // With automatic padding the output's size is given, there is nothing to round.
        ceil: ceil && window.auto_pad == AutoPad::Explicit,
        count_include_pad,
    })
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
    let axes = spatial_axes(cx, x)?;
    cx.emit(Reduce { kind, axes, keep_dims: true }, &[Some(x)])
}

/// All dimensions but the batch and the channels.
fn spatial_axes(cx: &Context, x: TensorId) -> Result<Vec<usize>, Stop> {
    match cx.rank(x) {
        rank @ 3.. => Ok((2..rank).collect()),
        rank => Err(Stop::because(format!("the input has rank {rank}, it must be at least 3: [N, C, ...]"))),
    }
}
