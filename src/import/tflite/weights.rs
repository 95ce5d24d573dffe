//! Weights and biases of convolutions and products: i8 for integers, floats for floats.

use super::super::node::Stop;
use super::context::Context;
use super::tensor::Info;
use crate::graph::{DType, Data, Quant, Rows, Tensor, TensorId};

/// How a file orders weights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Output channels first, as the graph has them.
    OutputFirst,
    /// `[1, KH, KW, O]`: the weights of depthwise convolutions.
    OutputLast,
}

impl Order {
    /// The axis of the output channels in the file.
    fn axis(self, rank: usize) -> usize {
        match self {
            Order::OutputFirst => 0,
            Order::OutputLast => rank.saturating_sub(1),
        }
    }

    /// The dimensions in the graph.
    fn dims(self, dims: &[usize]) -> Vec<usize> {
        match (self, dims) {
            (Order::OutputLast, &[one, h, w, o]) => vec![o, h, w, one],
            _ => dims.to_vec(),
        }
    }

    /// Brings the output channels of weights with `dims` in the file to the front.
    fn arrange<T: Copy>(self, values: Vec<T>, dims: &[usize]) -> Vec<T> {
        let channels = dims.last().copied().unwrap_or(1).max(1);
        match self {
            Order::OutputFirst => values,
            Order::OutputLast => {
                (0..channels).flat_map(|c| values.iter().skip(c).step_by(channels).copied()).collect()
            }
        }
    }
}

/// Where the operands of a weighted operator stand among its inputs, and how its weights are ordered.
pub(super) struct Operands {
    pub x: usize,
    pub weights: usize,
    pub bias: usize,
    pub order: Order,
}

/// Operands as the graph wants them.
pub(super) struct Weights {
    /// Input, weights and, if there is one, bias.
    pub inputs: Vec<TensorId>,
    /// Dimensions of the weights.
    pub dims: Vec<usize>,
}

/// Reads the operands of a weighted operator.
pub(super) fn take(cx: &mut Context, operands: &Operands) -> Result<Weights, Stop> {
    let x = cx.input(operands.x)?;
    let (weights, biases): (_, &[DType]) = match (cx.tensor(x).dtype, cx.tensor(x).quant.is_some()) {
        (DType::F32, _) => (float(cx, operands)?, &[DType::F32]),
        (DType::U8, true) => (integer(cx, operands)?, &[DType::I32]),
        (DType::I16, true) => (integer(cx, operands)?, &[DType::I64, DType::I32]),
        (other, _) => {
            let reason =
                format!("its input is {other}: floats and quantized integers of 8 and 16 bits are supported");
            return Err(Stop::because(reason));
        }
    };
    let dims = cx.tensor(weights).shape.dims().unwrap_or_default();
    let mut inputs = vec![x, weights];
    if cx.has(operands.bias) {
        let id = cx.input(operands.bias)?;
        let tensor = cx.tensor(id);
        if !biases.contains(&tensor.dtype) || tensor.data.is_none() {
            let reason = format!("its bias is {}, it must be constant {}", tensor.dtype, biases[0]);
            return Err(Stop::because(reason));
        }
        inputs.push(id);
    }
    Ok(Weights { inputs, dims })
}

fn float(cx: &mut Context, operands: &Operands) -> Result<TensorId, Stop> {
    let id = cx.input(operands.weights)?;
    let tensor = cx.tensor(id);
    let dims = tensor.shape.dims().unwrap_or_default();
    let values = match (&tensor.data, tensor.dtype) {
        (None, _) => return Err(not_constant(&tensor.name)),
        (Some(_), DType::F32) if operands.order == Order::OutputFirst => return Ok(id),
        (Some(data), DType::F32) => data.to_vec::<f32>(),
        _ => dequantized(&cx.info(operands.weights)?)?,
    };
    let values = operands.order.arrange(values, &dims);
    cx.constant("weights", DType::F32, &operands.order.dims(&dims), Data::from_slice(&values))
}

fn not_constant(name: &str) -> Stop {
    Stop::because(format!("its weights ('{name}') must be constant"))
}

/// The reals that a quantized constant stands for.
pub(super) fn dequantized(info: &Info) -> Result<Vec<f32>, Stop> {
    let (Some(dims), Some(quant)) = (info.sizes(), &info.quant) else {
        return Err(Stop::because(format!("'{}' is {} without a scale", info.name, info.dtype)));
    };
    let codes = codes(info)?;
    let real = |(i, q): (usize, i16)| {
        let c = channel(quant, &dims, i);
        (i64::from(q) - i64::from(quant.zero_point[c])) as f32 * quant.scale[c]
    };
    Ok(codes.into_iter().enumerate().map(real).collect())
}

/// Which of the scales element `i` has.
fn channel(quant: &Quant, dims: &[usize], i: usize) -> usize {
    match quant.axis {
        None => 0,
        Some(axis) => i / dims[axis + 1..].iter().product::<usize>().max(1) % quant.scale.len(),
    }
}

/// The integers of a constant of 8 or 16 bits.
fn codes(info: &Info) -> Result<Vec<i16>, Stop> {
    let data = info.data.ok_or_else(|| not_constant(info.name))?;
    match info.dtype {
        DType::I8 => Ok(data.iter().map(|&b| i16::from(b as i8)).collect()),
        DType::U8 => Ok(data.iter().map(|&b| i16::from(b)).collect()),
        DType::I16 => Ok(Data::from_bytes(data).to_vec()),
        other => Err(Stop::because(format!(
            "its weights ('{}') are {other}, they must be 8 or 16 bits",
            info.name
        ))),
    }
}

/// Weights as i8, around zero points where they leave its range.
fn integer(cx: &mut Context, operands: &Operands) -> Result<TensorId, Stop> {
    let info = cx.info(operands.weights)?;
    let (Some(dims), Some(quant)) = (info.sizes(), info.quant.clone()) else {
        return Err(Stop::because(format!("its weights ('{}') have no scale", info.name)));
    };
    let order = operands.order;
    if quant.axis.is_some_and(|a| a != order.axis(dims.len())) {
        let reason = format!("its weights have a scale for each index of axis {:?}", quant.axis);
        return Err(Stop::because(reason));
    }
    let centred: Vec<i32> = codes(&info)?
        .into_iter()
        .enumerate()
        .map(|(i, q)| i32::from(q).wrapping_sub(quant.zero_point[channel(&quant, &dims, i)]))
        .collect();
    let centred = order.arrange(centred, &dims);
    let dims = order.dims(&dims);
    let row = dims.get(1..).unwrap_or_default().iter().product();
    let rows = Rows::new(&centred, row).ok_or_else(|| {
        Stop::because(format!("the zero point of its weights ('{}') is none of theirs", info.name))
    })?;
    let quant = rows.quant(&quant.scale);
    let name = format!("{}/weights", cx.name);
    let tensor = Tensor::constant(name, DType::I8, &dims, Data::from_slice(&rows.codes));
    cx.state.constant(tensor.with_quant(quant))
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn depthwise_weights_get_their_channels_first() {
        let dims = [1, 2, 1, 3];
        assert_eq!(Order::OutputLast.dims(&dims), [3, 2, 1, 1]);
        assert_eq!(Order::OutputLast.arrange(vec![0, 1, 2, 10, 11, 12], &dims), [0, 10, 1, 11, 2, 12]);
    }
}
