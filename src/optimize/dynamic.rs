//! Integer products of what was quantized at run time become one node that gives floats.
//!
//! Matches `Cast(IntegerMatMul | IntegerConv) * (scale of x * scales of w) + bias`, where w is constant, its scales are one
//! or one per output channel (their products with that of x may be constant), and scale and zero point of x are one
//! element each. Without the bias too; an addition behind a product that has none is taken in when it is met. A node
//! that only gives the elements another shape, as one does around a convolution along one dimension, may stand between
//! if it leaves the channels last. `Linear` and `Conv` compute the same steps in the same order: the product of the
//! scales, the sum as f32, times that, plus the bias.

use super::edit::{Edit, is_per_channel};
use crate::graph::*;

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Op::Binary(op) = edit.node(i).op.clone() else { continue };
        match op.kind {
            BinaryKind::Mul => _ = scaled_product(&mut edit, i, op.clamp),
            BinaryKind::Add => _ = biased_product(&mut edit, i, op.clamp),
            _ => {}
        }
    }
    edit.finish()
}

/// An integer product whose sums become reals.
struct Sums {
    product: Node,
    /// What gives the sums another shape.
    reshaped: Option<Node>,
}

/// The integer product that a cast to f32 reads.
fn sums(edit: &Edit, cast: TensorId) -> Option<Sums> {
    let node = edit.producer(cast).filter(|n| matches!(n.op, Op::Cast(_)) && edit.is_f32(cast))?;
    edit.sole_producer(cast)?;
    let mut sums = node.input(0)?;
    let mut reshaped = None;
    if let Some(node) = edit.producer(sums).filter(|node| keeps_channels(edit.graph, node)) {
        edit.sole_producer(sums)?;
        sums = node.input(0)?;
        reshaped = Some(node.clone());
    }
    let product =
        edit.producer(sums).filter(|n| matches!(n.op, Op::IntegerMatMul(_) | Op::IntegerConv(_)))?;
    edit.sole_producer(sums)?;
    Some(Sums { product: product.clone(), reshaped })
}

/// True if the node leaves all elements in order, and what was the last dimension the last one.
fn keeps_channels(graph: &Graph, node: &Node) -> bool {
    let last = |t: TensorId| graph.tensor(t).shape.last().and_then(|d| d.fixed());
    let in_order = matches!(node.op, Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_));
    in_order && node.input(0).and_then(last).is_some_and(|n| last(node.outputs[0]) == Some(n))
}

/// The scale of x and the scales of w, one or one for each of `channels`, whose product `t` is.
fn scales(edit: &Edit, t: TensorId, channels: usize) -> Option<(TensorId, Vec<f32>)> {
    let one = |t: TensorId| edit.is_f32(t) && edit.graph.tensor(t).shape.elements() == Some(1);
    let node = edit.producer(t)?;
    if let Op::Binary(op) = &node.op
        && op.kind == BinaryKind::Mul
        && op.clamp.is_none()
        && let (Some(a), Some(b)) = (node.input(0), node.input(1))
    {
        for (x, w) in [(a, b), (b, a)] {
            let Some(values) = edit.f32s(w).filter(|v| v.len() == 1 || v.len() == channels) else { continue };
            if one(x)
                && edit.graph.tensor(x).data.is_none()
                && is_per_channel(&edit.graph.tensor(w).shape, channels)
            {
                return Some((x, values));
            }
        }
    }
    // The weights have the scale 1.
    one(t).then(|| (t, vec![1.0]))
}

/// Scales of x and w whose products are known already: x then has the scale 1.
fn constant_scales(edit: &mut Edit, t: TensorId, channels: usize) -> Option<(TensorId, Vec<f32>)> {
    let per_channel = is_per_channel(&edit.graph.tensor(t).shape, channels);
    let products = edit.f32s(t).filter(|v| per_channel && v.len() == channels)?;
    let one = Tensor::constant("scale", DType::F32, &[], Data::from_slice(&[1f32]));
    Some((edit.add_constant(one), products))
}

