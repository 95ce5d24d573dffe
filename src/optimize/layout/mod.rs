//! Transposes move toward the outputs, meet their inverses and vanish.
//!
//! Importers of channels-first networks wrap every spatial node in two Transposes. This walk does not compute a
//! Transpose where it stands: its output is remembered as a *view*, a source tensor and a permutation. A node
//! that works on any order of dimensions is applied to the sources instead, with its axes renamed (`rules`), and
//! its output is again a view. Where a node needs the real order, the view is computed: by no node at all if the
//! permutations on the way cancel out, by a Reshape if only dimensions of length 1 change places, else by one
//! Transpose, shared by all who need it. Each element is computed from the same values by the same operations in
//! the same order, only stored elsewhere.

mod perm;
mod reshape;
mod rules;

use super::edit::{Names, reshape_target};
use crate::graph::{DType, Data, Graph, Node, Op, Reshape, Shape, Tensor, TensorId, Transpose};
use std::collections::HashMap;

pub(super) fn run(graph: &mut Graph) -> bool {
    let before = transposes(&graph.nodes);
    let old = std::mem::take(&mut graph.nodes);
    let mut walk = Walk::new(graph, &old);
    for (i, node) in old.iter().enumerate() {
        walk.visit(i, node);
    }
    for out in walk.graph.outputs.clone() {
        walk.materialise(out);
    }
    let Walk { nodes, pushed, renamed, .. } = walk;
    graph.nodes = nodes;
    rename(graph, &renamed);
    pushed || transposes(&graph.nodes) != before
}

fn transposes(nodes: &[Node]) -> usize {
    nodes.iter().filter(|n| matches!(n.op, Op::Transpose(_))).count()
}

/// Dimension i of the viewed tensor is dimension `perm[i]` of `source`.
#[derive(Clone)]
struct View {
    source: TensorId,
    perm: Vec<usize>,
    /// The node that computes the viewed tensor has been put into the graph.
    computed: bool,
}

