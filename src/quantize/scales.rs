//! Scale and zero point of every activation.
//!
//! Nodes that only move values give their outputs the parameters of their inputs, so tensors fall into classes that
//! share one range: the union of what was seen of them. A Concat needs one class for all of its inputs. An input
//! joins it if that costs others nothing or little; otherwise it keeps its class and is requantized on its way into
//! the Concat.

use super::assign::{Fate, data_inputs, is_passing, pad_value};
use super::{Calibration, Range, affine};
use crate::graph::*;

/// A class may have its step made coarser by this factor to spare a requantization: half a bit.
const HARMLESS: f32 = std::f32::consts::SQRT_2;

/// Parameters of every activation of an integer node.
pub(super) struct Scales {
    /// By tensor id, a tensor of the same class, itself at the root.
    parent: Vec<usize>,
    /// At the root of a class: its tensors and its range.
    members: Vec<Vec<usize>>,
    ranges: Vec<Option<Range>>,
}

impl Scales {
    /// Finds classes and their ranges.
    pub fn choose(graph: &Graph, fates: &[Fate], calibration: &Calibration) -> Scales {
        let ids = (0..graph.tensors.len() as u32).map(TensorId);
        let ranges = ids.map(|t| calibration.range(t).map(Range::with_zero)).collect();
        let count = graph.tensors.len();
        let members = (0..count).map(|t| vec![t]).collect();
        let mut scales = Scales { parent: (0..count).collect(), members, ranges };
        let integer = |i: usize| fates[i] == Fate::Integer;
        for (_, node) in graph.nodes.iter().enumerate().filter(|(i, _)| integer(*i)) {
            scales.take_in(graph, node);
        }
        let consumers = graph.consumers();
        for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| integer(*i)) {
            if matches!(node.op, Op::Concat(_)) {
                scales.join_inputs(graph, fates, &consumers, i, node);
            }
        }
        scales
    }

    /// The parameters of a tensor's class.
    pub fn quant(&self, t: TensorId) -> Quant {
        let range = self.ranges[self.root(t.index())];
        activation_quant(range.unwrap_or(Range { min: 0.0, max: 0.0 }))
    }

    fn root(&self, mut t: usize) -> usize {
        while self.parent[t] != t {
            t = self.parent[t];
        }
        t
    }

    fn unite(&mut self, a: TensorId, b: TensorId) {
        let (a, b) = (self.root(a.index()), self.root(b.index()));
        if a == b {
            return;
        }
        let (a, b) = if self.members[a].len() < self.members[b].len() { (b, a) } else { (a, b) };
        self.ranges[a] = [self.ranges[a], self.ranges[b]].into_iter().flatten().reduce(Range::union);
        let joining = std::mem::take(&mut self.members[b]);
        self.members[a].extend(joining);
        self.parent[b] = a;
    }

    /// Widens the class of `t`.
    fn widen(&mut self, t: TensorId, range: Range) {
        let root = self.root(t.index());
        self.ranges[root] = Some(self.ranges[root].map_or(range, |r| r.union(range)));
    }

    fn take_in(&mut self, graph: &Graph, node: &Node) {
        let out = node.outputs[0];
        if let Some(range) = natural_range(&node.op) {
            self.ranges[out.index()] = Some(range);
        }
        if !is_passing(&node.op) {
            return;
        }
        match &node.op {
            Op::Concat(_) => {
                for constant in node.present_inputs().filter_map(|t| graph.tensor(t).data.as_ref()) {
                    if let Some(range) = Range::of(&constant.to_vec()) {
                        self.widen(out, range);
                    }
                }
                return;
            }
            Op::Pad(_) => {
                if let Some(v) = pad_value(graph, node).filter(|v| v.is_finite()) {
                    self.widen(out, Range { min: v, max: v });
                }
            }
            _ => {}
        }
        if let Some(x) = data_inputs(graph, node).next() {
            node.outputs.iter().for_each(|&out| self.unite(x, out));
        }
    }

    /// Inputs of a Concat join its class where that is free: nobody else reads what is in their class. Then those
    /// join whose step does not get much coarser.
    fn join_inputs(
        &mut self,
        graph: &Graph,
        fates: &[Fate],
        consumers: &[Vec<usize>],
        i: usize,
        node: &Node,
    ) {
        let out = node.outputs[0];
        let inputs: Vec<TensorId> = data_inputs(graph, node).collect();
        let (free, other): (Vec<TensorId>, Vec<TensorId>) =
            inputs.iter().partition(|&&t| self.is_read_by_passing_only(fates, graph, consumers, t, i));
        free.into_iter().for_each(|t| self.unite(out, t));
        for t in other {
            let own = self.quant(t).single().map_or(0.0, |q| q.0);
            let joined = self.quant(out).single().map_or(f32::INFINITY, |q| q.0);
            if joined <= own * HARMLESS {
                self.unite(out, t);
            }
        }
    }

    /// True if every reader of the tensors in the class of `t` is Concat `i` or a node that passes values on within
    /// the class.
    fn is_read_by_passing_only(
        &self,
        fates: &[Fate],
        graph: &Graph,
        consumers: &[Vec<usize>],
        t: TensorId,
        i: usize,
    ) -> bool {
        let root = self.root(t.index());
        self.members[root].iter().flat_map(|&m| &consumers[m]).all(|&c| {
            let node = &graph.nodes[c];
            let same = node.outputs.iter().all(|o| self.root(o.index()) == root);
            c == i || (fates[c] == Fate::Integer && is_passing(&node.op) && same)
        })
    }
}

/// Functions with values between fixed ends are given the whole of it, whatever calibration happened to see.
fn natural_range(op: &Op) -> Option<Range> {
    match op {
        Op::Softmax(_) => Some(Range { min: 0.0, max: 1.0 }),
        Op::Unary(op) => match op.kind {
            UnaryKind::Sigmoid | UnaryKind::HardSigmoid => Some(Range { min: 0.0, max: 1.0 }),
            UnaryKind::Tanh | UnaryKind::Erf => Some(Range { min: -1.0, max: 1.0 }),
            _ => None,
        },
        _ => None,
    }
}

/// Parameters of u8 codes over a range. The range is taken with 0, so that 0 has a code.
pub(super) fn activation_quant(range: Range) -> Quant {
    let range = range.with_zero();
    let (scale, zero_point) = affine::asymmetric(f64::from(range.min), f64::from(range.max), 8);
    let narrow = scale as f32;
    if narrow.is_normal() { Quant::per_tensor(narrow, zero_point) } else { Quant::per_tensor(1.0, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_always_hold_zero() {
        assert_eq!(activation_quant(Range { min: 1.0, max: 2.55 }).single(), Some((0.01, 0)));
        assert_eq!(activation_quant(Range { min: -2.55, max: -1.0 }).single(), Some((0.01, 255)));
        assert_eq!(activation_quant(Range { min: -1.0, max: 1.0 }).single().map(|q| q.1), Some(128));
    }

    #[test]
    fn odd_ranges_give_usable_parameters() {
        for (min, max) in [(0.0, 0.0), (0.0, 1e-45), (-1e-44, 1e-44), (f32::MIN, f32::MAX), (0.0, 1e-38)] {
            let (scale, zero_point) = activation_quant(Range { min, max }).single().unwrap();
            assert!(scale.is_normal() && scale > 0.0, "{min} {max}");
            assert!((0..=255).contains(&zero_point), "{min} {max}");
        }
    }
}
