//! Recurrent layers: weights are quantized now, each row of an input and each state while the network runs.

use super::dynamic::finite;
use super::names::Names;
use super::weights::{self, MAX_PRODUCTS, Target};
use crate::graph::*;

/// The layer with its weights in i8; `None`: it has them already.
pub(super) fn quantized(
    graph: &mut Graph,
    names: &mut Names,
    node: &Node,
    per_tensor: bool,
) -> Option<Result<Node, String>> {
    let Op::Recurrent(op) = &node.op else { return None };
    let weights = [node.input(1)?, node.input(2)?];
    if weights.iter().any(|&w| graph.tensor(w).dtype != DType::F32) {
        return None;
    }
    let mut layer = Node { op: Recurrent { rows: RowQuant::Each, ..op.clone() }.into(), ..node.clone() };
    for (slot, w) in [1, 2].into_iter().zip(weights) {
        match rows(graph.tensor(w), per_tensor) {
            Ok(mut tensor) => {
                tensor.name = names.unique(&tensor.name);
                layer.inputs[slot] = Some(graph.add_tensor(tensor));
            }
            Err(why) => return Some(Err(why)),
        }
    }
    Some(Ok(layer))
}

/// Rows of weights in i8, each with its scale.
fn rows(tensor: &Tensor, per_tensor: bool) -> Result<Tensor, String> {
    let values = finite(tensor)?;
    let [channels, products] = tensor.shape.dims().unwrap_or_default()[..] else {
        return Err(format!("'{}' is not a matrix", tensor.name));
    };
    if !(1..=MAX_PRODUCTS).contains(&products) {
        return Err(format!("sums of {products} products don't fit 32 bits"));
    }
    let target = Target { channels, input_scale: 1.0, output_scale: 1.0, per_tensor, input: None };
    let made = weights::quantize(&values, None, &target);
    let quant = match (per_tensor, made.scales.first()) {
        (true, Some(&scale)) => Quant::per_tensor(scale, 0),
        _ => Quant::per_channel(0, made.scales),
    };
    let name = format!("{}.i8", tensor.name);
    let codes = Data::from_slice(&made.codes);
    Ok(Tensor::constant(name, DType::I8, &[channels, products], codes).with_quant(quant))
}
