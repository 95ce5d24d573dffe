//! Weights and biases of a product, as integer kernels want them.
//!
//! Weights become i8 around 0, or around a zero point per channel where they are farther away from it. A bias becomes
//! i32, in steps of the accumulator `s_x * s_w[c]`, if it is given in these or if rounding it to them would not be
//! noticed; any other stays f32, and the kernel adds what is no whole step behind the multiplication. That is also where
//! the bias of a channel goes whose weights are almost 0, and whose steps so small that it would not fit the accumulator.

use super::super::edit::{Names, f32s};
use super::Codes;
use crate::graph::{DType, Data, Graph, Node, Quant, Rows, Tensor, TensorId};

/// Part of an output's step by which rounding a bias may move it: less than what rounding to f32 on the way may.
const SHARE: f64 = 1.0 / 65536.0;
/// The same for f32 outputs, as part of the greatest sum: half a unit in the last place of an f32.
const FLOAT_SHARE: f64 = 1.0 / 16777216.0;
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
    let weights = centred(tensor, &quant, &dims)?;
    let as_stored = tensor.dtype == DType::I8 && quant.zero_point.iter().all(|&z| z == 0);
    let row = weights.len().checked_div(*dims.first()?)?;
    let rows = weights.chunks(row.max(1)).zip(quant.scale.iter().cycle());
    let channels: Vec<Channel> = rows.map(|(w, &scale)| Channel::new(w, scale, product)).collect();
    channels.iter().all(|c| c.fits(0)).then_some(())?;
    let bias = match node.input(2) {
        Some(b) => Some(bias(graph, codes, b, &channels, product)?),
        None => None,
    };
    let mut names = Names::default();
    let w = if as_stored {
        stored
    } else {
        let name = names.unique(graph, &format!("{}.i8", graph.tensor(stored).name));
        let rows = Rows::new(&weights, row)?;
        let quant = rows.quant(&channels.iter().map(|c| c.scale).collect::<Vec<f32>>());
        let codes = Data::from_slice(&rows.codes);
        graph.add_tensor(Tensor::constant(name, DType::I8, &dims, codes).with_quant(quant))
    };
    let b = bias.zip(node.input(2)).map(|((dtype, data), old)| {
        let name = names.unique(graph, &format!("{}.{dtype}", graph.tensor(old).name));
        graph.add_tensor(Tensor::constant(name, dtype, &[channels.len()], data))
    });
    Some([Some(w), b])
}

/// `q - z` for each weight.
fn centred(tensor: &Tensor, quant: &Quant, dims: &[usize]) -> Option<Vec<i32>> {
    let codes = tensor.codes()?.into_iter().enumerate();
    Some(codes.map(|(i, q)| q - quant.zero_point[quant.group(dims, i)]).collect())
}

/// What makes one channel of the output.
struct Channel {
    /// Of the weights.
    scale: f32,
    /// A step of the accumulator.
    step: f64,
    /// The greatest sum of products.
    reach: i64,
}

impl Channel {
    fn new(weights: &[i32], scale: f32, product: &Product) -> Channel {
        let input = i64::from(product.input.1.max(255 - product.input.1));
        Channel {
            scale,
            step: f64::from(product.input.0) * f64::from(scale),
            reach: input * weights.iter().map(|w| i64::from(w.abs())).sum::<i64>(),
        }
    }

    /// True if the accumulator holds all sums and this bias.
    fn fits(&self, bias: i64) -> bool {
        self.reach.checked_add(bias.abs()).is_some_and(|most| most <= i64::from(i32::MAX))
    }

    /// The bias in steps, if it fits and rounding it would not be noticed, or be no more than rounding it to f32 was.
    fn steps(&self, bias: f32, product: &Product) -> Option<i32> {
        let steps = (f64::from(bias) / self.step).round_ties_even();
        let moved = (f64::from(bias) - steps * self.step).abs();
        let allowed = match product.output {
            Some(scale) => f64::from(scale) * SHARE,
            None => self.step * self.reach as f64 * FLOAT_SHARE,
        };
        let whole = steps.abs() <= f64::from(i32::MAX) && self.fits(steps as i64);
        let own = f64::from(bias.abs()) * f64::from(f32::EPSILON);
        (whole && moved <= allowed.max(own)).then_some(steps as i32)
    }
}

/// The bias: i32, in steps of each channel's accumulator, or f32.
fn bias(
    graph: &Graph,
    codes: &Codes,
    b: TensorId,
    channels: &[Channel],
    product: &Product,
) -> Option<(DType, Data)> {
    let stored = codes.constant(graph, b).map(|c| graph.tensor(c));
    if let Some(stored) = stored.filter(|stored| is_in_steps(stored, channels)) {
        let steps = stored.codes()?;
        if steps.iter().zip(channels).all(|(&steps, channel)| channel.fits(steps.into())) {
            return Some((DType::I32, Data::from_slice(&steps)));
        }
    }
    let reals = match stored {
        Some(stored) => stored.dequantized()?,
        None => f32s(graph, b)?,
    };
    (reals.len() == channels.len() && reals.iter().all(|b| b.is_finite())).then_some(())?;
    let steps = reals.iter().zip(channels).map(|(&real, channel)| channel.steps(real, product));
    Some(match steps.collect::<Option<Vec<i32>>>() {
        Some(steps) => (DType::I32, Data::from_slice(&steps)),
        None => (DType::F32, Data::from_slice(&reals)),
    })
}

/// True if the bias is stored as steps of the accumulators.
fn is_in_steps(stored: &Tensor, channels: &[Channel]) -> bool {
    let Some(quant) = stored.quant.as_ref().filter(|_| stored.dtype == DType::I32) else { return false };
    let same = |(channel, &scale): (&Channel, &f32)| {
        let step = channel.step;
        (f64::from(scale) - step).abs() <= SAME_SCALE * step
    };
    stored.shape.elements() == Some(channels.len())
        && channels.iter().zip(quant.scale.iter().cycle()).all(same)
}
