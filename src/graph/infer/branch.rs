//! Values that depend on which branch is taken.

use super::super::*;
use super::dims::{self, Extent};
use super::site::{Rule, Site};
use super::values::{Element, Values};

/// The input that a `Merge` takes, if its condition is known: 1 or 2.
pub(super) fn taken(graph: &Graph, values: &Values, node: &Node) -> Option<usize> {
    match values.get(graph, node.input(0)?)?.elements[..] {
        [Element::Known(0)] => Some(2),
        [Element::Known(_)] => Some(1),
        _ => None,
    }
}

/// The shape of the branch that is taken; of either one if that is not known.
pub(super) fn merge(site: &Site) -> Rule<Vec<Extent>> {
    let condition = site.tensor(0)?;
    if condition.shape.elements().is_some_and(|n| n != 1) {
        return Err(format!("its condition '{}' is not one value", condition.name));
    }
    if let Some(taken) = taken(site.graph, site.values, site.node) {
        return match site.optional(taken)? {
            Some(value) => Ok(dims::extents(&value.shape)),
            None => Err(format!(
                "the condition '{}' chooses a branch that was left out when the network was imported, since both \
                 give different ranks or types: give the inputs the shapes that the network was made for",
                condition.name
            )),
        };
    }
    let (Some(a), Some(b)) = (site.optional(1)?, site.optional(2)?) else {
        let only = site.optional(1)?.or(site.optional(2)?).ok_or("has no value to choose")?;
        return Ok(dims::extents(&only.shape));
    };
    let differ = || format!("its branches give {} and {}", site.show(&a.shape), site.show(&b.shape));
    if a.shape.rank() != b.shape.rank() {
        return Err(differ());
    }
    a.shape.iter().zip(b.shape.iter()).map(|(&a, &b)| either(a, b).ok_or_else(differ)).collect()
}

/// What is known of a dimension that is one of two; `None` if they can't be equal.
fn either(a: Dim, b: Dim) -> Option<Extent> {
    match (a, b) {
        _ if a == b => Some(Some(a)),
        (Dim::Fixed(_), Dim::Fixed(_)) => None,
        _ => Some(None),
    }
}
