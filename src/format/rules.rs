//! What a file asks of a graph beyond [`Graph::validate`], so that every graph has one encoding and every
//! encoding one meaning. Writer and reader hold to the same rules.

use super::layout::{MAX_NAME, MAX_WORD};
use super::{FormatError, PackedSection};
use crate::graph::*;
use std::collections::HashSet;

/// Checks a graph that [`Graph::validate`] has passed.
pub(super) fn check(graph: &Graph) -> Result<(), FormatError> {
    check_names(graph)?;
    check_use(graph)?;
    for tensor in &graph.tensors {
        let mut known = tensor.shape.iter().filter_map(|d| d.fixed());
        let bytes = known.try_fold(tensor.dtype.size(), |n, d| n.checked_mul(d));
        if bytes.is_none_or(|n| i64::try_from(n).is_err()) {
            return Err(FormatError::ShapeOverflow { tensor: format!("tensor '{}'", tensor.name) });
        }
        if let (DType::Bool, Some(data)) = (tensor.dtype, &tensor.data)
            && let Some(index) = data.bytes().iter().position(|&b| b > 1)
        {
            let (tensor, value) = (tensor.name.clone(), data.bytes()[index]);
            return Err(FormatError::BoolValue { tensor, index, value });
        }
    }
    Ok(())
}

/// Checks one attribute of a node. NaN is refused because it equals nothing, not even itself.
pub(super) fn check_attr(node: &str, name: &str, attr: &Attr) -> Result<(), FormatError> {
    let floats = match attr {
        Attr::Float(v) => std::slice::from_ref(v),
        Attr::Floats(v) => v,
        Attr::Int(_) | Attr::Ints(_) | Attr::Text(_) => &[],
    };
    if floats.iter().any(|v| v.is_nan()) {
        return Err(FormatError::AttrNan { node: node.to_string(), attr: name.to_string() });
    }
    let text = if let Attr::Text(text) = attr { text } else { "" };
    let fault = text_fault(name, MAX_WORD).or(text_fault(text, MAX_NAME));
    match fault {
        Some(fault) => Err(FormatError::AttrText { node: node.to_string(), attr: name.to_string(), fault }),
        None => Ok(()),
    }
}

/// Checks that packed weights belong to nodes and stand in strictly ascending order.
pub(super) fn check_packed<'a>(
    packed: impl Iterator<Item = &'a PackedSection>,
    nodes: usize,
) -> Result<(), FormatError> {
    let mut before = None;
    for (index, PackedSection { node, layout, .. }) in packed.enumerate() {
        if *node >= nodes {
            return Err(FormatError::PackedNode { index, node: *node as u64, nodes });
        }
        let key = Some((*node, *layout));
        if before >= key {
            return Err(FormatError::PackedOrder { index, node: *node, layout: *layout });
        }
        before = key;
    }
    Ok(())
}

fn text_fault(text: &str, longest: usize) -> Option<&'static str> {
    if text.len() > longest {
        return Some("is too long");
    }
    text.contains('\0').then_some("contains NUL")
}

fn check_names(graph: &Graph) -> Result<(), FormatError> {
    let fault = |what: String, fault| Err(FormatError::Name { what, fault });
    if let Some(f) = text_fault(&graph.name, MAX_NAME) {
        return fault("the graph".to_string(), f);
    }
    let dims = graph.dims.iter().map(|n| ("free dimension", n));
    let tensors = graph.tensors.iter().map(|t| ("tensor", &t.name));
    let nodes = graph.nodes.iter().map(|n| ("node", &n.name));
    let keys = graph.metadata.iter().map(|(k, _)| ("metadata key", k));
    for (what, name) in dims.chain(tensors).chain(nodes).chain(keys) {
        if name.is_empty() {
            return fault(format!("a {what}"), "is empty");
        }
        if let Some(f) = text_fault(name, MAX_NAME) {
            // Of a name that is too long the beginning must do.
            let start: String = name.chars().take(40).collect();
            return fault(format!("{what} '{}'", start.escape_default()), f);
        }
    }
    if let Some((key, _)) = graph.metadata.iter().find(|(_, v)| v.contains('\0')) {
        return fault(format!("metadata '{key}'"), "has a value that contains NUL");
    }
    check_unique("free dimension", graph.dims.iter())?;
    check_unique("metadata key", graph.metadata.iter().map(|(k, _)| k))
}

fn check_unique<'a>(what: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), FormatError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(FormatError::Duplicate { what, name: name.clone() });
        }
    }
    Ok(())
}

/// A tensor that nothing refers to has no meaning, but room to hide something.
fn check_use(graph: &Graph) -> Result<(), FormatError> {
    let mut used = vec![false; graph.tensors.len()];
    let node_ids = graph.nodes.iter().flat_map(|n| n.present_inputs().chain(n.outputs.iter().copied()));
    let ends = graph.inputs.iter().chain(&graph.outputs).copied();
    let initial = graph.states.iter().filter_map(|s| s.initial);
    for id in node_ids.chain(ends).chain(initial) {
        used[id.index()] = true;
    }
    match used.iter().position(|u| !u) {
        Some(i) => Err(FormatError::UnusedTensor { tensor: graph.tensors[i].name.clone() }),
        None => Ok(()),
    }
}
