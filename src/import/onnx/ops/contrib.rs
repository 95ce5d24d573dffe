//! Operators of ONNX Runtime's own domain, `com.microsoft`, and what they are made of.

use super::super::context::{Context, Stop};
use super::{
    axis, elementwise, of_one, of_two, op, packed, projected_attention, quantization, recurrent, transformer,
};
use crate::graph::*;

/// The domain's name.
pub(in super::super) const DOMAIN: &str = "com.microsoft";

operators! {
    "QuantizeLinear" => op(1, 2..=3, 1, quantization::quantize),
    "DequantizeLinear" => op(1, 2..=3, 1, quantization::dequantize),
    "DynamicQuantizeLSTM" => op(1, 11..=12, 3, recurrent::dynamic_lstm),
    "DynamicQuantizeMatMul" => op(1, 3..=5, 1, dynamic_quantize_matmul),
    "MatMulIntegerToFloat" => op(1, 4..=7, 1, matmul_integer_to_float),
    "FusedMatMul" | "TransposeMatMul" => op(1, 2..=2, 1, fused_matmul),
    "Gelu" => op(1, 1..=1, 1, elementwise::gelu),
    "FastGelu" => op(1, 1..=2, 1, |cx| biased(cx, UnaryKind::GeluTanh)),
    "BiasGelu" => op(1, 2..=2, 1, |cx| biased(cx, UnaryKind::Gelu)),
    "QuickGelu" => op(1, 1..=1, 1, quick_gelu),
    "SkipLayerNormalization" => op(1, 3..=5, 4, |cx| skip_norm(cx, false)),
    "SkipSimplifiedLayerNormalization" => op(1, 3..=4, 4, |cx| skip_norm(cx, true)),
    "SimplifiedLayerNormalization" => op(1, 2..=2, 1, transformer::rms_norm),
    "EmbedLayerNormalization" => op(1, 7..=9, 3, embed_norm),
    "Attention" => op(1, 2..=6, 2, projected_attention::float),
    "QAttention" => op(1, 5..=9, 2, projected_attention::quantized),
    "MatMulNBits" => op(1, 3..=6, 1, packed::matmul),
}

/// Factors of bytes, their scales and zero points, and a bias.
pub(super) struct Product {
    pub a: TensorId,
    pub b: TensorId,
    pub scales: [TensorId; 2],
    pub zeros: [Option<TensorId>; 2],
    pub bias: Option<TensorId>,
}

impl Product {
    /// The chain, its end the node's output.
    fn emit(self, cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
        let (tag, op, inputs) = self.chain(cx)?;
        cx.last(tag, op, &inputs)
    }

    /// The chain, on the way to the node's output.
    pub fn inner(self, cx: &mut Context) -> Result<TensorId, Stop> {
        let (tag, op, inputs) = self.chain(cx)?;
        cx.inner(tag, op, &inputs)
    }

    /// Sums, the product of the scales, the two together, the bias: the chain that the optimizer knows. The last of its
    /// nodes is yet to be added.
    fn chain(self, cx: &mut Context) -> Result<(&'static str, Binary, [Option<TensorId>; 2]), Stop> {
        super::integer::check(cx, [self.a, self.b], self.zeros)?;
        if cx.rank(self.a) < 2 || cx.rank(self.b) < 2 {
            return Err(Stop::because("its factors must be matrices"));
        }
        let inputs = [Some(self.a), Some(self.b), self.zeros[0], self.zeros[1]];
        let sums = cx.core("sums", IntegerMatMul {}, &inputs)?;
        let reals = cx.cast("reals", sums, DType::F32)?;
        let scale = cx.inner("scale", of_two(BinaryKind::Mul), &self.scales.map(Some))?;
        let scaled = ("scaled", of_two(BinaryKind::Mul), [Some(reals), Some(scale)]);
        let Some(bias) = self.bias else { return Ok(scaled) };
        let (tag, op, inputs) = scaled;
        let scaled = cx.inner(tag, op, &inputs)?;
        Ok(("biased", of_two(BinaryKind::Add), [Some(scaled), Some(bias)]))
    }
}

fn dynamic_quantize_matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (x, b, b_scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (b_zero, bias) = (cx.optional(3)?, cx.optional(4)?);
    cx.need_float(x)?;
    let [a, a_scale, a_zero] = cx.inner_three("bytes", DynamicQuantize {}, &[Some(x)])?;
    Product { a, b, scales: [a_scale, b_scale], zeros: [Some(a_zero), b_zero], bias }.emit(cx)
}

fn matmul_integer_to_float(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let scales = [cx.input(2)?, cx.input(3)?];
    let (zeros, bias) = ([cx.optional(4)?, cx.optional(5)?], cx.optional(6)?);
    Product { a, b, scales, zeros, bias }.emit(cx)
}

