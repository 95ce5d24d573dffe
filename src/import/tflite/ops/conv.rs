//! Convolutions.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::weights::{Operands, Order, Weights, take};
use super::super::window::{Window, is_same, pair};
use super::dim;
use crate::graph::{Clamp, Conv, ConvTranspose, Dim, TensorId};

/// `Conv2DOptions`: padding, stride_w, stride_h, fused_activation_function, dilation_w_factor, dilation_h_factor.
pub(in super::super) fn conv(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (clamp, dilations) = (cx.options.activation(3)?, pair(&cx.options, "dilation", 4, 1)?);
    let weights = take(cx, &Operands { x: 0, weights: 1, bias: 2, order: Order::OutputFirst })?;
    let [.., channels] = cx.image(weights.inputs[0])?;
    let groups = match (channels, &weights.dims[..]) {
        (Dim::Fixed(c), &[.., per_group]) if per_group > 0 => c / per_group,
        _ => 1,
    };
    emit(cx, &weights, dilations, groups, clamp)
}

/// `DepthwiseConv2DOptions`: padding, stride_w, stride_h, depth_multiplier, fused_activation_function,
/// dilation_w_factor, dilation_h_factor. The multiplier follows from the weights.
pub(in super::super) fn depthwise(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (clamp, dilations) = (cx.options.activation(4)?, pair(&cx.options, "dilation", 5, 1)?);
    let weights = take(cx, &Operands { x: 0, weights: 1, bias: 2, order: Order::OutputLast })?;
    let [.., channels] = cx.image(weights.inputs[0])?;
    let groups = channels.fixed().ok_or_else(|| Stop::because("its input's channels are free"))?;
    emit(cx, &weights, dilations, groups, clamp)
}

fn emit(
    cx: &mut Context,
    weights: &Weights,
    dilations: [usize; 2],
    groups: usize,
    clamp: Clamp,
) -> Result<Vec<TensorId>, Stop> {
    let [_, h, w, _] = cx.image(weights.inputs[0])?;
    let window = Window {
        kernel: kernel(&weights.dims)?,
        strides: pair(&cx.options, "stride", 1, 1)?,
        dilations,
        same: is_same(&cx.options, 0)?,
    };
    let Window { strides, dilations, .. } = window;
    let op = Conv { strides, pads: window.padding([h, w])?, dilations, groups, clamp };
    cx.emit(op, &weights.inputs)
}

/// Height and width of weights `[O,KH,KW,I]`.
fn kernel(weights: &[usize]) -> Result<[usize; 2], Stop> {
    match *weights {
        [_, kh, kw, _] if (1..1 << 15).contains(&kh) && (1..1 << 15).contains(&kw) => Ok([kh, kw]),
        _ => Err(Stop::because(format!("its weights have the shape {weights:?}"))),
    }
}

/// `TransposeConvOptions`: padding, stride_w, stride_h, fused_activation_function. Inputs: the output's shape,
/// weights, x, bias.
pub(in super::super) fn transposed(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let clamp = cx.options.activation(3)?;
    let (strides, same) = (pair(&cx.options, "stride", 1, 1)?, is_same(&cx.options, 0)?);
    let operands = Operands { x: 2, weights: 1, bias: 3, order: Order::OutputFirst };
    let Weights { inputs, dims } = take(cx, &operands)?;
    let ([_, h, w, _], kernel) = (cx.image(inputs[0])?, kernel(&dims)?);
    let shape = output_shape(cx)?;
    let (&[_, oh, ow, _], Some(h), Some(w)) = (&shape[..], h.fixed(), w.fixed()) else {
        return Err(Stop::because("its input's height and width must be fixed, its output shape of rank 4"));
    };
    let (mut pads, mut output_pads) = ([0; 4], [0; 2]);
    for (axis, (len, out)) in [(h, oh), (w, ow)].into_iter().enumerate() {
        let fault = || Stop::because(format!("an output of {out} from {len} positions is not possible"));
        let out = usize::try_from(out).ok().filter(|&o| o > 0).ok_or_else(fault)?;
        let full = len.checked_sub(1).and_then(|n| n.checked_mul(strides[axis])).ok_or_else(fault)?;
        let full = full.checked_add(kernel[axis]).ok_or_else(fault)?;
        // What the forward convolution would be padded with over this output.
        let covered = out.div_ceil(strides[axis]).saturating_sub(1).checked_mul(strides[axis]);
        let covered = covered.and_then(|c| c.checked_add(kernel[axis])).ok_or_else(fault)?;
        let before = if same { covered.saturating_sub(out) / 2 } else { 0 };
        let rest = full.checked_sub(before).ok_or_else(fault)?;
        (pads[axis], pads[axis + 2]) = (before, rest.saturating_sub(out));
        output_pads[axis] = out.saturating_sub(rest);
    }
    cx.emit(ConvTranspose { strides, pads, output_pads, dilations: [1, 1], groups: 1, clamp }, &inputs)
}

/// The shape that input 0 tells, or, where it is computed, what is declared: converters compute it of shapes.
fn output_shape(cx: &Context) -> Result<Vec<i64>, Stop> {
    if cx.info(0)?.data.is_some() {
        return cx.ints(0, "output shape");
    }
    let Some([h, w]) = cx.out(0)?.dims.get(1..3).and_then(|d| Some([d[0]?, d[1]?])) else {
        return Err(Stop::because("its output shape is computed: convert the model with fixed sizes"));
    };
    Ok([1, h, w, 1].map(dim).to_vec())
}
