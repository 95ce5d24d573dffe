//! Making a graph by hand: importers, tests and applications that have no file.

use super::*;

/// Adds tensors and nodes in running order and hands out their ids.
#[derive(Default)]
pub struct GraphBuilder {
    graph: Graph,
    names: std::collections::HashSet<String>,
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
        let mut name = base.to_string();
        let mut i = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{i}");
            i += 1;
        }
        name
    }

    /// Adds a tensor; its name is made unique.
    pub fn tensor(&mut self, mut tensor: Tensor) -> TensorId {
        tensor.name = self.unique(&tensor.name);
        self.graph.add_tensor(tensor)
    }

    /// Adds a graph input.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Shape) -> TensorId {
        let id = self.tensor(Tensor::value(name, dtype, shape));
        self.graph.inputs.push(id);
        id
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
    pub fn node(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
    ) -> Result<TensorId, GraphError> {
        let node = Node {
            name: name.to_string(),
            op: op.into(),
            inputs: inputs.iter().map(|&i| Some(i)).collect(),
            outputs: vec![],
        };
        Ok(self.push(node, &[format!("{name}_out")])?[0])
    }

    /// Adds a node with these outputs (the node's own list is replaced).
    pub fn push(&mut self, mut node: Node, outputs: &[String]) -> Result<Vec<TensorId>, GraphError> {
        let inferred = infer::node_outputs(&mut self.graph, &node, outputs.len())?;
        node.outputs = inferred
            .into_iter()
            .zip(outputs)
            .map(|((dtype, shape), name)| self.tensor(Tensor::value(name.as_str(), dtype, shape)))
            .collect();
        let ids = node.outputs.clone();
        self.graph.nodes.push(node);
        Ok(ids)
    }

    /// The graph with these outputs, validated.
    pub fn finish(mut self, outputs: &[TensorId]) -> Result<Graph, GraphError> {
        self.graph.outputs = outputs.to_vec();
        self.graph.validate()?;
        Ok(self.graph)
    }
}
