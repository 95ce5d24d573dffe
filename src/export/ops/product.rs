//! Convolutions and matrix products.

use super::super::Stop;
use super::super::messages::{int, ints};
use super::super::onnx::{Layout, Writer};
use super::normalize::transposed;
use super::{NodeView, dynamic};
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

/// Row-major data in another order of dimensions.
pub(super) fn permuted(data: &Data, size: usize, dims: &[usize], perm: &[usize]) -> (Vec<usize>, Data) {
    let to: Vec<usize> = perm.iter().map(|&p| dims[p]).collect();
    let strides: Vec<usize> = (0..dims.len()).map(|i| dims[i + 1..].iter().product()).collect();
    let from = data.bytes();
    let mut bytes = Vec::with_capacity(from.len());
    for i in 0..to.iter().product::<usize>() {
        let mut rest = i;
        let mut at = 0;
        for (axis, &p) in perm.iter().enumerate().rev() {
            at += rest % to[axis] * strides[p];
            rest /= to[axis];
        }
        bytes.extend_from_slice(&from[at * size..][..size]);
    }
    (to, Data::from_bytes(&bytes))
}

/// Constant weights in ONNX's order, as they are; the graph has them `[O, KH, KW, C/groups]` or `[N, K]`. More than one
/// group is told of for a transposed convolution, where the order depends on them.
pub(super) fn reordered(w: &mut Writer, n: &NodeView, perm: &[usize], groups: usize) -> Result<String, Stop> {
    let (tensor, data, dims) = (n.tensor(1)?, n.constant(1)?, n.dims(1)?);
    let size = tensor.dtype.size();
    // [C, O/groups, ..]: groups come before what they part.
    let (dims, data) = if groups > 1 && dims.len() == 4 {
        let [o, kh, kw, c] = [dims[0], dims[1], dims[2], dims[3]];
        let (_, data) = permuted(data, size, &[groups, o / groups, kh, kw, c], &[0, 4, 1, 2, 3]);
        (vec![groups * c, o / groups, kh, kw], data)
    } else {
        permuted(data, size, &dims, perm)
    };
    Ok(w.initializer(&tensor.name, tensor.dtype, &dims, &data))
}

/// Weights in ONNX's order, dequantized if they are integers.
fn weights(w: &mut Writer, n: &NodeView, perm: &[usize], groups: usize) -> Result<String, Stop> {
    let tensor = n.tensor(1)?;
    if tensor.data.is_none() {
        return computed_weights(w, n, perm, groups);
    }
    // ONNX has the channels of all groups along one axis: scales per channel come before that.
    if groups > 1 && tensor.quant.as_ref().is_some_and(|q| q.axis.is_some()) {
        return computed_weights(w, n, perm, groups);
    }
    let name = reordered(w, n, perm, groups)?;
    let Some(quant) = &tensor.quant else { return Ok(name) };
    let axis = quant.axis.map(|axis| perm.iter().position(|&p| p == axis).unwrap_or(0));
    let real = w.fresh(&format!("{name}/real"));
    let quant = Quant { axis, ..quant.clone() };
    w.convert("DequantizeLinear", name, real.clone(), &tensor.name, tensor.dtype, &quant)?;
    Ok(real)
}

/// Weights that nodes make, of packed integers or of inputs.
fn computed_weights(w: &mut Writer, n: &NodeView, perm: &[usize], groups: usize) -> Result<String, Stop> {
    let plain = w.real(n.input(1)?, Layout::Plain)?;
    let longs = |dims: &[usize]| dims.iter().map(|&d| d as i64).collect::<Vec<_>>();
    if groups == 1 {
        return Ok(if perm.is_sorted() { plain } else { transposed(w, &plain, &longs(perm)) });
    }
    let [o, kh, kw, c] = n.dims(1)?[..] else {
        return Err(Stop::because("its weights have no four dimensions"));
    };
    let parts = w.int_vector(&longs(&[groups, o / groups, kh, kw, c]));
    let parts = w.calc("Reshape", &[&plain, &parts], vec![]);
    let parts = transposed(w, &parts, &[0, 4, 1, 2, 3]);
    let shape = w.int_vector(&longs(&[groups * c, o / groups, kh, kw]));
    Ok(w.calc("Reshape", &[&parts, &shape], vec![]))
}

/// The bias, dequantized if it is of integers: these are steps of the sums.
fn bias(w: &mut Writer, n: &NodeView) -> Result<Option<String>, Stop> {
    let Some(b) = n.node.input(2) else { return Ok(None) };
    let tensor = w.graph.tensor(b);
    if !matches!(tensor.dtype, DType::I32 | DType::I64) {
        return w.stored(b, Layout::Plain).map(Some);
    }
    let steps = n.tensor(0)?.quant.as_ref().and_then(|q| q.single()).zip(n.tensor(1)?.quant.clone());
    let ((x, _), quant) = steps.ok_or_else(|| Stop::because("the steps of its bias are not known"))?;
    let scale: Vec<f32> = quant.scale.iter().map(|s| x * s).collect();
    if tensor.dtype == DType::I64 {
        return wide_bias(w, n, &scale).map(Some);
    }
    let name = w.stored(b, Layout::Plain)?;
    let zero_point = vec![0; scale.len()];
    let quant = Quant { axis: quant.axis.map(|_| 0), scale, zero_point };
    let real = w.fresh(&format!("{name}/real"));
    w.convert("DequantizeLinear", name, real.clone(), &tensor.name, DType::I32, &quant)?;
    Ok(Some(real))
}

