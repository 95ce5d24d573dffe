//! Names for tensors that are added to a graph.

use crate::graph::Graph;
use std::collections::HashSet;

/// The names that are taken.
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Those of a graph's tensors.
    pub fn of(graph: &Graph) -> Names {
        Names(graph.tensors.iter().map(|t| t.name.clone()).collect())
    }

    /// `base`, or `base` with a number behind it; from now on taken.
    pub fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_string();
        let mut i = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}_{i}");
            i += 1;
        }
        name
    }
}
