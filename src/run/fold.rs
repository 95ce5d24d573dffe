//! Computing once, before a session starts, what does not depend on its inputs.

use super::{Place, Pool};
use crate::Result;
use crate::graph::{AlignedBytes, Data, Graph, Node, TensorId};
use crate::limits::Limits;
use crate::plan;
use ottava_kernels::{Isa, SLACK};
use std::collections::HashMap;

/// The outputs of a graph without inputs, whose shapes are all known.
fn evaluate(graph: &Graph, limits: &Limits) -> Result<Vec<Data>> {
    let plan = plan::build(graph, Isa::best(), &plan::PackedStore::new(), &Pool::SERIAL, limits)?;
    let mut arena = AlignedBytes::zeroed(plan.arena_len);
    let constants = plan.constants.as_ref();
    for step in &plan.steps {
        step.run(arena.as_mut(), constants, &Pool::SERIAL)?;
    }
    let bytes = |id: &TensorId| match &plan.places[id] {
        Place::Arena(r) => Data::from_bytes(&arena.as_ref()[r.start..r.end - SLACK]),
        Place::Constant(r) => Data::from_bytes(&constants[r.start..r.end - SLACK]),
    };
    Ok(graph.outputs.iter().map(bytes).collect())
}

/// Replaces every node that reads constants only by its results.
///
/// # Errors
/// As [`evaluate_node`].
pub(super) fn fold(mut graph: Graph, limits: &Limits) -> Result<Graph> {
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        if !node.present_inputs().all(|id| graph.tensor(id).data.is_some()) {
            graph.nodes.push(node);
            continue;
        }
        for (id, data) in node.outputs.iter().zip(evaluate_node(&graph, &node, limits)?) {
            graph.tensor_mut(*id).data = Some(data);
        }
    }
    Ok(graph)
}

/// The outputs of a node all of whose inputs are constants.
///
/// # Errors
/// The node can't be run, or needs more than the limits allow.
pub(crate) fn evaluate_node(graph: &Graph, node: &Node, limits: &Limits) -> Result<Vec<Data>> {
    evaluate(&alone(graph, node), limits)
}

/// A graph of this node alone, all of whose inputs are constants.
fn alone(graph: &Graph, node: &Node) -> Graph {
    let mut one = Graph { name: node.name.clone(), dims: graph.dims.clone(), ..Graph::default() };
    let mut ids = HashMap::new();
    let mut take = |id: TensorId| *ids.entry(id).or_insert_with(|| one.add_tensor(graph.tensor(id).clone()));
    let inputs = node.inputs.iter().map(|id| id.map(&mut take)).collect();
    let outputs: Vec<TensorId> = node.outputs.iter().map(|&id| take(id)).collect();
    one.outputs.clone_from(&outputs);
    one.nodes = vec![Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs }];
    one
}
