//! Which nodes run only where a condition holds.
//!
//! The graph is flat and its nodes have no effects: a branch is whatever only one value of a `Merge` needs. Skipping
//! it changes no result, and keeps what would fail (an index out of range) from failing where it is not wanted.

use crate::graph::{Graph, Node, Op, TensorId};

/// A node runs only where the condition has this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    pub condition: TensorId,
    pub value: bool,
}

/// More conditions around one node are not told apart: it then runs more often than it must.
const MAX_GUARDS: usize = 16;

/// For each node the guards that all of its readers share.
pub(super) fn guards(graph: &Graph) -> Vec<Vec<Guard>> {
    let mut ready = vec![0; graph.tensors.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        node.outputs.iter().for_each(|id| ready[id.index()] = i + 1);
    }
    // What must hold for somebody to need a tensor; `None`: nobody does so far.
    let mut needs: Vec<Option<Vec<Guard>>> = vec![None; graph.tensors.len()];
    graph.outputs.iter().for_each(|id| needs[id.index()] = Some(vec![]));
    let mut guards = vec![vec![]; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let mut own: Option<Vec<Guard>> = None;
        for id in &node.outputs {
            if let Some(need) = &needs[id.index()] {
                restrict(&mut own, need.clone());
            }
        }
        let own = own.unwrap_or_default();
        for (slot, id) in node.inputs.iter().enumerate() {
            let Some(id) = id else { continue };
            let mut need = own.clone();
            need.extend(branch(graph, node, slot).filter(|_| own.len() < MAX_GUARDS));
            restrict(&mut needs[id.index()], need);
        }
        // A condition that comes later can't be asked.
        guards[i] = own.into_iter().filter(|g| ready[g.condition.index()] <= i).collect();
    }
    guards
}

/// Keeps what both ask for.
fn restrict(have: &mut Option<Vec<Guard>>, other: Vec<Guard>) {
    match have {
        None => *have = Some(other),
        Some(have) => have.retain(|guard| other.contains(guard)),
    }
}

/// What must hold for this input of the node to be read.
fn branch(graph: &Graph, node: &Node, slot: usize) -> Option<Guard> {
    let condition = node.input(0).filter(|_| matches!(node.op, Op::Merge(_)))?;
    // A constant condition has chosen already.
    let open = graph.tensor(condition).data.is_none();
    (open && slot > 0).then_some(Guard { condition, value: slot == 1 })
}
