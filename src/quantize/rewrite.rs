//! The integer graph.
//!
//! Every activation of the float graph has up to two forms here, an integer and a float one. Nodes ask for the form
//! that they compute with; a Quantize or Dequantize node is put in when a form is asked for that is not there yet,
//! and is shared by all who ask. So conversions stand only where integer and float nodes meet. The main form keeps
//! the tensor's name.

use super::assign::{Fate, data_inputs, pad_value};
use super::scales::{Scales, activation_quant};
use super::weights::{self, InputMeans, Target};
use super::{Calibration, Quantized, Range, affine};
use crate::graph::*;
use std::collections::{HashMap, HashSet};

/// What is known and wanted of the integer graph.
pub(super) struct Known<'a> {
    /// Parameters of activations.
    pub scales: &'a Scales,
    /// What the activations were like.
    pub calibration: &'a Calibration,
    /// Weights have one scale per tensor.
    pub per_tensor: bool,
}

/// Makes the integer graph: nodes whose fate is `Integer` compute with integers.
pub(super) fn rewrite(graph: &Graph, fates: Vec<Fate>, known: &Known) -> Quantized {
    let mut rewriter = Rewriter::new(graph, known);
    for (node, _) in graph.nodes.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Integer) {
        node.present_inputs().for_each(|t| rewriter.read_as_integer[t.index()] = true);
    }
    let (mut nodes_int8, mut float_nodes) = (0, Vec::new());
    for (node, fate) in graph.nodes.iter().zip(fates) {
        match fate {
            Fate::Integer => {
                rewriter.integer(node);
                nodes_int8 += 1;
            }
            Fate::Float(why) => {
                rewriter.float(node);
                float_nodes.push((node.name.clone(), why));
            }
            Fate::Aside => rewriter.aside(node),
        }
    }
    for &out in &graph.outputs {
        if graph.tensor(out).dtype == DType::F32 {
            rewriter.float_form(out);
        }
    }
    Quantized { graph: rewriter.new, nodes_int8, nodes_float: float_nodes.len(), float_nodes }
}

struct Rewriter<'g> {
    old: &'g Graph,
    /// Tensors keep their ids; forms and constants that are added stand behind them.
    new: Graph,
    known: &'g Known<'g>,
    names: HashSet<String>,
    /// By tensor of the old graph: its integer form, its float form.
    integers: Vec<Option<TensorId>>,
    floats: Vec<Option<TensorId>>,
    /// By tensor of the old graph: an integer node computes it.
    made_integer: Vec<bool>,
    /// By tensor of the old graph: an integer node reads it.
    read_as_integer: Vec<bool>,
    /// Integer forms with other parameters than the tensor's own: bits of the scale, zero point.
    requantized: HashMap<(TensorId, u32, i32), TensorId>,
    /// How often a constant is read: one that is read once is replaced where it stands.
    reads: Vec<usize>,
}

