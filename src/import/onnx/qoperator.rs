//! Operators on quantized tensors -> what they abbreviate: dequantize, compute in floats, quantize.
//!
//! `QLinearConv(x, ..)` is `QuantizeLinear(Conv(DequantizeLinear(x), ..))` written as one node. Taken apart, it is
//! imported by the same code as networks that are written the long way, and the optimizer makes integer nodes of
//! both.

use super::fused;
use super::proto::{AttributeProto, NodeProto, attribute_type};
use std::borrow::Cow;

/// The domain of ONNX Runtime's own operators.
const CONTRIB: &str = "com.microsoft";

/// The operators that are taken apart here.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("", "QLinearConv"),
    ("", "QLinearMatMul"),
    (CONTRIB, "QGemm"),
    (CONTRIB, "QLinearAdd"),
    (CONTRIB, "QLinearAveragePool"),
    (CONTRIB, "QLinearConcat"),
    (CONTRIB, "QLinearConv"),
    (CONTRIB, "QLinearGlobalAveragePool"),
    (CONTRIB, "QLinearLeakyRelu"),
    (CONTRIB, "QLinearMul"),
    (CONTRIB, "QLinearReduceMean"),
    (CONTRIB, "QLinearSigmoid"),
    (CONTRIB, "QLinearSoftmax"),
    (CONTRIB, "QLinearWhere"),
];

/// Names the operator that dequantizes a bias: no file has it.
pub(super) const BIAS: &str = "DequantizeLinear(bias)";

/// Names the mean whose axes are an attribute in every operator set: no file has it.
pub(super) const MEAN: &str = "ReduceMean(axes)";

/// The nodes without operators on quantized tensors, and without such with a function behind them. Those that can't be
/// taken apart stay, to be refused by name.
pub(super) fn expanded(nodes: &[NodeProto]) -> Cow<'_, [NodeProto]> {
    let stays = |node: &NodeProto| parts(node).is_none() && fused::parts(node, 0).is_none();
    if nodes.iter().all(|node| stays(node) && node.graphs().next().is_none()) {
        return Cow::Borrowed(nodes);
    }
    let expand = |(i, node): (usize, &NodeProto)| match parts(node) {
        Some(parts) => Expansion { node, index: i, made: Vec::new() }.expand(&parts),
        None => fused::parts(node, i).unwrap_or_else(|| vec![with_expanded_graphs(node)]),
    };
    Cow::Owned(nodes.iter().enumerate().flat_map(expand).collect())
}

/// The node with the nodes of its graphs expanded.
fn with_expanded_graphs(node: &NodeProto) -> NodeProto {
    let mut node = node.clone();
    for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut()) {
        if let Cow::Owned(nodes) = expanded(&graph.node) {
            graph.node = nodes;
        }
    }
    node
}

/// What a quantized operator consists of.
struct Parts {
    /// The operator on floats.
    op: &'static str,
    /// How many of its first inputs are not quantized.
    plain: usize,
    /// Where its inputs begin: each is a tensor, its scale and its zero point.
    operands: Vec<usize>,
    /// The dimension of the second one that its scales lie along.
    axis: i64,
    /// Its bias, and the operands whose scales make the bias's.
    bias: Option<(usize, [usize; 2])>,
    /// Where scale and zero point of the output are, if it is quantized.
    output: Option<usize>,
}

