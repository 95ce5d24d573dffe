//! Free dimensions get lengths: a graph for shapes becomes a graph for one shape.

use super::super::*;
use super::{Inference, branch, compatible, values};
use std::collections::{HashMap, HashSet};

/// The graph with every shape fixed. `shapes` gives shapes of inputs by name; dimensions that they leave open
/// become `default`.
///
/// All tensors keep their ids and constants stay shared. Integers that have become known (`ShapeOf` and what is
/// computed from it) are constants in the result, also where they are outputs, and the nodes that computed them
/// are gone: indices of nodes are not those of `graph`; a node is found again by its first output.
///
/// # Errors
/// A graph that is not valid, a name that no input has, a shape that an input can't have, a dimension that two inputs make unequal; a
/// shape that still can't be told, since it depends on values that come only with the data.
pub fn bind(graph: &Graph, shapes: &[(String, Vec<usize>)], default: usize) -> Result<Graph, GraphError> {
    graph.validate()?;
    let mut lengths = vec![];
    let shapes = shapes.iter().map(|(name, dims)| (name.as_str(), dims.as_slice()));
    free_lengths(graph, shapes, default, &mut lengths)?;
    bind_lengths(graph, &lengths)
}

/// As [`bind`], of a graph that is valid, with a length for every free dimension.
pub(crate) fn bind_lengths(graph: &Graph, lengths: &[usize]) -> Result<Graph, GraphError> {
    let mut bound = graph.clone();
    for &id in &graph.inputs {
        let tensor = bound.tensor_mut(id);
        for dim in &mut tensor.shape.0 {
            if let Dim::Free(i) = *dim
                && let Some(&length) = lengths.get(i as usize)
            {
                *dim = Dim::Fixed(length);
            }
        }
        if tensor.byte_len().is_none_or(|n| isize::try_from(n).is_err()) {
            return Err(GraphError::tensor(tensor, "is larger than any memory"));
        }
    }
    infer_fixed(&mut bound)?;
    Ok(bound)
}

/// The length of each free dimension that the given shapes tell; of the others `default`. Allocates nothing if `lengths`
/// has room.
///
/// # Errors
/// As [`bind`], for what shapes alone can be wrong with.
pub(crate) fn free_lengths<'a>(
    graph: &Graph,
    shapes: impl Iterator<Item = (&'a str, &'a [usize])>,
    default: usize,
    lengths: &mut Vec<usize>,
) -> Result<(), GraphError> {
    // No shape has so long a dimension: its bytes would not fit memory.
    const OPEN: usize = usize::MAX;
    lengths.clear();
    lengths.resize(graph.dims.len(), OPEN);
    for (name, given) in shapes {
        let input =
            graph.inputs.iter().filter_map(|id| graph.tensors.get(id.index())).find(|t| t.name == name);
        let Some(tensor) = input else { return Err(no_such_input(graph, name)) };
        let fault = |what: String| Err(GraphError::tensor(tensor, what));
        if given.len() != tensor.shape.rank() {
            let declared = graph.show_shape(&tensor.shape);
            return fault(format!("is an input of the shape {declared}, it can't be {given:?}"));
        }
        for (axis, (&dim, &n)) in tensor.shape.iter().zip(given).enumerate() {
            match dim {
                Dim::Fixed(m) if m != n => {
                    return fault(format!("is an input whose dimension {axis} is {m}, it can't be {n}"));
                }
                Dim::Fixed(_) => {}
                Dim::Free(_) if n == OPEN => return fault("is larger than any memory".to_string()),
                Dim::Free(i) => match lengths.get_mut(i as usize) {
                    None => return fault(format!("names free dimension {i}, which there is not")),
                    Some(&mut m) if m != OPEN && m != n => {
                        let dim = &graph.dims[i as usize];
                        return fault(format!("makes the dimension '{dim}' {n}, but it is {m} already"));
                    }
                    Some(length) => *length = n,
                },
            }
        }
    }
    lengths.iter_mut().filter(|length| **length == OPEN).for_each(|length| *length = default);
    Ok(())
}

