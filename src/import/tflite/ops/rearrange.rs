//! Operators that move elements between dimensions, repeat or mirror them.

use super::super::super::node::{Stop, axes};
use super::super::context::Context;
use super::dim;
use crate::graph::{Concat, Expand, Pad, PadMode, Reshape, Slice, TensorId, Tile, Transpose};

/// Height, width and channels of `x`, which must be fixed.
fn fixed_image(cx: &Context, x: TensorId) -> Result<[usize; 3], Stop> {
    match cx.image(x)?.map(|d| d.fixed()) {
        [_, Some(h), Some(w), Some(c)] => Ok([h, w, c]),
        _ => Err(Stop::because("its input's height, width and channels must be fixed")),
    }
}

/// `DepthToSpaceOptions`, `SpaceToDepthOptions`: block_size.
fn block_size(cx: &Context) -> Result<usize, Stop> {
    let size = cx.options.scalar::<i32>(0, 0)?;
    usize::try_from(size)
        .ok()
        .filter(|&b| (1..1 << 15).contains(&b))
        .ok_or_else(|| Stop::because(format!("its block size is {size}")))
}

/// `x` as the dimensions `split`, reordered, as the dimensions `joined`; -1 stands for the batch.
fn shuffled(
    cx: &mut Context,
    x: TensorId,
    split: &[i64],
    perm: &[usize],
    joined: &[i64],
) -> Result<Vec<TensorId>, Stop> {
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let parts = cx.reshaped("parts", x, split)?;
    let moved = cx.inner("moved", Transpose { perm: perm.to_vec() }, &[parts], form)?;
    let shape = cx.int_vector("shape", joined)?;
    cx.emit_moved(Reshape { allow_zero: false }, &[moved, shape])
}

pub(in super::super) fn depth_to_space(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, b) = (cx.input(0)?, block_size(cx)?);
    let [h, w, c] = fixed_image(cx, x)?;
    if c % (b * b) != 0 {
        return Err(Stop::because(format!("{c} channels can't be blocks of {b} by {b}")));
    }
    let split = [-1, dim(h), dim(w), dim(b), dim(b), dim(c / (b * b))];
    let joined = [-1, dim(h).saturating_mul(dim(b)), dim(w).saturating_mul(dim(b)), dim(c / (b * b))];
    shuffled(cx, x, &split, &[0, 1, 3, 2, 4, 5], &joined)
}

pub(in super::super) fn space_to_depth(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, b) = (cx.input(0)?, block_size(cx)?);
    let [h, w, c] = fixed_image(cx, x)?;
    if h % b != 0 || w % b != 0 {
        return Err(Stop::because(format!("{h} by {w} pixels can't be blocks of {b} by {b}")));
    }
    let split = [-1, dim(h / b), dim(b), dim(w / b), dim(b), dim(c)];
    let joined = [-1, dim(h / b), dim(w / b), dim(c).saturating_mul(dim(b * b))];
    shuffled(cx, x, &split, &[0, 1, 3, 2, 4, 5], &joined)
}

/// Two block sizes and what is padded or cut off: top, bottom, left, right.
fn blocks(cx: &Context) -> Result<([usize; 2], [usize; 4]), Stop> {
    let fault = || Stop::because("it must have blocks of height and width, and four paddings or crops");
    let length = |v: &i64| usize::try_from(*v).ok().filter(|&v| v < 1 << 15).ok_or_else(fault);
    let sizes = cx.ints(1, "block shape")?.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let border = cx.ints(2, "border")?.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let (sizes, border) = (<[usize; 2]>::try_from(sizes).ok(), <[usize; 4]>::try_from(border).ok());
    sizes.zip(border).filter(|(sizes, _)| !sizes.contains(&0)).ok_or_else(fault)
}

/// Inputs: x, block shape, paddings.
pub(in super::super) fn space_to_batch(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (mut x, ([b, d], [top, bottom, left, right])) = (cx.input(0)?, blocks(cx)?);
    let [h, w, c] = fixed_image(cx, x)?;
    if [top, bottom, left, right] != [0; 4] {
        let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
        let pads = [0, top, left, 0, 0, bottom, right, 0].map(dim);
        let pads = cx.int_vector("pads", &pads)?;
        x = cx.inner("padded", Pad { mode: PadMode::Constant }, &[x, pads], form)?;
    }
    let (h, w) = (h.saturating_add(top + bottom), w.saturating_add(left + right));
    if h % b != 0 || w % d != 0 {
        return Err(Stop::because(format!("{h} by {w} pixels can't be blocks of {b} by {d}")));
    }
    let split = [-1, dim(h / b), dim(b), dim(w / d), dim(d), dim(c)];
    shuffled(cx, x, &split, &[2, 4, 0, 1, 3, 5], &[-1, dim(h / b), dim(w / d), dim(c)])
}

