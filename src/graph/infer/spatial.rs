//! Operators over images: convolution, pooling, padding, resizing.

use super::super::*;
use super::dims::{self, Extent, Window};
use super::integer::check_source;
use super::rules::check_vector;
use super::site::{Rule, Site};
use super::values::Element;

/// Windows down and to the right.
fn windows(
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    [top, left, bottom, right]: [usize; 4],
) -> [Window; 2] {
    let pads = [[top, bottom], [left, right]];
    std::array::from_fn(|i| Window {
        kernel: kernel[i],
        stride: strides[i],
        dilation: dilations[i],
        pads: pads[i],
        ceil: false,
    })
}

/// What the weights `[O,KH,KW,C/groups]` say, held against `channels` of the input.
fn weights(site: &Site, channels: Dim, groups: usize) -> Rule<(usize, [usize; 2])> {
    let layout = "[O,KH,KW,C/groups]";
    let shape = site.ranked::<4>(1, layout)?.map(Dim::fixed);
    let [Some(o), Some(kh), Some(kw), Some(c)] = shape else {
        return Err(format!("the weights {layout} have a free dimension"));
    };
    if groups == 0 || o % groups != 0 {
        return Err(format!("{o} output channels can't be split into {groups} groups"));
    }
    let needed = c.checked_mul(groups).ok_or("has too many channels")?;
    if dims::agree(channels, Dim::Fixed(needed)).is_none() {
        let (x, w) = (site.show(site.shape(0)?), site.show(site.shape(1)?));
        return Err(format!("x {x} and the weights {w} in {groups} groups differ in channels"));
    }
    Ok((o, [kh, kw]))
}

/// What a window over input 0 with the weights of input 1 gives.
pub(super) fn window_over(
    site: &Site,
    strides: [usize; 2],
    pads: [usize; 4],
    dilations: [usize; 2],
    groups: usize,
) -> Rule<Vec<Extent>> {
    let [n, h, w, c] = site.ranked(0, "[N,H,W,C]")?;
    let (o, kernel) = weights(site, c, groups)?;
    let [down, right] = windows(kernel, strides, dilations, pads);
    Ok(vec![Some(n), down.over(h)?, right.over(w)?, Some(Dim::Fixed(o))])
}

pub(super) fn conv(site: &Site, op: &Conv) -> Rule<Vec<Extent>> {
    let out = window_over(site, op.strides, op.pads, op.dilations, op.groups)?;
    if let Some(channels) = out[3] {
        check_vector(site, 2, channels)?;
    }
    check_source(site)?;
    Ok(out)
}

pub(super) fn conv_transpose(site: &Site, op: &ConvTranspose) -> Rule<Vec<Extent>> {
    let [n, h, w, c] = site.ranked(0, "[N,H,W,C]")?;
    let (o, kernel) = weights(site, c, op.groups)?;
    check_vector(site, 2, Dim::Fixed(o))?;
    let [down, right] = windows(kernel, op.strides, op.dilations, op.pads);
    let [below, beside] = op.output_pads;
    Ok(vec![Some(n), spread(down, below, h)?, spread(right, beside, w)?, Some(Dim::Fixed(o))])
}

/// The positions that a transposed convolution fills, without those that padding cuts off.
fn spread(window: Window, output_pad: usize, dim: Dim) -> Rule<Extent> {
    let reach = window.reach()?;
    let Dim::Fixed(len) = dim else { return Ok(None) };
    let full = len
        .checked_sub(1)
        .ok_or("transposed convolution of an empty dimension")?
        .checked_mul(window.stride)
        .and_then(|n| n.checked_add(reach)?.checked_add(output_pad))
        .ok_or("its output is too large")?;
    let [before, after] = window.pads;
    let left = full.checked_sub(before).and_then(|n| n.checked_sub(after)).filter(|&n| n > 0);
    let left = left.ok_or_else(|| format!("padding {before} and {after} cuts off all {full} positions"))?;
    Ok(Some(Dim::Fixed(left)))
}

pub(super) fn pool(site: &Site, op: &Pool) -> Rule<Vec<Extent>> {
    let [n, h, w, c] = site.ranked(0, "[N,H,W,C]")?;
    let over = |window: Window, dim: Dim| {
        let window = Window { ceil: op.ceil, ..window };
        check_nothing_empty(window, dim)?;
        window.over(dim)
    };
    let [down, right] = windows(op.kernel, op.strides, op.dilations, op.pads);
    Ok(vec![Some(n), over(down, h)?, over(right, w)?, Some(c)])
}

