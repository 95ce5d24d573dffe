//! Builds the messages of an ONNX model: names, constants, and the forms that a tensor is needed in.

use super::messages::*;
use super::{ExportError, Stop, branch};
use crate::graph::{Clamp, DType, Data, Dim, Graph, Quant, Tensor, TensorId};
use crate::import::onnx::proto::*;
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The version of the operator set that is written: the first one with 16-bit `QuantizeLinear`.
const OPSET: i64 = 21;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 10;
/// Operators of ONNX Runtime.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// From channels last to channels first, and back.
pub(super) const TO_NCHW: [usize; 4] = [0, 3, 1, 2];
pub(super) const TO_NHWC: [usize; 4] = [0, 2, 3, 1];

/// What a tensor of the graph is there as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Layout {
    /// As in the graph.
    Plain,
    /// Channels first; the graph has them last.
    Nchw,
}

impl Layout {
    /// Where a dimension of the graph's tensor is.
    pub fn axis(self, axis: usize) -> usize {
        match self {
            Layout::Plain => axis,
            Layout::Nchw => TO_NCHW.iter().position(|&p| p == axis).unwrap_or(axis),
        }
    }

    /// How the integers of the graph's tensor stand for reals in this layout.
    pub fn quant(self, quant: &Quant) -> Quant {
        Quant { axis: quant.axis.map(|a| self.axis(a)), ..quant.clone() }
    }
}

pub(super) fn write(graph: &Graph) -> Result<Vec<u8>, ExportError> {
    let mut w = Writer::new(graph);
    let mut proto = GraphProto { name: graph.name.clone(), ..GraphProto::default() };
    for id in &graph.inputs {
        let info = w.port(*id);
        w.reach.stored.insert((*id, Layout::Plain), info.name.clone());
        proto.input.push(info);
    }
    branch::write_for(&mut w, &graph.outputs)?;
    for (i, id) in graph.outputs.iter().enumerate() {
        let finish = |w: &mut Writer| {
            let name = w.stored(*id, Layout::Plain)?;
            let mut info = w.port(*id);
            // ONNX's outputs have names of their own.
            if graph.outputs[..i].contains(id) {
                info.name = w.fresh(&info.name);
            }
            if name != info.name {
                w.push("Identity", &[name], info.name.clone(), vec![]);
            }
            Ok(info)
        };
        let info = finish(&mut w).map_err(|Stop(reason)| ExportError {
            node: graph.tensor(*id).name.clone(),
            op: "an output",
            reason,
        })?;
        proto.output.push(info);
    }
    // What a state starts from, if not from zeros, is what its input is when nobody gives it.
    for state in &graph.states {
        if let Some(first) = state.initial.map(|id| graph.tensor(id))
            && let Some((data, dims)) = first.data.as_ref().zip(first.shape.dims())
        {
            let name = &graph.tensor(graph.inputs[state.input]).name;
            w.initializers.push(constant(name, code(first.dtype), &dims, data));
        }
    }
    (proto.node, proto.initializer) = (w.nodes, w.initializers);
    let versions = w.domains.into_iter().map(|domain| OperatorSetIdProto { domain, version: 1 });
    let standard = OperatorSetIdProto { domain: String::new(), version: OPSET };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "ottava".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto),
        opset_import: std::iter::once(standard).chain(versions).collect(),
        metadata_props: graph
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
            .collect(),
    };
    Ok(model.encode_to_vec())
}

/// What has been written so far and can be read where the writer is.
#[derive(Clone, Default)]
pub(super) struct Reach {
    /// The names under which tensors are there: floats, or integers as the graph has them.
    stored: HashMap<(TensorId, Layout), String>,
    /// The names of what integers stand for.
    reals: HashMap<(TensorId, Layout), String>,
    /// Nodes of the graph, by their place.
    pub nodes: HashSet<usize>,
}

