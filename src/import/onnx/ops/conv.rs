//! Convolutions.

use super::super::context::{Context, Stop};
use super::super::window::{AutoPad, RawWindow, Window, distribute, height_width, sizes};
use super::{spatial, volume};
use crate::graph::{Clamp, Conv, ConvTranspose, Dim, TensorId};

/// Weights of a convolution as the file has them: two dimensions of channels, then the spatial ones.
pub(super) struct Weights {
    pub id: TensorId,
    /// `O, C / groups` of a convolution, `C, O / groups` of a transposed one.
    pub channels: [usize; 2],
    /// The kernel's extents, one to three.
    pub kernel: Vec<usize>,
}

/// Inputs 1 and 2: weights and bias.
fn weights(cx: &Context, x: TensorId) -> Result<(Weights, Option<TensorId>), Stop> {
    let (id, bias) = (cx.input(1)?, cx.optional(2)?);
    cx.need_float(x)?;
    cx.need_float(id)?;
    for (what, id) in [("weights", Some(id)), ("bias", bias)] {
        if let Some(id) = id.filter(|id| !cx.is_constant(*id)) {
            let name = &cx.tensor(id).name;
            return Err(Stop::because(format!("its {what} ('{name}') must be constant")));
        }
    }
    let dims = cx.shape(id).dims().unwrap_or_default();
    match dims[..] {
        [a, b, ref kernel @ ..] if dims.len() == cx.rank(x) => {
            Ok((Weights { id, channels: [a, b], kernel: kernel.to_vec() }, bias))
        }
        _ => Err(Stop::because(format!(
            "its weights have rank {}, its input has rank {}",
            dims.len(),
            cx.rank(x)
        ))),
    }
}

pub(super) fn groups(group: i64) -> Result<usize, Stop> {
    usize::try_from(group)
        .ok()
        .filter(|&g| g > 0)
        .ok_or_else(|| Stop::because(format!("attribute 'group' is {group}, it must be positive")))
}

