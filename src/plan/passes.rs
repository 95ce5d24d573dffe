//! A batch that is too large for the caches goes through the network in passes of a few entries each.

use crate::graph::{Dim, Graph, GraphError, TensorId, infer};
use std::collections::HashSet;

/// How a batch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passes {
    /// Entries of the batch.
    pub batch: usize,
    /// Entries of a pass.
    pub piece: usize,
}

impl Passes {
    /// Everything at once.
    pub const ONE: Passes = Passes { batch: 1, piece: 1 };

    /// How many there are.
    pub fn count(self) -> usize {
        self.batch.div_ceil(self.piece)
    }

    /// The first entry of a pass. The last one begins early enough to be whole: it computes some entries again, and
    /// gives what they are.
    pub fn start(self, pass: usize) -> usize {
        (pass * self.piece).min(self.batch - self.piece)
    }

    /// Bytes of an entry of a tensor that has so many in a pass; 0 if it lies where it lies in all passes.
    pub fn entry(self, bytes: usize) -> usize {
        if self.piece < self.batch { bytes / self.piece } else { 0 }
    }

    /// Bytes of the entries behind those of the first pass.
    pub fn behind(self, entry: usize) -> usize {
        entry.saturating_mul(self.batch - self.piece)
    }

    /// What all entries take, of what those of a pass take.
    pub fn of_all(self, of_piece: u64) -> u64 {
        let all = u128::from(of_piece) * self.batch as u128 / self.piece as u128;
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// Passes for this graph: as many entries each as the cache holds the operands of the widest step for, but enough that
    /// the activations of a pass are no fewer bytes than the weights, which each pass reads again. `None` if that is
    /// all of them.
    pub fn new(graph: &Graph, cache_bytes: usize) -> Option<Passes> {
        let batch = batch(graph)?;
        let bytes = |id: TensorId| graph.tensor(id).byte_len().unwrap_or(0);
        let computed = |id: &TensorId| graph.tensor(*id).data.is_none();
        let mut weights = HashSet::new();
        let (mut widest, mut moved) = (0, 0);
        for node in &graph.nodes {
            weights.extend(node.present_inputs().filter(|id| !computed(id)));
            let operands = node.present_inputs().chain(node.outputs.iter().copied()).filter(computed);
            let operands = operands.map(bytes).fold(0, usize::saturating_add) / batch;
            widest = widest.max(operands);
            moved = operands.saturating_add(moved);
        }
        let weights = weights.into_iter().map(bytes).fold(0, usize::saturating_add);
        let most = (cache_bytes / widest.max(1)).max(weights.div_ceil(moved.max(1))).max(1);
        if most >= batch || widest == 0 {
            return None;
        }
        // Of passes that are nearly as large, those that compute the fewest entries again.
        let cut = |piece: usize| Passes { batch, piece };
        let pieces = (most.div_ceil(4)..=most).rev().map(cut);
        pieces.min_by_key(|passes| passes.count() * passes.piece)
    }

    /// The graph with as many entries as a pass has; of other free dimensions the lengths.
    ///
    /// # Errors
    /// Nodes that don't fit so many.
    pub fn bind(self, graph: &Graph, lengths: &[usize]) -> Result<Graph, GraphError> {
        let mut graph = graph.clone();
        let free = Dim::Free(graph.dims.len() as u32);
        graph.dims.push("entries of a pass".to_string());
        let inputs: HashSet<TensorId> = graph.inputs.iter().copied().collect();
        for (i, tensor) in graph.tensors.iter_mut().enumerate().filter(|(_, tensor)| tensor.data.is_none()) {
            let given = inputs.contains(&TensorId(i as u32));
            // A batch may be fixed, too.
            if let Some(dim) = tensor.shape.0.first_mut()
                && (given || *dim == Dim::Fixed(self.batch))
            {
                *dim = free;
            }
        }
        infer::bind_lengths(&graph, &[lengths, &[self.piece]].concat())
    }
}

/// The batch of a bound graph: dimension 0 of all its inputs.
fn batch(graph: &Graph) -> Option<usize> {
    let mut first = graph.inputs.iter().map(|id| graph.tensor(*id).shape.first().and_then(|dim| dim.fixed()));
    let batch = first.next()??;
    (batch > 1 && first.all(|dim| dim == Some(batch))).then_some(batch)
}