pub(super) struct Writer<'g> {
    pub graph: &'g Graph,
    /// Of the graph or body that is being written.
    nodes: Vec<NodeProto>,
    /// All of them belong to the outermost graph: bodies read them from there.
    initializers: Vec<TensorProto>,
    /// The names of constants of the graph.
    constants: HashMap<TensorId, String>,
    /// Tables that several nodes read, by what they hold.
    tables: HashMap<String, String>,
    /// Other operator sets than ONNX's own.
    domains: BTreeSet<String>,
    names: HashSet<String>,
    pub reach: Reach,
    /// Where names of values begin that the graph does not know.
    pub scope: String,
    /// Nodes of the graph written so far, in all branches.
    pub written: usize,
    /// Bodies around the one that is being written.
    pub depth: usize,
    /// Which node computes a tensor.
    producers: HashMap<TensorId, usize>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph) -> Writer<'g> {
        Writer {
            graph,
            nodes: Vec::new(),
            initializers: Vec::new(),
            constants: HashMap::new(),
            tables: HashMap::new(),
            domains: BTreeSet::new(),
            names: graph.tensors.iter().map(|t| t.name.clone()).collect(),
            reach: Reach::default(),
            scope: String::new(),
            written: 0,
            depth: 0,
            producers: graph
                .nodes
                .iter()
                .enumerate()
                .flat_map(|(i, node)| node.outputs.iter().map(move |&id| (id, i)))
                .collect(),
        }
    }

    /// The place of the node that computes a tensor.
    pub fn producer(&self, id: TensorId) -> Option<usize> {
        self.producers.get(&id).copied()
    }

    /// A name for a tensor of the graph: its own, unless a body may repeat it.
    fn name_of(&mut self, id: TensorId) -> String {
        let name = &self.graph.tensor(id).name;
        if self.depth == 0 { name.clone() } else { self.fresh(name) }
    }

    /// A name that nothing has.
    pub fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_string();
        let mut count = 1;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{count}");
            count += 1;
        }
        name
    }

    /// A name that nothing has, for a value or constant that the graph does not know.
    pub fn fresh_local(&mut self, tag: &str) -> String {
        self.fresh(&format!("{}/{tag}", self.scope))
    }

    pub fn push(&mut self, op: &str, input: &[String], output: String, attribute: Vec<AttributeProto>) {
        self.push_many(("", op), input, vec![output], attribute);
    }

    /// A node of the operator set `domain`.
    pub fn push_many(
        &mut self,
        (domain, op): (&str, &str),
        input: &[String],
        output: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        if !domain.is_empty() {
            self.domains.insert(domain.to_string());
        }
        let base = output.iter().find(|o| !o.is_empty()).map_or("", String::as_str);
        let name = self.fresh(&format!("{base}/{op}"));
        let (op_type, domain) = (op.to_string(), domain.to_string());
        self.nodes.push(NodeProto { name, op_type, domain, input: input.to_vec(), output, attribute });
    }

    /// What an operator makes of values, under a new name.
    pub fn calc(&mut self, op: &str, input: &[&str], attribute: Vec<AttributeProto>) -> String {
        let to = self.fresh_local(&op.to_ascii_lowercase());
        let input: Vec<String> = input.iter().map(|i| i.to_string()).collect();
        self.push(op, &input, to.clone(), attribute);
        to
    }

    /// [`calc`](Self::calc) to an element type.
    pub fn cast(&mut self, from: &str, to: DType) -> String {
        self.calc("Cast", &[from], vec![int("to", code(to).into())])
    }

    /// The same under a name that is given already.
    pub fn push_cast(&mut self, from: String, output: String, to: DType) {
        self.push("Cast", &[from], output, vec![int("to", code(to).into())]);
    }

    /// A graph of its own whose nodes `inside` writes, for an attribute. It takes `inputs` and gives what `inside`
    /// names.
    pub fn nested<E>(
        &mut self,
        inputs: &[String],
        inside: impl FnOnce(&mut Self) -> Result<Vec<String>, E>,
    ) -> Result<GraphProto, E> {
        let outer = std::mem::take(&mut self.nodes);
        let reach = self.reach.clone();
        self.depth += 1;
        let outputs = inside(self);
        self.depth -= 1;
        self.reach = reach;
        let node = std::mem::replace(&mut self.nodes, outer);
        let output = outputs?.iter().map(|name| untyped(name)).collect();
        let input = inputs.iter().map(|name| untyped(name)).collect();
        let name = self.fresh_local("body");
        Ok(GraphProto { name, node, input, output, ..GraphProto::default() })
    }

    /// True if the tensor is there channels first, and has not been needed otherwise.
    pub fn is_nchw(&self, id: TensorId) -> bool {
        let stored = &self.reach.stored;
        stored.contains_key(&(id, Layout::Nchw)) && !stored.contains_key(&(id, Layout::Plain))
    }

    /// The name of a tensor as the graph has it, in one layout.
    pub fn stored(&mut self, id: TensorId, layout: Layout) -> Result<String, Stop> {
        if let Some(name) = self.reach.stored.get(&(id, layout)) {
            return Ok(name.clone());
        }
        let tensor = self.graph.tensor(id);
        let name = match layout {
            Layout::Plain if tensor.data.is_some() => return self.constant_of(id, tensor),
            Layout::Plain => {
                let name = self.name_of(id);
                self.transposed(id, Layout::Nchw, &name, TO_NHWC)?
            }
            Layout::Nchw => {
                let name = self.fresh(&format!("{}/nchw", tensor.name));
                self.transposed(id, Layout::Plain, &name, TO_NCHW)?
            }
        };
        self.reach.stored.insert((id, layout), name.clone());
        Ok(name)
    }

    /// The name of an input as the graph has it; empty if it is left out.
    pub fn optional(&mut self, id: Option<TensorId>) -> Result<String, Stop> {
        id.map_or(Ok(String::new()), |id| self.stored(id, Layout::Plain))
    }

    fn transposed(&mut self, id: TensorId, from: Layout, to: &str, perm: [usize; 4]) -> Result<String, Stop> {
        let tensor = self.graph.tensor(id);
        let there = from == Layout::Plain || self.reach.stored.contains_key(&(id, from));
        if tensor.shape.rank() != 4 || !there {
            return Err(Stop::because(format!("'{}' is not computed before it is read", tensor.name)));
        }
        let from = self.stored(id, from)?;
        self.push("Transpose", &[from], to.to_string(), vec![ints("perm", perm.map(|p| p as i64))]);
        Ok(to.to_string())
    }

    /// The name of a tensor's reals, in one layout: integers of 8 and 16 bits are dequantized.
    pub fn real(&mut self, id: TensorId, layout: Layout) -> Result<String, Stop> {
        let tensor = self.graph.tensor(id);
        let Some(quant) = codes(tensor) else { return self.stored(id, layout) };
        if let Some(name) = self.reach.reals.get(&(id, layout)) {
            return Ok(name.clone());
        }
        let stored = self.stored(id, layout)?;
        let real = self.fresh(&format!("{stored}/real"));
        let name = tensor.name.clone();
        self.convert("DequantizeLinear", stored, real.clone(), &name, tensor.dtype, &layout.quant(quant))?;
        self.reach.reals.insert((id, layout), real.clone());
        Ok(real)
    }

    /// `QuantizeLinear` or `DequantizeLinear`.
    pub fn convert(
        &mut self,
        op: &str,
        from: String,
        to: String,
        name: &str,
        dtype: DType,
        quant: &Quant,
    ) -> Result<(), Stop> {
        let scale = Data::from_slice(&quant.scale);
        let zero = integers(dtype, quant.zero_point.iter().copied())
            .ok_or_else(|| Stop::because(format!("'{name}' is {dtype}, which stands for no reals")))?;
        let dims: Vec<usize> = quant.axis.map(|_| quant.scale.len()).into_iter().collect();
        let scale = self.initializer(&format!("{name}/scale"), DType::F32, &dims, &scale);
        let zero = self.initializer(&format!("{name}/zero_point"), dtype, &dims, &zero);
        let axis = quant.axis.map(|axis| int("axis", axis as i64)).into_iter().collect();
        self.push(op, &[from, scale, zero], to, axis);
        Ok(())
    }

    /// Names a node's output and says in which layout it is there.
    pub fn make(&mut self, id: TensorId, layout: Layout) -> String {
        let name = match layout {
            Layout::Plain => self.name_of(id),
            Layout::Nchw => self.fresh(&format!("{}/nchw", self.graph.tensor(id).name)),
        };
        self.reach.stored.insert((id, layout), name.clone());
        name
    }

    /// The tensor is there under this name already.
    pub fn is(&mut self, id: TensorId, layout: Layout, name: String) {
        self.reach.stored.insert((id, layout), name);
    }

    /// The output of an operator on reals: clamped, and quantized if the graph has it in 8 or 16 bits.
    pub fn computed(
        &mut self,
        op: &str,
        input: &[String],
        attribute: Vec<AttributeProto>,
        out: (TensorId, Layout),
        clamp: Clamp,
    ) -> Result<(), Stop> {
        let (id, layout) = out;
        let tensor = self.graph.tensor(id);
        let quant = codes(tensor);
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        let to = self.make(id, layout);
        let real = if quant.is_some() { self.fresh(&format!("{name}/float")) } else { to.clone() };
        if clamp.is_none() {
            self.push(op, input, real.clone(), attribute);
        } else {
            let linear = self.fresh(&format!("{name}/linear"));
            self.push(op, input, linear.clone(), attribute);
            let dtype = if quant.is_some() { DType::F32 } else { dtype };
            self.clamped(linear, real.clone(), &name, dtype, clamp)?;
        }
        match quant {
            Some(quant) => self.convert("QuantizeLinear", real, to, &name, dtype, &layout.quant(quant)),
            None => Ok(()),
        }
    }

    /// Bounds have the type of what they bound.
    fn clamped(
        &mut self,
        from: String,
        to: String,
        name: &str,
        dtype: DType,
        clamp: Clamp,
    ) -> Result<(), Stop> {
        if clamp == Clamp::RELU {
            self.push("Relu", &[from], to, vec![]);
            return Ok(());
        }
        let mut bound = |tag: &str, v: f32| {
            let data = match dtype {
                _ if !v.is_finite() => return Ok(String::new()),
                DType::F32 => Data::from_slice(&[v]),
                DType::F16 => Data::from_slice(&[half::f16::from_f32(v)]),
                DType::I64 => Data::from_slice(&[v as i64]),
                other => integers(other, [v as i32])
                    .ok_or_else(|| Stop::because(format!("'{name}' is {other}, which has no bounds")))?,
            };
            Ok(self.initializer(&format!("{name}/{tag}"), dtype, &[], &data))
        };
        let (min, max) = (bound("min", clamp.min)?, bound("max", clamp.max)?);
        self.push("Clip", &[from, min, max], to, vec![]);
        Ok(())
    }

    fn constant_of(&mut self, id: TensorId, tensor: &Tensor) -> Result<String, Stop> {
        if let Some(name) = self.constants.get(&id) {
            return Ok(name.clone());
        }
        let parts = tensor.data.as_ref().zip(tensor.shape.dims());
        let (data, dims) = parts.ok_or_else(|| Stop::because(format!("'{}' has no data", tensor.name)))?;
        self.initializers.push(constant(&tensor.name, code(tensor.dtype), &dims, data));
        self.constants.insert(id, tensor.name.clone());
        Ok(tensor.name.clone())
    }

    /// A new constant.
    pub fn initializer(&mut self, base: &str, dtype: DType, dims: &[usize], data: &Data) -> String {
        self.raw(base, code(dtype), dims, data)
    }

    /// A new constant of one of ONNX's element types.
    pub fn raw(&mut self, base: &str, data_type: i32, dims: &[usize], data: &Data) -> String {
        let name = self.fresh(base);
        self.initializers.push(constant(&name, data_type, dims, data));
        name
    }

    /// A vector of 16-bit integers that is written once, however many nodes ask for it.
    pub fn table(&mut self, name: &str, values: impl FnOnce() -> Vec<i16>) -> String {
        if let Some(there) = self.tables.get(name) {
            return there.clone();
        }
        let values = values();
        let there = self.initializer(name, DType::I16, &[values.len()], &Data::from_slice(&values));
        self.tables.insert(name.to_string(), there.clone());
        there
    }

    /// A new vector of integers.
    pub fn int_vector(&mut self, values: &[i64]) -> String {
        let base = format!("{}/ints", self.scope);
        self.initializer(&base, DType::I64, &[values.len()], &Data::from_slice(values))
    }

    /// A new integer without dimensions.
    pub fn int_value(&mut self, value: i64) -> String {
        let base = format!("{}/int", self.scope);
        self.initializer(&base, DType::I64, &[], &Data::from_slice(&[value]))
    }

    /// A new float without dimensions.
    pub fn float_value(&mut self, value: f32) -> String {
        let base = format!("{}/float", self.scope);
        self.initializer(&base, DType::F32, &[], &Data::from_slice(&[value]))
    }

    fn port(&self, id: TensorId) -> ValueInfoProto {
        let tensor = self.graph.tensor(id);
        let dim = |d: &Dim| match d {
            Dim::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), dim_param: None },
            Dim::Free(i) => {
                DimensionProto { dim_value: None, dim_param: self.graph.dims.get(*i as usize).cloned() }
            }
        };
        let shape = TensorShapeProto { dim: tensor.shape.iter().map(dim).collect() };
        let tensor_type = TensorTypeProto { elem_type: code(tensor.dtype), shape: Some(shape) };
        ValueInfoProto {
            name: tensor.name.clone(),
            r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        }
    }
}

/// How the integers of an activation stand for reals.
pub(super) fn codes(tensor: &Tensor) -> Option<&Quant> {
    tensor.quant.as_ref().filter(|_| matches!(tensor.dtype, DType::U8 | DType::I8 | DType::I16))
}

/// Integers of up to 32 bits in their type; what leaves it is cut off. `None`: it is no such type.
pub(super) fn integers(dtype: DType, values: impl IntoIterator<Item = i32>) -> Option<Data> {
    let values = values.into_iter();
    Some(match dtype {
        DType::U8 => Data::from_bytes(&values.map(|v| v as u8).collect::<Vec<_>>()),
        DType::I8 => Data::from_slice(&values.map(|v| v as i8).collect::<Vec<_>>()),
        DType::I16 => Data::from_slice(&values.map(|v| v as i16).collect::<Vec<_>>()),
        DType::I32 => Data::from_slice(&values.collect::<Vec<_>>()),
        _ => return None,
    })
}