/// Refuses an input whose channels are not those of the weights.
pub(super) fn check_channels(cx: &Context, x: TensorId, wanted: Option<usize>) -> Result<(), Stop> {
    let found = cx.extent(x, 1);
    match (wanted, found) {
        (None, _) => Err(Stop::because("its weights and 'group' don't go together")),
        (Some(w), Some(f)) if w != f => {
            Err(Stop::because(format!("the weights are for {w} channels, the input has {f}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn conv(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, true)?;
    let groups = groups(attrs.int_or("group", 1)?)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let (w, bias) = weights(cx, x)?;
    let [o, c] = w.channels;
    check_channels(cx, x, c.checked_mul(groups).filter(|_| o % groups == 0))?;
    if cx.rank(x) == 5 {
        let windows = raw.over_volume(Some(&w.kernel))?;
        return volume::conv(cx, x, windows, w, bias, groups);
    }
    let window = raw.over(cx.rank(x), Some(&w.kernel))?;
    let [h, k] = window.kernel;
    let ohwi = cx.reordered_weights(w.id, "ohwi", &[o, c, h, k], &spatial::TO_NHWC, &[o, h, k, c])?;
    let op = Conv {
        strides: window.strides,
        pads: window.padding(spatial::height_width(cx, x)?)?,
        dilations: window.dilations,
        groups,
        clamp: Clamp::NONE,
    };
    spatial::in_nhwc(cx, op, x, &[Some(ohwi), bias])
}

pub(super) fn conv_transpose(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, true)?;
    let groups = groups(attrs.int_or("group", 1)?)?;
    let output_padding = attrs.ints("output_padding")?;
    let output_shape = attrs.ints("output_shape")?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let (w, bias) = weights(cx, x)?;
    let spatial = w.kernel.len();
    let output_padding =
        output_padding.map(|given| sizes("output_padding", given, spatial, 0)).transpose()?;
    let output_shape = output_shape.map(|given| output_sizes(given, spatial)).transpose()?;
    let [c, per_group] = w.channels;
    check_channels(cx, x, (c % groups == 0).then_some(c))?;
    let outputs = per_group.checked_mul(groups).ok_or_else(|| Stop::because("its channels overflow"))?;
    if cx.rank(x) == 5 {
        let windows = raw.over_volume(Some(&w.kernel))?;
        return volume::conv_transpose(cx, x, windows, w, bias, groups, [output_padding, output_shape]);
    }
    let window = raw.over(cx.rank(x), Some(&w.kernel))?;
    let output_padding = output_padding.map_or([0; 2], |given| height_width(&given, 0));
    let output_shape = output_shape.map(|given| height_width(&given, 1));
    let [h, k] = window.kernel;
    // [G, C/G, O/G, H, W] -> [G, O/G, H, W, C/G]
    let grouped = [groups, c / groups, per_group, h, k];
    let ohwi = [outputs, h, k, c / groups];
    let ohwi = cx.reordered_weights(w.id, "ohwi", &grouped, &[0, 2, 3, 4, 1], &ohwi)?;
    let input = spatial::height_width(cx, x)?;
    let border = Border::new(&window, input, output_padding, output_shape)?;
    let op = ConvTranspose {
        strides: window.strides,
        pads: border.pads,
        output_pads: border.output_pads,
        dilations: window.dilations,
        groups,
        clamp: Clamp::NONE,
    };
    spatial::in_nhwc(cx, op, x, &[Some(ohwi), bias])
}

/// The wanted extents: the spatial ones, or all of them as some exporters write.
fn output_sizes(given: &[i64], spatial: usize) -> Result<Vec<usize>, Stop> {
    let given = if given.len() == spatial + 2 { &given[2..] } else { given };
    let size = |&v: &i64| usize::try_from(v).ok().filter(|&v| v > 0);
    match given.iter().map(size).collect::<Option<Vec<usize>>>() {
        Some(sizes) if sizes.len() == spatial => Ok(sizes),
        _ => Err(Stop::because(format!("attribute 'output_shape' is {given:?}: not {spatial} sizes"))),
    }
}

/// What is cut off and added around the full output of a transposed convolution.
pub(super) struct Border {
    pub pads: [usize; 4],
    pub output_pads: [usize; 2],
}

impl Border {
    pub fn new(
        window: &Window,
        input: [Dim; 2],
        output_pads: [usize; 2],
        output_shape: Option<[usize; 2]>,
    ) -> Result<Border, Stop> {
        let mut border = Border { pads: window.pads, output_pads };
        if window.auto_pad == AutoPad::Valid {
            border.pads = [0; 4];
        }
        for axis in 0..2 {
            let Some(surplus) = surplus(window, axis, input[axis], output_shape)? else {
                continue;
            };
            // Padding is cut off; where the full output is too small, rows are added at its end.
            let surplus = surplus + output_pads[axis] as i128;
            let total =
                usize::try_from(surplus.max(0)).map_err(|_| Stop::because("its padding overflows"))?;
            let added = usize::try_from((-surplus).max(0));
            let added = added.map_err(|_| Stop::because("its output is too large"))?;
            let [before, after] = distribute(total, window.auto_pad);
            (border.pads[axis], border.pads[axis + 2]) = (before, after);
            border.output_pads[axis] = output_pads[axis]
                .checked_add(added)
                .ok_or_else(|| Stop::because("its output is too large"))?;
        }
        Ok(border)
    }
}

/// By how much the full output exceeds the one that is asked for; `None` where none is asked for.
fn surplus(
    window: &Window,
    axis: usize,
    input: Dim,
    output_shape: Option<[usize; 2]>,
) -> Result<Option<i128>, Stop> {
    let (stride, reach) = (window.strides[axis] as i128, window.reach(axis) as i128);
    match (output_shape, window.auto_pad) {
        (Some(wanted), _) => {
            let n = input.fixed().ok_or_else(|| {
                Stop::because("its 'output_shape' needs an input of fixed height and width")
            })?;
            Ok(Some((n as i128 - 1) * stride + reach - wanted[axis] as i128))
        }
        // The output is input * stride: the input's extent cancels.
        (None, AutoPad::SameUpper | AutoPad::SameLower) => Ok(Some(reach - stride)),
        (None, _) => Ok(None),
    }
}
