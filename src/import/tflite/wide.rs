//! Weights that need nine bits, computed exactly by convolutions that take eight.
//!
//! Codes of u8 weights lie around a zero point, so differences from it reach from -255 to 255. Few of a layer's
//! weights leave the range of i8. What is left of such a weight `w = v + rest` is multiplied with a second copy of
//! the same input, in the same sum: `x * w = x * v + x * rest`. The accumulator is the same integer, so nothing is
//! rounded differently.

use super::super::node::Stop;
use super::context::Context;
use super::weights::Weights;
use crate::graph::{Concat, Conv, DType, Data, Quant, Slice, Tensor, TensorId};
use std::ops::Range;

/// Axis of the channels of `[N,H,W,C]`.
const CHANNELS: usize = 3;

/// Each of these output channels of a depthwise convolution becomes a few nodes.
const MOST_CHANNELS: usize = 64;

/// A convolution, or a depthwise one, whose weights leave `rest` over.
pub(super) fn conv(cx: &mut Context, w: &Weights, rest: &[i32], op: Conv) -> Result<Vec<TensorId>, Stop> {
    let codes: Vec<i8> = cx.tensor(w.inputs[1]).data.as_ref().map(Data::to_vec).unwrap_or_default();
    let &[o, .., per_group] = &w.dims[..] else {
        return Err(Stop::because(format!("its weights have the shape {:?}", w.dims)));
    };
    match (op.groups, per_group) {
        (1, _) => dense(cx, w, &codes, rest, op),
        (groups, 1) if o % groups == 0 => depthwise(cx, w, &codes, rest, op),
        _ => Err(Stop::because("its weights are grouped, and need more than 8 bits around their zero point")),
    }
}

/// Reads the input channels that rests belong to (all from the first to the last of them) a second time.
fn dense(cx: &mut Context, w: &Weights, codes: &[i8], rest: &[i32], op: Conv) -> Result<Vec<TensorId>, Stop> {
    let channels = w.dims[CHANNELS];
    let mut touched = rest.iter().enumerate().filter(|(_, r)| **r != 0).map(|(i, _)| i % channels);
    let first = touched.next().unwrap_or(0);
    let (low, high) = touched.fold((first, first + 1), |(l, h), c| (l.min(c), h.max(c + 1)));
    let parts = parts(rest);
    let again = cut(cx, "again", w.inputs[0], low..high)?;
    let copies: Vec<TensorId> = std::iter::once(w.inputs[0]).chain(parts.iter().map(|_| again)).collect();
    let x = joined(cx, "x", &copies)?;
    let mut wide = Vec::with_capacity(codes.len() + parts.len() * (codes.len() / channels) * (high - low));
    for (i, row) in codes.chunks_exact(channels).enumerate() {
        wide.extend_from_slice(row);
        for part in &parts {
            wide.extend_from_slice(&part[i * channels..][low..high]);
        }
    }
    let dims = [w.dims[0], w.dims[1], w.dims[2], channels + parts.len() * (high - low)];
    let weights = constant(cx, "wide", w, &dims, &wide)?;
    let inputs: Vec<TensorId> = [x, weights].into_iter().chain(w.inputs.get(2).copied()).collect();
    cx.emit(op, &inputs)
}

