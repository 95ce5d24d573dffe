//! Computing once, before a session starts, what does not depend on its inputs.

use super::Pool;
use crate::graph::{AlignedBytes, Data, Graph, Node, TensorId};
use crate::limits::Limits;
use crate::plan::{self, Made, PackedStore, Passes, Planner, Shared};
use crate::{Error, Result};
use ottava_kernels::Isa;
use std::collections::HashMap;

/// The outputs of a graph without inputs, whose shapes are all known.
fn evaluate(graph: &Graph, limits: &Limits) -> Result<Vec<Data>> {
    let (packed, shared) = (PackedStore::new(), Shared::default());
    let planner = Planner::new(graph, Isa::best(), &packed, &shared, &Pool::SERIAL);
    let plan = plan::build(&planner, limits, Passes::ONE)?;
    let mut arena = AlignedBytes::zeroed(plan.arena_len);
    for step in &plan.steps {
        step.run(arena.as_mut(), &plan.constants, &Pool::SERIAL)?;
    }
    let bytes = |id: &TensorId| Data::from_bytes(plan.places[id].bytes(arena.as_ref(), &plan.constants));
    Ok(graph.outputs.iter().map(bytes).collect())
}

/// Replaces every node that reads constants only by its results. Those that do not depend on shapes are shared.
///
/// # Errors
/// As [`evaluate_node`].
pub(super) fn fold(mut graph: Graph, shared: &Shared, limits: &Limits) -> Result<Graph> {
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        let inputs = node.present_inputs().map(|id| graph.tensor(id).data.as_ref());
        let Some(constants) = inputs.collect::<Option<Vec<&Data>>>() else {
            graph.nodes.push(node);
            continue;
        };
        let mut results = None;
        let mut values = Vec::new();
        for (i, &id) in node.outputs.iter().enumerate() {
            values.push(shared.get_or_make(id, Made::Folded, &constants, || {
                let all = match results.take() {
                    Some(all) => all,
                    None => evaluate_node(&graph, &node, limits)?,
                };
                Ok::<_, Error>(results.insert(all)[i].clone())
            })?);
        }
        for (&id, data) in node.outputs.iter().zip(values) {
            graph.tensor_mut(id).data = Some(data);
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
