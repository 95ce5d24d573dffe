//! What the import of one node works with.

pub(super) use super::super::node::Stop;
use super::attrs::Attrs;
use super::external::ExternalData;
use super::narrow::Narrow;
use super::proto::{GraphProto, NodeProto};
use crate::graph::{Cast, DType, Data, Dim, GraphBuilder, Node, Op, Quant, Reshape, Shape, Tensor, TensorId};
use std::collections::{HashMap, HashSet};

/// The graph so far, and what ONNX's tensor names mean in it.
pub(super) struct State<'a> {
    pub build: GraphBuilder,
    /// `None`: would be computed by a node that can't be imported.
    pub values: HashMap<String, Option<TensorId>>,
    /// Names that a node reads or the graph gives out.
    pub read: HashSet<&'a str>,
    /// Version of ONNX's operator set.
    pub opset: i64,
    /// Where tensors outside of the file may be.
    pub external: ExternalData<'a>,
    /// Bytes that constants made by the import may still take, all together.
    pub room: usize,
    /// Nodes that may still be imported: loops are unrolled.
    pub nodes_left: usize,
    /// What conditions are taken to be whose branches don't fit together.
    pub assume: bool,
    /// How many such conditions there were.
    pub assumed: usize,
    /// Tensors that nodes compute from constants only: the optimizer makes constants of them.
    pub computed: HashSet<TensorId>,
    /// Constants that were already reordered, by source and order.
    pub reordered: HashMap<(TensorId, Vec<usize>, Vec<usize>), TensorId>,
    /// Floats that constant integers stand for: from what `Dequantize` computes to what it reads.
    pub dequantized: HashMap<TensorId, TensorId>,
    /// Tensors whose element type in the file the graph does not have.
    pub narrow: HashMap<TensorId, Narrow>,
}

/// One node being imported.
pub(super) struct Context<'s, 'a> {
    pub state: &'s mut State<'a>,
    pub node: &'a NodeProto,
    /// The node's name.
    pub name: &'s str,
}

