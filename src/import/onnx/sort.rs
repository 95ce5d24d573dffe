//! The order in which nodes can run.

use super::super::ImportError;
use super::proto::NodeProto;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

/// Indices of the nodes in an order in which each reads only what is `given` or computed before it; the file's
/// order where that is one. Fails if a tensor is computed twice or by nobody, or on a cycle.
pub(super) fn order(nodes: &[NodeProto], given: &HashSet<&str>) -> Result<Vec<usize>, ImportError> {
    let makers = makers(nodes, given)?;
    let mut waits = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        let inner: BTreeSet<&str> = node.graphs().flat_map(|graph| graph.captures()).collect();
        for name in node.input.iter().map(String::as_str).filter(|n| !n.is_empty()).chain(inner) {
            match makers.get(name) {
                Some(&maker) => {
                    readers[maker].push(i);
                    waits[i] += 1;
                }
                None if given.contains(name) => {}
                None => {
                    let what = format!("node {i} ({}) reads it, but nothing computes it", node.op_type);
                    return Err(ImportError::tensor(name, what));
                }
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|&i| waits[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    match waits.iter().position(|&w| w > 0) {
        None => Ok(order),
        Some(i) => {
            let output = nodes[i].output.iter().find(|o| !o.is_empty()).map_or("", |o| o.as_str());
            let op = &nodes[i].op_type;
            Err(ImportError::model(format!(
                "node {i} ({op}, output '{output}') is part of, or behind, a cycle"
            )))
        }
    }
}

fn makers<'a>(nodes: &'a [NodeProto], given: &HashSet<&str>) -> Result<HashMap<&'a str, usize>, ImportError> {
    let mut makers = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            if given.contains(name.as_str()) || makers.insert(name.as_str(), i).is_some() {
                let what = format!("node {i} ({}) computes it, but it is already there", node.op_type);
                return Err(ImportError::tensor(name, what));
            }
        }
    }
    Ok(makers)
}
