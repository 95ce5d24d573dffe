//! Builds the messages of an ONNX model: names, constants, and the forms that a tensor is needed in.

use super::{ExportError, Stop, ops};
use crate::graph::{Clamp, DType, Data, Dim, Graph, Quant, Tensor, TensorId};
use crate::import::onnx::proto::*;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// The version of the operator set that is written.
const OPSET: i64 = 20;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 9;

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

pub(super) fn write(graph: &Graph) -> Result<Vec<u8>, ExportError> {
    let mut w = Writer {
        graph,
        proto: GraphProto { name: graph.name.clone(), ..GraphProto::default() },
        names: graph.tensors.iter().map(|t| t.name.clone()).collect(),
        stored: HashMap::new(),
        reals: HashMap::new(),
    };
    let border =
        |op, id: &TensorId, e: Stop| ExportError { node: graph.tensor(*id).name.clone(), op, reason: e.0 };
    for id in &graph.inputs {
        let info = w.port(*id).map_err(|e| border("an input", id, e))?;
        w.stored.insert((*id, Layout::Plain), info.name.clone());
        w.proto.input.push(info);
    }
    for node in &graph.nodes {
        ops::write(&mut w, node).map_err(|Stop(reason)| ExportError {
            node: node.name.clone(),
            op: node.op.name(),
            reason,
        })?;
    }
    for id in &graph.outputs {
        let mut finish = || -> Result<(), Stop> {
            let name = w.stored(*id, Layout::Plain)?;
            let info = w.port(*id)?;
            if name != info.name {
                w.push("Identity", &[name], info.name.clone(), vec![]);
            }
            w.proto.output.push(info);
            Ok(())
        };
        finish().map_err(|e| border("an output", id, e))?;
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "ottava".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(w.proto),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: graph
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
            .collect(),
    };
    Ok(model.encode_to_vec())
}

pub(super) struct Writer<'g> {
    pub graph: &'g Graph,
    proto: GraphProto,
    names: HashSet<String>,
    /// The names under which tensors are there: floats, or integers as the graph has them.
    stored: HashMap<(TensorId, Layout), String>,
    /// The names of what 8-bit tensors stand for.
    reals: HashMap<(TensorId, Layout), String>,
}