/// Fails if a pooling window could lie on padding only: it would have no greatest value and no mean.
fn check_nothing_empty(window: Window, dim: Dim) -> Rule<()> {
    let reach = window.reach()?;
    let [before, after] = window.pads;
    if before >= reach || after >= reach {
        return Err(format!("padding {before} and {after} is as wide as the window ({reach})"));
    }
    // Between the elements of a dilated window there is room for a dimension shorter than the dilation.
    let padded = before > 0 || after > 0 || window.ceil;
    match dim {
        Dim::Fixed(n) if padded && window.kernel > 1 && window.dilation > n => {
            Err(format!("a window dilated by {} can miss all {n} elements", window.dilation))
        }
        _ => Ok(()),
    }
}

pub(super) fn pad(site: &Site, op: &Pad) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    let rank = shape.rank();
    let pads = site.integers(1)?;
    if Some(pads.len()) != rank.checked_mul(2) {
        return Err(format!("has {} pads for {}", pads.len(), site.show(shape)));
    }
    if let Some(value) = site.optional(2)?
        && value.shape.elements() != Some(1)
    {
        return Err(format!("the value to pad with has the shape {}", site.show(&value.shape)));
    }
    let (begins, ends) = pads.split_at(rank);
    let extent = |i: usize| padded(op.mode, shape[i], begins[i], ends[i]);
    (0..rank).map(extent).collect()
}

fn padded(mode: PadMode, dim: Dim, begin: Element, end: Element) -> Rule<Extent> {
    let amount = |e: Element| match e {
        Element::Known(n) => usize::try_from(n)
            .map(Some)
            .map_err(|_| format!("the padding {n} is negative: elements are cut off by Slice")),
        _ => Ok(None),
    };
    let (Some(begin), Some(end)) = (amount(begin)?, amount(end)?) else { return Ok(None) };
    if begin == 0 && end == 0 {
        return Ok(Some(dim));
    }
    let Dim::Fixed(len) = dim else { return Ok(None) };
    let reachable = match mode {
        PadMode::Constant => true,
        PadMode::Reflect => begin < len && end < len,
        PadMode::Edge => len > 0,
    };
    if !reachable {
        return Err(format!("{} padding by {begin} and {end} needs more than {len} elements", mode.name()));
    }
    let out = len.checked_add(begin).and_then(|n| n.checked_add(end)).ok_or("its output is too large")?;
    Ok(Some(Dim::Fixed(out)))
}

pub(super) fn resize(site: &Site) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    let out = match (site.optional(1)?, site.optional(2)?) {
        (Some(_), None) => site.integers(1)?.into_iter().map(Element::extent).collect::<Rule<Vec<_>>>()?,
        (None, Some(scales)) => scaled(site, scales)?,
        _ => return Err("takes either sizes or scales".into()),
    };
    if out.len() != shape.rank() {
        return Err(format!("has {} sizes or scales for {}", out.len(), site.show(shape)));
    }
    for (dim, out) in shape.iter().zip(&out) {
        if *dim == Dim::Fixed(0) && *out != Some(Dim::Fixed(0)) {
            return Err(format!("an empty dimension of {} can't be resized", site.show(shape)));
        }
    }
    Ok(out)
}

/// The dimensions of input 0 multiplied by `scales` and rounded down.
fn scaled(site: &Site, scales: &Tensor) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    if scales.shape.rank() != 1 || dims::agree(scales.shape[0], Dim::Fixed(shape.rank())).is_none() {
        return Err(format!("the scales have the shape {}", site.show(&scales.shape)));
    }
    let Some(data) = &scales.data else { return Ok(vec![None; shape.rank()]) };
    let factors = data.to_vec::<f32>();
    if let Some(bad) = factors.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(format!("the scale {bad} is not finite and positive"));
    }
    let extent = |(&dim, &scale): (&Dim, &f32)| match dim {
        _ if scale == 1.0 => Ok(Some(dim)),
        Dim::Free(_) => Ok(None),
        Dim::Fixed(n) => {
            // In f32, as ONNX Runtime does: another precision would round some sizes differently.
            let out = (n as f32 * scale).floor();
            if out < 1.0 || out >= i64::MAX as f32 {
                return Err(format!("{n} elements can't be scaled by {scale}"));
            }
            Ok(Some(Dim::Fixed(out as usize)))
        }
    };
    shape.iter().zip(&factors).map(extent).collect()
}
