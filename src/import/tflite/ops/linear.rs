//! Products with constant weights.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::weights::{Operands, Order, Weights, take};
use super::dim;
use crate::graph::{
    Binary, BinaryKind, Clamp, DType, Dequantize, Dim, Linear, MatMul, TensorId, Transpose, Unary, UnaryKind,
};

/// `FullyConnectedOptions`: fused_activation_function, weights_format, keep_num_dims, ...
pub(in super::super) fn fully_connected(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let clamp = cx.options.activation(0)?;
    if cx.options.scalar::<i8>(1, 0)? != 0 {
        return Err(Stop::because("its weights are shuffled for another machine's kernels"));
    }
    let keeps_dims = cx.options.flag(2)?;
    if cx.info(1)?.data.is_none() {
        return computed_weights(cx, clamp);
    }
    let operands = Operands { x: 0, weights: 1, bias: 2, order: Order::OutputFirst };
    let Weights { mut inputs, dims, .. } = take(cx, &operands)?;
    let &[_, k] = &dims[..] else {
        return Err(Stop::because(format!("its weights have the shape {dims:?}, they must be a matrix")));
    };
    let shape = &cx.tensor(inputs[0]).shape;
    let fits = shape.last() == Some(&Dim::Fixed(k)) && (keeps_dims || shape.rank() == 2);
    if !fits {
        // All that is not one row of products counts as rows.
        inputs[0] = cx.reshaped("rows", inputs[0], &[-1, dim(k)])?;
    }
    cx.emit(Linear { clamp }, &inputs)
}

/// A product with weights that are computed: of reals.
fn computed_weights(cx: &mut Context, clamp: Clamp) -> Result<Vec<TensorId>, Stop> {
    let [x, w] = [cx.real(0)?, cx.real(1)?];
    if cx.rank(w) != 2 {
        return Err(Stop::because("its weights must be a matrix"));
    }
    let product = MatMul { transpose_b: true };
    if !cx.has(2) && clamp.is_none() {
        return cx.emit_real(product, &[x, w]);
    }
    let y = cx.inner("product", product, &[x, w], (DType::F32, None))?;
    if !cx.has(2) {
        let clip = Unary { kind: UnaryKind::Clip, alpha: clamp.min, beta: clamp.max };
        return cx.emit_real(clip, &[y]);
    }
    let bias = cx.input(2)?;
    if cx.tensor(bias).dtype != DType::F32 {
        return Err(Stop::because("its weights are computed: its bias must be floats"));
    }
    cx.emit_real(Binary { kind: BinaryKind::Add, clamp }, &[y, bias])
}

/// `BatchMatMulOptions`: adj_x, adj_y, asymmetric_quantize_inputs. Integers are multiplied as the reals that they
/// stand for.
pub(in super::super) fn batch_matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (turn_a, transpose_b) = (cx.options.flag(0)?, cx.options.flag(1)?);
    let [mut a, mut b] = [cx.input(0)?, cx.input(1)?];
    for (tag, x) in [("a", &mut a), ("b", &mut b)] {
        if cx.rank(*x) < 2 {
            return Err(Stop::because("its inputs must be matrices"));
        }
        if cx.tensor(*x).dtype == DType::U8 {
            *x = cx.inner(tag, Dequantize {}, &[*x], (DType::F32, None))?;
        }
    }
    if turn_a {
        let rank = cx.rank(a);
        let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        a = cx.inner("transposed", Transpose { perm }, &[a], (DType::F32, None))?;
    }
    cx.emit_real(MatMul { transpose_b }, &[a, b])
}
