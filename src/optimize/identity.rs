//! Nodes that change nothing go, and chains of changed shapes become one.
//!
//! Matches
//! - nodes whose output is their input: Reshape, Flatten, Squeeze, Unsqueeze, Expand, Tile and Concat to the same
//!   shape, Transpose by the identity, Cast to the same type, Clip without bounds, Pad by nothing, Slice of
//!   everything, adding 0, multiplying or dividing by 1;
//! - Reshape, Flatten, Squeeze or Unsqueeze of another of these: the elements keep their order, so the last shape
//!   is all that counts;
//! - these over constants.

use super::edit::{Names, f32s, ints, reshape_target};
use crate::graph::{BinaryKind, DType, Data, Graph, Node, Op, Reshape, Tensor, TensorId, UnaryKind};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut walk = Walk {
        producer: graph.producers(),
        alias: (0..graph.tensors.len() as u32).map(TensorId).collect(),
        names: Names::default(),
        nodes: Vec::with_capacity(graph.nodes.len()),
        changed: false,
        graph,
    };
    let old = std::mem::take(&mut walk.graph.nodes);
    for node in old {
        walk.visit(node);
    }
    walk.graph.nodes = walk.nodes;
    walk.changed
}

struct Walk<'g> {
    graph: &'g mut Graph,
    /// For each tensor the index in `nodes` of the node that computes it (kept up to date for visited nodes).
    producer: Vec<Option<usize>>,
    /// For each tensor the one that is read in its place.
    alias: Vec<TensorId>,
    names: Names,
    nodes: Vec<Node>,
    changed: bool,
}

impl Walk<'_> {
    fn visit(&mut self, mut node: Node) {
        for t in node.inputs.iter_mut().flatten() {
            *t = self.alias[t.index()];
        }
        let (out, x) = (node.outputs[0], node.input(0));
        if let Some(x) = x.filter(|&x| is_identity(self.graph, &node, x)) {
            if self.forward(x, out) {
                self.changed = true;
                return;
            }
        } else if let Some(x) = x.filter(|_| is_reshaping(&node.op)) {
            if self.reshape_constant(x, out) {
                self.changed = true;
                return;
            }
            self.shorten(&mut node, x);
        }
        for out in &node.outputs {
            self.producer[out.index()] = Some(self.nodes.len());
        }
        self.nodes.push(node);
    }

    /// Lets everybody read `x` for `out`. A graph output has to be computed under its own name: then the node
    /// that makes `x` makes it, if `x` is not itself an input, output or constant.
    fn forward(&mut self, x: TensorId, out: TensorId) -> bool {
        if !self.graph.outputs.contains(&out) {
            self.alias[out.index()] = x;
            return true;
        }
        let bound = self.graph.outputs.contains(&x) || self.graph.inputs.contains(&x);
        let Some(p) = self.producer[x.index()].filter(|_| !bound && self.graph.tensor(x).data.is_none())
        else {
            return false;
        };
        for t in self.nodes[p].outputs.iter_mut().filter(|t| **t == x) {
            *t = out;
        }
        for t in self.nodes[p..].iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()).filter(|t| **t == x) {
            *t = out;
        }
        for t in self.alias.iter_mut().filter(|t| **t == x) {
            *t = out;
        }
        self.producer[out.index()] = Some(p);
        true
    }

    /// A constant in another shape is a constant over the same bytes.
    fn reshape_constant(&mut self, x: TensorId, out: TensorId) -> bool {
        let per_tensor = self.graph.tensor(x).quant.as_ref().is_none_or(|q| q.axis.is_none());
        let fixed = self.graph.tensor(out).shape.dims().is_some();
        let data = self.graph.tensor(x).data.clone().filter(|_| per_tensor && fixed);
        let Some(data) = data.filter(|_| !self.graph.outputs.contains(&out)) else { return false };
        self.graph.tensor_mut(out).data = Some(data);
        true
    }

    /// Makes the second of two reshaping nodes read what the first one reads.
    fn shorten(&mut self, node: &mut Node, x: TensorId) {
        let before = self.producer[x.index()].and_then(|p| self.nodes.get(p));
        let Some(before) = before.filter(|b| is_reshaping(&b.op)) else { return };
        let Some(origin) = before.input(0) else { return };
        let (from, to) = (&self.graph.tensor(origin).shape, &self.graph.tensor(node.outputs[0]).shape);
        let Some(target) = reshape_target(from, to) else { return };
        let name = self.names.unique(self.graph, &format!("{}.shape", node.name));
        let data = Data::from_slice(&target);
        let shape = self.graph.add_tensor(Tensor::constant(name, DType::I64, &[target.len()], data));
        self.alias.push(shape);
        self.producer.push(None);
        node.op = Reshape { allow_zero: false }.into();
        node.inputs = vec![Some(origin), Some(shape)];
        self.changed = true;
    }
}

/// True for operators that keep the elements in their order.
pub(super) fn is_reshaping(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_))
}

fn is_identity(graph: &Graph, node: &Node, x: TensorId) -> bool {
    let [out] = node.outputs[..] else { return false };
    let (from, to) = (graph.tensor(x), graph.tensor(out));
    if (from.dtype, &from.quant, &from.shape) != (to.dtype, &to.quant, &to.shape) {
        return false;
    }
    let all = |slot: usize, wanted: i64| {
        node.input(slot).and_then(|t| ints(graph, t)).is_some_and(|v| v.iter().all(|&v| v == wanted))
    };
    let fixed = from.shape.elements().is_some_and(|n| n > 0);
    match &node.op {
        Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Cast(_) => true,
        Op::Expand(_) | Op::Tile(_) => fixed,
        Op::Concat(_) => node.inputs.len() == 1,
        Op::Transpose(t) => t.perm.iter().enumerate().all(|(i, &p)| i == p),
        Op::Split(_) => true,
        Op::Slice(_) => fixed && (node.input(4).is_none() || all(4, 1)),
        Op::Pad(_) => all(1, 0),
        Op::Unary(u) => u.kind == UnaryKind::Clip && u.alpha == f32::NEG_INFINITY && u.beta == f32::INFINITY,
        Op::Binary(b) => {
            let value = node.input(1).filter(|_| b.clamp.is_none()).and_then(|t| f32s(graph, t));
            let neutral = match b.kind {
                BinaryKind::Add | BinaryKind::Sub => 0.0,
                BinaryKind::Mul | BinaryKind::Div => 1.0,
                _ => return false,
            };
            value.is_some_and(|v| v.iter().all(|&v| v == neutral))
        }
        _ => false,
    }
}
