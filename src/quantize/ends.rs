//! Float ends: the last product of a network keeps what its accumulators know.
//!
//! Where a network ends in a convolution or product followed by functions of its result alone, these are computed in
//! float. The sums then leave as reals instead of bytes, which spares decisions at a threshold the half step that a
//! byte's rounding puts on one side of it.

use super::assign::Fate;
use crate::graph::*;

/// Makes the functions between the last products and the outputs float nodes.
pub(super) fn float_ends(graph: &Graph, fates: &mut [Fate]) {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let producer = |t: TensorId| producers[t.index()].map(|i| (i, &graph.nodes[i]));
    for &out in &graph.outputs {
        let mut functions = Vec::new();
        let mut at = out;
        let ends_in_product = loop {
            let Some((index, node)) = producer(at) else { break false };
            let readers = consumers[at.index()].len() + usize::from(graph.outputs.contains(&at));
            match &node.op {
                _ if readers > 1 => break false,
                Op::Linear(_) => break true,
                Op::Conv(conv) => break conv.groups == 1,
                Op::Unary(_) | Op::Softmax(_) => functions.push(index),
                Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Transpose(_) => {
                    functions.push(index);
                }
                _ => break false,
            }
            let Some(input) = node.input(0) else { break false };
            at = input;
        };
        for index in functions.into_iter().filter(|_| ends_in_product) {
            if fates[index] == Fate::Integer {
                let why = "computes an output of the network from sums that were not rounded to bytes";
                fates[index] = Fate::Float(why.to_string());
            }
        }
    }
}
