//! Bounds on what a model may ask for, so that a file from a stranger can't exhaust the machine.

/// Upper bounds that loading and planning respect. The defaults suit any network for the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a model file.
    pub file_bytes: u64,
    /// Tensors of a graph.
    pub tensors: usize,
    /// Nodes of a graph.
    pub nodes: usize,
    /// Rank of a tensor (never more than [`MAX_RANK`](crate::graph::MAX_RANK)).
    pub rank: usize,
    /// Bytes of a session's arena: activations and scratch.
    pub arena_bytes: u64,
    /// Multiply-adds of one inference.
    pub macs: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            file_bytes: 4 << 30,
            tensors: 1 << 18,
            nodes: 1 << 17,
            rank: crate::graph::MAX_RANK,
            arena_bytes: 2 << 30,
            macs: 1 << 42,
        }
    }
}
