//! Weights and biases of a product, as integer kernels want them.
//!
//! Weights become i8 with zero point 0, which is exact where `q - z` fits; other weights (u8 far from a zero point
//! of 128) leave the product in float. A bias becomes steps of the accumulator, `s_x * s_w[c]`. Usually it is given in
//! these; otherwise it is rounded to them, unless that would be seen: it may move an output by 1/64 of its step, or
//! an output that is f32 by 2^-16 of the greatest one.

use super::super::edit::{Names, f32s};
use super::Codes;
use crate::graph::{DType, Data, Graph, Node, Quant, Tensor, TensorId};

/// Part of an output's step by which rounding a bias may move it.
const BIAS_SHARE: f64 = 1.0 / 64.0;
/// The same for f32 outputs, as part of the greatest sum.
const FLOAT_BIAS_SHARE: f64 = 1.0 / 65536.0;
/// Relative difference of scales that come from one product, computed in another precision.
const SAME_SCALE: f64 = 1e-6;

/// What goes into and comes out of a product.
pub(super) struct Product {
    /// Scale and zero point.
    pub input: (f32, i32),
    /// The scale, if the output is quantized.
    pub output: Option<f32>,
}

/// Inputs 1 and 2 of the node in integers; `None` if that would change what it computes.
pub(super) fn integer(
    graph: &mut Graph,
    codes: &Codes,
    node: &Node,
    product: &Product,
) -> Option<[Option<TensorId>; 2]> {
    let stored = codes.constant(graph, node.input(1)?)?;
    let tensor = graph.tensor(stored);
    let quant =
        tensor.quant.clone().filter(|q| tensor.dtype.is_8bit() && matches!(q.axis, None | Some(0)))?;
    let dims = tensor.shape.dims()?;
    let channels = *dims.first()?;
    let weights = centred(tensor, &quant, &dims)?;
    let scale = |c: usize| f64::from(quant.scale[if quant.axis.is_some() { c } else { 0 }]);
    let steps: Vec<f64> = (0..channels).map(|c| f64::from(product.input.0) * scale(c)).collect();
    let row = weights.len().checked_div(channels)?;
    let reach = i64::from(product.input.1.max(255 - product.input.1));
    let sums = weights.chunks(row.max(1)).map(|w| reach * w.iter().map(|w| i64::from(w.abs())).sum::<i64>());
    let sums: Vec<i64> = sums.collect();
    let bias = match node.input(2) {
        None => None,
        Some(b) => Some(Bias { steps: &steps, sums: &sums, product }.integer(graph, codes, b)?),
    };
    // The largest sum must fit the accumulator.
    let bias_of = |c: usize| bias.as_ref().map_or(0, |b| i64::from(b[c]).abs());
    if sums.iter().enumerate().any(|(c, sum)| sum + bias_of(c) > i64::from(i32::MAX)) {
        return None;
    }
    let mut names = Names::default();
    let as_stored = tensor.dtype == DType::I8 && quant.zero_point.iter().all(|&z| z == 0);
    let w = if as_stored {
        stored
    } else {
        let name = names.unique(graph, &format!("{}.i8", graph.tensor(stored).name));
        let data: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
        let quant = Quant { zero_point: vec![0; quant.scale.len()], ..quant };
        graph.add_tensor(Tensor::constant(name, DType::I8, &dims, Data::from_slice(&data)).with_quant(quant))
    };
    let b = bias.zip(node.input(2)).map(|(bias, old)| {
        let name = names.unique(graph, &format!("{}.i32", graph.tensor(old).name));
        graph.add_tensor(Tensor::constant(name, DType::I32, &[channels], Data::from_slice(&bias)))
    });
    Some([Some(w), b])
}

/// `q - z` for each weight, if all fit i8.
fn centred(tensor: &Tensor, quant: &Quant, dims: &[usize]) -> Option<Vec<i32>> {
    let codes = tensor.codes()?.into_iter().enumerate();
    let centred = codes.map(|(i, q)| q - quant.zero_point[quant.group(dims, i)]);
    centred.map(|w| (-128..=127).contains(&w).then_some(w)).collect()
}

struct Bias<'a> {
    /// Steps of the accumulators.
    steps: &'a [f64],
    /// Their greatest values without bias.
    sums: &'a [i64],
    product: &'a Product,
}

impl Bias<'_> {
    fn integer(&self, graph: &Graph, codes: &Codes, b: TensorId) -> Option<Vec<i32>> {
        let reals = match codes.constant(graph, b).map(|c| graph.tensor(c)) {
            Some(stored) if self.is_in_steps(stored) => return stored.codes(),
            Some(stored) => stored.dequantized()?,
            None => f32s(graph, b)?,
        };
        (reals.len() == self.steps.len()).then_some(())?;
        reals.iter().enumerate().map(|(c, &real)| self.rounded(c, f64::from(real))).collect()
    }

    /// True if the bias is stored as steps of the accumulators.
    fn is_in_steps(&self, stored: &Tensor) -> bool {
        let Some(quant) = stored.quant.as_ref().filter(|_| stored.dtype == DType::I32) else { return false };
        let elements = stored.shape.elements() == Some(self.steps.len());
        let scale = |c: usize| f64::from(quant.scale[if quant.axis.is_some() { c } else { 0 }]);
        let same = |(c, step): (usize, &f64)| (scale(c) - step).abs() <= SAME_SCALE * step;
        elements && self.steps.iter().enumerate().all(same)
    }

    fn rounded(&self, c: usize, real: f64) -> Option<i32> {
        let step = self.steps[c];
        let steps = (real / step).round_ties_even();
        let allowed = match self.product.output {
            Some(scale) => f64::from(scale) * BIAS_SHARE,
            None => step * self.sums[c] as f64 * FLOAT_BIAS_SHARE,
        };
        let fits = steps.abs() <= f64::from(i32::MAX) && (real - steps * step).abs() <= allowed;
        fits.then_some(steps as i32)
    }
}
