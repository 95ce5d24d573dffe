//! Recurrent layers: first states that are zeros are left out, as are last states that nobody reads, and the two biases
//! of a gate become one where nothing comes between them.
//!
//! Exporters write zeros as a tensor whose size is computed from the batch: half a dozen nodes per layer.

use crate::graph::*;

/// The optional inputs that hold first states.
const STATES: [usize; 2] = [5, 6];
const BIAS: usize = 3;
const STATE_WEIGHTS: usize = 2;

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let mut nodes = std::mem::take(&mut graph.nodes);
    for i in 0..nodes.len() {
        let Op::Recurrent(op) = nodes[i].op.clone() else { continue };
        for slot in STATES {
            if nodes[i].input(slot).is_some_and(|id| is_zero(graph, &nodes, producers[id.index()], id)) {
                nodes[i].inputs[slot] = None;
                changed = true;
            }
        }
        // The reset gate of such a GRU acts on one of the two biases.
        let apart = op.cell == RecurrentCell::Gru && op.reset_after;
        if !apart && let Some(sum) = joined(graph, &op, &nodes[i]) {
            nodes[i].inputs[BIAS] = Some(sum);
            changed = true;
        }
        let node = &mut nodes[i];
        while node.inputs.last() == Some(&None) {
            node.inputs.pop();
        }
        let read = |id: &TensorId| graph.outputs.contains(id) || !consumers[id.index()].is_empty();
        while node.outputs.len() > 1 && node.outputs.last().is_some_and(|id| !read(id)) {
            node.outputs.pop();
            changed = true;
        }
    }
    graph.nodes = nodes;
    changed
}

/// True if all elements of a tensor are surely 0.
fn is_zero(graph: &Graph, nodes: &[Node], producer: Option<usize>, id: TensorId) -> bool {
    let zeros = |id: TensorId| {
        let t = graph.tensor(id);
        let values = t.data.as_ref().filter(|_| t.dtype == DType::F32).map(|d| d.to_vec::<f32>());
        values.is_some_and(|v| v.iter().all(|&v| v == 0.0))
    };
    let filled = producer.and_then(|p| nodes.get(p)).filter(|n| matches!(n.op, Op::Fill(_)));
    zeros(id) || filled.and_then(|n| n.input(1)).is_some_and(zeros)
}

/// The biases `[D, 2 * rows]` of a layer as their sums `[D, rows]`.
fn joined(graph: &mut Graph, op: &Recurrent, node: &Node) -> Option<TensorId> {
    let bias = graph.tensor(node.input(BIAS)?);
    let hidden = graph.tensor(node.input(STATE_WEIGHTS)?).shape.get(1)?.fixed()?;
    let rows = op.cell.gates().checked_mul(hidden).filter(|&rows| rows > 0)?;
    let d = op.direction.count();
    if bias.dtype != DType::F32 || bias.shape != Shape::fixed(&[d, rows.checked_mul(2)?]) {
        return None;
    }
    let values = bias.data.as_ref()?.to_vec::<f32>();
    let sums: Vec<f32> = values
        .chunks_exact(2 * rows)
        .flat_map(|both| both[..rows].iter().zip(&both[rows..]).map(|(w, r)| w + r))
        .collect();
    let name = graph.fresh_name(&format!("{}.sum", bias.name));
    Some(graph.add_tensor(Tensor::constant(name, DType::F32, &[d, rows], Data::from_slice(&sums))))
}