fn scaled_product(edit: &mut Edit, i: usize, clamp: Clamp) -> Option<()> {
    let (a, b) = (edit.node(i).input(0)?, edit.node(i).input(1)?);
    let (Sums { product, reshaped }, scale) = match (sums(edit, a), sums(edit, b)) {
        (Some(sums), None) => (sums, b),
        (None, Some(sums)) => (sums, a),
        _ => return None,
    };
    // The scales must not make the output larger than the product.
    let out = edit.node(i).outputs[0];
    let before = reshaped.as_ref().unwrap_or(&product).outputs[0];
    if edit.graph.tensor(out).shape != edit.graph.tensor(before).shape {
        return None;
    }
    let x = product.input(0)?;
    let is_u8 = edit.graph.tensor(x).dtype == DType::U8 && edit.graph.tensor(x).data.is_none();
    let w = weights(edit.graph, &product).filter(|_| is_u8)?;
    let channels = *w.0.shape.first()?;
    let (x_scale, w_scales) = match scales(edit, scale, channels.fixed()?) {
        Some(found) => found,
        None => constant_scales(edit, scale, channels.fixed()?)?,
    };
    // Scales that the graph can't hold.
    if w_scales.iter().any(|s| !(s.is_normal() && *s > 0.0 && *s <= f32::MAX / 255.0)) {
        return None;
    }
    let (w, zeros) = w;
    let quant = match (&w_scales[..], &zeros[..]) {
        ([scale], [zero]) => Quant::per_tensor(*scale, *zero),
        _ => {
            let n = channels.fixed()?;
            let all = |v: f32| vec![v; n];
            let scale = if let [one] = w_scales[..] { all(one) } else { w_scales };
            let zero_point = if let [one] = zeros[..] { vec![one; n] } else { zeros };
            Quant { axis: Some(0), scale, zero_point }
        }
    };
    let x_zero = match product.input(2) {
        Some(zero) => zero,
        None => edit.add_constant(Tensor::constant("zero", DType::U8, &[], Data::from_bytes(&[0]))),
    };
    let name = edit.graph.tensor(product.input(1)?).name.clone();
    let w = edit.add_constant(Tensor { name, ..w }.with_quant(quant));
    let op = match product.op {
        Op::IntegerConv(op) => {
            let IntegerConv { strides, pads, dilations, groups } = op;
            Op::from(Conv { strides, pads, dilations, groups, clamp })
        }
        _ => Op::from(Linear { clamp }),
    };
    if let Some(mut last) = reshaped {
        let sums = edit.graph.tensor(product.outputs[0]);
        let (name, shape) = (sums.name.clone(), sums.shape.clone());
        let real = edit.value(&name, Tensor::value("", DType::F32, shape));
        edit.node_mut(i).outputs = vec![real];
        last.inputs[0] = Some(real);
        last.outputs = vec![out];
        edit.insert_after(i, last);
    }
    let node = edit.node_mut(i);
    node.name = product.name;
    node.op = op;
    node.inputs = vec![Some(x), Some(w), None, Some(x_scale), Some(x_zero)];
    Some(())
}

/// The weights of an integer product as i8, outputs first, and their zero points, one or one per output; u8 and theirs
/// move by 128.
fn weights(graph: &Graph, product: &Node) -> Option<(Tensor, Vec<i32>)> {
    let tensor = graph.tensor(product.input(1)?);
    let dims = tensor.shape.dims()?;
    let codes = tensor.codes().filter(|_| tensor.data.is_some())?;
    let shift = if tensor.dtype == DType::U8 { 128 } else { 0 };
    let mut zeros = match product.input(3) {
        None => vec![0],
        Some(zero) => graph.tensor(zero).codes().filter(|_| graph.tensor(zero).data.is_some())?,
    };
    zeros.iter_mut().for_each(|z| *z -= shift);
    let (shape, outputs, strides) = match (&product.op, &dims[..]) {
        (Op::IntegerMatMul(_), &[k, n]) => (vec![n, k], n, [1, n]),
        (Op::IntegerConv(_), &[o, ..]) => (dims.clone(), o, [codes.len().checked_div(o)?, 1]),
        _ => return None,
    };
    let products = codes.len().checked_div(outputs)?;
    let mut signed = Vec::with_capacity(codes.len());
    for (o, k) in (0..outputs).flat_map(|o| (0..products).map(move |k| (o, k))) {
        signed.push(i8::try_from(codes.get(o * strides[0] + k * strides[1])? - shift).ok()?);
    }
    (zeros.len() == 1 || zeros.len() == outputs).then_some(())?;
    let data = Data::from_slice(&signed);
    Some((Tensor::constant(tensor.name.as_str(), DType::I8, &shape, data), zeros))
}

/// An addition of one value per channel behind a product without a bias.
fn biased_product(edit: &mut Edit, i: usize, clamp: Clamp) -> Option<()> {
    let (a, b) = (edit.node(i).input(0)?, edit.node(i).input(1)?);
    for (x, bias) in [(a, b), (b, a)] {
        // A product that this walk has made may have left `x` to a node that is not walked over.
        let made = |p: &usize| edit.node(*p).outputs.contains(&x);
        let Some(last) = edit.sole_producer(x).filter(made) else { continue };
        let p = match edit.node(last).input(0).filter(|_| keeps_channels(edit.graph, edit.node(last))) {
            Some(before) => edit.sole_producer(before),
            None => Some(last),
        };
        let Some(p) = p else { continue };
        let node = edit.node(p);
        let own = match &node.op {
            Op::Linear(op) => op.clamp,
            Op::Conv(op) => op.clamp,
            _ => continue,
        };
        if node.inputs.len() <= 3 || node.input(2).is_some() || !own.is_none() {
            continue;
        }
        let channels = edit.graph.tensor(node.input(1)?).shape.first()?.fixed()?;
        let shape = &edit.graph.tensor(bias).shape;
        let Some(values) = edit.f32s(bias).filter(|_| is_per_channel(shape, channels)) else { continue };
        if shape.rank() > edit.graph.tensor(x).shape.rank() {
            continue;
        }
        let values: Vec<f32> = values.iter().copied().cycle().take(channels).collect();
        edit.set_constant(p, 2, &[channels], &values);
        match &mut edit.node_mut(p).op {
            Op::Linear(op) => op.clamp = clamp,
            Op::Conv(op) => op.clamp = clamp,
            _ => {}
        }
        edit.absorb(last, i);
        return Some(());
    }
    None
}
