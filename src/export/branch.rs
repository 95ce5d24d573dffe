//! Which nodes go where: the graph is flat, ONNX's branches are graphs of their own.
//!
//! What only one value of a `Merge` needs becomes part of a branch of an `If`, so that it runs only where it is wanted.

use super::messages::body;
use super::onnx::{Layout, Writer};
use super::{ExportError, Stop, ops};
use crate::graph::{Node, Op, TensorId};
use std::collections::BTreeSet;

/// What two branches need, and nobody else does, is written twice where they belong to different `If`s. A graph whose
/// branches would grow it more than this often is refused.
const MAX_COPIES: usize = 16;

/// Branches inside branches.
const MAX_DEPTH: usize = 32;

/// Writes what these tensors need and is not there yet.
pub(super) fn write_for(w: &mut Writer, wanted: &[TensorId]) -> Result<(), ExportError> {
    let nodes = needed(w, wanted);
    write_all(w, nodes)
}

/// Writes nodes in their order. Neighbours that choose by the same condition share an `If`.
fn write_all(w: &mut Writer, nodes: BTreeSet<usize>) -> Result<(), ExportError> {
    let graph = w.graph;
    let mut nodes = nodes.into_iter().peekable();
    while let Some(i) = nodes.next() {
        let node = &graph.nodes[i];
        if !w.reach.nodes.insert(i) {
            continue;
        }
        let stop = |Stop(reason)| ExportError { node: node.name.clone(), op: node.op.name(), reason };
        w.written += 1;
        if w.written > graph.nodes.len().saturating_mul(MAX_COPIES) {
            let what = "too many branches need the same nodes: ONNX would hold them many times over";
            return Err(stop(Stop::because(what)));
        }
        w.scope = node.name.clone();
        if !matches!(node.op, Op::Merge(_)) {
            ops::write(w, node).map_err(stop)?;
            continue;
        }
        let mut merges = vec![node];
        while let Some(next) = nodes.next_if(|&j| joins(&graph.nodes[j], &merges)) {
            w.reach.nodes.insert(next);
            merges.push(&graph.nodes[next]);
        }
        write_merges(w, &merges)?;
    }
    Ok(())
}

/// True for a `Merge` by the same condition that needs none of the others.
fn joins(node: &Node, merges: &[&Node]) -> bool {
    let made: Vec<TensorId> = merges.iter().flat_map(|m| m.outputs.iter().copied()).collect();
    matches!(node.op, Op::Merge(_))
        && node.input(0) == merges[0].input(0)
        && open(node) == open(merges[0])
        && !node.present_inputs().any(|id| made.contains(&id))
}

/// Which of a `Merge`'s values are there.
fn open(node: &Node) -> [bool; 2] {
    [node.input(1).is_some(), node.input(2).is_some()]
}

/// The nodes that tensors need and that are not written, without those that only a `Merge` may need.
fn needed(w: &Writer, wanted: &[TensorId]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<TensorId> = wanted.to_vec();
    while let Some(id) = todo.pop() {
        let Some(i) = w.producer(id).filter(|i| !w.reach.nodes.contains(i)) else { continue };
        if !found.insert(i) {
            continue;
        }
        let node = &w.graph.nodes[i];
        match node.op {
            // The condition, and all if nothing is chosen.
            Op::Merge(_) if open(node) == [true; 2] => todo.extend(node.input(0)),
            Op::Merge(_) => todo.extend(node.input(1).or(node.input(2))),
            _ => todo.extend(node.present_inputs()),
        }
    }
    found
}

fn write_merges(w: &mut Writer, merges: &[&Node]) -> Result<(), ExportError> {
    let stop = |Stop(reason)| ExportError { node: merges[0].name.clone(), op: merges[0].op.name(), reason };
    // A value that is left out is never chosen.
    if open(merges[0]) != [true; 2] {
        for merge in merges {
            let Some(value) = merge.input(1).or(merge.input(2)) else {
                return Err(stop(Stop::because("it has no value to choose")));
            };
            let value = w.stored(value, Layout::Plain).map_err(stop)?;
            let to = w.make(merge.outputs[0], Layout::Plain);
            w.push("Identity", &[value], to, vec![]);
        }
        return Ok(());
    }
    if w.depth >= MAX_DEPTH {
        return Err(stop(Stop::because(format!("more than {MAX_DEPTH} branches lie in each other"))));
    }
    let values = [1, 2].map(|slot| merges.iter().filter_map(|m| m.input(slot)).collect::<Vec<TensorId>>());
    let [yes, no] = [needed(w, &values[0]), needed(w, &values[1])];
    write_all(w, yes.intersection(&no).copied().collect())?;
    let scope = merges[0].name.clone();
    w.scope.clone_from(&scope);
    let condition = merges[0].input(0).ok_or_else(|| stop(Stop::because("it has no condition")))?;
    let condition = w.stored(condition, Layout::Plain).map_err(stop)?;
    let mut branches = Vec::new();
    for (name, values) in ["then_branch", "else_branch"].into_iter().zip(values) {
        let graph = w.nested(&[], |w| {
            write_for(w, &values)?;
            w.scope.clone_from(&scope);
            values
                .iter()
                .map(|&value| {
                    let value = w.stored(value, Layout::Plain).map_err(stop)?;
                    Ok(w.calc("Identity", &[&value], vec![]))
                })
                .collect()
        })?;
        branches.push(body(name, graph));
    }
    let outputs = merges.iter().map(|m| w.make(m.outputs[0], Layout::Plain)).collect();
    w.push_many(("", "If"), &[condition], outputs, branches);
    Ok(())
}