/// `None` for all other operators.
fn parts(node: &NodeProto) -> Option<Parts> {
    let has = |i: usize| node.input.get(i).is_some_and(|name| !name.is_empty());
    let simple = |op, operands: &[usize]| {
        let output = Some(3 * operands.len());
        Some(Parts { op, plain: 0, operands: operands.to_vec(), axis: 1, bias: None, output })
    };
    match (node.domain.as_str(), node.op_type.as_str()) {
        ("" | "ai.onnx" | CONTRIB, "QLinearConv") => {
            let bias = has(8).then_some((8, [0, 3]));
            Some(Parts { op: "Conv", plain: 0, operands: vec![0, 3], axis: 0, bias, output: Some(6) })
        }
        ("" | "ai.onnx", "QLinearMatMul") => simple("MatMul", &[0, 3]),
        (CONTRIB, "QGemm") => {
            let bias = has(6).then_some((6, [0, 3]));
            let transposed = node.attribute.iter().any(|a| a.name == "transB" && a.i != 0);
            let axis = if transposed { 0 } else { 1 };
            Some(Parts {
                op: "Gemm",
                plain: 0,
                operands: vec![0, 3],
                axis,
                bias,
                output: has(7).then_some(7),
            })
        }
        (CONTRIB, "QLinearAdd") => simple("Add", &[0, 3]),
        (CONTRIB, "QLinearMul") => simple("Mul", &[0, 3]),
        (CONTRIB, "QLinearSigmoid") => simple("Sigmoid", &[0]),
        (CONTRIB, "QLinearLeakyRelu") => simple("LeakyRelu", &[0]),
        (CONTRIB, "QLinearAveragePool") => simple("AveragePool", &[0]),
        (CONTRIB, "QLinearGlobalAveragePool") => simple("GlobalAveragePool", &[0]),
        (CONTRIB, "QLinearWhere") => {
            Some(Parts { op: "Where", plain: 1, operands: vec![1, 4], axis: 1, bias: None, output: Some(7) })
        }
        (CONTRIB, "QLinearSoftmax") => simple("Softmax", &[0]),
        (CONTRIB, "QLinearReduceMean") => simple(MEAN, &[0]),
        (CONTRIB, "QLinearConcat") => {
            let operands = (2..node.input.len()).step_by(3).collect();
            Some(Parts { op: "Concat", plain: 0, operands, axis: 1, bias: None, output: Some(0) })
        }
        _ => None,
    }
}

struct Expansion<'a> {
    node: &'a NodeProto,
    /// Makes the names of tensors unique.
    index: usize,
    made: Vec<NodeProto>,
}

impl Expansion<'_> {
    fn expand(mut self, parts: &Parts) -> Vec<NodeProto> {
        let mut inputs: Vec<String> = (0..parts.plain).map(|i| self.input(i)).collect();
        for &at in &parts.operands {
            let names = [at, at + 1, at + 2].map(|i| self.input(i));
            inputs.push(self.make("DequantizeLinear", names.to_vec(), "x"));
        }
        if let Some(weights) = self.made.get_mut(1) {
            let (name, r#type) = ("axis".to_string(), attribute_type::INT);
            weights.attribute.push(AttributeProto { name, r#type, i: parts.axis, ..Default::default() });
        }
        if let Some((bias, [a, b])) = parts.bias {
            let names = [bias, a + 1, b + 1].map(|i| self.input(i));
            inputs.push(self.make(BIAS, names.to_vec(), "b"));
        }
        let attribute = self.node.attribute.iter().filter(|a| !is_default(a)).cloned().collect();
        let name = self.node.name.clone();
        let op = NodeProto { op_type: parts.op.into(), name, input: inputs, attribute, ..Default::default() };
        match parts.output {
            None => self.made.push(NodeProto { output: self.node.output.clone(), ..op }),
            Some(at) => {
                let real = self.tensor("y");
                let quantized = [real.clone(), self.input(at), self.input(at + 1)];
                self.made.push(NodeProto { output: vec![real], ..op });
                self.push("QuantizeLinear", quantized.to_vec(), self.node.output.clone());
            }
        }
        self.made
    }

    fn input(&self, i: usize) -> String {
        self.node.input.get(i).cloned().unwrap_or_default()
    }

    fn tensor(&self, tag: &str) -> String {
        format!("{}/{}.{}{tag}{}", self.node.name, self.node.op_type, self.index, self.made.len())
    }

    fn make(&mut self, op: &str, input: Vec<String>, tag: &str) -> String {
        let output = self.tensor(tag);
        self.push(op, input, vec![output.clone()]);
        output
    }

    fn push(&mut self, op: &str, mut input: Vec<String>, output: Vec<String>) {
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let name = format!("{}/{}", self.node.name, self.made.len());
        self.made.push(NodeProto { op_type: op.into(), name, input, output, ..Default::default() });
    }
}

/// True for attributes of ONNX Runtime's that ask for nothing: the layout is channels first.
fn is_default(attribute: &AttributeProto) -> bool {
    attribute.name == "channels_last" && attribute.i == 0
}
