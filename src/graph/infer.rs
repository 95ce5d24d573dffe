//! Shape inference: what a node's outputs look like, and which small integer tensors are already known.
//!
//! Free dimensions travel through the rules as far as they can be expressed; where they can't (a convolution
//! over a free height) the output gets a free dimension of its own, named after the node. Integer tensors that
//! only say shapes (`ShapeOf -> Gather -> Concat -> Reshape`) are evaluated on the way, element by element, each
//! element a number, a dimension or unknown. [`bind`] gives the free dimensions lengths; afterwards every shape
//! is fixed and such chains are constants.

mod bind;
mod branch;
mod custom;
mod dims;
mod dtypes;
mod index;
mod integer;
mod rearrange;
mod recurrent;
mod rules;
mod select;
mod site;
mod spatial;
mod transformer;
mod values;

#[cfg(test)]
mod tests;

pub use bind::bind;
pub(crate) use bind::{bind_lengths, free_lengths};
pub use dims::slice_bounds;
pub use index::range_len;
pub use values::{Element, Value, Values};

use super::*;
use dims::Extent;
use site::Site;
use std::collections::HashSet;

/// Element type and shape of each of the node's `count` outputs, as far as constants tell them. For nodes whose
/// element type is not theirs to say (`Cast`, `Quantize`, `Requantize`) see [`Inference::outputs`].
///
/// # Errors
/// The node does not fit its inputs: their number, element types, shapes, or its attributes.
pub fn node_outputs(graph: &mut Graph, node: &Node, count: usize) -> Result<Vec<(DType, Shape)>, GraphError> {
    Inference::default().outputs(graph, node, count, None)
}

/// Infers every shape again from the graph's inputs on. What the tensors said before is replaced.
///
/// # Errors
/// A node does not fit its inputs, or its outputs are declared with another element type.
pub fn graph(graph: &mut Graph) -> Result<(), GraphError> {
    walk(graph, |_, _, _| Ok(()))
}

/// Infers every shape again and holds it against what the tensors say: a free dimension may turn out to be
/// fixed, but nothing may contradict.
///
/// # Errors
/// As [`graph`](fn@graph), or a tensor's declared shape can't be the inferred one.
pub fn check(graph: &mut Graph) -> Result<(), GraphError> {
    walk(graph, compatible)
}

/// Infers the outputs of a node whose output tensors are in the graph and holds them against what those say.
/// Returns the shapes, which are at least as fixed as the declared ones.
///
/// # Errors
/// As [`check`].
pub fn check_node(graph: &mut Graph, node: &Node) -> Result<Vec<Shape>, GraphError> {
    let shapes = Inference::default().again(graph, node)?;
    for (&id, shape) in node.outputs.iter().zip(&shapes) {
        compatible(graph, id, shape)?;
    }
    Ok(shapes)
}

/// Fails if the tensor's declared shape can't be `inferred`.
fn compatible(graph: &Graph, id: TensorId, inferred: &Shape) -> Result<(), GraphError> {
    let tensor = graph.tensor(id);
    let same_rank = tensor.shape.rank() == inferred.rank();
    if same_rank && tensor.shape.iter().zip(inferred.iter()).all(|(&a, &b)| dims::agree(a, b).is_some()) {
        return Ok(());
    }
    let (said, is) = (graph.show_shape(&tensor.shape), graph.show_shape(inferred));
    Err(GraphError::tensor(tensor, format!("has the shape {said}, but what computes it gives {is}")))
}

/// Replaces the shapes of all computed tensors after `judge` has seen the new ones.
fn walk(
    graph: &mut Graph,
    judge: impl Fn(&Graph, TensorId, &Shape) -> Result<(), GraphError>,
) -> Result<(), GraphError> {
    let mut inference = Inference::default();
    // Taken out so that the nodes can be read while tensors change.
    let nodes = std::mem::take(&mut graph.nodes);
    let done = nodes.iter().try_for_each(|node| {
        let shapes = inference.again(graph, node)?;
        for (&id, shape) in node.outputs.iter().zip(shapes) {
            judge(graph, id, &shape)?;
            graph.tensor_mut(id).shape = shape;
        }
        inference.learn(graph, node);
        Ok(())
    });
    graph.nodes = nodes;
    done
}

/// Inference along a graph that is being built or walked: remembers the integers it has come across.
#[derive(Clone, Debug, Default)]
pub struct Inference {
    values: Values,
    /// Names of the first `seen` free dimensions of the graph, so that new ones get names of their own.
    taken: HashSet<String>,
    seen: usize,
}

