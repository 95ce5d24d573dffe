//! Making a graph by hand: importers, tests and applications that have no file.

use super::*;
use std::collections::HashMap;

/// Adds tensors and nodes in running order and hands out their ids.
#[derive(Default)]
pub struct GraphBuilder {
    graph: Graph,
    /// Names that are taken, and the number that is tried next behind each: loops unrolled ask for one name often.
    names: HashMap<String, usize>,
    inference: infer::Inference,
    /// Inputs, the outputs that feed them, and what comes first.
    states: Vec<(TensorId, TensorId, Option<TensorId>)>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> GraphBuilder {
        GraphBuilder { graph: Graph { name: name.into(), ..Graph::default() }, ..GraphBuilder::default() }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// `base`, or `base_2`, ... if it is taken; from now on taken.
    pub fn unique(&mut self, base: &str) -> String {
        let base = if base.is_empty() { "t" } else { base };
        let Some(next) = self.names.get(base).copied() else {
            self.names.insert(base.to_string(), 2);
            return base.to_string();
        };
        let free = |i: &usize| !self.names.contains_key(&format!("{base}_{i}"));
        let i = (next..).find(free).unwrap_or(next);
        let name = format!("{base}_{i}");
        self.names.insert(base.to_string(), i + 1);
        self.names.insert(name.clone(), 2);
        name
    }

    /// Adds a tensor; its name is made unique.
    pub fn tensor(&mut self, mut tensor: Tensor) -> TensorId {
        tensor.name = self.unique(&tensor.name);
        self.graph.add_tensor(tensor)
    }

    /// Says what the integers of a tensor stand for.
    pub fn describe(&mut self, id: TensorId, quant: Quant) {
        self.graph.tensor_mut(id).quant = Some(quant);
    }

    /// Adds a graph input.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Shape) -> TensorId {
        self.input_as(Tensor::value(name, dtype, shape))
    }

    /// Adds a graph input that is like this; its name is made unique.
    pub fn input_as(&mut self, tensor: Tensor) -> TensorId {
        let id = self.tensor(tensor);
        self.graph.inputs.push(id);
        id
    }

    /// Makes a graph input a state: each run gives it what `output` was in the run before, the first one `initial`
    /// (zeros if left out). `output` becomes a graph output behind those that [`finish`](Self::finish) gets.
    pub fn state(&mut self, input: TensorId, output: TensorId, initial: Option<TensorId>) {
        self.states.push((input, output, initial));
    }

    /// The free dimension with this name.
    pub fn free_dim(&mut self, name: &str) -> Dim {
        self.graph.free_dim(name)
    }

    /// Adds an f32 constant.
    pub fn f32s(&mut self, name: &str, dims: &[usize], values: &[f32]) -> TensorId {
        self.tensor(Tensor::constant(name, DType::F32, dims, Data::from_slice(values)))
    }

    /// Adds an i64 constant of rank 1.
    pub fn i64s(&mut self, name: &str, values: &[i64]) -> TensorId {
        self.tensor(Tensor::constant(name, DType::I64, &[values.len()], Data::from_slice(values)))
    }

    /// Adds a node with one output, whose shape and type follow from its inputs ([`infer`](super::infer)).
    ///
    /// # Errors
    /// The node does not fit its inputs, or its output's type does not follow from them ([`node_as`](Self::node_as)).
    pub fn node(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
    ) -> Result<TensorId, GraphError> {
        Ok(self.push(unconnected(name, op, inputs), &[format!("{name}_out")])?[0])
    }

    /// Adds a node with one output of this name, element type and quantization. Its shape follows from the
    /// inputs, the template's is not read.
    ///
    /// # Errors
    /// The node does not fit its inputs or can't compute the type.
    pub fn node_as(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        template: Tensor,
    ) -> Result<TensorId, GraphError> {
        Ok(self.push_as(unconnected(name, op, inputs), vec![template])?[0])
    }

    /// Adds a node with outputs of these names (the node's own list is replaced).
    ///
    /// # Errors
    /// As [`node`](Self::node).
    pub fn push(&mut self, node: Node, outputs: &[String]) -> Result<Vec<TensorId>, GraphError> {
        let inferred = self.inference.outputs(&mut self.graph, &node, outputs.len(), None)?;
        let tensors = inferred.into_iter().zip(outputs);
        let tensors = tensors.map(|((dtype, shape), name)| Tensor::value(name.as_str(), dtype, shape));
        Ok(self.connect(node, tensors.collect()))
    }

    /// Adds a node with outputs of these names, element types and quantizations (the node's own list is
    /// replaced). Their shapes follow from the inputs, the templates' are not read.
    ///
    /// # Errors
    /// As [`node_as`](Self::node_as).
    pub fn push_as(&mut self, node: Node, templates: Vec<Tensor>) -> Result<Vec<TensorId>, GraphError> {
        let want = templates.first().map(|t| t.dtype);
        let inferred = self.inference.outputs(&mut self.graph, &node, templates.len(), want)?;
        let fits = |((dtype, _), t): (&(DType, Shape), &Tensor)| *dtype == t.dtype;
        if !inferred.iter().zip(&templates).all(fits) {
            return Err(GraphError::node(&node, "its outputs have other element types"));
        }
        let tensors = inferred.into_iter().zip(templates);
        let tensors = tensors.map(|((dtype, shape), t)| Tensor { dtype, shape, data: None, ..t });
        Ok(self.connect(node, tensors.collect()))
    }

    fn connect(&mut self, mut node: Node, outputs: Vec<Tensor>) -> Vec<TensorId> {
        node.outputs = outputs.into_iter().map(|t| self.tensor(t)).collect();
        let ids = node.outputs.clone();
        self.inference.learn(&self.graph, &node);
        self.graph.nodes.push(node);
        ids
    }

    /// The integers that are known so far: constants, shapes, and what is computed from them.
    pub fn value(&self, id: TensorId) -> Option<infer::Value> {
        self.inference.values().get(&self.graph, id)
    }

    /// The graph with these outputs and those of its states, validated.
    pub fn finish(mut self, outputs: &[TensorId]) -> Result<Graph, GraphError> {
        self.graph.outputs = outputs.to_vec();
        for (to, from, initial) in self.states {
            let input = self.graph.inputs.iter().position(|i| *i == to).ok_or_else(|| {
                GraphError::tensor(self.graph.tensor(to), "is a state, but no input of the graph")
            })?;
            self.graph.states.push(State { input, output: self.graph.outputs.len(), initial });
            self.graph.outputs.push(from);
        }
        self.graph.states.sort_by_key(|s| s.input);
        self.graph.validate()?;
        Ok(self.graph)
    }
}

/// A node whose outputs are still to be made.
fn unconnected(name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> Node {
    let inputs = inputs.iter().map(|&i| Some(i)).collect();
    Node { name: name.to_string(), op: op.into(), inputs, outputs: vec![] }
}