/// Computes the output channels with rests again, each by a convolution of copies of its input channel, and puts
/// them in the places of the others.
fn depthwise(
    cx: &mut Context,
    w: &Weights,
    codes: &[i8],
    rest: &[i32],
    op: Conv,
) -> Result<Vec<TensorId>, Stop> {
    let (outputs, taps) = (w.dims[0], w.dims[1] * w.dims[2]);
    let touched: Vec<usize> =
        (0..outputs).filter(|o| rest[o * taps..][..taps].iter().any(|r| *r != 0)).collect();
    if touched.len() > MOST_CHANNELS {
        let found = touched.len();
        let reason =
            format!("{found} of its channels have weights of more than 8 bits around their zero point");
        return Err(Stop::because(reason));
    }
    let form = (cx.template(0)?.dtype, cx.template(0)?.quant);
    let per_input = outputs / op.groups;
    let common = cx.inner("common", op.clone(), &w.inputs, form.clone())?;
    let biases: Option<Vec<i32>> =
        w.inputs.get(2).and_then(|&b| cx.tensor(b).data.as_ref()).map(Data::to_vec);
    let (mut pieces, mut done) = (vec![], 0);
    for o in touched {
        if done < o {
            pieces.push(cut(cx, &format!("common{o}"), common, done..o)?);
        }
        done = o + 1;
        let input = o / per_input;
        let parts = parts(&rest[o * taps..][..taps]);
        let x = cut(cx, &format!("x{o}"), w.inputs[0], input..input + 1)?;
        let x = joined(cx, &format!("xs{o}"), &vec![x; 1 + parts.len()])?;
        let column = |t: usize| std::iter::once(codes[o * taps + t]).chain(parts.iter().map(move |p| p[t]));
        let wide: Vec<i8> = (0..taps).flat_map(column).collect();
        let dims = [1, w.dims[1], w.dims[2], 1 + parts.len()];
        let mut inputs = vec![x, constant(cx, &format!("wide{o}"), w, &dims, &wide)?];
        if let Some(bias) = biases.as_ref().and_then(|b| b.get(o)) {
            inputs.push(cx.constant(&format!("bias{o}"), DType::I32, &[1], Data::from_slice(&[*bias]))?);
        }
        let one = Conv { groups: 1, ..op.clone() };
        pieces.push(cx.inner(&format!("channel{o}"), one, &inputs, form.clone())?);
    }
    if done < outputs {
        pieces.push(cut(cx, "common_end", common, done..outputs)?);
    }
    cx.emit(Concat { axis: CHANNELS }, &pieces)
}

/// Rests as sums of i8.
fn parts(rest: &[i32]) -> Vec<Vec<i8>> {
    let mut rest = rest.to_vec();
    let mut parts = vec![];
    while rest.iter().any(|r| *r != 0) {
        let part: Vec<i8> = rest.iter().map(|r| narrow(*r)).collect();
        rest.iter_mut().zip(&part).for_each(|(r, p)| *r -= i32::from(*p));
        parts.push(part);
    }
    parts
}

/// The nearest weight. -128 is left out: its negation is no i8, which costs some kernels dear.
pub(super) fn narrow(weight: i32) -> i8 {
    weight.clamp(-127, 127) as i8
}

fn constant(
    cx: &mut Context,
    tag: &str,
    w: &Weights,
    dims: &[usize],
    codes: &[i8],
) -> Result<TensorId, Stop> {
    // Wide weights have one scale: those with one per channel lie around 0.
    let scale = cx.tensor(w.inputs[1]).quant.as_ref().and_then(Quant::single);
    let (scale, _) = scale.ok_or_else(|| Stop::because("weights around a zero point need a single scale"))?;
    let name = format!("{}/{tag}", cx.name);
    let tensor = Tensor::constant(name, DType::I8, dims, Data::from_slice(codes));
    cx.state.constant(tensor.with_quant(Quant::per_tensor(scale, 0)))
}

/// Some channels of `x`.
fn cut(cx: &mut Context, tag: &str, x: TensorId, channels: Range<usize>) -> Result<TensorId, Stop> {
    let mut inputs = vec![x];
    let bounds = [("start", channels.start), ("end", channels.end), ("axis", CHANNELS)];
    for (what, value) in bounds {
        inputs.push(cx.int_vector(&format!("{tag}.{what}"), &[i64::try_from(value).unwrap_or(i64::MAX)])?);
    }
    let form = (cx.tensor(x).dtype, cx.tensor(x).quant.clone());
    cx.inner(tag, Slice {}, &inputs, form)
}

/// Tensors of one quantization, side by side.
fn joined(cx: &mut Context, tag: &str, parts: &[TensorId]) -> Result<TensorId, Stop> {
    let form = (cx.tensor(parts[0]).dtype, cx.tensor(parts[0]).quant.clone());
    cx.inner(tag, Concat { axis: CHANNELS }, parts, form)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn parts_add_up_to_the_rest() {
        let rest = [0, 128, -128, 5, -1];
        let parts = parts(&rest);
        let sums: Vec<i32> = (0..5).map(|i| parts.iter().map(|p| i32::from(p[i])).sum()).collect();
        assert_eq!(sums, rest);
    }
}
