//! How much an imported graph may take.

use super::ImportError;
use crate::Limits;
use crate::graph::Graph;

/// Constants made by the import may take this many times the file's bytes: each weight a few times in different
/// orders, never a bomb of copies of one weight.
const ROOM_FACTOR: u64 = 8;

/// Bytes that they may always take.
const ROOM_FLOOR: u64 = 16 << 20;

/// Free dimensions of the inputs: more make no sense, and each is looked up by name.
pub(super) const FREE_DIMS: usize = 1024;

/// Bytes that constants made by the import of a file of this length may take.
pub(super) fn room(file_bytes: u64) -> usize {
    let room = file_bytes.saturating_mul(ROOM_FACTOR).saturating_add(ROOM_FLOOR);
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// Holds a graph against the limits.
pub(super) fn check(graph: &Graph, limits: &Limits) -> Result<(), ImportError> {
    let rank = graph.tensors.iter().map(|t| t.shape.rank()).max().unwrap_or(0);
    for (what, found, limit) in [
        ("nodes", graph.nodes.len(), limits.nodes),
        ("tensors", graph.tensors.len(), limits.tensors),
        ("dimensions in one tensor", rank, limits.rank),
    ] {
        if found > limit {
            return Err(ImportError::Limit { what, found: found as u64, limit: limit as u64 });
        }
    }
    Ok(())
}
