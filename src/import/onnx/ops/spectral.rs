//! Fourier transforms as products with constant matrices, and the windows in front of them.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{Clamp, Conv, DType, Data, Linear, Reshape, TensorId, Transpose, Unsqueeze};
use std::f64::consts::TAU;

/// Refuses a table that would be out of proportion to the file.
fn room_for(cx: &Context, dims: &[usize]) -> Result<(), Stop> {
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match count.filter(|&n| n <= cx.state.room / size_of::<f32>()) {
        Some(_) => Ok(()),
        None => Err(Stop::because(format!("a transform of {dims:?} factors is too large for this model"))),
    }
}

/// A positive number that must be known.
fn length(cx: &Context, id: TensorId, what: &str) -> Result<usize, Stop> {
    match cx.need_ints(id, what)?[..] {
        [n] => usize::try_from(n).ok().filter(|&n| n > 0),
        _ => None,
    }
    .ok_or_else(|| Stop::because(format!("{what} is not one positive number")))
}

/// Cosine and sine of `-2 pi k n / count`: exact multiples of the circle, whatever the product.
fn root(k: usize, n: usize, count: usize) -> [f64; 2] {
    let angle = -TAU * ((k as u128 * n as u128 % count as u128) as f64) / count as f64;
    [angle.cos(), angle.sin()]
}

/// Frequencies that are given out.
fn bins(count: usize, one_sided: bool) -> usize {
    if one_sided { count / 2 + 1 } else { count }
}

/// Transforms of frames of a real signal `[N, L]` or `[N, L, 1]`, each weighted with a window: a convolution with one
/// filter for the real and one for the imaginary part of each frequency. Output `[N, frames, frequencies, 2]`.
pub(super) fn stft(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let one_sided = attrs.flag("onesided", true)?;
    attrs.finish()?;
    let (x, step, window, frame) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?, cx.optional(3)?);
    cx.need_float(x)?;
    let step = length(cx, step, "its step")?;
    let values = match window {
        None => None,
        Some(id) => Some(cx.const_floats(id).ok_or_else(|| Stop::because("its window must be constant"))?),
    };
    let count = match (frame, &values) {
        (Some(frame), _) => length(cx, frame, "the length of its frames")?,
        (None, Some(values)) if !values.is_empty() => values.len(),
        _ => return Err(Stop::because("it has neither a window nor a length of frames")),
    };
    let values = values.unwrap_or_else(|| vec![1.0; count]);
    if values.len() != count || step > 1 << 15 || count > 1 << 15 {
        return Err(Stop::because(format!(
            "frames of {count} by steps of {step} with a window of {} are not supported",
            values.len()
        )));
    }
    let samples = match cx.shape(x)[..] {
        [_, len] => len,
        [_, len, last] if last.fixed() == Some(1) => len,
        _ => return Err(Stop::because("its signal must be real: [N, L] or [N, L, 1]")),
    };
    if samples.fixed().is_some_and(|n| n < count) {
        return Err(Stop::because("its signal is shorter than a frame"));
    }
    let bins = bins(count, one_sided);
    room_for(cx, &[bins, 2, count])?;
    let mut filters = vec![0f32; bins * 2 * count];
    for (k, pair) in filters.chunks_exact_mut(2 * count).enumerate() {
        for (n, &weight) in values.iter().enumerate() {
            let [re, im] = root(k, n, count);
            (pair[n], pair[count + n]) = ((re * f64::from(weight)) as f32, (im * f64::from(weight)) as f32);
        }
    }
    let filters = cx.constant("filters", DType::F32, &[2 * bins, 1, count, 1], Data::from_slice(&filters))?;
    // As an image of one channel and one row: [N, 1, L, 1].
    let axes = if cx.rank(x) == 2 { vec![1, 3] } else { vec![1] };
    let image = cx.inner("image", Unsqueeze { axes }, &[Some(x)])?;
    let op = Conv { strides: [1, step], pads: [0; 4], dilations: [1, 1], groups: 1, clamp: Clamp::NONE };
    let y = cx.core("frames", op, &[Some(image), Some(filters), None])?;
    // [N, 1, frames, 2 * frequencies]
    let frames = cx.extent(y, 2).and_then(|n| i64::try_from(n).ok());
    let batch = cx.extent(x, 0).and_then(|n| i64::try_from(n).ok());
    let sizes = match (batch, frames) {
        (None, None) => {
            return Err(Stop::because(
                "either the batch or the signal's length must be fixed: give inputs shapes",
            ));
        }
        (batch, frames) => [batch.unwrap_or(-1), frames.unwrap_or(-1), bins as i64, 2],
    };
    let sizes = cx.int_vector("shape", &sizes)?;
    cx.last("parts", Reshape { allow_zero: false }, &[Some(y), Some(sizes)])
}

