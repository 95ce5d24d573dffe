//! Scaling of images.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::positions::{self, Samples};
use super::spatial::{self, TO_NHWC};
use super::{axis, elementwise, of_two};
use crate::graph::{
    BinaryKind, DType, Data, Gather, NearestMode, Op, Quant, Requantize, Resample, ResampleFilter, Resize,
    ResizeCoord, ResizeMode, Shape, Tensor, TensorId,
};

/// What the output's size is.
enum Target {
    /// i64, for all dimensions.
    Sizes(TensorId),
    /// f32, for all dimensions.
    Scales(TensorId),
    /// Places of samples along some dimensions.
    Samples(Vec<Samples>),
}

/// Which sizes one scale for all axes may give.
#[derive(Clone, Copy)]
enum Aspect {
    /// At most those that are given.
    NotLarger,
    /// At least those that are given.
    NotSmaller,
}

pub(super) fn resize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let coordinates = cx.attrs().text_or("coordinate_transformation_mode", "half_pixel")?;
    if cx.opset() >= 11 && coordinates == "tf_crop_and_resize" {
        return positions::crop(cx, attrs);
    }
    let sampling = sampling(cx, &mut attrs)?;
    let (mut axes, mut aspect) = (None, None);
    if cx.opset() >= 18 {
        aspect = match attrs.text_or("keep_aspect_ratio_policy", "stretch")? {
            "stretch" => None,
            "not_larger" => Some(Aspect::NotLarger),
            "not_smaller" => Some(Aspect::NotSmaller),
            other => return Err(unsupported("keep_aspect_ratio_policy", other)),
        };
        axes = attrs.ints("axes")?;
    }
    attrs.finish()?;
    let x = cx.input(0)?;
    // Operator set 10 has no region of interest in front of the scales.
    let (scales, sizes) = match cx.opset() {
        10 => (cx.optional(1)?, None),
        _ => (cx.optional(2)?, cx.optional(3)?),
    };
    let some = |id: &TensorId| cx.extent(*id, 0) != Some(0);
    let target = match (scales.filter(some), sizes.filter(some)) {
        (Some(scales), None) => Target::Scales(scales),
        (None, Some(sizes)) => Target::Sizes(sizes),
        _ => return Err(Stop::because("it must have either scales or sizes")),
    };
    let target = match (aspect, target) {
        (Some(aspect), Target::Sizes(sizes)) => keeping_aspect(cx, &sampling, x, sizes, axes, aspect)?,
        (_, target) => target,
    };
    let target = match axes {
        Some(axes) => on_all_axes(cx, x, target, axes)?,
        None => target,
    };
    // Bytes that are mixed lose what is behind the point.
    let own = cx.dtype(x);
    if own.is_8bit() && sampling.mixes() {
        let quant = cx.tensor(x).quant.clone();
        let reals = reals(cx, x)?;
        let mixed = resized_by(cx, sampling, reals, target)?;
        let made = elementwise::to_dtype(cx, mixed[0], own)?;
        if let Some(quant) = quant {
            cx.state.build.describe(made[0], quant);
        }
        return Ok(made);
    }
    resized_by(cx, sampling, x, target)
}

/// Bytes as floats. Signed ones go over unsigned ones, which whatever computes them can give as well.
fn reals(cx: &mut Context, x: TensorId) -> Result<TensorId, Stop> {
    let quant = cx.tensor(x).quant.as_ref().and_then(|q| q.single());
    let (DType::I8, Some((scale, zero))) = (cx.dtype(x), quant) else {
        return cx.cast("reals", x, DType::F32);
    };
    let name = format!("{}/unsigned", cx.name);
    let unsigned = Tensor::value(name.as_str(), DType::U8, Shape::default());
    let unsigned = unsigned.with_quant(Quant::per_tensor(scale, zero + 128));
    let unsigned = cx.state.build.node_as(&name, Requantize {}, &[x], unsigned)?;
    let reals = cx.cast("reals", unsigned, DType::F32)?;
    let offset = cx.scalar("offset", 128.0)?;
    let op = of_two(BinaryKind::Sub);
    cx.inner("signed", op, &[Some(reals), Some(offset)])
}

fn resized_by(
    cx: &mut Context,
    sampling: Sampling,
    x: TensorId,
    target: Target,
) -> Result<Vec<TensorId>, Stop> {
    match (cx.opset(), &target, sampling) {
        (10, Target::Scales(scales), Sampling::Pair(op)) => first_version(cx, op, x, *scales),
        (_, _, sampling) => resized(cx, sampling, x, target),
    }
}

