//! Weights and biases of a product, as integer kernels want them.
//!
//! Weights become i8 around 0, or around a zero point per channel where they are farther away from it. A bias becomes steps of the accumulator, `s_x * s_w[c]`. Usually it is given in
//! these; otherwise it is rounded to them. Channels whose weights are almost 0 may have steps so small that their bias
//! does not fit the accumulator: their steps are doubled until it does. Neither is done where it would be seen: it may
//! move an output by 1/64 of its step, or one that is f32 by 2^-16 of the channel's greatest sum.

use super::super::edit::{Names, f32s};
use super::Codes;
use crate::graph::{DType, Data, Graph, Node, Quant, Rows, Tensor, TensorId};

/// Part of an output's step by which it may be moved.
const SHARE: f64 = 1.0 / 64.0;
/// The same for f32 outputs, as part of the greatest sum.
const FLOAT_SHARE: f64 = 1.0 / 65536.0;
/// Relative difference of scales that come from one product, computed in another precision.
const SAME_SCALE: f64 = 1e-6;
/// How often steps are doubled at most: weights of 7 bits are gone by then.
const MAX_DOUBLINGS: u32 = 8;

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
    let scales = quant.scale.iter().cycle();
    let rows = weights.chunks(row.max(1)).zip(scales);
    let mut channels: Vec<Channel> =
        rows.map(|(w, &scale)| Channel { weights: w.to_vec(), bias: 0, scale }).collect();
    if let Some(b) = node.input(2) {
        let bias = steps_of_bias(graph, codes, b, &channels, product)?;
        channels.iter_mut().zip(bias).for_each(|(channel, bias)| channel.bias = bias);
    }
    let mut doubled = false;
    for channel in channels.iter_mut().filter(|c| !c.fits(product)) {
        channel.double_steps(product)?;
        doubled = true;
    }
    let mut names = Names::default();
    let w = if as_stored && !doubled {
        stored
    } else {
        let name = names.unique(graph, &format!("{}.i8", graph.tensor(stored).name));
        let weights: Vec<i32> = channels.iter().flat_map(|c| c.weights.iter().copied()).collect();
        let rows = Rows::new(&weights, row)?;
        let quant = rows.quant(&channels.iter().map(|c| c.scale).collect::<Vec<f32>>());
        let codes = Data::from_slice(&rows.codes);
        graph.add_tensor(Tensor::constant(name, DType::I8, &dims, codes).with_quant(quant))
    };
    let b = node.input(2).map(|old| {
        let name = names.unique(graph, &format!("{}.i32", graph.tensor(old).name));
        let bias: Vec<i32> = channels.iter().map(|c| c.bias as i32).collect();
        graph.add_tensor(Tensor::constant(name, DType::I32, &[bias.len()], Data::from_slice(&bias)))
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
    weights: Vec<i32>,
    /// In steps of the accumulator.
    bias: i64,
    /// Of the weights.
    scale: f32,
}

impl Channel {
    /// A step of the accumulator.
    fn step(&self, product: &Product) -> f64 {
        f64::from(product.input.0) * f64::from(self.scale)
    }

    /// The greatest sum of products with these weights.
    fn reach(weights: impl Iterator<Item = i32>, product: &Product) -> i64 {
        let input = i64::from(product.input.1.max(255 - product.input.1));
        input * weights.map(|w| i64::from(w.abs())).sum::<i64>()
    }

    fn fits(&self, product: &Product) -> bool {
        Channel::reach(self.weights.iter().copied(), product) + self.bias.abs() <= i64::from(i32::MAX)
    }

    /// By how much an output may be moved.
    fn allowed(&self, product: &Product) -> f64 {
        match product.output {
            Some(scale) => f64::from(scale) * SHARE,
            None => {
                self.step(product)
                    * Channel::reach(self.weights.iter().copied(), product) as f64
                    * FLOAT_SHARE
            }
        }
    }

    /// Makes the steps larger until the sums fit.
    fn double_steps(&mut self, product: &Product) -> Option<()> {
        for doublings in 1..=MAX_DOUBLINGS {
            let factor = 1i64 << doublings;
            let coarse = |v: i64| (v as f64 / factor as f64).round_ties_even() as i64;
            let weights = self.weights.iter().map(|&w| coarse(i64::from(w)) as i32).collect();
            let (bias, scale) = (coarse(self.bias), self.scale * factor as f32);
            let channel = Channel { weights, bias, scale };
            if channel.fits(product) {
                let pairs = self.weights.iter().zip(&channel.weights);
                let moved = Channel::reach(pairs.map(|(old, new)| old - new * factor as i32), product)
                    + (self.bias - bias * factor).abs();
                (moved as f64 * self.step(product) <= self.allowed(product)).then_some(())?;
                *self = channel;
                return Some(());
            }
        }
        None
    }
}

/// The bias in steps of each channel's accumulator.
fn steps_of_bias(
    graph: &Graph,
    codes: &Codes,
    b: TensorId,
    channels: &[Channel],
    product: &Product,
) -> Option<Vec<i64>> {
    let reals = match codes.constant(graph, b).map(|c| graph.tensor(c)) {
        Some(stored) if is_in_steps(stored, channels, product) => {
            return Some(stored.codes()?.into_iter().map(i64::from).collect());
        }
        Some(stored) => stored.dequantized()?,
        None => f32s(graph, b)?,
    };
    let rounded = |(real, channel): (f32, &Channel)| {
        let (real, step) = (f64::from(real), channel.step(product));
        let steps = (real / step).round_ties_even();
        let seen = (real - steps * step).abs() > channel.allowed(product);
        // Beyond this no number of doublings helps.
        (!seen && steps.abs() < (1i64 << 40) as f64).then_some(steps as i64)
    };
    (reals.len() == channels.len()).then_some(())?;
    reals.into_iter().zip(channels).map(rounded).collect()
}

/// True if the bias is stored as steps of the accumulators.
fn is_in_steps(stored: &Tensor, channels: &[Channel], product: &Product) -> bool {
    let Some(quant) = stored.quant.as_ref().filter(|_| stored.dtype == DType::I32) else { return false };
    let same = |(channel, &scale): (&Channel, &f32)| {
        let step = channel.step(product);
        (f64::from(scale) - step).abs() <= SAME_SCALE * step
    };
    stored.shape.elements() == Some(channels.len())
        && channels.iter().zip(quant.scale.iter().cycle()).all(same)
}
