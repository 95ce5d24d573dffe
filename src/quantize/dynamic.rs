//! Weights are quantized now, activations while the network runs.
//!
//! Every product with constant weights reads bytes that a `DynamicQuantize` makes of its input, shared by all products
//! that read the same input. Sums leave as f32, so everything else stays as it is, and no data is needed.

use super::Outcome;
use super::names::Names;
use super::weights::{self, MAX_PRODUCTS, Target};
use super::{affine, recurrent};
use crate::graph::*;
use std::collections::HashMap;

/// Tables of fewer elements stay f32.
const MIN_TABLE: usize = 1 << 14;

/// Makes the nodes that `wanted` chooses dynamic, where they can be.
pub(super) fn apply(
    graph: &mut Graph,
    wanted: impl Fn(&Node) -> bool,
    per_tensor: bool,
) -> Vec<(String, Outcome)> {
    let mut pass =
        Pass { names: Names::of(graph), nodes: Vec::new(), sources: HashMap::new(), graph, per_tensor };
    let mut outcomes = Vec::new();
    for node in std::mem::take(&mut pass.graph.nodes) {
        if !wanted(&node) {
            pass.nodes.push(node);
            continue;
        }
        let made = match &node.op {
            Op::Linear(_) => pass.product(&node),
            Op::Conv(op) => pass.conv(&node, op.groups),
            Op::Gather(op) if op.axis == 0 => pass.table(&node),
            Op::Recurrent(_) => pass.recurrent(&node),
            _ => None,
        };
        match made {
            Some(Ok(())) => outcomes.push((node.name, Outcome::Quantized)),
            Some(Err(why)) => {
                outcomes.push((node.name.clone(), Outcome::Float(why)));
                pass.nodes.push(node);
            }
            None => pass.nodes.push(node),
        }
    }
    pass.graph.nodes = pass.nodes;
    outcomes
}

struct Pass<'g> {
    graph: &'g mut Graph,
    names: Names,
    nodes: Vec<Node>,
    /// Bytes, scale and zero point of what was quantized already.
    sources: HashMap<TensorId, [TensorId; 3]>,
    per_tensor: bool,
}

