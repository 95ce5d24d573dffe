//! Concatenations whose parts are computed in place.
//!
//! A tensor that nobody but a `Concat` reads needs no place of its own: its kernel writes each row where the `Concat`
//! would have copied it. Which tensors these are is decided before kernels are chosen, since a kernel must know how far
//! its rows lie apart.

use super::op;
use crate::graph::{Graph, Op, Tensor, TensorId};
use std::collections::HashMap;

/// Where a tensor lies inside of a concatenation, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The output of the `Concat`.
    pub whole: TensorId,
    /// In front of the first row.
    pub at: usize,
    /// How many rows there are.
    pub rows: usize,
    /// Of a row.
    pub len: usize,
    /// From one row to the next.
    pub stride: usize,
}

impl Part {
    /// From the start of the first row to the end of the last one.
    pub fn span(&self) -> usize {
        (self.rows - 1) * self.stride + self.len
    }

    /// The rows, one behind the other; `bytes` start at the first of them.
    pub fn gather(&self, bytes: &[u8]) -> Vec<u8> {
        let rows = bytes.chunks(self.stride).take(self.rows);
        rows.flat_map(|row| &row[..self.len]).copied().collect()
    }
}

/// A tensor cut along an axis: how many blocks, and the bytes of one.
pub(super) fn blocks(dims: &[usize], axis: usize, size: usize) -> (usize, usize) {
    let (outer, inner) = dims.split_at(axis.min(dims.len()));
    (outer.iter().product(), inner.iter().product::<usize>() * size)
}

/// Bytes of a line of cache. Shorter rows share their lines with others, which are written at another time: that costs
/// more than copying.
const LINE: usize = 64;

/// All tensors of a graph with bound dimensions that are written as parts.
pub(super) fn find(graph: &Graph) -> HashMap<TensorId, Part> {
    let mut parts = HashMap::new();
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Concat(_))) {
        return parts;
    }
    // Callers read and write inputs and outputs as they are.
    let mut readers = vec![0usize; graph.tensors.len()];
    let read = graph.nodes.iter().flat_map(|node| node.present_inputs());
    read.chain(graph.outputs.iter().copied()).for_each(|id| readers[id.index()] += 1);
    let mut makers = vec![None; graph.tensors.len()];
    for node in &graph.nodes {
        node.outputs.iter().for_each(|id| makers[id.index()] = Some(node));
    }
    for node in &graph.nodes {
        let Op::Concat(concat) = &node.op else { continue };
        let whole = graph.tensor(node.outputs[0]);
        let Some(dims) = whole.shape.dims() else { continue };
        let (rows, stride) = blocks(&dims, concat.axis, whole.dtype.size());
        let mut at = 0;
        for id in node.present_inputs() {
            let part = graph.tensor(id);
            let Some(dims) = part.shape.dims() else { break };
            let len = blocks(&dims, concat.axis, part.dtype.size()).1;
            // Kernels leave room between rows of the last dimension only.
            let row = dims.last().map_or(0, |n| n * part.dtype.size());
            let spaced = rows == 1 || row == len && len >= LINE;
            let written = makers[id.index()].is_some_and(|maker| op::leaves_room(graph, maker));
            if written && spaced && readers[id.index()] == 1 && alike(part, whole) && rows * len > 0 {
                parts.insert(id, Part { whole: node.outputs[0], at, rows, len, stride });
            }
            at += len;
        }
    }
    parts
}

/// True if bytes of one tensor mean in the other what they meant.
fn alike(part: &Tensor, whole: &Tensor) -> bool {
    part.data.is_none() && part.dtype == whole.dtype && part.quant == whole.quant
}
