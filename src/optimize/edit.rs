//! What passes share: who makes and reads a tensor, constants, merging a node into the one before it.

use crate::graph::{DType, Data, Dim, Graph, Node, Shape, Tensor, TensorId};
use std::collections::HashSet;

/// Makes names of new tensors. Built when the first one is asked for: most walks make none.
#[derive(Default)]
pub(super) struct Names {
    taken: Option<HashSet<String>>,
}

impl Names {
    /// `base`, or `base` with a number behind it.
    pub fn unique(&mut self, graph: &Graph, base: &str) -> String {
        let taken = self.taken.get_or_insert_with(|| graph.tensors.iter().map(|t| t.name.clone()).collect());
        let mut name = base.to_string();
        let mut i = 2;
        while !taken.insert(name.clone()) {
            name = format!("{base}_{i}");
            i += 1;
        }
        name
    }
}

/// A graph during one walk of a pass. Nodes can be merged while walking; they leave the graph in [`Edit::finish`].
pub(super) struct Edit<'g> {
    pub graph: &'g mut Graph,
    producer: Vec<Option<usize>>,
    reads: Vec<usize>,
    removed: Vec<bool>,
    inserted: Vec<(usize, Node)>,
    names: Names,
    changed: bool,
}

impl<'g> Edit<'g> {
    pub fn new(graph: &'g mut Graph) -> Edit<'g> {
        let producer = graph.producers();
        let mut reads: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        for out in &graph.outputs {
            reads[out.index()] += 1;
        }
        let removed = vec![false; graph.nodes.len()];
        Edit {
            graph,
            producer,
            reads,
            removed,
            inserted: Vec::new(),
            names: Names::default(),
            changed: false,
        }
    }

    /// Node indices in running order.
    pub fn indices(&self) -> std::ops::Range<usize> {
        0..self.graph.nodes.len()
    }

    pub fn node(&self, i: usize) -> &Node {
        &self.graph.nodes[i]
    }

    /// The node to change; this alone counts as a change.
    pub fn node_mut(&mut self, i: usize) -> &mut Node {
        self.changed = true;
        &mut self.graph.nodes[i]
    }

    /// The node that computes `t`.
    pub fn producer(&self, t: TensorId) -> Option<&Node> {
        self.producer.get(t.index()).copied().flatten().map(|i| &self.graph.nodes[i])
    }

    /// The node that computes `t` as its only output, if nothing else reads `t` and it is not a graph output.
    pub fn sole_producer(&self, t: TensorId) -> Option<usize> {
        let i = self.producer.get(t.index()).copied().flatten()?;
        (self.reads[t.index()] == 1 && self.graph.nodes[i].outputs.len() == 1).then_some(i)
    }

    /// True if `t` holds f32 values: passes that do arithmetic leave integers alone.
    pub fn is_f32(&self, t: TensorId) -> bool {
        self.graph.tensor(t).dtype == DType::F32
    }

    /// The values of an f32 constant.
    pub fn f32s(&self, t: TensorId) -> Option<Vec<f32>> {
        f32s(self.graph, t)
    }

    /// The value of an f32 constant that has one element.
    pub fn scalar(&self, t: TensorId) -> Option<f32> {
        match self.f32s(t)?[..] {
            [v] => Some(v),
            _ => None,
        }
    }

    /// Adds an f32 constant.
    pub fn constant(&mut self, base: &str, dims: &[usize], values: &[f32]) -> TensorId {
        let name = self.names.unique(self.graph, base);
        self.graph.add_tensor(Tensor::constant(name, DType::F32, dims, Data::from_slice(values)))
    }

    /// Adds a constant; its name is made unique.
    pub fn add_constant(&mut self, tensor: Tensor) -> TensorId {
        let name = self.names.unique(self.graph, &tensor.name);
        self.graph.add_tensor(Tensor { name, ..tensor })
    }

    /// Gives input `slot` of node `i` an f32 constant. One that nobody else reads is overwritten: it keeps its name.
    pub fn set_constant(&mut self, i: usize, slot: usize, dims: &[usize], values: &[f32]) {
        self.changed = true;
        let own =
            |t: &TensorId| self.reads.get(t.index()) == Some(&1) && self.graph.tensor(*t).data.is_some();
        if let Some(t) = self.graph.nodes[i].input(slot).filter(own) {
            let tensor = self.graph.tensor_mut(t);
            tensor.shape = Shape::fixed(dims);
            tensor.data = Some(Data::from_slice(values));
            return;
        }
        let base = match self.graph.nodes[i].input(slot) {
            Some(t) => self.graph.tensor(t).name.clone(),
            None => format!("{}.{slot}", self.graph.nodes[i].name),
        };
        let t = self.constant(&base, dims, values);
        let inputs = &mut self.graph.nodes[i].inputs;
        inputs.resize(inputs.len().max(slot + 1), None);
        inputs[slot] = Some(t);
    }

    /// From now on node `into` computes what node `i` computed, and `i` goes. `into` must be the sole producer of
    /// what `i` reads, so that nothing between the two can see the difference.
    pub fn absorb(&mut self, into: usize, i: usize) {
        let outputs = self.graph.nodes[i].outputs.clone();
        for out in &outputs {
            self.producer[out.index()] = Some(into);
        }
        self.graph.nodes[into].outputs = outputs;
        self.removed[i] = true;
        self.changed = true;
    }

    /// Adds a tensor that a node will compute.
    pub fn value(&mut self, base: &str, tensor: Tensor) -> TensorId {
        let name = self.names.unique(self.graph, base);
        self.graph.add_tensor(Tensor { name, ..tensor })
    }

    /// Puts a node behind node `i`; it is not walked over. Calls come in the order of `i`.
    pub fn insert_after(&mut self, i: usize, node: Node) {
        self.inserted.push((i, node));
        self.changed = true;
    }

    /// Takes the merged nodes out and the inserted ones in; true if anything changed.
    pub fn finish(self) -> bool {
        let mut inserted = self.inserted.into_iter().peekable();
        let old = std::mem::take(&mut self.graph.nodes);
        for (i, node) in old.into_iter().enumerate() {
            if !self.removed[i] {
                self.graph.nodes.push(node);
            }
            while let Some((_, node)) = inserted.next_if(|(at, _)| *at == i) {
                self.graph.nodes.push(node);
            }
        }
        self.changed
    }
}

/// The values of an f32 constant.
pub(super) fn f32s(graph: &Graph, t: TensorId) -> Option<Vec<f32>> {
    let tensor = graph.tensor(t);
    (tensor.dtype == DType::F32).then_some(())?;
    tensor.data.as_ref().map(Data::to_vec)
}

/// The values of an integer constant (i32 or i64).
pub(super) fn ints(graph: &Graph, t: TensorId) -> Option<Vec<i64>> {
    let tensor = graph.tensor(t);
    let data = tensor.data.as_ref()?;
    match tensor.dtype {
        DType::I64 => Some(data.to_vec()),
        DType::I32 => Some(data.to_vec::<i32>().into_iter().map(i64::from).collect()),
        _ => None,
    }
}

/// True if a tensor of shape `b` can be broadcast to `[..., channels]` as one value for all or one per index of
/// the last dimension.
pub(super) fn is_per_channel(b: &Shape, channels: usize) -> bool {
    match b.split_last() {
        None => true,
        Some((last, rest)) => {
            rest.iter().all(|&d| d == Dim::Fixed(1))
                && (*last == Dim::Fixed(1) || *last == Dim::Fixed(channels))
        }
    }
}

/// What `Reshape` must be given so that a tensor of shape `from` gets the shape `to`; `None` if the free dimensions
/// don't allow it to be said in constants.
pub(super) fn reshape_target(from: &Shape, to: &Shape) -> Option<Vec<i64>> {
    let mut inferred = false;
    let mut target = Vec::with_capacity(to.rank());
    for (i, d) in to.iter().enumerate() {
        target.push(match d {
            Dim::Fixed(0) => return None,
            Dim::Fixed(n) => i64::try_from(*n).ok()?,
            free if from.get(i) == Some(free) => 0,
            _ if !inferred => {
                inferred = true;
                -1
            }
            _ => return None,
        });
    }
    Some(target)
}