impl Pass<'_> {
    fn conv(&mut self, node: &Node, groups: usize) -> Option<Result<(), String>> {
        let channels = self.graph.tensor(node.input(1)?).shape.get(3)?.fixed()?;
        if groups > 1 && channels < 4 {
            return Some(Err("a convolution with so few channels in a group is faster in float".to_string()));
        }
        self.product(node)
    }

    /// `None`: the node is none of those that this is about.
    fn product(&mut self, node: &Node) -> Option<Result<(), String>> {
        let (x, w) = (node.input(0)?, node.input(1)?);
        if self.graph.tensor(x).dtype != DType::F32 || node.inputs.len() > 3 {
            return None;
        }
        let tensor = self.graph.tensor(w);
        let values = match finite(tensor) {
            Ok(values) => values,
            Err(why) => return Some(Err(why)),
        };
        let dims = tensor.shape.dims()?;
        let channels = *dims.first()?;
        let products = values.len().checked_div(channels)?;
        if !(1..=MAX_PRODUCTS).contains(&products) {
            return Some(Err(format!("sums of {products} products don't fit 32 bits")));
        }
        if let Some(b) = node.input(2)
            && let Err(why) = finite(self.graph.tensor(b))
        {
            return Some(Err(why));
        }
        let target = Target {
            channels,
            input_scale: 1.0,
            output_scale: 1.0,
            per_tensor: self.per_tensor,
            input: None,
        };
        let made = weights::quantize(&values, None, &target);
        let name = self.names.unique(&format!("{}.i8", tensor.name));
        let quant = match self.per_tensor {
            true => Quant::per_tensor(*made.scales.first()?, 0),
            false => Quant::per_channel(0, made.scales),
        };
        let w = Tensor::constant(name, DType::I8, &dims, Data::from_slice(&made.codes)).with_quant(quant);
        let w = self.graph.add_tensor(w);
        let [q, scale, zero] = self.source(x);
        let inputs = vec![Some(q), Some(w), node.input(2), Some(scale), Some(zero)];
        self.nodes.push(Node { inputs, ..node.clone() });
        Some(Ok(()))
    }

    /// The layer quantizes its inputs and states itself.
    fn recurrent(&mut self, node: &Node) -> Option<Result<(), String>> {
        let made = recurrent::quantized(self.graph, &mut self.names, node, self.per_tensor)?;
        Some(made.map(|node| self.nodes.push(node)))
    }

    /// Rows of bytes are gathered, then dequantized.
    fn table(&mut self, node: &Node) -> Option<Result<(), String>> {
        let tensor = self.graph.tensor(node.input(0)?).clone();
        let values = finite(&tensor).ok().filter(|v| v.len() >= MIN_TABLE)?;
        let bounds = values.iter().fold([0.0f64; 2], |[lo, hi], &v| [lo.min(v.into()), hi.max(v.into())]);
        let source = ottava_kernels::dynamic::source(bounds.map(|b| b as f32));
        if !source.scale.is_normal() {
            return None;
        }
        let zero = i32::from(source.zero_point);
        let code = |v: &f32| affine::quantize(f64::from(*v), f64::from(source.scale), zero, 0, 255) as u8;
        let codes: Vec<u8> = values.iter().map(code).collect();
        let quant = Quant::per_tensor(source.scale, zero);
        let name = self.names.unique(&format!("{}.u8", tensor.name));
        let table = Tensor { name, dtype: DType::U8, data: Some(Data::from_bytes(&codes)), ..tensor };
        let table = self.graph.add_tensor(table.with_quant(quant.clone()));
        let out = self.graph.tensor(*node.outputs.first()?).clone();
        let name = self.names.unique(&format!("{}.u8", out.name));
        let rows = Tensor { name, dtype: DType::U8, ..out }.with_quant(quant);
        let rows = self.graph.add_tensor(rows);
        let mut gather = Node { outputs: vec![rows], ..node.clone() };
        gather.inputs[0] = Some(table);
        self.nodes.push(gather);
        let (name, inputs) = (format!("{}/real", node.name), vec![Some(rows)]);
        self.nodes.push(Node { name, op: Dequantize {}.into(), inputs, outputs: node.outputs.clone() });
        Some(Ok(()))
    }

    /// Bytes, scale and zero point of a tensor.
    fn source(&mut self, x: TensorId) -> [TensorId; 3] {
        if let Some(&known) = self.sources.get(&x) {
            return known;
        }
        let tensor = self.graph.tensor(x).clone();
        let mut add = |suffix: &str, dtype: DType, shape: Shape| {
            let name = self.names.unique(&format!("{}.{suffix}", tensor.name));
            self.graph.add_tensor(Tensor::value(name, dtype, shape))
        };
        let made = [
            add("u8", DType::U8, tensor.shape.clone()),
            add("scale", DType::F32, Shape::default()),
            add("zero", DType::U8, Shape::default()),
        ];
        let name = self.graph.tensor(made[0]).name.clone();
        let (op, inputs) = (DynamicQuantize {}.into(), vec![Some(x)]);
        self.nodes.push(Node { name, op, inputs, outputs: made.to_vec() });
        self.sources.insert(x, made);
        made
    }
}

/// The values of an f32 constant, all of which are finite; otherwise why the node stays float.
pub(super) fn finite(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let data = tensor.data.as_ref().filter(|_| tensor.dtype == DType::F32);
    let Some(data) = data else {
        return Err(format!("'{}' is not a constant of f32", tensor.name));
    };
    let values = data.to_vec::<f32>();
    match values.iter().find(|v| !v.is_finite()) {
        None => Ok(values),
        Some(v) => Err(format!("'{}' holds {v}", tensor.name)),
    }
}