/// Which samples an output is made of.
enum Sampling {
    /// One or two along each axis.
    Pair(Resize),
    /// As many as a filter is wide.
    Wide(Resample),
}

impl Sampling {
    /// Outputs are made of several inputs.
    fn mixes(&self) -> bool {
        !matches!(self, Sampling::Pair(Resize { mode: ResizeMode::Nearest, .. }))
    }

    fn coord(&self) -> ResizeCoord {
        match self {
            Sampling::Pair(op) => op.coord,
            Sampling::Wide(op) => op.coord,
        }
    }
}

impl From<Sampling> for Op {
    fn from(sampling: Sampling) -> Op {
        match sampling {
            Sampling::Pair(op) => op.into(),
            Sampling::Wide(op) => op.into(),
        }
    }
}

/// The attributes that say how values are found.
fn sampling(cx: &Context, attrs: &mut Attrs) -> Result<Sampling, Stop> {
    if cx.opset() < 11 {
        let (coord, nearest) = (ResizeCoord::Asymmetric, NearestMode::Floor);
        return Ok(Sampling::Pair(Resize { mode: mode(attrs)?, coord, nearest }));
    }
    let (coord, nearest) = (coord(attrs)?, nearest(attrs)?);
    let coefficient = attrs.float_or("cubic_coeff_a", -0.75)?;
    let exclude_outside = attrs.flag("exclude_outside", false)?;
    let antialias = cx.opset() >= 18 && attrs.flag("antialias", false)?;
    // Of coordinates that are refused.
    attrs.ignore(&["extrapolation_value"]);
    let wide = |filter| Sampling::Wide(Resample { filter, coord, coefficient, antialias, exclude_outside });
    if attrs.text_or("mode", "nearest")? == "cubic" {
        return Ok(wide(ResampleFilter::Cubic));
    }
    match mode(attrs)? {
        ResizeMode::Linear if antialias || exclude_outside => Ok(wide(ResampleFilter::Linear)),
        ResizeMode::Nearest if antialias => {
            Err(Stop::because("attribute 'antialias' is 1, which the mode 'nearest' has no use for"))
        }
        mode => Ok(Sampling::Pair(Resize { mode, coord, nearest })),
    }
}

/// The first versions did not say which sample is nearest: the one before when enlarging, as for Upsample, the
/// one behind when reducing.
fn first_version(cx: &mut Context, op: Resize, x: TensorId, scales: TensorId) -> Result<Vec<TensorId>, Stop> {
    let nearest = match (op.mode, cx.const_floats(scales)) {
        (ResizeMode::Linear, _) => op.nearest,
        (_, Some(s)) if s.iter().all(|&s| s >= 1.0) => NearestMode::Floor,
        (_, Some(s)) if s.iter().all(|&s| s <= 1.0) => NearestMode::Ceil,
        _ => {
            return Err(Stop::because(
                "its scales must be constant and either enlarge or reduce: export it with operator set 11 or later",
            ));
        }
    };
    resized(cx, Sampling::Pair(Resize { nearest, ..op }), x, Target::Scales(scales))
}

/// The operator before Resize: scales as an attribute first, as an input in operator set 9.
pub(super) fn upsample(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let mode = mode(&mut attrs)?;
    let given = if cx.opset() < 9 { attrs.floats("scales")? } else { None };
    attrs.finish()?;
    let (x, input) = (cx.input(0)?, cx.optional(1)?);
    let scales = match (given, input) {
        (Some(given), None) => cx.constant("scales", DType::F32, &[given.len()], Data::from_slice(given))?,
        (None, Some(input)) if cx.opset() >= 9 => input,
        _ => {
            return Err(Stop::because("its scales are missing, or are not where this operator set has them"));
        }
    };
    let op = Resize { mode, coord: ResizeCoord::Asymmetric, nearest: NearestMode::Floor };
    first_version(cx, op, x, scales)
}

fn unsupported(name: &str, value: &str) -> Stop {
    Stop::because(format!("attribute '{name}' is '{value}', which is not supported"))
}

pub(super) fn mode(attrs: &mut Attrs) -> Result<ResizeMode, Stop> {
    match attrs.text_or("mode", "nearest")? {
        "nearest" => Ok(ResizeMode::Nearest),
        // What the first exporters of Upsample wrote.
        "linear" | "bilinear" => Ok(ResizeMode::Linear),
        other => Err(unsupported("mode", other)),
    }
}

fn coord(attrs: &mut Attrs) -> Result<ResizeCoord, Stop> {
    match attrs.text_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Ok(ResizeCoord::HalfPixel),
        "pytorch_half_pixel" => Ok(ResizeCoord::PytorchHalfPixel),
        "align_corners" => Ok(ResizeCoord::AlignCorners),
        "asymmetric" => Ok(ResizeCoord::Asymmetric),
        "half_pixel_symmetric" => Ok(ResizeCoord::HalfPixelSymmetric),
        other => Err(unsupported("coordinate_transformation_mode", other)),
    }
}

