//! The typed graph: tensors with shape, element type and quantization; nodes with typed attributes.
//!
//! Nodes stand in an order in which they can run: a node reads constants, graph inputs and outputs of earlier
//! nodes only. Every tensor is produced at most once.

mod attr;
mod build;
mod codes;
pub mod infer;
mod kinds;
mod op;
mod recurrent;
mod state;
mod tensor;
mod validate;

pub use attr::{Attr, AttrField};
pub use build::GraphBuilder;
pub(crate) use codes::Rows;
pub use kinds::*;
pub use op::*;
pub use recurrent::*;
pub use state::State;
pub use tensor::*;
pub use validate::GraphError;

/// The highest rank a tensor may have.
pub const MAX_RANK: usize = 8;

/// Index of a tensor in [`Graph::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

impl TensorId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// For people: where the operation came from. Not empty; need not be unique.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// `None` where an optional input is left out.
    pub inputs: Vec<Option<TensorId>>,
    /// At least one.
    pub outputs: Vec<TensorId>,
}

impl Node {
    /// The inputs that are there.
    pub fn present_inputs(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.inputs.iter().flatten().copied()
    }

    /// Input `i`, if it is there.
    pub fn input(&self, i: usize) -> Option<TensorId> {
        self.inputs.get(i).copied().flatten()
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// For people.
    pub name: String,
    /// All values.
    pub tensors: Vec<Tensor>,
    /// In an order in which they can run.
    pub nodes: Vec<Node>,
    /// What a caller gives.
    pub inputs: Vec<TensorId>,
    /// What a caller gets.
    pub outputs: Vec<TensorId>,
    /// Names of the free dimensions; `Dim::Free(i)` is `dims[i]`.
    pub dims: Vec<String>,
    /// Anything else worth keeping: key and value.
    pub metadata: Vec<(String, String)>,
    /// What outlives a run, ascending by input.
    pub states: Vec<State>,
}

impl Graph {
    /// The tensor with this id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// The tensor with this id.
    pub fn tensor_mut(&mut self, id: TensorId) -> &mut Tensor {
        &mut self.tensors[id.index()]
    }

    /// Adds a tensor.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        TensorId(self.tensors.len() as u32 - 1)
    }

    /// The tensor with this name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(|i| TensorId(i as u32))
    }

    /// `base`, or `base` with a number behind it if a tensor already has that name. Costs a walk over all
    /// tensors: passes that make many names should keep a set.
    pub fn fresh_name(&self, base: &str) -> String {
        if self.find(base).is_none() {
            return base.to_string();
        }
        (1..).map(|i| format!("{base}_{i}")).find(|n| self.find(n).is_none()).unwrap_or_default()
    }

    /// For each tensor the node that computes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut made = vec![None; self.tensors.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for out in &node.outputs {
                made[out.index()] = Some(i);
            }
        }
        made
    }

    /// For each tensor the nodes that read it, in order; a node that reads it twice is listed twice.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut read = vec![Vec::new(); self.tensors.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for input in node.present_inputs() {
                read[input.index()].push(i);
            }
        }
        read
    }

    /// The index of the free dimension with this name, made if it is new.
    pub fn free_dim(&mut self, name: &str) -> Dim {
        let i = self.dims.iter().position(|d| d == name).unwrap_or_else(|| {
            self.dims.push(name.to_string());
            self.dims.len() - 1
        });
        Dim::Free(i as u32)
    }

    /// A shape as people write it: `[batch, 3, 224, 224]`.
    pub fn show_shape(&self, shape: &Shape) -> String {
        let dims: Vec<String> = shape
            .iter()
            .map(|d| match d {
                Dim::Fixed(n) => n.to_string(),
                Dim::Free(i) => self.dims.get(*i as usize).cloned().unwrap_or_else(|| format!("?{i}")),
            })
            .collect();
        format!("[{}]", dims.join(", "))
    }

    /// Removes nodes whose outputs nobody reads, then tensors that nothing refers to. Inputs stay.
    pub fn sweep(&mut self) {
        let mut live = vec![false; self.tensors.len()];
        let initial = self.states.iter().filter_map(|s| s.initial.as_ref());
        for id in self.outputs.iter().chain(&self.inputs).chain(initial) {
            live[id.index()] = true;
        }
        let mut keep = vec![false; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|o| live[o.index()]) {
                keep[i] = true;
                for id in node.present_inputs().chain(node.outputs.iter().copied()) {
                    live[id.index()] = true;
                }
            }
        }
        let mut k = keep.into_iter();
        self.nodes.retain(|_| k.next().unwrap_or(false));
        let mut new = vec![TensorId(0); self.tensors.len()];
        let mut next = 0;
        for (i, l) in live.iter().enumerate() {
            new[i] = TensorId(next);
            next += *l as u32;
        }
        let mut l = live.into_iter();
        self.tensors.retain(|_| l.next().unwrap_or(false));
        let ids =
            self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten().chain(n.outputs.iter_mut()));
        let initial = self.states.iter_mut().filter_map(|s| s.initial.as_mut());
        for id in ids.chain(self.inputs.iter_mut()).chain(self.outputs.iter_mut()).chain(initial) {
            *id = new[id.index()];
        }
    }
}
