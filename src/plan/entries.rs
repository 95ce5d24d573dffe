//! Whether the entries of a batch go through a network without meeting each other.
//!
//! A graph with N entries along dimension 0 of all its inputs gives, entry by entry, what the same graph gives for
//! fewer of them, if every node maps entry i of its operands to entry i of its outputs. Which nodes do is a list of
//! operators and conditions; what is not on it, or not wholly known, does not.

use super::Passes;
use crate::graph::{Graph, Node, Op, Shape, TensorId, infer};

/// True if `piece`, which is `whole` for fewer entries (tensor ids are the same), computes parts of what `whole` does.
pub(crate) fn apart(whole: &Graph, piece: &Graph, passes: Passes) -> bool {
    let pair = Pair { whole, piece, passes };
    let ports = |graph: &Graph| graph.inputs.iter().chain(&graph.outputs).copied().collect::<Vec<_>>();
    whole.states.is_empty()
        && whole.nodes == piece.nodes
        && ports(whole).into_iter().all(|id| pair.batched(id))
        && whole.nodes.iter().all(|node| pair.keeps_apart(node))
}

/// One network, bound for all entries and for those of a pass.
struct Pair<'a> {
    whole: &'a Graph,
    piece: &'a Graph,
    passes: Passes,
}

impl Pair<'_> {
    /// True if dimension 0 of this computed tensor is the batch, and no other one depends on how large that is.
    fn batched(&self, id: TensorId) -> bool {
        let (whole, piece) = (self.whole.tensor(id), self.piece.tensor(id));
        let (Some(w), Some(p)) = (whole.shape.dims(), piece.shape.dims()) else { return false };
        let (Some((n, w)), Some((m, p))) = (w.split_first(), p.split_first()) else { return false };
        let computed = whole.data.is_none() && piece.data.is_none();
        // Scales for each entry would be other scales in each pass.
        let alike = whole.quant.as_ref().is_none_or(|quant| quant.axis != Some(0));
        computed && alike && (*n, *m) == (self.passes.batch, self.passes.piece) && w == p
    }

    /// True if this tensor is the same constant for any number of entries.
    fn constant(&self, id: TensorId) -> bool {
        match (&self.whole.tensor(id).data, &self.piece.tensor(id).data) {
            (Some(a), Some(b)) => a.bytes().as_ptr() == b.bytes().as_ptr() || a.bytes() == b.bytes(),
            _ => false,
        }
    }

    fn keeps_apart(&self, node: &Node) -> bool {
        node.outputs.iter().all(|&id| self.batched(id)) && self.maps_entries(node)
    }

    /// True if entry i of the outputs is made of entry i of the inputs, whatever the others are. The outputs are
    /// batched.
    fn maps_entries(&self, node: &Node) -> bool {
        match &node.op {
            Op::Unary(_) | Op::Pool(_) | Op::Cast(_) => self.first_alone(node),
            Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => self.first_alone(node),
            // With more inputs than a bias, scale and zero point come from the data.
            Op::Conv(_) | Op::ConvTranspose(_) => node.inputs.len() <= 3 && self.first_alone(node),
            // The last dimension is summed over.
            Op::Linear(_) => node.inputs.len() <= 3 && self.first_alone(node) && self.rank(node, 0) >= 2,
            Op::MatMul(_) => self.product(node),
            Op::Binary(_) | Op::Where(_) => node.present_inputs().all(|id| self.broadcasts(node, id)),
            Op::Softmax(op) => op.axis > 0 && self.first_alone(node),
            Op::ArgMax(op) => op.axis > 0 && self.first_alone(node),
            Op::Split(op) => op.axis > 0 && self.first_alone(node),
            Op::LayerNorm(op) => op.axis > 0 && self.first_alone(node),
            Op::BatchNorm(op) => op.axis > 0 && self.first_alone(node),
            Op::Reduce(op) => !op.axes.is_empty() && !op.axes.contains(&0) && self.first_alone(node),
            Op::Concat(op) => op.axis > 0 && node.present_inputs().all(|id| self.batched(id)),
            Op::Transpose(op) => op.perm.first() == Some(&0) && self.first_alone(node),
            Op::Slice(_) => self.first_alone(node) && self.slices_inside(node),
            Op::Pad(_) => self.first_alone(node) && self.pads_inside(node),
            Op::Gather(op) => match op.axis {
                0 => self.is(node, 0, Self::constant) && self.is(node, 1, Self::batched),
                _ => self.first_alone(node),
            },
            // Their other inputs say shapes, which the outputs have. Elements keep their order.
            Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => {
                self.is(node, 0, Self::batched)
            }
            Op::Expand(_) => self.is(node, 0, Self::batched) && self.rank(node, 0) == self.out(node).rank(),
            Op::Resize(_) | Op::Resample(_) => self.is(node, 0, Self::batched) && self.resizes_inside(node),
            _ => false,
        }
    }

    /// True if input `i` is there and like that.
    fn is(&self, node: &Node, i: usize, like: impl Fn(&Self, TensorId) -> bool) -> bool {
        node.input(i).is_some_and(|id| like(self, id))
    }

    /// True if the first input is batched and the others are constants.
    fn first_alone(&self, node: &Node) -> bool {
        self.is(node, 0, Self::batched) && node.inputs.iter().skip(1).flatten().all(|&id| self.constant(id))
    }

    fn out(&self, node: &Node) -> &Shape {
        &self.whole.tensor(node.outputs[0]).shape
    }

    fn rank(&self, node: &Node, i: usize) -> usize {
        node.input(i).map_or(0, |id| self.whole.tensor(id).shape.rank())
    }

    /// True if each entry of the output reads its own entry of this operand, or all read the same.
    fn broadcasts(&self, node: &Node, id: TensorId) -> bool {
        let shape = &self.whole.tensor(id).shape;
        let own = shape.rank() == self.out(node).rank();
        if own && self.batched(id) {
            return true;
        }
        let first = shape.first().and_then(|dim| dim.fixed());
        self.constant(id) && (!own || first == Some(1))
    }

    /// Batches of matrices, or rows of one by a constant.
    fn product(&self, node: &Node) -> bool {
        let rows = self.first_alone(node) && self.rank(node, 1) <= 2 && self.rank(node, 0) >= 2;
        rows || self.rank(node, 0).max(self.rank(node, 1)) >= 3
            && node.present_inputs().all(|id| self.broadcasts(node, id))
    }

    /// The numbers of a constant.
    fn numbers(&self, node: &Node, i: usize) -> Option<Vec<i64>> {
        self.whole.tensor(node.input(i)?).data.as_ref().map(|data| data.to_vec::<i64>())
    }

    /// True if a slice takes all of dimension 0, in its order.
    fn slices_inside(&self, node: &Node) -> bool {
        let (Some(starts), Some(ends)) = (self.numbers(node, 1), self.numbers(node, 2)) else { return false };
        let count = starts.len();
        let axes = self.numbers(node, 3).unwrap_or_else(|| (0..count as i64).collect());
        let steps = self.numbers(node, 4).unwrap_or_else(|| vec![1; count]);
        let rank = self.rank(node, 0) as i64;
        let bounds = starts.iter().zip(&ends).zip(axes.iter().zip(&steps));
        let mut outer = bounds.filter(|(_, (axis, _))| **axis == 0 || **axis == -rank);
        let (batch, piece) = (self.passes.batch, self.passes.piece);
        outer.all(|((&start, &end), (_, &step))| {
            let all = |n: usize| infer::slice_bounds(n, start, end, step) == Some((0, n));
            step == 1 && all(batch) && all(piece)
        })
    }

    /// True if nothing is put in front of dimension 0 or behind it.
    fn pads_inside(&self, node: &Node) -> bool {
        let rank = self.rank(node, 0);
        self.numbers(node, 1).is_some_and(|pads| pads.len() == 2 * rank && pads[0] == 0 && pads[rank] == 0)
    }

    /// True if dimension 0 stays as it is: lengths say so, unless scales are given beside them.
    fn resizes_inside(&self, node: &Node) -> bool {
        let Some(scales) = node.input(2) else { return true };
        let first =
            self.whole.tensor(scales).data.as_ref().and_then(|data| data.to_vec::<f32>().first().copied());
        self.constant(scales) && first == Some(1.0)
    }
}