impl<'a> Context<'_, 'a> {
    pub fn opset(&self) -> i64 {
        self.state.opset
    }

    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.node)
    }

    /// Input `i`, if it is there.
    pub fn optional(&self, i: usize) -> Result<Option<TensorId>, Stop> {
        match self.node.input.get(i).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => match self.state.values.get(name) {
                Some(Some(id)) => Ok(Some(*id)),
                _ => Err(Stop::Upstream),
            },
        }
    }

    /// Input `i`.
    pub fn input(&self, i: usize) -> Result<TensorId, Stop> {
        self.optional(i)?.ok_or_else(|| Stop::because(format!("input {i} is missing")))
    }

    /// All inputs, none of them left out.
    pub fn inputs(&self) -> Result<Vec<TensorId>, Stop> {
        (0..self.node.input.len()).map(|i| self.input(i)).collect()
    }

    /// How many outputs have a name, not counting those left out at the end.
    pub fn named_outputs(&self) -> usize {
        self.node.output.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// True if somebody reads output `i`.
    pub fn is_read(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|name| self.state.read.contains(name.as_str()))
    }

    pub fn tensor(&self, id: TensorId) -> &Tensor {
        self.state.build.graph().tensor(id)
    }

    pub fn shape(&self, id: TensorId) -> Shape {
        self.tensor(id).shape.clone()
    }

    pub fn rank(&self, id: TensorId) -> usize {
        self.tensor(id).shape.rank()
    }

    pub fn dtype(&self, id: TensorId) -> DType {
        self.tensor(id).dtype
    }

    /// The extent of dimension `axis`, if there is one and it is known.
    pub fn extent(&self, id: TensorId, axis: usize) -> Option<usize> {
        self.tensor(id).shape.get(axis).copied().and_then(Dim::fixed)
    }

    /// Refuses a tensor that is not float.
    pub fn need_float(&self, id: TensorId) -> Result<(), Stop> {
        let t = self.tensor(id);
        match t.dtype {
            DType::F32 => Ok(()),
            other => Err(Stop::because(format!("'{}' is {other}: only floats are supported here", t.name))),
        }
    }

    /// The data of a constant.
    pub fn data(&self, id: TensorId) -> Option<&Data> {
        self.tensor(id).data.as_ref()
    }

    /// True if the tensor is a constant, as floats or as integers that stand for them, or will be one once what
    /// computes it is folded.
    pub fn is_constant(&self, id: TensorId) -> bool {
        let State { computed, dequantized, .. } = &self.state;
        self.data(id).is_some() || dequantized.contains_key(&id) || computed.contains(&id)
    }

    /// The values of a constant of integers, or of integers that follow from shapes.
    pub fn const_ints(&self, id: TensorId) -> Option<Vec<i64>> {
        let t = self.tensor(id);
        let Some(data) = &t.data else {
            return self.state.build.value(id)?.known();
        };
        match t.dtype {
            DType::I64 => Some(data.to_vec::<i64>()),
            DType::I32 => Some(data.to_vec::<i32>().into_iter().map(i64::from).collect()),
            _ => None,
        }
    }

    /// The truth value of a constant, or of what follows from shapes.
    pub fn const_bool(&self, id: TensorId) -> Option<bool> {
        match self.state.build.value(id)?.known()?[..] {
            [v] if self.dtype(id) == DType::Bool => Some(v != 0),
            _ => None,
        }
    }

    /// The outputs of a graph in an attribute, whose nodes are added, for these inputs.
    pub fn body(
        &mut self,
        body: &'a GraphProto,
        inputs: &[TensorId],
        tag: &str,
    ) -> Result<Vec<TensorId>, Stop> {
        let prefix = format!("{}/{tag}/", self.name);
        super::graph::take_body(self.state, body, inputs, &prefix)
    }

    /// The values of a constant of floats.
    pub fn const_floats(&self, id: TensorId) -> Option<Vec<f32>> {
        let t = self.tensor(id);
        (t.dtype == DType::F32).then_some(t.data.as_ref()?.to_vec::<f32>())
    }

    /// The values of an input that must be a constant of integers.
    pub fn need_ints(&self, id: TensorId, what: &str) -> Result<Vec<i64>, Stop> {
        self.const_ints(id).ok_or_else(|| {
            let name = &self.tensor(id).name;
            Stop::because(format!("{what} ('{name}') must be a constant of integers"))
        })
    }

    /// The tensor as i64, as the graph wants sizes.
    pub fn as_i64(&mut self, id: TensorId) -> Result<TensorId, Stop> {
        match (self.dtype(id), self.const_ints(id)) {
            (DType::I64, _) => Ok(id),
            (DType::I32, Some(values)) => {
                let dims = self.shape(id).dims().unwrap_or_default();
                self.constant("i64", DType::I64, &dims, Data::from_slice(&values))
            }
            (DType::I32, None) => self.cast("i64", id, DType::I64),
            (other, _) => {
                let name = &self.tensor(id).name;
                Err(Stop::because(format!("'{name}' is {other}, it must be integers")))
            }
        }
    }

    /// A new constant, named after the node.
    pub fn constant(
        &mut self,
        tag: &str,
        dtype: DType,
        dims: &[usize],
        data: Data,
    ) -> Result<TensorId, Stop> {
        let name = format!("{}/{tag}", self.name);
        self.constant_named(&name, dtype, dims, data)
    }

    /// A new constant. Refused if the constants that the import makes grow out of proportion to the file.
    pub fn constant_named(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[usize],
        data: Data,
    ) -> Result<TensorId, Stop> {
        let left = self.state.room.checked_sub(data.bytes().len());
        self.state.room = left.ok_or_else(|| {
            Stop::because(
                "the constants made of this model's weights would be many times as large as the file",
            )
        })?;
        Ok(self.state.build.tensor(Tensor::constant(name, dtype, dims, data)))
    }

    /// A vector of integers.
    pub fn int_vector(&mut self, tag: &str, values: &[i64]) -> Result<TensorId, Stop> {
        self.constant(tag, DType::I64, &[values.len()], Data::from_slice(values))
    }

    /// A float without dimensions.
    pub fn scalar(&mut self, tag: &str, value: f32) -> Result<TensorId, Stop> {
        self.constant(tag, DType::F32, &[], Data::from_slice(&[value]))
    }

    /// Adds a node on the way to the result.
    pub fn inner(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<TensorId, Stop> {
        let name = format!("{}/{tag}", self.name);
        Ok(self.push(name.clone(), op.into(), inputs, &[name])?[0])
    }

    /// The same elements in another shape: a 0 keeps a length, one -1 is found out.
    pub fn viewed(&mut self, tag: &str, id: TensorId, shape: &[i64]) -> Result<TensorId, Stop> {
        let sizes = self.int_vector(&format!("{tag}_shape"), shape)?;
        self.inner(tag, Reshape { allow_zero: false }, &[Some(id), Some(sizes)])
    }

    /// Adds the node that does the work, where others come behind it: it has the ONNX node's name.
    pub fn core(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<TensorId, Stop> {
        let name = format!("{}/{tag}", self.name);
        Ok(self.push(self.name.to_string(), op.into(), inputs, &[name])?[0])
    }

    /// Adds the last node where another one does the work: its output is the ONNX node's.
    pub fn last(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<Vec<TensorId>, Stop> {
        self.push(format!("{}/{tag}", self.name), op.into(), inputs, &[self.output(0)])
    }

    /// Adds the one node that the ONNX node becomes, with its first output.
    pub fn emit(&mut self, op: impl Into<Op>, inputs: &[Option<TensorId>]) -> Result<Vec<TensorId>, Stop> {
        self.push(self.name.to_string(), op.into(), inputs, &[self.output(0)])
    }

    /// Adds the one node that the ONNX node becomes, with all its outputs, wanted or not.
    pub fn emit_all(
        &mut self,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<Vec<TensorId>, Stop> {
        let outputs: Vec<String> = (0..self.node.output.len()).map(|i| self.output(i)).collect();
        self.push(self.name.to_string(), op.into(), inputs, &outputs)
    }

    /// Adds the one node that the ONNX node becomes, whose operator has three outputs, wanted or not.
    pub fn emit_three(
        &mut self,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<Vec<TensorId>, Stop> {
        let outputs = [0, 1, 2].map(|i| self.output(i));
        self.push(self.name.to_string(), op.into(), inputs, &outputs)
    }

    /// Adds a node with three outputs on the way to the result.
    pub fn inner_three(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
    ) -> Result<[TensorId; 3], Stop> {
        let name = format!("{}/{tag}", self.name);
        let outputs = [name.clone(), format!("{name}.1"), format!("{name}.2")];
        match self.push(name, op.into(), inputs, &outputs)?[..] {
            [a, b, c] => Ok([a, b, c]),
            _ => Err(Stop::because("it does not have three outputs")),
        }
    }

    fn push(
        &mut self,
        name: String,
        op: Op,
        inputs: &[Option<TensorId>],
        outputs: &[String],
    ) -> Result<Vec<TensorId>, Stop> {
        let quant = self.moved_quant(&op, inputs);
        let node = Node { name, op, inputs: inputs.to_vec(), outputs: vec![] };
        let made = self.state.build.push(node, outputs)?;
        if inputs.iter().flatten().all(|&id| self.is_constant(id)) {
            self.state.computed.extend(&made);
        }
        if let Some(quant) = quant {
            made.iter().for_each(|&id| self.state.build.describe(id, quant.clone()));
        }
        Ok(made)
    }

    /// What the integers that come out stand for, where the node moves integers that stand for something.
    fn moved_quant(&self, op: &Op, inputs: &[Option<TensorId>]) -> Option<Quant> {
        let moved = &self.tensor(inputs.first().copied().flatten()?).quant;
        let joined =
            !matches!(op, Op::Concat(_)) || inputs.iter().flatten().all(|&t| self.tensor(t).quant == *moved);
        moved.clone().filter(|q| op.moves_values() && joined && q.axis.is_none())
    }

    /// The name of output `i`, made up if it is not wanted.
    pub fn output(&self, i: usize) -> String {
        match self.node.output.get(i).filter(|o| !o.is_empty()) {
            Some(name) => name.clone(),
            None => format!("{}/out{i}", self.name),
        }
    }

    /// The tensor with another element type, on the way to the result.
    pub fn cast(&mut self, tag: &str, id: TensorId, dtype: DType) -> Result<TensorId, Stop> {
        let name = format!("{}/{tag}", self.name);
        let output = Tensor::value(name.as_str(), dtype, Shape::default());
        let made = self.state.build.node_as(&name, Cast {}, &[id], output)?;
        if self.is_constant(id) {
            self.state.computed.insert(made);
        }
        Ok(made)
    }
}