pub(super) fn nearest(attrs: &mut Attrs) -> Result<NearestMode, Stop> {
    match attrs.text_or("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => Ok(NearestMode::RoundPreferFloor),
        "round_prefer_ceil" => Ok(NearestMode::RoundPreferCeil),
        "floor" => Ok(NearestMode::Floor),
        "ceil" => Ok(NearestMode::Ceil),
        other => Err(unsupported("nearest_mode", other)),
    }
}

/// Sizes by the one scale with which no axis exceeds its size, or none falls short of it. Along `axes` (all if none are
/// named), in their order. Where that scale does not make an axis a whole number long, samples lie by the scale and
/// not by the length, which Resize by sizes can't express.
fn keeping_aspect(
    cx: &mut Context,
    sampling: &Sampling,
    x: TensorId,
    sizes: TensorId,
    axes: Option<&[i64]>,
    aspect: Aspect,
) -> Result<Target, Stop> {
    let rank = cx.rank(x);
    let axes = match axes {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let sizes = cx.need_ints(sizes, "sizes that keep the aspect ratio")?;
    let length = |&axis: &usize| cx.extent(x, axis).and_then(|n| i64::try_from(n).ok()).filter(|&n| n > 0);
    let lengths: Option<Vec<i64>> = axes.iter().map(length).collect();
    let lengths =
        lengths.ok_or_else(|| Stop::because("sizes that keep the aspect ratio need fixed extents"))?;
    if sizes.len() != axes.len() || sizes.iter().any(|&s| s <= 0) {
        return Err(Stop::because(format!("it has sizes {sizes:?} for {} axes", axes.len())));
    }
    // Fractions size / length are compared crosswise.
    let wide = |a: i64, b: i64| i128::from(a) * i128::from(b);
    let scales = sizes.iter().copied().zip(lengths.iter().copied());
    let by_scale = |a: &(i64, i64), b: &(i64, i64)| wide(a.0, b.1).cmp(&wide(b.0, a.1));
    let scale = match aspect {
        Aspect::NotLarger => scales.min_by(by_scale),
        Aspect::NotSmaller => scales.max_by(by_scale),
    };
    let (size, length) = scale.ok_or_else(|| Stop::because("it has no axes"))?;
    let scaled = |&n: &i64| {
        let whole = wide(n, size) % i128::from(length) == 0;
        i64::try_from(wide(n, size) / i128::from(length)).ok().filter(|_| whole)
    };
    let kept: Option<Vec<i64>> = lengths.iter().map(scaled).collect();
    if let Some(kept) = kept {
        return Ok(Target::Sizes(cx.int_vector("sizes", &kept)?));
    }
    let scale = size as f32 / length as f32;
    let mut samples = Vec::with_capacity(axes.len());
    for (&axis, &n) in axes.iter().zip(&lengths) {
        // To the nearest length, halves up.
        let rounded = (2 * wide(n, size) + i128::from(length)) / (2 * i128::from(length));
        let out =
            usize::try_from(rounded).ok().filter(|n| (1..=cx.state.room / size_of::<i64>()).contains(n));
        let out =
            out.ok_or_else(|| Stop::because(format!("dimension {axis} can't become {rounded} long")))?;
        let at = |o: usize| match sampling.coord() {
            ResizeCoord::PytorchHalfPixel if out == 1 => Some(0.0),
            ResizeCoord::HalfPixel | ResizeCoord::PytorchHalfPixel => Some((o as f32 + 0.5) / scale - 0.5),
            ResizeCoord::Asymmetric => Some(o as f32 / scale),
            ResizeCoord::AlignCorners | ResizeCoord::HalfPixelSymmetric => None,
        };
        let at = (0..out).map(at).collect::<Option<Vec<f32>>>().ok_or_else(|| {
            Stop::because(format!(
                "the scale {size}/{length} that keeps its aspect ratio does not make every axis a whole number long, \
                 for which its coordinates are not defined alike everywhere: export it with the sizes that it gives"
            ))
        })?;
        samples.push(Samples { axis, at });
    }
    Ok(Target::Samples(samples))
}

/// A target that is given for some axes only, for all of them.
fn on_all_axes(cx: &mut Context, x: TensorId, target: Target, axes: &[i64]) -> Result<Target, Stop> {
    let rank = cx.rank(x);
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let count = |found: usize| match found == axes.len() {
        true => Ok(()),
        false => Err(Stop::because(format!("it has {found} sizes or scales for {} axes", axes.len()))),
    };
    match target {
        Target::Scales(id) => {
            let given = cx.const_floats(id);
            let given = given.ok_or_else(|| Stop::because("scales along some axes only must be constant"))?;
            count(given.len())?;
            let mut all = vec![1.0f32; rank];
            axes.iter().zip(given).for_each(|(&axis, scale)| all[axis] = scale);
            Ok(Target::Scales(cx.constant("scales", DType::F32, &[rank], Data::from_slice(&all))?))
        }
        Target::Sizes(id) => {
            let given = cx.need_ints(id, "sizes along some axes only")?;
            count(given.len())?;
            let mut all = Vec::with_capacity(rank);
            for d in 0..rank {
                let size = match axes.iter().position(|&a| a == d) {
                    Some(i) => Some(given[i]),
                    None => cx.extent(x, d).and_then(|n| i64::try_from(n).ok()),
                };
                all.push(size.ok_or_else(|| {
                    Stop::because("sizes along some axes only need fixed extents along the others")
                })?);
            }
            Ok(Target::Sizes(cx.int_vector("sizes", &all)?))
        }
        Target::Samples(samples) => Ok(Target::Samples(samples)),
    }
}

/// Images are resized in NHWC, others as they are.
fn resized(cx: &mut Context, op: Sampling, x: TensorId, target: Target) -> Result<Vec<TensorId>, Stop> {
    let image = cx.rank(x) == 4;
    match target {
        Target::Sizes(id) => {
            let id = cx.as_i64(id)?;
            let id = if image { in_nhwc_order(cx, id)? } else { id };
            placed(cx, op, x, &[Some(id), None], image)
        }
        Target::Scales(id) => {
            cx.need_float(id)?;
            if op.coord() == ResizeCoord::AlignCorners {
                whole_lengths(cx, x, id)?;
            }
            let id = if image { in_nhwc_order(cx, id)? } else { id };
            placed(cx, op, x, &[None, Some(id)], image)
        }
        Target::Samples(samples) => match op {
            Sampling::Pair(op) => Ok(vec![positions::picked(cx, x, &samples, op.mode, op.nearest)?]),
            Sampling::Wide(_) => Err(Stop::because(
                "the scale that keeps its aspect ratio does not make every axis a whole number long: export it with \
                 the sizes that it gives",
            )),
        },
    }
}

/// Refuses scales that don't give whole lengths. Where corners are aligned, the standard then counts with the
/// fraction and the common runtimes with the length without it, so a network may mean either.
fn whole_lengths(cx: &Context, x: TensorId, scales: TensorId) -> Result<(), Stop> {
    for (axis, scale) in cx.const_floats(scales).unwrap_or_default().into_iter().enumerate() {
        let whole = |length: f32| length.fract() == 0.0;
        if !whole(scale) && !cx.extent(x, axis).is_some_and(|n| whole(n as f32 * scale)) {
            return Err(Stop::because(format!(
                "its scale {scale} does not make dimension {axis} a whole number long, for which 'align_corners' is \
                 not defined alike everywhere: export it with sizes"
            )));
        }
    }
    Ok(())
}

fn placed(
    cx: &mut Context,
    op: Sampling,
    x: TensorId,
    target: &[Option<TensorId>; 2],
    image: bool,
) -> Result<Vec<TensorId>, Stop> {
    match image {
        true => spatial::in_nhwc(cx, op, x, target),
        false => cx.emit(op, &[Some(x), target[0], target[1]]),
    }
}

/// One value per dimension, from NCHW to NHWC.
fn in_nhwc_order(cx: &mut Context, id: TensorId) -> Result<TensorId, Stop> {
    if cx.shape(id).dims().is_some_and(|d| d != [4]) {
        let shape = cx.shape(id);
        return Err(Stop::because(format!("it has {:?} sizes or scales for 4 dimensions", shape.dims())));
    }
    if let Some(v) = cx.const_floats(id)
        && let &[n, c, h, w] = &v[..]
    {
        return cx.constant("scales_nhwc", DType::F32, &[4], Data::from_slice(&[n, h, w, c]));
    }
    if cx.dtype(id) == DType::I64
        && let Some(v) = cx.const_ints(id)
        && let &[n, c, h, w] = &v[..]
    {
        return cx.int_vector("sizes_nhwc", &[n, h, w, c]);
    }
    let order = cx.int_vector("order", &TO_NHWC.map(|d| d as i64))?;
    cx.inner("sizes_nhwc", Gather { axis: 0 }, &[Some(id), Some(order)])
}