/// Inputs: x, block shape, crops.
pub(in super::super) fn batch_to_space(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, ([b, d], [top, bottom, left, right])) = (cx.input(0)?, blocks(cx)?);
    let [h, w, c] = fixed_image(cx, x)?;
    let split = [dim(b), dim(d), -1, dim(h), dim(w), dim(c)];
    let (height, width) = (dim(h).saturating_mul(dim(b)), dim(w).saturating_mul(dim(d)));
    let joined = [-1, height, width, dim(c)];
    let perm = [2, 3, 0, 4, 1, 5];
    if [top, bottom, left, right] == [0; 4] {
        return shuffled(cx, x, &split, &perm, &joined);
    }
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let parts = cx.reshaped("parts", x, &split)?;
    let moved = cx.inner("moved", Transpose { perm: perm.to_vec() }, &[parts], form)?;
    let whole = cx.reshaped("whole", moved, &joined)?;
    let starts = cx.int_vector("starts", &[dim(top), dim(left)])?;
    let ends = [height.saturating_sub(dim(bottom)), width.saturating_sub(dim(right))];
    let (ends, along) = (cx.int_vector("ends", &ends)?, cx.int_vector("axes", &[1, 2])?);
    cx.emit_moved(Slice {}, &[whole, starts, ends, along])
}

/// Inputs: x, repeats.
pub(in super::super) fn tile(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, repeats) = (cx.input(0)?, cx.ints(1, "repeats")?);
    let repeats = cx.int_vector("repeats", &repeats)?;
    cx.emit_moved(Tile {}, &[x, repeats])
}

/// Inputs: x, shape.
pub(in super::super) fn broadcast_to(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, shape) = (cx.input(0)?, cx.ints(1, "shape")?);
    let shape = cx.int_vector("shape", &shape)?;
    cx.emit_moved(Expand {}, &[x, shape])
}

/// Inputs: x, axes.
pub(in super::super) fn reverse(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let along = axes(&cx.ints(1, "axes")?, cx.rank(x))?;
    let each = |value: i64| vec![value; along.len()];
    let along: Vec<i64> = along.iter().map(|&a| dim(a)).collect();
    let mut inputs = vec![x];
    for (tag, values) in
        [("starts", each(-1)), ("ends", each(i64::MIN)), ("axes", along.clone()), ("steps", each(-1))]
    {
        inputs.push(cx.int_vector(tag, &values)?);
    }
    cx.emit_moved(Slice {}, &inputs)
}

/// `MirrorPadOptions`: mode (REFLECT, SYMMETRIC). Inputs: x, pads `[rank, 2]`.
pub(in super::super) fn mirror_pad(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (mode, x) = (cx.options.scalar::<i8>(0, 0)?, cx.input(0)?);
    let pads = cx.ints(1, "padding")?;
    if pads.len() != 2 * cx.rank(x) || pads.iter().any(|&p| p < 0) {
        return Err(Stop::because(format!("its padding {pads:?} does not fit its input")));
    }
    match mode {
        0 => {
            let ends = pads.iter().skip(1).step_by(2);
            let pads: Vec<i64> = pads.iter().step_by(2).chain(ends).copied().collect();
            let pads = cx.int_vector("pads", &pads)?;
            cx.emit_moved(Pad { mode: PadMode::Reflect }, &[x, pads])
        }
        1 => symmetric_pad(cx, x, &pads),
        other => Err(Stop::because(format!("its mode has the number {other}"))),
    }
}

/// Axis by axis: what is next to an edge backwards, the edge included, then the whole, then the other edge.
fn symmetric_pad(cx: &mut Context, mut x: TensorId, pads: &[i64]) -> Result<Vec<TensorId>, Stop> {
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let padded: Vec<usize> = (0..pads.len() / 2).filter(|a| pads[2 * a] > 0 || pads[2 * a + 1] > 0).collect();
    for &axis in &padded {
        let (before, after) = (pads[2 * axis], pads[2 * axis + 1]);
        let extent = cx.tensor(x).shape[axis].fixed().map(dim);
        let Some(extent) = extent.filter(|&n| before <= n && after <= n) else {
            return Err(Stop::because(
                "what it pads with must be within its input, whose extent must be fixed",
            ));
        };
        let last = if after == extent { i64::MIN } else { -1 - after };
        let mut joined = vec![];
        if before > 0 {
            joined.push(backwards(cx, &format!("before{axis}"), x, axis, [before - 1, i64::MIN])?);
        }
        joined.push(x);
        if after > 0 {
            joined.push(backwards(cx, &format!("after{axis}"), x, axis, [-1, last])?);
        }
        x = cx.inner(&format!("padded{axis}"), Concat { axis }, &joined, form.clone())?;
    }
    let perm = (0..cx.rank(x)).collect();
    cx.emit_moved(Transpose { perm }, &[x])
}

/// The elements along an axis from `start` back to the one behind `end`; i64::MIN is before the first.
fn backwards(
    cx: &mut Context,
    tag: &str,
    x: TensorId,
    axis: usize,
    [start, end]: [i64; 2],
) -> Result<TensorId, Stop> {
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    let mut inputs = vec![x];
    for (what, value) in [("starts", start), ("ends", end), ("axes", dim(axis)), ("steps", -1)] {
        inputs.push(cx.int_vector(&format!("{tag}.{what}"), &[value])?);
    }
    cx.inner(tag, Slice {}, &inputs, form)
}
