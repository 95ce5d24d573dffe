//! Products with a function behind them, as ONNX Runtime's optimizer writes them: taken apart again.

use super::proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type};

/// The operators that are taken apart here.
pub(super) const NAMES: &[(&str, &str)] = &[("com.microsoft", "FusedConv"), ("com.microsoft", "FusedGemm")];

/// The nodes that a `FusedConv` or `FusedGemm` stands for; `None` for other operators. Functions that are not known
/// stay as they are named, to be refused.
pub(super) fn parts(node: &NodeProto, index: usize) -> Option<Vec<NodeProto>> {
    let op = match (node.domain.as_str(), node.op_type.as_str()) {
        ("com.microsoft", "FusedConv") => "Conv",
        ("com.microsoft", "FusedGemm") => "Gemm",
        _ => return None,
    };
    let (about, own): (Vec<_>, Vec<_>) =
        node.attribute.iter().cloned().partition(|a| a.name.starts_with("activation"));
    let text = |a: &AttributeProto| String::from_utf8_lossy(&a.s).into_owned();
    let function = about.iter().find(|a| a.name == "activation").map(text).filter(|f| !f.is_empty());
    let mut chain = Chain { node, index, made: Vec::new() };
    let last = node.input.len().min(3);
    chain.push(op, node.input.get(..last).unwrap_or_default().to_vec(), own);
    if let Some(addend) = node.input.get(3).filter(|name| !name.is_empty()) {
        chain.then("Add", vec![addend.clone()], vec![]);
    }
    if let Some(function) = function {
        let parameters = parameters(&about);
        match (function.as_str(), &parameters[..]) {
            ("Clip", &[min, max]) => {
                let bounds = [min, max].map(|bound| chain.constant(bound));
                chain.then("Clip", bounds.to_vec(), vec![]);
            }
            ("HardSigmoid", &[alpha, beta]) => {
                chain.then("HardSigmoid", vec![], vec![float("alpha", alpha), float("beta", beta)]);
            }
            ("LeakyRelu" | "Elu", &[alpha, ..]) => {
                chain.then(&function, vec![], vec![float("alpha", alpha)]);
            }
            _ => chain.then(&function, vec![], vec![]),
        }
    }
    Some(chain.finish())
}

/// `activation_params` of a convolution; `activation_alpha`, `activation_beta` of a product.
fn parameters(about: &[AttributeProto]) -> Vec<f32> {
    let named = |name: &str| about.iter().find(|a| a.name == name);
    match named("activation_params") {
        Some(list) => list.floats.clone(),
        None => {
            ["activation_alpha", "activation_beta"].iter().filter_map(|n| named(n)).map(|a| a.f).collect()
        }
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: attribute_type::FLOAT, ..Default::default() }
}

/// Nodes of which each reads what the one before it computes.
struct Chain<'a> {
    node: &'a NodeProto,
    /// Makes the names of tensors unique.
    index: usize,
    made: Vec<NodeProto>,
}

impl Chain<'_> {
    fn push(&mut self, op: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        let tag = self.made.len();
        let (name, op_type) = (&self.node.name, op.to_string());
        let output = vec![format!("{name}/{}.{}.{tag}", self.node.op_type, self.index)];
        let name = format!("{name}/{tag}");
        self.made.push(NodeProto { name, op_type, input, output, attribute, ..Default::default() });
    }

    /// A node whose first input is the last node's output.
    fn then(&mut self, op: &str, more: Vec<String>, attribute: Vec<AttributeProto>) {
        let computes = |n: &&NodeProto| n.op_type != "Constant";
        let before = self.made.iter().rev().find(computes).map(|n| n.output.clone()).unwrap_or_default();
        self.push(op, before.into_iter().chain(more).collect(), attribute);
    }

    fn constant(&mut self, value: f32) -> String {
        let t = TensorProto { data_type: data_type::FLOAT, float_data: vec![value], ..Default::default() };
        let (name, r#type) = ("value".to_string(), attribute_type::TENSOR);
        let attribute = AttributeProto { name, r#type, t: Some(Box::new(t)), ..Default::default() };
        self.push("Constant", vec![], vec![attribute]);
        self.made.last().map(|n| n.output.concat()).unwrap_or_default()
    }

    /// The last node has the name and outputs of the node that is taken apart.
    fn finish(mut self) -> Vec<NodeProto> {
        if let Some(last) = self.made.last_mut() {
            last.name.clone_from(&self.node.name);
            last.output.clone_from(&self.node.output);
        }
        self.made
    }
}
