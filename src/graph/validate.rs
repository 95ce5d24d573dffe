//! What must hold of every graph, wherever it came from.

use super::*;

/// The largest scale with which every 8-bit integer stands for a finite real.
const MAX_SCALE: f32 = f32::MAX / 255.0;

/// What is wrong with a graph, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// A node can't be what it says.
    #[error("node '{node}' ({op}): {what}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator's name.
        op: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A tensor can't be what it says.
    #[error("tensor '{tensor}': {what}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// Something of the whole graph.
    #[error("graph '{graph}': {what}")]
    Graph {
        /// The graph's name.
        graph: String,
        /// What is wrong.
        what: String,
    },
}

impl GraphError {
    /// An error at a node.
    pub fn node(node: &Node, what: impl Into<String>) -> GraphError {
        GraphError::Node { node: node.name.clone(), op: node.op.name(), what: what.into() }
    }

    /// An error at a tensor.
    pub fn tensor(tensor: &Tensor, what: impl Into<String>) -> GraphError {
        GraphError::Tensor { tensor: tensor.name.clone(), what: what.into() }
    }
}

impl Graph {
    /// Checks ids, order, names, ranks, constant sizes and quantization parameters. What operators ask of
    /// shapes and types is checked by [`infer`].
    pub fn validate(&self) -> Result<(), GraphError> {
        let fault = |what: String| GraphError::Graph { graph: self.name.clone(), what };
        let mut names = std::collections::HashSet::new();
        for tensor in &self.tensors {
            self.validate_tensor(tensor)?;
            if !names.insert(tensor.name.as_str()) {
                return Err(GraphError::tensor(tensor, "another tensor has the same name"));
            }
        }
        let count = self.tensors.len();
        let mut ready: Vec<bool> = self.tensors.iter().map(|t| t.data.is_some()).collect();
        for &id in &self.inputs {
            match ready.get_mut(id.index()) {
                None => return Err(fault(format!("input {} is not one of the {count} tensors", id.0))),
                Some(r) if *r => {
                    let t = self.tensor(id);
                    return Err(GraphError::tensor(t, "is an input twice, or an input and a constant"));
                }
                Some(r) => *r = true,
            }
        }
        for node in &self.nodes {
            if node.outputs.is_empty() {
                return Err(GraphError::node(node, "has no output"));
            }
            for id in node.present_inputs() {
                match ready.get(id.index()) {
                    None => {
                        return Err(GraphError::node(node, format!("input tensor {} does not exist", id.0)));
                    }
                    Some(false) => {
                        let t = &self.tensor(id).name;
                        let what = format!("reads tensor '{t}', which nothing before it computes");
                        return Err(GraphError::node(node, what));
                    }
                    Some(true) => {}
                }
            }
            for id in &node.outputs {
                match ready.get_mut(id.index()) {
                    None => {
                        return Err(GraphError::node(node, format!("output tensor {} does not exist", id.0)));
                    }
                    Some(true) => {
                        let t = &self.tensor(*id).name;
                        return Err(GraphError::node(
                            node,
                            format!("computes tensor '{t}', which is already there"),
                        ));
                    }
                    Some(r) => *r = true,
                }
            }
        }
        if self.outputs.is_empty() {
            return Err(fault("has no output".into()));
        }
        for &id in &self.outputs {
            match ready.get(id.index()) {
                None => return Err(fault(format!("output {} is not one of the {count} tensors", id.0))),
                Some(false) => {
                    return Err(GraphError::tensor(self.tensor(id), "is an output, but nothing computes it"));
                }
                Some(true) if self.tensor(id).dtype == DType::BF16 => {
                    return Err(GraphError::tensor(self.tensor(id), "is bf16, which no output is"));
                }
                Some(true) => {}
            }
        }
        self.validate_states()
    }

    fn validate_tensor(&self, t: &Tensor) -> Result<(), GraphError> {
        let fault = |what: String| Err(GraphError::tensor(t, what));
        if t.name.is_empty() {
            return fault("has no name".into());
        }
        if t.dtype == DType::BF16 && t.data.is_none() {
            return fault("is bf16, which only constants are: compute in f32".into());
        }
        if t.shape.rank() > MAX_RANK {
            return fault(format!("has rank {}, more than {MAX_RANK}", t.shape.rank()));
        }
        for d in t.shape.iter() {
            if let Dim::Free(i) = d
                && *i as usize >= self.dims.len()
            {
                return fault(format!("names free dimension {i}, but there are {}", self.dims.len()));
            }
        }
        if let Some(data) = &t.data {
            match t.byte_len() {
                None => return fault("is a constant with a free or overflowing shape".into()),
                Some(n) if n != data.bytes().len() => {
                    return fault(format!(
                        "has {} bytes of data, its shape asks for {n}",
                        data.bytes().len()
                    ));
                }
                Some(_) => {}
            }
        }
        match &t.quant {
            Some(q) => validate_quant(t, q),
            None => Ok(()),
        }
    }
}

fn validate_quant(t: &Tensor, q: &Quant) -> Result<(), GraphError> {
    let fault = |what: String| Err(GraphError::tensor(t, what));
    let (low, high) = match t.dtype {
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::I16 => (-32768, 32767),
        DType::I32 => (0, 0),
        other => return fault(format!("is {other}, which can't be quantized")),
    };
    let wanted = match q.axis {
        None => 1,
        Some(a) => match t.shape.get(a) {
            None => return fault(format!("is quantized along axis {a}, its rank is {}", t.shape.rank())),
            Some(Dim::Fixed(n)) => *n,
            Some(Dim::Free(_)) => return fault(format!("is quantized along axis {a}, whose length is free")),
        },
    };
    if q.scale.len() != wanted || q.zero_point.len() != wanted {
        let (s, z) = (q.scale.len(), q.zero_point.len());
        return fault(format!("has {s} scales and {z} zero points instead of {wanted}"));
    }
    if let Some(s) = q.scale.iter().find(|s| !s.is_normal() || **s <= 0.0) {
        return fault(format!("has the scale {s}: scales are finite, positive and not denormal"));
    }
    if let Some(s) = q.scale.iter().find(|s| **s > MAX_SCALE) {
        return fault(format!("has the scale {s}: with more than {MAX_SCALE:e} its reals overflow"));
    }
    if let Some(z) = q.zero_point.iter().find(|z| !(low..=high).contains(*z)) {
        return fault(format!("has the zero point {z}, outside of {low}..={high}"));
    }
    Ok(())
}