impl Writer<'_> {
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

    pub fn push(&mut self, op: &str, input: &[String], output: String, attribute: Vec<AttributeProto>) {
        self.push_many(op, input, vec![output], attribute);
    }

    pub fn push_many(
        &mut self,
        op: &str,
        input: &[String],
        output: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        let name = self.fresh(&format!("{}/{op}", output.first().map_or("", String::as_str)));
        let (op_type, input) = (op.to_string(), input.to_vec());
        let node = NodeProto { name, op_type, input, output, attribute, ..NodeProto::default() };
        self.proto.node.push(node);
    }

    /// True if the tensor is there channels first, and has not been needed otherwise.
    pub fn is_nchw(&self, id: TensorId) -> bool {
        self.stored.contains_key(&(id, Layout::Nchw)) && !self.stored.contains_key(&(id, Layout::Plain))
    }

    /// The name of a tensor as the graph has it, in one layout.
    pub fn stored(&mut self, id: TensorId, layout: Layout) -> Result<String, Stop> {
        if let Some(name) = self.stored.get(&(id, layout)) {
            return Ok(name.clone());
        }
        let tensor = self.graph.tensor(id);
        let name = match layout {
            Layout::Plain if tensor.data.is_some() => self.initializer_of(tensor)?,
            Layout::Plain => self.transposed(id, Layout::Nchw, &tensor.name.clone(), TO_NHWC)?,
            Layout::Nchw => {
                let name = self.fresh(&format!("{}/nchw", tensor.name));
                self.transposed(id, Layout::Plain, &name, TO_NCHW)?
            }
        };
        self.stored.insert((id, layout), name.clone());
        Ok(name)
    }

    fn transposed(&mut self, id: TensorId, from: Layout, to: &str, perm: [usize; 4]) -> Result<String, Stop> {
        let tensor = self.graph.tensor(id);
        let there = from == Layout::Plain || self.stored.contains_key(&(id, from));
        if tensor.shape.rank() != 4 || !there {
            return Err(Stop::because(format!("'{}' is not computed before it is read", tensor.name)));
        }
        let from = self.stored(id, from)?;
        self.push("Transpose", &[from], to.to_string(), vec![ints("perm", perm.map(|p| p as i64))]);
        Ok(to.to_string())
    }

    /// The name of a tensor's reals, in one layout: 8-bit integers are dequantized.
    pub fn real(&mut self, id: TensorId, layout: Layout) -> Result<String, Stop> {
        let tensor = self.graph.tensor(id);
        let Some(quant) = tensor.quant.clone().filter(|_| tensor.dtype.is_8bit()) else {
            return self.stored(id, layout);
        };
        if let Some(name) = self.reals.get(&(id, layout)) {
            return Ok(name.clone());
        }
        let codes = self.stored(id, layout)?;
        let real = self.fresh(&format!("{codes}/real"));
        let name = tensor.name.clone();
        self.convert("DequantizeLinear", codes, real.clone(), &name, tensor.dtype, &quant)?;
        self.reals.insert((id, layout), real.clone());
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
        let zeros = &quant.zero_point;
        let zero = match dtype {
            DType::U8 => Data::from_bytes(&zeros.iter().map(|&z| z as u8).collect::<Vec<_>>()),
            DType::I8 => Data::from_bytes(&zeros.iter().map(|&z| z as i8 as u8).collect::<Vec<_>>()),
            DType::I32 => Data::from_slice(zeros),
            other => return Err(Stop::because(format!("'{name}' is {other}, which stands for no reals"))),
        };
        let dims: Vec<usize> = quant.axis.map(|_| quant.scale.len()).into_iter().collect();
        let scale = self.initializer(&format!("{name}/scale"), DType::F32, &dims, &scale)?;
        let zero = self.initializer(&format!("{name}/zero_point"), dtype, &dims, &zero)?;
        let axis = quant.axis.map(|axis| int("axis", axis as i64)).into_iter().collect();
        self.push(op, &[from, scale, zero], to, axis);
        Ok(())
    }

    /// Names a node's output and says in which layout it is there.
    pub fn make(&mut self, id: TensorId, layout: Layout) -> String {
        let base = self.graph.tensor(id).name.clone();
        let name = match layout {
            Layout::Plain => base,
            Layout::Nchw => self.fresh(&format!("{base}/nchw")),
        };
        self.stored.insert((id, layout), name.clone());
        name
    }

    /// The tensor is there under this name already.
    pub fn is(&mut self, id: TensorId, layout: Layout, name: String) {
        self.stored.insert((id, layout), name);
    }

    /// The output of an operator on reals: clamped, and quantized if the graph has it in 8 bits.
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
        let quant = tensor.quant.clone().filter(|_| tensor.dtype.is_8bit());
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        let to = self.make(id, layout);
        let real = if quant.is_some() { self.fresh(&format!("{name}/float")) } else { to.clone() };
        if clamp.is_none() {
            self.push(op, input, real.clone(), attribute);
        } else {
            let linear = self.fresh(&format!("{name}/linear"));
            self.push(op, input, linear.clone(), attribute);
            self.clamped(linear, real.clone(), &name, clamp)?;
        }
        match quant {
            Some(quant) => self.convert("QuantizeLinear", real, to, &name, dtype, &quant),
            None => Ok(()),
        }
    }

    fn clamped(&mut self, from: String, to: String, name: &str, clamp: Clamp) -> Result<(), Stop> {
        if clamp == Clamp::RELU {
            self.push("Relu", &[from], to, vec![]);
            return Ok(());
        }
        let mut bound = |tag: &str, v: f32| match v.is_finite() {
            true => self.initializer(&format!("{name}/{tag}"), DType::F32, &[], &Data::from_slice(&[v])),
            false => Ok(String::new()),
        };
        let (min, max) = (bound("min", clamp.min)?, bound("max", clamp.max)?);
        self.push("Clip", &[from, min, max], to, vec![]);
        Ok(())
    }

    fn initializer_of(&mut self, tensor: &Tensor) -> Result<String, Stop> {
        let parts = tensor.data.as_ref().zip(tensor.shape.dims());
        let (data, dims) = parts.ok_or_else(|| Stop::because(format!("'{}' has no data", tensor.name)))?;
        self.proto.initializer.push(constant(&tensor.name, tensor.dtype, &dims, data)?);
        Ok(tensor.name.clone())
    }

    /// A new constant.
    pub fn initializer(
        &mut self,
        base: &str,
        dtype: DType,
        dims: &[usize],
        data: &Data,
    ) -> Result<String, Stop> {
        let name = self.fresh(base);
        self.proto.initializer.push(constant(&name, dtype, dims, data)?);
        Ok(name)
    }

    /// A new vector of integers.
    pub fn int_vector(&mut self, base: &str, values: &[i64]) -> Result<String, Stop> {
        self.initializer(base, DType::I64, &[values.len()], &Data::from_slice(values))
    }

    fn port(&self, id: TensorId) -> Result<ValueInfoProto, Stop> {
        let tensor = self.graph.tensor(id);
        let dim = |d: &Dim| match d {
            Dim::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), dim_param: None },
            Dim::Free(i) => {
                DimensionProto { dim_value: None, dim_param: self.graph.dims.get(*i as usize).cloned() }
            }
        };
        let shape = TensorShapeProto { dim: tensor.shape.iter().map(dim).collect() };
        let tensor_type = TensorTypeProto { elem_type: code(tensor.dtype)?, shape: Some(shape) };
        Ok(ValueInfoProto {
            name: tensor.name.clone(),
            r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        })
    }
}

/// ONNX's number of an element type.
pub(super) fn code(dtype: DType) -> Result<i32, Stop> {
    Ok(match dtype.name() {
        "f32" => data_type::FLOAT,
        "f16" => data_type::FLOAT16,
        "u8" => data_type::UINT8,
        "i8" => data_type::INT8,
        "i16" => data_type::INT16,
        "i32" => data_type::INT32,
        "i64" => data_type::INT64,
        "bool" => data_type::BOOL,
        other => return Err(Stop::because(format!("tensors of {other} are not written"))),
    })
}

fn constant(name: &str, dtype: DType, dims: &[usize], data: &Data) -> Result<TensorProto, Stop> {
    Ok(TensorProto {
        name: name.to_string(),
        data_type: code(dtype)?,
        dims: dims.iter().map(|&d| d as i64).collect(),
        raw_data: Some(Bytes::copy_from_slice(data.bytes())),
        ..TensorProto::default()
    })
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: attribute_type::INT, i, ..AttributeProto::default() }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: attribute_type::FLOAT, f, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    let s = Bytes::copy_from_slice(s.as_bytes());
    AttributeProto { name: name.into(), r#type: attribute_type::STRING, s, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    let ints = values.into_iter().collect();
    AttributeProto { name: name.into(), r#type: attribute_type::INTS, ints, ..AttributeProto::default() }
}
