//! Float ends: the last product of a network keeps what its accumulators know.
//!
//! Where a network ends in a convolution or product, perhaps followed by functions of its result alone, the sums
//! leave as reals instead of bytes that are dequantized at once. That costs nothing (no rounding to bytes, no
//! Dequantize) and spares decisions at a threshold the half step that a byte's rounding puts on one side of it.

use super::Quantized;
use crate::graph::*;

/// Why the functions behind a last product are float.
const REASON: &str = "computes an output of the network from sums that were not rounded to bytes";

/// Lets the products that outputs are computed from leave as f32, where nothing but functions of one tensor stands
/// between.
pub(super) fn float_ends(quantized: &mut Quantized) {
    for out in quantized.graph.outputs.clone() {
        let Some(tail) = Tail::of(&quantized.graph, out) else { continue };
        let functions = tail.nodes.iter().map(|&i| &quantized.graph.nodes[i]);
        let functions = functions.filter(|n| matches!(n.op, Op::Unary(_) | Op::Softmax(_)));
        let float: Vec<_> = functions.map(|n| (n.name.clone(), REASON.to_string())).collect();
        quantized.nodes_int8 = quantized.nodes_int8.saturating_sub(float.len());
        quantized.nodes_float += float.len();
        quantized.float_nodes.extend(float);
        tail.lift(&mut quantized.graph, out);
    }
}

/// What stands between a product and an output.
struct Tail {
    /// Computes the sums.
    product: usize,
    /// Functions of its result, the last one first.
    nodes: Vec<usize>,
    /// Makes the output of their bytes.
    dequantize: usize,
}

impl Tail {
    /// The tail of this output, if it ends in a product and nobody else reads what is in it.
    fn of(graph: &Graph, out: TensorId) -> Option<Tail> {
        let (producers, consumers) = (graph.producers(), graph.consumers());
        let dequantize =
            producers[out.index()].filter(|&i| matches!(graph.nodes[i].op, Op::Dequantize(_)))?;
        let mut nodes = Vec::new();
        let mut at = graph.nodes[dequantize].input(0)?;
        loop {
            let alone = consumers[at.index()].len() == 1 && !graph.outputs.contains(&at);
            let index = producers[at.index()].filter(|_| alone)?;
            let node = &graph.nodes[index];
            match &node.op {
                Op::Linear(_) => return Some(Tail { product: index, nodes, dequantize }),
                // A depthwise convolution has no kernel that leaves reals.
                Op::Conv(conv) if conv.groups == 1 => {
                    return Some(Tail { product: index, nodes, dequantize });
                }
                Op::Unary(_) | Op::Softmax(_) => nodes.push(index),
                Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Transpose(_) => {
                    nodes.push(index);
                }
                _ => return None,
            }
            at = node.input(0)?;
        }
    }

    /// Makes everything from the product on f32.
    fn lift(self, graph: &mut Graph, out: TensorId) {
        for &index in std::iter::once(&self.product).chain(&self.nodes) {
            let tensor = graph.nodes[index].outputs[0];
            let tensor = graph.tensor_mut(tensor);
            (tensor.dtype, tensor.quant) = (DType::F32, None);
        }
        // The output keeps its tensor: whoever made its bytes makes it now.
        let last = self.nodes.first().copied().unwrap_or(self.product);
        graph.nodes[last].outputs[0] = out;
        graph.nodes.remove(self.dequantize);
    }
}