fn no_such_input(graph: &Graph, name: &str) -> GraphError {
    let inputs = graph.inputs.iter().filter_map(|id| graph.tensors.get(id.index()));
    let names: Vec<&str> = inputs.map(|t| t.name.as_str()).collect();
    let what = format!("has no input '{name}' to give a shape; its inputs: {}", names.join(", "));
    GraphError::Graph { graph: graph.name.clone(), what }
}

/// Infers every shape from fixed inputs on and turns known integers into constants. Branches that are not taken go,
/// and with them all that could not be.
fn infer_fixed(graph: &mut Graph) -> Result<(), GraphError> {
    let mut inference = Inference::default();
    let mut left = Vec::with_capacity(graph.nodes.len());
    // What can't be computed, and why: an error only if something needs it.
    let mut lost: HashMap<TensorId, GraphError> = HashMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        let taken = match node.op {
            Op::Merge(_) => branch::taken(graph, inference.values(), &node),
            _ => None,
        };
        // Of a branch that was left out inference says so, whatever became of the other one.
        let left_out = taken.is_some_and(|i| node.input(i).is_none());
        if let (Some(taken), false) = (taken, left_out) {
            let others = node.inputs.iter_mut().enumerate().skip(1).filter(|(i, _)| *i != taken);
            others.for_each(|(_, input)| *input = None);
        }
        let why = node.present_inputs().find_map(|id| lost.get(&id).cloned()).filter(|_| !left_out);
        let done = match why {
            Some(why) => Err(why),
            None => fix_shapes(graph, &mut inference, &node),
        };
        match done {
            Err(why) => lost.extend(node.outputs.iter().map(|&id| (id, why.clone()))),
            Ok(()) => {
                inference.learn(graph, &node);
                if !fold(graph, &inference, &node) {
                    left.push(node);
                }
            }
        }
    }
    graph.nodes = left;
    if let Some(why) = graph.outputs.iter().find_map(|id| lost.remove(id)) {
        return Err(why);
    }
    drop_unused(graph);
    Ok(())
}

/// Gives the node's outputs their shapes.
fn fix_shapes(graph: &mut Graph, inference: &mut Inference, node: &Node) -> Result<(), GraphError> {
    for (&id, extents) in node.outputs.iter().zip(inference.extents(graph, node)?) {
        let Some(dims) = extents.iter().copied().collect::<Option<Vec<Dim>>>() else {
            let tensor = &graph.tensor(id).name;
            let what = format!("the shape of '{tensor}' depends on values that are not known before it runs");
            return Err(GraphError::node(node, what));
        };
        compatible(graph, id, &Shape(dims.clone()))?;
        graph.tensor_mut(id).shape = Shape(dims);
    }
    Ok(())
}

/// Removes the nodes that no output needs.
fn drop_unused(graph: &mut Graph) {
    let mut needed: HashSet<TensorId> = graph.outputs.iter().copied().collect();
    let mut keep: Vec<bool> = graph
        .nodes
        .iter()
        .rev()
        .map(|node| {
            let keep = node.outputs.iter().any(|id| needed.contains(id));
            if keep {
                needed.extend(node.present_inputs());
            }
            keep
        })
        .collect();
    graph.nodes.retain(|_| keep.pop().unwrap_or(true));
}

/// Makes the node's outputs constants, if all of them are known integers.
fn fold(graph: &mut Graph, inference: &Inference, node: &Node) -> bool {
    let known = node.outputs.iter().map(|&id| {
        let numbers = inference.values().get(graph, id)?.known()?;
        values::encode(&numbers, graph.tensor(id).dtype)
    });
    let Some(data) = known.collect::<Option<Vec<Data>>>() else { return false };
    for (&id, data) in node.outputs.iter().zip(data) {
        graph.tensor_mut(id).data = Some(data);
    }
    true
}