/// The transform along one dimension of `[.., L, .., 1 or 2]`: real, or real and imaginary parts.
pub(super) fn dft(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (inverse, one_sided) = (attrs.flag("inverse", false)?, attrs.flag("onesided", false)?);
    let named = if cx.opset() < 20 { attrs.int_or("axis", 1)? } else { -2 };
    attrs.finish()?;
    let (x, count, along) = (cx.input(0)?, cx.optional(1)?, cx.optional(2)?);
    cx.need_float(x)?;
    if inverse && one_sided {
        return Err(Stop::because("a one-sided inverse is not supported"));
    }
    let rank = cx.rank(x);
    let given = match along {
        Some(_) if cx.opset() < 20 => {
            return Err(Stop::because("its axis is an input, but must be an attribute"));
        }
        Some(id) => match cx.need_ints(id, "its axis")?[..] {
            [given] => given,
            _ => return Err(Stop::because("its axis is not one number")),
        },
        None => named,
    };
    let at = axis(given, rank)?;
    let (Some(len), Some(parts @ (1 | 2))) = (cx.extent(x, at), cx.extent(x, rank - 1)) else {
        return Err(Stop::because("its length must be fixed, its last dimension 1 or 2"));
    };
    if at + 1 == rank {
        return Err(Stop::because("it can't run along the real and imaginary parts"));
    }
    let count = match count {
        Some(count) => length(cx, count, "its length")?,
        None => len,
    };
    let bins = bins(count, one_sided);
    room_for(cx, &[bins, 2, len, parts])?;
    // One row per output part; elements behind the end are zeros or left out.
    let share = if inverse { 1.0 / count.max(1) as f64 } else { 1.0 };
    let mut rows = vec![0f32; bins * 2 * len * parts];
    for (k, pair) in rows.chunks_exact_mut((2 * len * parts).max(1)).enumerate() {
        let (real, imaginary) = pair.split_at_mut(len * parts);
        for n in 0..len.min(count) {
            let [re, im] = root(k, n, count);
            let (re, im) = (re * share, if inverse { -im * share } else { im * share });
            (real[n * parts], imaginary[n * parts]) = (re as f32, im as f32);
            if parts == 2 {
                (real[n * parts + 1], imaginary[n * parts + 1]) = (-im as f32, re as f32);
            }
        }
    }
    let rows = cx.constant("rows", DType::F32, &[2 * bins, len * parts], Data::from_slice(&rows))?;
    // The dimension goes to the parts, both are one row of the product, and it goes back.
    let mut perm: Vec<usize> = (0..rank).filter(|&d| d != at).collect();
    perm.insert(rank - 2, at);
    let in_place = perm.is_sorted();
    let source = match in_place {
        true => x,
        false => cx.inner("turned", Transpose { perm: perm.clone() }, &[Some(x)])?,
    };
    let width = i64::try_from(len * parts).map_err(|_| Stop::because("its length overflows"))?;
    let line = cx.viewed("line", source, &[vec![0; rank - 2], vec![width]].concat())?;
    let y = cx.core("transform", Linear { clamp: Clamp::NONE }, &[Some(line), Some(rows), None])?;
    let y = cx.viewed("bins", y, &[vec![0; rank - 2], vec![bins as i64, 2]].concat())?;
    if in_place {
        return Ok(vec![y]);
    }
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(i, &d)| back[d] = i);
    cx.last("back", Transpose { perm: back }, &[Some(y)])
}

/// A window of constant length: a sum of cosines.
pub(super) fn window(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let periodic = attrs.flag("periodic", true)?;
    let float = attrs.int_or("output_datatype", 1)? == 1;
    attrs.finish()?;
    let size = cx.input(0)?;
    let size = length(cx, size, "its length")?;
    room_for(cx, &[size])?;
    if !float {
        return Err(Stop::because("attribute 'output_datatype' must be FLOAT"));
    }
    let shares = match cx.node.op_type.as_str() {
        "HannWindow" => [0.5, 0.5, 0.0],
        // The standard's numbers, of which the usual 0.54 and 0.46 are roundings.
        "HammingWindow" => [25.0 / 46.0, 21.0 / 46.0, 0.0],
        _ => [0.42, 0.5, 0.08],
    };
    let around = if periodic { size } else { size - 1 };
    let value = |n: usize| {
        let angle = TAU * n as f64 / around.max(1) as f64;
        (shares[0] - shares[1] * angle.cos() + shares[2] * (2.0 * angle).cos()) as f32
    };
    let values: Vec<f32> = (0..size).map(value).collect();
    let name = cx.output(0);
    Ok(vec![cx.constant_named(&name, DType::F32, &[size], Data::from_slice(&values))?])
}