/// The reals of a bias of 64-bit integers, which ONNX does not dequantize.
fn wide_bias(w: &mut Writer, n: &NodeView, scale: &[f32]) -> Result<String, Stop> {
    let name = format!("{}/real", n.tensor(2)?.name);
    let steps = n.constant(2)?.to_vec::<i64>();
    let reals = steps.iter().zip(scale.iter().cycle()).map(|(&v, &s)| (v as f64 * f64::from(s)) as f32);
    let reals: Vec<f32> = reals.collect();
    Ok(w.initializer(&name, DType::F32, &[reals.len()], &Data::from_slice(&reals)))
}

fn pair(name: &str, v: [usize; 2]) -> AttributeProto {
    ints(name, v.map(|v| v as i64))
}

/// Where the windows of a convolution lie.
pub(super) fn window(
    n: &NodeView,
    [strides, dilations]: [[usize; 2]; 2],
    pads: [usize; 4],
    groups: usize,
) -> Result<Vec<AttributeProto>, Stop> {
    let dims = n.dims(1)?;
    Ok(vec![
        pair("kernel_shape", [dims[1], dims[2]]),
        pair("strides", strides),
        ints("pads", pads.map(|p| p as i64)),
        pair("dilations", dilations),
        int("group", groups as i64),
    ])
}

pub(super) fn conv(w: &mut Writer, n: &NodeView, op: &Conv) -> Result<(), Stop> {
    if dynamic::is_dynamic(n) {
        return dynamic::convolution(w, n, op);
    }
    let x = w.real(n.input(0)?, Layout::Nchw)?;
    let mut inputs = vec![x, weights(w, n, &[0, 3, 1, 2], 1)?];
    inputs.extend(bias(w, n)?);
    let attributes = window(n, [op.strides, op.dilations], op.pads, op.groups)?;
    w.computed("Conv", &inputs, attributes, (n.out(), Layout::Nchw), op.clamp)
}

pub(super) fn conv_transpose(w: &mut Writer, n: &NodeView, op: &ConvTranspose) -> Result<(), Stop> {
    let x = w.real(n.input(0)?, Layout::Nchw)?;
    let mut inputs = vec![x, weights(w, n, &[3, 0, 1, 2], op.groups)?];
    inputs.extend(bias(w, n)?);
    let mut attributes = window(n, [op.strides, op.dilations], op.pads, op.groups)?;
    attributes.push(pair("output_padding", op.output_pads));
    w.computed("ConvTranspose", &inputs, attributes, (n.out(), Layout::Nchw), op.clamp)
}

pub(super) fn linear(w: &mut Writer, n: &NodeView, op: &Linear) -> Result<(), Stop> {
    if dynamic::is_dynamic(n) {
        return dynamic::linear(w, n, op);
    }
    let x = w.real(n.input(0)?, Layout::Plain)?;
    let out = (n.out(), Layout::Plain);
    if n.tensor(0)?.shape.rank() == 2 {
        let mut inputs = vec![x, weights(w, n, &[0, 1], 1)?];
        inputs.extend(bias(w, n)?);
        return w.computed("Gemm", &inputs, vec![int("transB", 1)], out, op.clamp);
    }
    let product = [x, weights(w, n, &[1, 0], 1)?];
    match bias(w, n)? {
        None => w.computed("MatMul", &product, vec![], out, op.clamp),
        Some(bias) => {
            let sums = w.fresh(&format!("{}/sums", n.node.name));
            w.push("MatMul", &product, sums.clone(), vec![]);
            w.computed("Add", &[sums, bias], vec![], out, op.clamp)
        }
    }
}

pub(super) fn matmul(w: &mut Writer, n: &NodeView, op: &MatMul) -> Result<(), Stop> {
    let a = w.real(n.input(0)?, Layout::Plain)?;
    let mut b = w.real(n.input(1)?, Layout::Plain)?;
    if op.transpose_b {
        let rank = n.tensor(1)?.shape.rank() as i64;
        let perm = (0..rank - 2).chain([rank - 1, rank - 2]);
        let turned = w.fresh(&format!("{b}/transposed"));
        w.push("Transpose", &[b], turned.clone(), vec![ints("perm", perm)]);
        b = turned;
    }
    w.computed("MatMul", &[a, b], vec![], (n.out(), Layout::Plain), Clamp::NONE)
}
