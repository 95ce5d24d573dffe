//! Resizing to samples whose places are worked out at import: for what no mode of `Resize` says where they lie.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::{axis, of_two};
use crate::graph::{BinaryKind, DType, Data, Gather, NearestMode, ResizeMode, TensorId, Where};

/// Where the samples along one axis lie, in lengths of input samples.
pub(super) struct Samples {
    pub axis: usize,
    pub at: Vec<f32>,
}

/// `values` along an axis, to be broadcast over the dimensions behind it.
fn along(cx: &mut Context, tag: &str, x: TensorId, axis: usize, values: &[f32]) -> Result<TensorId, Stop> {
    let mut dims = vec![1; cx.rank(x) - axis];
    dims[0] = values.len();
    cx.constant(tag, DType::F32, &dims, Data::from_slice(values))
}

/// The samples, one axis after the other: the nearest ones or those between two neighbours. Places outside are moved
/// to the nearest inside.
pub(super) fn picked(
    cx: &mut Context,
    x: TensorId,
    samples: &[Samples],
    mode: ResizeMode,
    nearest: NearestMode,
) -> Result<TensorId, Stop> {
    if mode == ResizeMode::Linear {
        cx.need_float(x)?;
    }
    let mut y = x;
    for Samples { axis, at } in samples {
        let axis = *axis;
        let last = cx.extent(x, axis).and_then(|n| n.checked_sub(1));
        let last =
            last.ok_or_else(|| Stop::because(format!("it needs a fixed length of dimension {axis}")))?;
        let inside = |at: &f32| at.clamp(0.0, last as f32);
        let pick = |tag: &str, cx: &mut Context, index: Vec<i64>| {
            let index = cx.int_vector(&format!("{tag}_of{axis}"), &index)?;
            cx.inner(&format!("{tag}{axis}"), Gather { axis }, &[Some(y), Some(index)])
        };
        if mode == ResizeMode::Nearest {
            let rounded = |at: f32| match nearest {
                NearestMode::RoundPreferFloor => (at - 0.5).ceil(),
                NearestMode::RoundPreferCeil => (at + 0.5).floor(),
                NearestMode::Floor => at.floor(),
                NearestMode::Ceil => at.ceil(),
            };
            let index = at.iter().map(|at| (rounded(inside(at)) as i64).min(last as i64));
            y = pick("nearest", cx, index.collect())?;
            continue;
        }
        let low: Vec<i64> = at.iter().map(|at| inside(at).floor() as i64).collect();
        let high = low.iter().map(|&i| (i + 1).min(last as i64)).collect();
        let shares: Vec<f32> = at.iter().zip(&low).map(|(at, &low)| inside(at) - low as f32).collect();
        let (a, b) = (pick("low", cx, low)?, pick("high", cx, high)?);
        let share = along(cx, &format!("share{axis}"), x, axis, &shares)?;
        let step = cx.inner(&format!("step{axis}"), of_two(BinaryKind::Sub), &[Some(b), Some(a)])?;
        let part = cx.inner(&format!("part{axis}"), of_two(BinaryKind::Mul), &[Some(step), Some(share)])?;
        y = cx.inner(&format!("mixed{axis}"), of_two(BinaryKind::Add), &[Some(a), Some(part)])?;
    }
    Ok(y)
}

/// Resize in the coordinates `tf_crop_and_resize`: the samples lie in a region, and what lies outside of the input has
/// one value.
pub(super) fn crop(cx: &mut Context, mut attrs: Attrs) -> Result<Vec<TensorId>, Stop> {
    let mode = super::resize::mode(&mut attrs)?;
    let nearest = super::resize::nearest(&mut attrs)?;
    let outside = attrs.float_or("extrapolation_value", 0.0)?;
    let plain = attrs.text_or("keep_aspect_ratio_policy", "stretch")? == "stretch";
    let [antialias, exclude] = ["antialias", "exclude_outside"].map(|name| attrs.flag(name, false));
    if !plain || antialias? || exclude? {
        return Err(Stop::because(
            "'tf_crop_and_resize' goes with neither 'keep_aspect_ratio_policy', 'antialias' nor 'exclude_outside'",
        ));
    }
    let axes = attrs.ints("axes")?;
    attrs.ignore(&["coordinate_transformation_mode", "cubic_coeff_a"]);
    attrs.finish()?;
    let (x, region) = (cx.input(0)?, cx.input(1)?);
    let given = |cx: &Context, i: usize| -> Result<Option<TensorId>, Stop> {
        Ok(cx.optional(i)?.filter(|id| cx.extent(*id, 0) != Some(0)))
    };
    let (scales, sizes) = (given(cx, 2)?, given(cx, 3)?);
    let rank = cx.rank(x);
    let axes = match axes {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let constant =
        |what: &str| Stop::because(format!("its {what} must be constant, one for each of its axes"));
    let count = axes.len();
    let region =
        cx.const_floats(region).filter(|r| r.len() == 2 * count).ok_or_else(|| constant("region"))?;
    let (starts, ends) = region.split_at(count);
    let mut samples = Vec::with_capacity(count);
    for (i, &axis) in axes.iter().enumerate() {
        let len = cx.extent(x, axis).filter(|&n| n > 0);
        let len = len.ok_or_else(|| Stop::because(format!("it needs a fixed length of dimension {axis}")))?;
        let (start, end) = (starts[i], ends[i]);
        let out = match (scales, sizes) {
            (Some(scales), None) => {
                let scales = cx.const_floats(scales).filter(|s| s.len() == count);
                let scale = scales.ok_or_else(|| constant("scales"))?[i];
                (len as f32 * (end - start) * scale).floor()
            }
            (None, Some(sizes)) => {
                let sizes = cx.const_ints(sizes).filter(|s| s.len() == count);
                sizes.ok_or_else(|| constant("sizes"))?[i] as f32
            }
            _ => return Err(Stop::because("it must have either scales or sizes")),
        };
        if !(out >= 1.0 && out as usize <= cx.state.room / size_of::<i64>()) {
            return Err(Stop::because(format!("dimension {axis} can't become {out} long")));
        }
        let last = len as f32 - 1.0;
        let at = |o: usize| match out > 1.0 {
            true => start * last + (o as f32 * (end - start) * last) / (out - 1.0),
            false => 0.5 * (start + end) * last,
        };
        let at: Vec<f32> = (0..out as usize).map(at).collect();
        // The whole axis as it is.
        let whole = at.len() == len && at.iter().enumerate().all(|(o, &at)| at == o as f32);
        if !whole {
            samples.push(Samples { axis, at });
        }
    }
    let mut y = picked(cx, x, &samples, mode, nearest)?;
    for Samples { axis, at } in &samples {
        let last = cx.extent(x, *axis).unwrap_or(0) as f32 - 1.0;
        let beyond: Vec<u8> = at.iter().map(|&at| u8::from(!(at >= 0.0 && at <= last))).collect();
        if beyond.contains(&1) {
            cx.need_float(x)?;
            let mut dims = vec![1; rank - axis];
            dims[0] = at.len();
            let beyond =
                cx.constant(&format!("beyond{axis}"), DType::Bool, &dims, Data::from_bytes(&beyond))?;
            let value = cx.scalar(&format!("outside{axis}"), outside)?;
            let inputs = [Some(beyond), Some(value), Some(y)];
            y = cx.inner(&format!("framed{axis}"), Where {}, &inputs)?;
        }
    }
    Ok(vec![y])
}
