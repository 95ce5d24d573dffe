//! Equal constants become one.
//!
//! Matches constants of the same element type, shape, quantization and bytes. The first one stays; who reads it
//! reads the same values.

use crate::graph::{DType, Graph, Shape, Tensor, TensorId};
use std::collections::HashMap;

/// What equal constants have in common, besides their quantization.
type Contents<'g> = (DType, &'g Shape, &'g [u8]);

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut first: HashMap<Contents, Vec<(&Tensor, TensorId)>> = HashMap::new();
    let mut same = vec![None; graph.tensors.len()];
    for (i, tensor) in graph.tensors.iter().enumerate() {
        let Some(data) = &tensor.data else { continue };
        let known = first.entry((tensor.dtype, &tensor.shape, data.bytes())).or_default();
        match known.iter().find(|(t, _)| t.quant == tensor.quant) {
            Some((_, id)) => same[i] = Some(*id),
            None => known.push((tensor, TensorId(i as u32))),
        }
    }
    let mut changed = false;
    for id in graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()) {
        if let Some(one) = same[id.index()] {
            *id = one;
            changed = true;
        }
    }
    changed
}