impl<'g> Rewriter<'g> {
    fn new(old: &'g Graph, known: &'g Known<'g>) -> Rewriter<'g> {
        let mut floats = vec![None; old.tensors.len()];
        for &t in &old.inputs {
            floats[t.index()] = Some(t);
        }
        Rewriter {
            old,
            new: Graph { nodes: Vec::with_capacity(old.nodes.len()), ..old.clone() },
            known,
            names: old.tensors.iter().map(|t| t.name.clone()).collect(),
            integers: vec![None; old.tensors.len()],
            floats,
            made_integer: vec![false; old.tensors.len()],
            read_as_integer: vec![false; old.tensors.len()],
            requantized: HashMap::new(),
            reads: old.consumers().iter().map(Vec::len).collect(),
        }
    }

    fn is_activation(&self, t: TensorId) -> bool {
        self.old.tensor(t).dtype == DType::F32 && self.old.tensor(t).data.is_none()
    }

    fn float(&mut self, node: &Node) {
        let inputs = node.inputs.iter().map(|i| i.map(|t| self.float_form(t))).collect();
        for &out in &node.outputs {
            self.floats[out.index()] = Some(out);
        }
        self.new.nodes.push(Node { inputs, ..node.clone() });
    }

    /// Reads whichever form is there.
    fn aside(&mut self, node: &Node) {
        let form =
            |t: TensorId| self.integers.get(t.index()).copied().flatten().filter(|_| self.is_activation(t));
        let inputs = node.inputs.iter().map(|i| i.map(|t| form(t).unwrap_or(t))).collect();
        self.new.nodes.push(Node { inputs, ..node.clone() });
    }

    fn integer(&mut self, node: &Node) {
        let inputs = match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_) => self.weighted_inputs(node),
            Op::Concat(_) => {
                let wanted = self.known.scales.quant(node.outputs[0]);
                node.inputs.iter().map(|i| i.map(|t| self.integer_form_with(t, &wanted))).collect()
            }
            Op::Pad(op) if op.mode == PadMode::Constant => self.pad_inputs(node),
            Op::Binary(_) => node.inputs.iter().map(|i| i.map(|t| self.operand(t))).collect(),
            _ => {
                let data: Vec<TensorId> = data_inputs(self.old, node).collect();
                let mut form = |t: TensorId| if data.contains(&t) { self.integer_form(t) } else { t };
                node.inputs.iter().map(|i| i.map(&mut form)).collect()
            }
        };
        let outputs = if self.leaves_as_float(node) {
            self.floats[node.outputs[0].index()] = Some(node.outputs[0]);
            node.outputs.clone()
        } else {
            node.outputs.iter().map(|&t| self.integer_output(t)).collect()
        };
        self.new.nodes.push(Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs });
    }

    /// Integer sums that only float nodes or the graph's user read leave as f32: that costs no conversion and keeps
    /// all that the accumulators know.
    fn leaves_as_float(&self, node: &Node) -> bool {
        let able = match &node.op {
            Op::Conv(op) => op.groups == 1,
            Op::Linear(_) => true,
            _ => false,
        };
        able && !self.read_as_integer[node.outputs[0].index()]
    }

    /// The tensor that an integer node computes for `t`: `t` itself, unless that is a graph output, which is f32.
    fn integer_output(&mut self, t: TensorId) -> TensorId {
        let quant = self.known.scales.quant(t);
        let id = if self.old.outputs.contains(&t) {
            self.add(t, ".q", DType::U8, Some(quant))
        } else {
            let tensor = self.new.tensor_mut(t);
            (tensor.dtype, tensor.quant) = (DType::U8, Some(quant));
            t
        };
        self.integers[t.index()] = Some(id);
        self.made_integer[t.index()] = true;
        id
    }

    /// Adds a tensor of the shape of `t`.
    fn add(&mut self, t: TensorId, suffix: &str, dtype: DType, quant: Option<Quant>) -> TensorId {
        let name = self.unique(&format!("{}{suffix}", self.old.tensor(t).name));
        let shape = self.old.tensor(t).shape.clone();
        self.new.add_tensor(Tensor { name, shape, dtype, quant, data: None })
    }

    fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_string();
        let mut i = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{i}");
            i += 1;
        }
        name
    }

    /// Puts in a node that makes one form from another. It is named after what it makes.
    fn convert(&mut self, op: impl Into<Op>, from: TensorId, to: TensorId) {
        let name = self.new.tensor(to).name.clone();
        self.new.nodes.push(Node { name, op: op.into(), inputs: vec![Some(from)], outputs: vec![to] });
    }

    /// The float form of an activation; anything else is as it is.
    fn float_form(&mut self, t: TensorId) -> TensorId {
        if !self.is_activation(t) {
            return t;
        }
        if let Some(known) = self.floats[t.index()] {
            return known;
        }
        let Some(integer) = self.integers[t.index()] else { return t };
        let id = if integer == t { self.add(t, ".f", DType::F32, None) } else { t };
        self.floats[t.index()] = Some(id);
        self.convert(Dequantize {}, integer, id);
        id
    }

    /// The integer form of an activation, with its own parameters.
    fn integer_form(&mut self, t: TensorId) -> TensorId {
        if let Some(known) = self.integers[t.index()] {
            return known;
        }
        let quant = self.known.scales.quant(t);
        let id = self.add(t, ".q", DType::U8, Some(quant));
        self.integers[t.index()] = Some(id);
        self.convert(Quantize {}, t, id);
        id
    }

    /// An integer form with these parameters: the tensor's own if they are the same.
    fn integer_form_with(&mut self, t: TensorId, wanted: &Quant) -> TensorId {
        if !self.is_activation(t) {
            return self.constant(t, wanted);
        }
        if self.known.scales.quant(t) == *wanted {
            return self.integer_form(t);
        }
        let key = wanted.single().map(|(scale, zero_point)| (t, scale.to_bits(), zero_point));
        if let Some(&known) = key.and_then(|key| self.requantized.get(&key)) {
            return known;
        }
        let id = self.add(t, ".r", DType::U8, Some(wanted.clone()));
        match self.integers[t.index()].filter(|_| self.made_integer[t.index()]) {
            Some(integer) => self.convert(Requantize {}, integer, id),
            None => self.convert(Quantize {}, t, id),
        }
        self.requantized.extend(key.map(|key| (key, id)));
        id
    }

    /// An operand of a sum or product: constants have parameters of their own.
    fn operand(&mut self, t: TensorId) -> TensorId {
        if self.is_activation(t) {
            return self.integer_form(t);
        }
        let values = self.old.tensor(t).data.as_ref().map(|d| d.to_vec::<f32>()).unwrap_or_default();
        let range = Range::of(&values).unwrap_or(Range { min: 0.0, max: 0.0 });
        self.constant(t, &activation_quant(range))
    }

    /// An f32 constant as u8.
    fn constant(&mut self, t: TensorId, quant: &Quant) -> TensorId {
        let (scale, zero_point) = quant.single().unwrap_or((1.0, 0));
        let values = self.old.tensor(t).data.as_ref().map(|d| d.to_vec::<f32>()).unwrap_or_default();
        let code = |v: &f32| affine::quantize(f64::from(*v), f64::from(scale), zero_point, 0, 255) as u8;
        let codes: Vec<u8> = values.iter().map(code).collect();
        self.replace(t, DType::U8, Some(quant.clone()), Data::from_bytes(&codes))
    }

    /// A constant with other contents: in place of the old one if nobody else reads that.
    fn replace(&mut self, t: TensorId, dtype: DType, quant: Option<Quant>, data: Data) -> TensorId {
        let old = self.old.tensor(t);
        let alone = self.reads[t.index()] == 1 && !self.old.outputs.contains(&t);
        let name = if alone { old.name.clone() } else { self.unique(&old.name) };
        let tensor = Tensor { name, shape: old.shape.clone(), dtype, quant, data: Some(data) };
        if alone {
            *self.new.tensor_mut(t) = tensor;
            return t;
        }
        self.new.add_tensor(tensor)
    }

    fn weighted_inputs(&mut self, node: &Node) -> Vec<Option<TensorId>> {
        let values = |slot: usize| {
            let t = node.input(slot)?;
            self.old.tensor(t).data.as_ref().map(|d| (t, d.to_vec::<f32>()))
        };
        let (Some(x), Some((w, weights)), bias) = (node.input(0), values(1), values(2)) else {
            return node.inputs.clone();
        };
        let scale = |t: TensorId| self.known.scales.quant(t).single().map_or(1.0, |q| q.0);
        let target = Target {
            channels: self.old.tensor(w).shape.first().and_then(|d| d.fixed()).unwrap_or(1),
            input_scale: scale(x),
            output_scale: if self.leaves_as_float(node) { 1.0 } else { scale(node.outputs[0]) },
            per_tensor: self.known.per_tensor,
            input: self.input_means(node, x),
        };
        let bias_values = bias.as_ref().map(|b| b.1.as_slice());
        let quantized = weights::quantize(&weights, bias_values, &target);
        let codes = Data::from_slice(&quantized.codes);
        let quant = Quant::per_channel(0, quantized.scales);
        let mut inputs =
            vec![Some(self.integer_form(x)), Some(self.replace(w, DType::I8, Some(quant), codes))];
        if let Some(steps) = quantized.bias {
            let data = Data::from_slice(&steps);
            inputs.push(Some(match bias {
                Some((b, _)) => self.replace(b, DType::I32, None, data),
                None => {
                    let name = self.unique(&format!("{}.bias", self.old.tensor(w).name));
                    self.new.add_tensor(Tensor::constant(name, DType::I32, &[steps.len()], data))
                }
            }));
        }
        inputs
    }

    /// A pixel of a transposed convolution is made of some of the taps only, so errors don't add up over all.
    fn input_means(&self, node: &Node, x: TensorId) -> Option<InputMeans> {
        let groups = match &node.op {
            Op::Conv(op) => op.groups,
            Op::Linear(_) => 1,
            _ => return None,
        };
        Some(InputMeans { means: self.known.calibration.channel_means(x)?, groups })
    }

    /// The border is given as the code of its value: without a value it would be the code 0, which is not 0.0.
    fn pad_inputs(&mut self, node: &Node) -> Vec<Option<TensorId>> {
        let mut inputs = node.inputs.clone();
        inputs[0] = node.input(0).map(|x| self.integer_form(x));
        let quant = self.known.scales.quant(node.outputs[0]);
        let value = pad_value(self.old, node).unwrap_or(0.0);
        let (scale, zero_point) = quant.single().unwrap_or((1.0, 0));
        let code = affine::quantize(f64::from(value), f64::from(scale), zero_point, 0, 255) as u8;
        let name = self.unique(&format!("{}.border", node.name));
        let tensor = Tensor::constant(name, DType::U8, &[], Data::from_slice(&[code])).with_quant(quant);
        let id = self.new.add_tensor(tensor);
        inputs.resize(3, None);
        inputs[2] = Some(id);
        inputs
    }
}