struct Walk<'g> {
    graph: &'g mut Graph,
    /// The nodes before this walk.
    old: &'g [Node],
    names: Names,
    nodes: Vec<Node>,
    views: HashMap<TensorId, View>,
    /// Transposes that are in the graph: source and permutation to result.
    turned: HashMap<(TensorId, Vec<usize>), TensorId>,
    /// Nodes of the old graph that read each tensor, and constants that replace an input of one of them.
    readers: Vec<Vec<usize>>,
    replaced: HashMap<(usize, usize), TensorId>,
    /// Viewed tensors and what is computed in their place.
    renamed: Vec<(TensorId, TensorId)>,
    pushed: bool,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g mut Graph, old: &'g [Node]) -> Walk<'g> {
        let mut readers = vec![Vec::new(); graph.tensors.len()];
        for (i, node) in old.iter().enumerate() {
            node.present_inputs().for_each(|t| readers[t.index()].push(i));
        }
        Walk {
            graph,
            old,
            names: Names::default(),
            nodes: Vec::with_capacity(old.len()),
            views: HashMap::new(),
            turned: HashMap::new(),
            readers,
            replaced: HashMap::new(),
            renamed: Vec::new(),
            pushed: false,
        }
    }

    fn visit(&mut self, index: usize, node: &Node) {
        let mut node = node.clone();
        for (slot, input) in node.inputs.iter_mut().enumerate() {
            if let Some(&constant) = self.replaced.get(&(index, slot)) {
                *input = Some(constant);
            }
        }
        if let Op::Transpose(op) = &node.op
            && let Some(x) = node.input(0)
            && perm::is_valid(&op.perm, self.graph.tensor(x).shape.rank())
            && self.has_one_scale(x)
        {
            if !self.turn_constant(x, &op.perm, node.outputs[0]) {
                self.view_of(x, &op.perm, node.outputs[0]);
            }
            return;
        }
        if node.present_inputs().any(|t| self.views.contains_key(&t)) && rules::push(self, &node) {
            self.pushed = true;
            return;
        }
        for t in node.inputs.iter_mut().flatten() {
            *t = self.real(*t);
        }
        self.nodes.push(node);
    }

    /// Per-channel parameters name an axis; tensors that have them stay where they are.
    fn has_one_scale(&self, t: TensorId) -> bool {
        self.graph.tensor(t).quant.as_ref().is_none_or(|q| q.axis.is_none())
    }

    fn shape(&self, t: TensorId) -> &Shape {
        &self.graph.tensor(t).shape
    }

    /// The source and permutation of a tensor, if it is a view.
    fn view(&self, t: TensorId) -> Option<(TensorId, &[usize])> {
        self.views.get(&t).map(|v| (v.source, v.perm.as_slice()))
    }

    /// Records that `out` is `x` with its dimensions reordered.
    fn view_of(&mut self, x: TensorId, perm: &[usize], out: TensorId) {
        let (source, perm) = match self.view(x) {
            Some((source, first)) => (source, perm::compose(first, perm)),
            None => (x, perm.to_vec()),
        };
        self.views.insert(out, View { source, perm, computed: false });
    }

    /// The tensor that a node on sources computes, when the node's real output `out` is that tensor seen through
    /// `perm`: `out` itself if nothing moves.
    fn output(&mut self, out: TensorId, perm: &[usize]) -> TensorId {
        if perm::is_identity(perm) {
            return out;
        }
        let real = self.graph.tensor(out).clone();
        let shape = Shape(perm::apply(&perm::inverse(perm), &real.shape.0));
        let name = self.names.unique(self.graph, &real.name);
        let source = self.graph.add_tensor(Tensor { name, shape, ..real });
        self.views.insert(out, View { source, perm: perm.to_vec(), computed: false });
        self.renamed.push((out, source));
        source
    }

    /// The tensor that holds `t` in its real order: `t` itself, or one that is equal and already there.
    fn real(&mut self, t: TensorId) -> TensorId {
        if let Some(View { source, perm, computed: false }) = self.views.get(&t) {
            if perm::is_identity(perm) {
                return *source;
            }
            if let Some(&known) = self.turned.get(&(*source, perm.clone())) {
                return known;
            }
        }
        self.materialise(t);
        t
    }

    /// Makes sure that a node computes `t` in its real order.
    fn materialise(&mut self, t: TensorId) {
        let Some(view) = self.views.get_mut(&t).filter(|v| !v.computed) else { return };
        view.computed = true;
        let View { source, perm, .. } = view.clone();
        self.emit(source, &perm, t);
    }

    /// A tensor that is `t` with its dimensions reordered.
    fn turn(&mut self, t: TensorId, perm: &[usize]) -> TensorId {
        let (source, perm) = match self.view(t) {
            Some((source, first)) => (source, perm::compose(first, perm)),
            None => (t, perm.to_vec()),
        };
        if perm::is_identity(&perm) {
            return source;
        }
        if let Some(&known) = self.turned.get(&(source, perm.clone())) {
            return known;
        }
        let tensor = self.graph.tensor(source).clone();
        let shape = Shape(perm::apply(&perm, &tensor.shape.0));
        let name = self.names.unique(self.graph, &tensor.name);
        let out = self.graph.add_tensor(Tensor { name, shape, data: None, ..tensor });
        self.emit(source, &perm, out);
        out
    }

    /// Puts the node into the graph that computes `out` from `source`.
    fn emit(&mut self, source: TensorId, perm: &[usize], out: TensorId) {
        let name = self.graph.tensor(out).name.clone();
        let reshaped = perm::moves_only_ones(perm, self.shape(source))
            .then(|| reshape_target(self.shape(source), self.shape(out)))
            .flatten();
        let node = match reshaped {
            Some(target) => {
                let shape = self.ints(&format!("{name}.shape"), &target);
                let inputs = vec![Some(source), Some(shape)];
                Node { name, op: Reshape { allow_zero: false }.into(), inputs, outputs: vec![out] }
            }
            None => {
                let op = Op::from(Transpose { perm: perm.to_vec() });
                Node { name, op, inputs: vec![Some(source)], outputs: vec![out] }
            }
        };
        self.nodes.push(node);
        self.turned.entry((source, perm.to_vec())).or_insert(out);
    }

    /// An i64 constant of rank 1.
    fn ints(&mut self, base: &str, values: &[i64]) -> TensorId {
        let name = self.names.unique(self.graph, base);
        let data = Data::from_slice(values);
        self.graph.add_tensor(Tensor::constant(name, DType::I64, &[values.len()], data))
    }

    /// Computes a Transpose of a constant now.
    fn turn_constant(&mut self, x: TensorId, perm: &[usize], out: TensorId) -> bool {
        let dims = self.shape(x).dims().filter(|_| !self.graph.outputs.contains(&out));
        let turned = dims.and_then(|dims| self.turned_constant(x, &dims, perm));
        let Some(turned) = turned else { return false };
        self.graph.tensor_mut(out).shape = self.shape(turned).clone();
        self.graph.tensor_mut(out).data = self.graph.tensor(turned).data.clone();
        true
    }

    /// A copy of a constant with dimensions reordered.
    fn turned_constant(&mut self, t: TensorId, dims: &[usize], perm: &[usize]) -> Option<TensorId> {
        let tensor = self.graph.tensor(t).clone();
        let bytes = tensor.data.as_ref()?.bytes();
        if let Some(&known) = self.turned.get(&(t, perm.to_vec())) {
            return Some(known);
        }
        let data = turn_bytes(bytes, tensor.dtype, dims, perm);
        let name = self.names.unique(self.graph, &tensor.name);
        let shape = Shape::fixed(&perm::apply(perm, dims));
        let turned =
            self.graph.add_tensor(Tensor { name, shape, data: Some(Data::from_bytes(&data)), ..tensor });
        self.turned.insert((t, perm.to_vec()), turned);
        Some(turned)
    }
}

/// The elements of a row-major array, reordered.
fn turn_bytes(bytes: &[u8], dtype: DType, dims: &[usize], perm: &[usize]) -> Vec<u8> {
    match dtype.size() {
        1 => perm::transpose(bytes, dims, perm),
        2 => turn_elements::<2>(bytes, dims, perm),
        4 => turn_elements::<4>(bytes, dims, perm),
        _ => turn_elements::<8>(bytes, dims, perm),
    }
}

fn turn_elements<const SIZE: usize>(bytes: &[u8], dims: &[usize], perm: &[usize]) -> Vec<u8> {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    perm::transpose(elements, dims, perm).into_flattened()
}

/// Tensors that are no longer computed give their names to those that are computed in their place, so that a
/// network can be compared with what it was made from, tensor by tensor.
fn rename(graph: &mut Graph, renamed: &[(TensorId, TensorId)]) {
    let made = graph.producers();
    for &(old, new) in renamed {
        if made[old.index()].is_none() {
            let name = std::mem::take(&mut graph.tensor_mut(old).name);
            graph.tensor_mut(old).name = std::mem::replace(&mut graph.tensor_mut(new).name, name);
        }
    }
}
