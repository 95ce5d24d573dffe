//! Small models made by hand, and looking at what became of them.

use ottava::graph::{Graph, Node, Op, TensorId};
use ottava::import::onnx::{from_bytes, proto::*};
use ottava::import::{ImportError, ImportOptions};
use prost::Message;

/// A model with one graph of these parts.
#[derive(Clone, Default)]
pub struct Builder {
    pub model: ModelProto,
}

/// An f32 value with these dimensions.
pub fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| DimensionProto { dim_value: Some(d), dim_param: None }).collect();
    let tensor_type = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// An f32 constant.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        raw_data: Some(raw.into()),
        ..Default::default()
    }
}

/// An f32 constant of 0, 1, 2, ...
pub fn counting(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>();
    floats(name, dims, &(0..count).map(|v| v as f32).collect::<Vec<_>>())
}

/// An i64 vector.
pub fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// Integers of up to 32 bits.
pub fn bytes(name: &str, dims: &[i64], data_type: i32, values: &[i32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type,
        int32_data: values.to_vec(),
        ..Default::default()
    }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..Default::default() }
}

pub fn int_list(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        r#type: attribute_type::INTS,
        ..Default::default()
    }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: attribute_type::FLOAT, ..Default::default() }
}

pub fn float_list(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        floats: floats.to_vec(),
        r#type: attribute_type::FLOATS,
        ..Default::default()
    }
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: s.as_bytes().to_vec().into(),
        r#type: attribute_type::STRING,
        ..Default::default()
    }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        t: Some(Box::new(t)),
        r#type: attribute_type::TENSOR,
        ..Default::default()
    }
}

/// The body of a branch or loop.
pub fn body(name: &str, mut body: Builder) -> AttributeProto {
    let g = Some(Box::new(std::mem::take(body.graph())));
    AttributeProto { name: name.into(), g, r#type: attribute_type::GRAPH, ..Default::default() }
}

fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(|n| if n == "-" { String::new() } else { n.to_string() }).collect()
}

impl Builder {
    /// An empty model in this operator set.
    pub fn new(opset: i64) -> Builder {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        let graph = Some(GraphProto { name: "test".into(), ..Default::default() });
        Builder { model: ModelProto { ir_version: 8, opset_import, graph, ..Default::default() } }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.get_or_insert_default()
    }

    /// An f32 input.
    pub fn input(mut self, name: &str, dims: &[i64]) -> Builder {
        self.graph().input.push(value(name, data_type::FLOAT, dims));
        self
    }

    pub fn constant(mut self, tensor: TensorProto) -> Builder {
        self.graph().initializer.push(tensor);
        self
    }

    /// A node; inputs and outputs are separated by spaces, `-` is one left out.
    pub fn node(mut self, op: &str, inputs: &str, outputs: &str, attrs: &[AttributeProto]) -> Builder {
        self.graph().node.push(NodeProto {
            op_type: op.into(),
            input: names(inputs),
            output: names(outputs),
            attribute: attrs.to_vec(),
            ..Default::default()
        });
        self
    }

    /// An output of this element type whose shape is not declared.
    pub fn output_of(mut self, name: &str, elem_type: i32) -> Builder {
        let tensor_type = Some(TensorTypeProto { elem_type, shape: None });
        self.graph()
            .output
            .push(ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) });
        self
    }

    /// An f32 output.
    pub fn output(self, name: &str) -> Builder {
        self.output_of(name, data_type::FLOAT)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    pub fn import(&self) -> Result<Graph, ImportError> {
        self.import_with(&ImportOptions::default())
    }

    pub fn import_with(&self, options: &ImportOptions) -> Result<Graph, ImportError> {
        from_bytes(self.bytes(), options)
    }

    /// The graph; it holds up when everything is inferred again.
    pub fn graph_of(&self) -> Graph {
        let mut graph = self.import().unwrap_or_else(|e| panic!("{e}"));
        ottava::graph::infer::check(&mut graph).unwrap_or_else(|e| panic!("{e}"));
        graph
    }

    /// The reason why it is refused.
    pub fn refusal(&self) -> String {
        match self.import() {
            Ok(graph) => panic!("imported as {:?}", op_names(&graph)),
            Err(e) => e.to_string(),
        }
    }
}

/// Names of the graph's operators in order.
pub fn op_names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

/// The only node with this operator.
pub fn only<'g>(graph: &'g Graph, op: &str) -> &'g Node {
    let mut found = graph.nodes.iter().filter(|n| n.op.name() == op);
    match (found.next(), found.next()) {
        (Some(node), None) => node,
        _ => panic!("not one {op} in {:?}", op_names(graph)),
    }
}

/// The operator of the only node.
pub fn single(graph: &Graph) -> &Op {
    match &graph.nodes[..] {
        [node] => &node.op,
        _ => panic!("not one node: {:?}", op_names(graph)),
    }
}

/// A tensor's fixed dimensions.
pub fn dims(graph: &Graph, id: TensorId) -> Vec<usize> {
    graph
        .tensor(id)
        .shape
        .dims()
        .unwrap_or_else(|| panic!("'{}' has a free dimension", graph.tensor(id).name))
}

/// A graph output's fixed dimensions.
pub fn output_dims(graph: &Graph) -> Vec<usize> {
    dims(graph, graph.outputs[0])
}

/// The values of input `i` of a node, which is a constant.
pub fn constant_input<T: bytemuck::AnyBitPattern>(graph: &Graph, node: &Node, i: usize) -> Vec<T> {
    let tensor = graph.tensor(node.input(i).unwrap_or_else(|| panic!("no input {i}")));
    tensor.data.as_ref().unwrap_or_else(|| panic!("'{}' is no constant", tensor.name)).to_vec()
}