impl Inference {
    /// Element type and shape of each of the node's `count` outputs. The type of the first one is `want` where the
    /// node can compute it; `None` asks for what the node computes by itself: of integers u8, of floats the same float.
    ///
    /// # Errors
    /// The node does not fit its inputs or can't compute `want`; or it is a `Cast`, `Quantize` or `Requantize`
    /// and `want` is `None`.
    pub fn outputs(
        &mut self,
        graph: &mut Graph,
        node: &Node,
        count: usize,
        want: Option<DType>,
    ) -> Result<Vec<(DType, Shape)>, GraphError> {
        let outputs = infer(graph, &self.values, node, count, want)?;
        let mut shapes = Vec::with_capacity(outputs.len());
        for (o, (dtype, extents)) in outputs.into_iter().enumerate() {
            shapes.push((dtype, self.settle(graph, node, o, &extents)));
        }
        Ok(shapes)
    }

    /// Evaluates the node's outputs, if they are small integers; the shapes of its tensors have been inferred.
    pub fn learn(&mut self, graph: &Graph, node: &Node) {
        self.values.learn(graph, node);
    }

    /// What is known about integers so far.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The shapes of a node whose output tensors exist.
    fn again(&mut self, graph: &mut Graph, node: &Node) -> Result<Vec<Shape>, GraphError> {
        let outputs = self.extents(graph, node)?;
        Ok(outputs.iter().enumerate().map(|(o, extents)| self.settle(graph, node, o, extents)).collect())
    }

    /// As far as they can be expressed, the shapes of a node whose output tensors exist.
    fn extents(&self, graph: &Graph, node: &Node) -> Result<Vec<Vec<Extent>>, GraphError> {
        let mut declared = Vec::with_capacity(node.outputs.len());
        for id in &node.outputs {
            let Some(tensor) = graph.tensors.get(id.index()) else {
                return Err(GraphError::node(node, format!("output tensor {} does not exist", id.0)));
            };
            declared.push(tensor.dtype);
        }
        let outputs = infer(graph, &self.values, node, declared.len(), declared.first().copied())?;
        let check = |(o, ((dtype, extents), declared)): (usize, ((DType, Vec<Extent>), DType))| {
            let what = || format!("its output {o} is declared to be {declared}, but it gives {dtype}");
            if dtype == declared { Ok(extents) } else { Err(GraphError::node(node, what())) }
        };
        outputs.into_iter().zip(declared).enumerate().map(check).collect()
    }

    /// A shape for the extents: what can't be expressed becomes a free dimension, the one that output `o` got
    /// here before if there is one.
    fn settle(&mut self, graph: &mut Graph, node: &Node, o: usize, extents: &[Extent]) -> Shape {
        let old = node.outputs.get(o).and_then(|id| graph.tensors.get(id.index())).map(|t| t.shape.clone());
        let dims = extents.iter().enumerate().map(|(axis, &extent)| {
            extent.unwrap_or_else(|| {
                let base = match o {
                    0 => format!("{}[{axis}]", node.name),
                    _ => format!("{}.{o}[{axis}]", node.name),
                };
                match old.as_ref().and_then(|s| s.get(axis)) {
                    Some(&Dim::Free(i))
                        if graph.dims.get(i as usize).is_some_and(|d| d.starts_with(&base)) =>
                    {
                        Dim::Free(i)
                    }
                    _ => self.fresh(graph, base),
                }
            })
        });
        Shape(dims.collect())
    }

    /// A free dimension that nothing else has: names of nodes need not be unique, so `base` alone would not do.
    fn fresh(&mut self, graph: &mut Graph, base: String) -> Dim {
        self.taken.extend(graph.dims.iter().skip(self.seen).cloned());
        let mut name = base.clone();
        let mut i = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{base}_{i}");
            i += 1;
        }
        graph.dims.push(name);
        self.seen = graph.dims.len();
        Dim::Free(self.seen as u32 - 1)
    }
}

/// Element type of every output, and what can be said of its shape.
fn infer(
    graph: &Graph,
    values: &Values,
    node: &Node,
    count: usize,
    want: Option<DType>,
) -> Result<Vec<(DType, Vec<Extent>)>, GraphError> {
    let site = Site { graph, values, node, count, want };
    let inferred = || {
        rules::check_arity(&site)?;
        let dtypes = dtypes::outputs(&site)?;
        let outputs: Vec<_> = dtypes.into_iter().zip(rules::outputs(&site)?).collect();
        outputs.iter().try_for_each(|(dtype, shape)| rules::check_size(*dtype, shape))?;
        Ok(outputs)
    };
    inferred().map_err(|what: String| GraphError::node(node, what))
}