fn fused_matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let alpha = attrs.float_or("alpha", 1.0)?;
    let transposed = [attrs.flag("transA", false)?, attrs.flag("transB", false)?];
    let batches = [attrs.flag("transBatchA", false)?, attrs.flag("transBatchB", false)?];
    attrs.finish()?;
    if batches != [false; 2] {
        return Err(Stop::because("transposed batches are not supported"));
    }
    let mut factors = [cx.input(0)?, cx.input(1)?];
    for (i, factor) in factors.iter_mut().enumerate() {
        cx.need_float(*factor)?;
        let rank = cx.rank(*factor);
        if rank < 2 {
            return Err(Stop::because("a factor has less than two dimensions"));
        }
        if transposed[i] {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 2, rank - 1);
            *factor = cx.inner(["a", "b"][i], Transpose { perm }, &[Some(*factor)])?;
        }
    }
    let inputs = factors.map(Some);
    if alpha == 1.0 {
        return cx.emit(MatMul { transpose_b: false }, &inputs);
    }
    let product = cx.core("product", MatMul { transpose_b: false }, &inputs)?;
    let alpha = cx.scalar("alpha", alpha)?;
    cx.last("scaled", of_two(BinaryKind::Mul), &[Some(product), Some(alpha)])
}

/// A function of the input plus a bias.
fn biased(cx: &mut Context, kind: UnaryKind) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (x, bias) = (cx.input(0)?, cx.optional(1)?);
    cx.need_float(x)?;
    match bias {
        None => cx.emit(of_one(kind), &[Some(x)]),
        Some(bias) => {
            let sum = cx.inner("biased", of_two(BinaryKind::Add), &[Some(x), Some(bias)])?;
            cx.emit(of_one(kind), &[Some(sum)])
        }
    }
}

/// x * sigmoid(alpha x)
fn quick_gelu(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let alpha = attrs.float_or("alpha", 1.702)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    let alpha = cx.scalar("alpha", alpha)?;
    let scaled = cx.inner("scaled", of_two(BinaryKind::Mul), &[Some(x), Some(alpha)])?;
    let gate = cx.inner("gate", of_one(UnaryKind::Sigmoid), &[Some(scaled)])?;
    cx.last("gated", of_two(BinaryKind::Mul), &[Some(x), Some(gate)])
}

/// Normalization of input + skip + bias. Inputs: input, skip, gamma, beta (not `rms`), bias. Output 3 is the sum.
fn skip_norm(cx: &mut Context, rms: bool) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let epsilon = attrs.float_or("epsilon", 1e-12)?;
    attrs.finish()?;
    if cx.is_read(1) || cx.is_read(2) {
        return Err(Stop::because("its outputs 1 and 2, the statistics, are not supported"));
    }
    let (x, skip, gamma) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (beta, bias) = if rms { (None, cx.optional(3)?) } else { (cx.optional(3)?, cx.optional(4)?) };
    cx.need_float(x)?;
    let mut sum = cx.inner("sum", of_two(BinaryKind::Add), &[Some(x), Some(skip)])?;
    if let Some(bias) = bias {
        sum = cx.inner("biased", of_two(BinaryKind::Add), &[Some(sum), Some(bias)])?;
    }
    let axis = axis(-1, cx.rank(sum))?;
    let mut outputs = transformer::normalized(cx, LayerNorm { axis, epsilon, rms }, sum, gamma, beta)?;
    // Statistics that nobody reads, and the sum.
    outputs.extend([sum, sum, sum]);
    Ok(outputs)
}

/// Sum of up to three embeddings, normalized. Inputs: word ids, segment ids, tables of words, positions and segments,
/// gamma, beta, mask, position ids. Output 1, the lengths that the mask says, is not supported.
fn embed_norm(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let epsilon = attrs.float_or("epsilon", 1e-12)?;
    let mask_index = attrs.int_or("mask_index_type", 0)?;
    attrs.finish()?;
    if cx.is_read(1) && mask_index != 0 {
        return Err(Stop::because("its output 1, lengths by the mask, is not supported"));
    }
    let (words, segments) = (cx.input(0)?, cx.optional(1)?);
    let (word_table, position_table, segment_table) = (cx.input(2)?, cx.input(3)?, cx.optional(4)?);
    let (gamma, beta, positions) = (cx.input(5)?, cx.input(6)?, cx.optional(8)?);
    let rows = Gather { axis: 0 };
    let mut sum = cx.inner("words", rows.clone(), &[Some(word_table), Some(words)])?;
    let place = match positions {
        Some(positions) => cx.inner("positions", rows.clone(), &[Some(position_table), Some(positions)])?,
        None => {
            let length = cx.inner("length", ShapeOf { start: 1, end: 2 }, &[Some(words)])?;
            let (zero, first) = (cx.int_vector("zero", &[0])?, cx.int_vector("axis", &[0])?);
            cx.inner("positions", Slice {}, &[Some(position_table), Some(zero), Some(length), Some(first)])?
        }
    };
    sum = cx.inner("placed", of_two(BinaryKind::Add), &[Some(sum), Some(place)])?;
    if let (Some(segments), Some(table)) = (segments, segment_table) {
        let kinds = cx.inner("segments", rows, &[Some(table), Some(segments)])?;
        sum = cx.inner("kinded", of_two(BinaryKind::Add), &[Some(sum), Some(kinds)])?;
    }
    let axis = axis(-1, cx.rank(sum))?;
    let mut outputs =
        transformer::normalized(cx, LayerNorm { axis, epsilon, rms: false }, sum, gamma, Some(beta))?;
    if cx.is_read(1) {
        return Err(Stop::because("its output 1, lengths by the mask, is not supported"));
    }
    outputs.extend([sum, sum]);
    Ok(outputs)
}
