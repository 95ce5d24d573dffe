//! Networks that say in their graph how they are quantized become integer networks.
//!
//! Such a network computes in floats between `Dequantize` and `Quantize`. The passes here move the two toward each
//! other through nodes that only move values, until what stands between them is one operator; if that can be
//! computed in integers with the scales at hand, it is, and the three nodes are one. Nothing is calibrated and no
//! scale changes: the network keeps its own arithmetic. What can't be computed in integers stays float.

mod bias;
mod ends;
mod float_weights;
mod fuse;
mod products;
mod rise;
mod signs;
mod sink;
mod weights;

use super::edit::Names;
use crate::graph::{DType, Data, Graph, Node, Op, Tensor, TensorId};

/// Each prepares for those behind it.
const STEPS: &[fn(&mut Graph) -> bool] = &[
    ends::quantize_constants,
    signs::run,
    products::run,
    bias::run,
    sink::run,
    rise::run,
    float_weights::run,
    fuse::run,
];

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    for step in STEPS {
        if !is_quantized(graph) {
            break;
        }
        // What a step leaves unread would look like a reader to the next one.
        if step(graph) {
            graph.sweep();
            changed = true;
        }
    }
    changed
}

/// When nothing moves any more: products that end in floats, and constants that stayed between the two.
pub(super) fn settle(graph: &mut Graph) -> bool {
    if !is_quantized(graph) {
        return false;
    }
    let products = ends::float_products(graph);
    graph.sweep();
    ends::dequantize_constants(graph) | products
}

fn is_quantized(graph: &Graph) -> bool {
    graph.nodes.iter().any(|n| matches!(n.op, Op::Quantize(_) | Op::Dequantize(_)))
}

/// For each tensor the integers that it was dequantized from.
struct Codes(Vec<Option<TensorId>>);

impl Codes {
    fn of(graph: &Graph) -> Codes {
        let mut codes = Codes(vec![None; graph.tensors.len()]);
        graph.nodes.iter().for_each(|node| codes.learn(node));
        codes
    }

    fn learn(&mut self, node: &Node) {
        if let (Op::Dequantize(_), Some(x)) = (&node.op, node.input(0)) {
            let out = node.outputs[0].index();
            self.0.resize(self.0.len().max(out + 1), None);
            self.0[out] = Some(x);
        }
    }

    fn get(&self, t: TensorId) -> Option<TensorId> {
        self.0.get(t.index()).copied().flatten()
    }

    /// The bytes of an activation: u8 with one scale, not constant.
    fn activation(&self, graph: &Graph, t: TensorId) -> Option<TensorId> {
        self.get(t).filter(|&c| is_activation(graph, c))
    }

    /// The integers of a constant.
    fn constant(&self, graph: &Graph, t: TensorId) -> Option<TensorId> {
        self.get(t).filter(|&c| graph.tensor(c).data.is_some())
    }
}

fn is_activation(graph: &Graph, t: TensorId) -> bool {
    let tensor = graph.tensor(t);
    tensor.dtype == DType::U8 && tensor.data.is_none() && affine(graph, t).is_some()
}

/// The one scale and zero point of a tensor.
fn affine(graph: &Graph, t: TensorId) -> Option<(f32, i32)> {
    graph.tensor(t).quant.as_ref()?.single()
}

/// How often each tensor is read, by nodes and as an output.
fn reads(graph: &Graph) -> Vec<usize> {
    let mut reads: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
    graph.outputs.iter().for_each(|out| reads[out.index()] += 1);
    reads
}

/// The integer that stands for 0.0 in `x`, which is u8, as a constant.
fn zero_code(graph: &mut Graph, names: &mut Names, x: TensorId) -> Option<TensorId> {
    let (_, zero) = affine(graph, x)?;
    let name = names.unique(graph, &format!("{}.zero", graph.tensor(x).name));
    let quant = graph.tensor(x).quant.clone()?;
    let data = Data::from_bytes(&[u8::try_from(zero).ok()?]);
    Some(graph.add_tensor(Tensor::constant(name, DType::U8, &[], data).with_quant(quant)))
}
