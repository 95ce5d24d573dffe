//! What the import of one operator works with.

use super::super::ImportError;
use super::super::node::Stop;
use super::flatbuffer::{Scalar, Table};
use super::graph::State;
use super::schema::Operator;
use super::tensor::Info;
use super::variables::{self, Key};
use crate::graph::{
    Cast, Clamp, DType, Data, Dequantize, Dim, Node, Op, Quant, Quantize, Reshape, Shape, Tensor, TensorId,
    Unary, UnaryKind,
};

impl From<ImportError> for Stop {
    fn from(e: ImportError) -> Stop {
        Stop::Problem(e.to_string())
    }
}

/// An operator's parameters: fields that are not there have defaults, and so have all of a table that is not.
pub(super) struct Options<'a, 'b>(pub Option<Table<'a, 'b>>);

impl Options<'_, '_> {
    pub fn scalar<T: Scalar>(&self, slot: usize, default: T) -> Result<T, Stop> {
        match &self.0 {
            Some(table) => Ok(table.scalar(slot, default)?),
            None => Ok(default),
        }
    }

    pub fn flag(&self, slot: usize) -> Result<bool, Stop> {
        Ok(self.scalar::<u8>(slot, 0)? != 0)
    }

    pub fn ints(&self, slot: usize) -> Result<Vec<i32>, Stop> {
        Ok(self.0.map_or(Ok(None), |table| table.numbers(slot))?.unwrap_or_default())
    }

    /// `ActivationFunctionType`: NONE, RELU, RELU_N1_TO_1, RELU6, TANH, SIGN_BIT.
    pub fn activation(&self, slot: usize) -> Result<Clamp, Stop> {
        match self.scalar::<i8>(slot, 0)? {
            0 => Ok(Clamp::NONE),
            1 => Ok(Clamp::RELU),
            2 => Ok(Clamp { min: -1.0, max: 1.0 }),
            3 => Ok(Clamp { min: 0.0, max: 6.0 }),
            other => Err(Stop::because(format!(
                "its fused activation has the number {other}; NONE, RELU, RELU_N1_TO_1 and RELU6 are supported"
            ))),
        }
    }
}

/// One operator being imported.
pub(super) struct Context<'s, 'a, 'b> {
    pub state: &'s mut State<'a, 'b>,
    pub operator: &'s Operator<'a, 'b>,
    pub options: Options<'a, 'b>,
    /// The operator's name.
    pub op: &'s str,
    /// The node's name.
    pub name: &'s str,
}

impl<'a> Context<'_, 'a, '_> {
    /// Index of the tensor that is input `i`, if it is there.
    fn index(&self, i: usize) -> Option<usize> {
        self.operator.inputs.get(i).and_then(|&t| usize::try_from(t).ok())
    }

    pub fn has(&self, i: usize) -> bool {
        self.index(i).is_some()
    }

    /// What the file says of input `i`.
    pub fn info(&self, i: usize) -> Result<Info<'a>, Stop> {
        let t = self.index(i).ok_or_else(|| Stop::because(format!("input {i} is missing")))?;
        Ok(self.state.info(t)?)
    }

    /// What the file says of output `i`.
    pub fn out(&self, i: usize) -> Result<Info<'a>, Stop> {
        let t = self.operator.outputs.get(i).and_then(|&t| usize::try_from(t).ok());
        Ok(self.state.info(t.ok_or_else(|| Stop::because(format!("output {i} is missing")))?)?)
    }

    /// What the variable tensor that is input `i` holds now. Its batch, the first dimension, is free if `batch` is
    /// and it starts from bytes of 0.
    pub fn variable(&mut self, i: usize, batch: Dim) -> Result<TensorId, Stop> {
        let (t, info) = self.variable_info(i)?;
        let key = Key::Tensor(t);
        variables::start_at_zero(self.state, key.clone(), &info)?;
        let mut dims: Vec<Dim> = info.dims.iter().map(|d| Dim::Fixed(d.unwrap_or(1))).collect();
        let zero = info.internal().1.and_then(|q| q.single()).is_none_or(|(_, zero)| zero == 0);
        if let (Some(first), true) = (dims.first_mut(), zero && batch.fixed().is_none()) {
            *first = batch;
        }
        variables::read(self.state, key, &info, Shape(dims))
    }

    /// The variable tensor that is input `i` holds this from now on.
    pub fn assign_variable(&mut self, i: usize, value: TensorId) -> Result<(), Stop> {
        let (t, _) = self.variable_info(i)?;
        variables::assign(self.state, Key::Tensor(t), value);
        Ok(())
    }

    fn variable_info(&self, i: usize) -> Result<(usize, Info<'a>), Stop> {
        let info = self.info(i)?;
        match self.index(i) {
            Some(t) if info.variable && info.data.is_none() => Ok((t, info)),
            _ => Err(Stop::because(format!("'{}' must be a variable tensor: it is a state", info.name))),
        }
    }

    /// What the file says of intermediate tensor `i`, if it is there.
    pub fn intermediate(&self, i: usize) -> Result<Option<Info<'a>>, Stop> {
        let t = self.operator.intermediates.get(i).and_then(|&t| usize::try_from(t).ok());
        Ok(t.map(|t| self.state.info(t)).transpose()?)
    }

    /// Input `i` in the graph.
    pub fn input(&mut self, i: usize) -> Result<TensorId, Stop> {
        let t = self.index(i).ok_or_else(|| Stop::because(format!("input {i} is missing")))?;
        self.state.value(t)
    }

    /// All inputs, none of them left out.
    pub fn inputs(&mut self) -> Result<Vec<TensorId>, Stop> {
        (0..self.operator.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// The integers of input `i`, which must be constant.
    pub fn ints(&self, i: usize, what: &str) -> Result<Vec<i64>, Stop> {
        let info = self.info(i)?;
        let values = info.data.map(Data::from_bytes).and_then(|data| match info.dtype {
            DType::I32 => Some(data.to_vec::<i32>().into_iter().map(i64::from).collect()),
            DType::I64 => Some(data.to_vec::<i64>()),
            _ => None,
        });
        values.ok_or_else(|| Stop::because(format!("its {what} ('{}') must be constant integers", info.name)))
    }

    /// The one integer of input `i`, which must be constant.
    pub fn int(&self, i: usize, what: &str) -> Result<i64, Stop> {
        match self.ints(i, what)?[..] {
            [value] => Ok(value),
            _ => Err(Stop::because(format!("its {what} must be one integer"))),
        }
    }

    pub fn tensor(&self, id: TensorId) -> &Tensor {
        self.state.build.graph().tensor(id)
    }

    pub fn rank(&self, id: TensorId) -> usize {
        self.tensor(id).shape.rank()
    }

    /// The dimensions of a tensor that must be `[N,H,W,C]`.
    pub fn image(&self, id: TensorId) -> Result<[Dim; 4], Stop> {
        let shape = &self.tensor(id).shape;
        <[Dim; 4]>::try_from(&shape[..])
            .map_err(|_| Stop::because(format!("its input has rank {}, it must be [N,H,W,C]", shape.rank())))
    }

    /// Output `i` as it will be: name, element type and quantization.
    pub fn template(&self, i: usize) -> Result<Tensor, Stop> {
        let t = self.operator.outputs.get(i).and_then(|&t| usize::try_from(t).ok());
        let info = self.out(i)?;
        let (dtype, quant) = info.internal();
        let name = self.state.inner_name(t, &info);
        Ok(Tensor { quant, ..Tensor::value(name, dtype, Shape::default()) })
    }

    /// Adds the one node that the operator becomes.
    pub fn emit(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
        let template = self.template(0)?;
        self.push("", op, inputs, vec![template])
    }

    /// Adds a node that moves elements: its outputs must mean what its input means.
    pub fn emit_moved(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
        let moved = inputs.first().map(|&id| self.tensor(id).clone());
        let templates = (0..self.operator.outputs.len()).map(|i| self.template(i));
        let templates = templates.collect::<Result<Vec<_>, _>>()?;
        for out in &templates {
            let same = |x: &Tensor| (x.dtype, &x.quant) == (out.dtype, &out.quant);
            if !moved.as_ref().is_some_and(same) {
                return Err(Stop::because(format!(
                    "it only moves elements, but '{}' has another type, scale or zero point than its input",
                    out.name
                )));
            }
        }
        self.push("", op, inputs, templates)
    }

    /// Adds the node that makes output `i`, which must mean what the node's input means.
    pub fn emit_nth(&mut self, i: usize, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId, Stop> {
        let out = self.template(i)?;
        let x = inputs.first().map(|&id| self.tensor(id));
        if !x.is_some_and(|x| (x.dtype, &x.quant) == (out.dtype, &out.quant)) {
            let what = "it only moves elements, but its output has another type, scale or zero point";
            return Err(Stop::because(what));
        }
        Ok(self.push(&format!("out{i}"), op, inputs, vec![out])?[0])
    }

    /// Adds a node on the way to the results that cuts `x` into parts.
    pub fn inner_parts(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        x: TensorId,
        count: usize,
    ) -> Result<Vec<TensorId>, Stop> {
        let Tensor { dtype, quant, .. } = self.tensor(x).clone();
        let name = |i| format!("{}/{tag}{i}", self.name);
        let part = |i| Tensor { quant: quant.clone(), ..Tensor::value(name(i), dtype, Shape::default()) };
        let templates = (0..count).map(part).collect();
        self.push(tag, op, &[x], templates)
    }

    /// Adds a node on the way to the result, with one output like `template`.
    pub fn inner(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        template: (DType, Option<Quant>),
    ) -> Result<TensorId, Stop> {
        let (dtype, quant) = template;
        let name = format!("{}/{tag}", self.name);
        let template = Tensor { quant, ..Tensor::value(name, dtype, Shape::default()) };
        Ok(self.push(tag, op, inputs, vec![template])?[0])
    }

    pub fn push(
        &mut self,
        tag: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        templates: Vec<Tensor>,
    ) -> Result<Vec<TensorId>, Stop> {
        let name = if tag.is_empty() { self.name.to_string() } else { format!("{}/{tag}", self.name) };
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        let node = Node { name, op: op.into(), inputs, outputs: vec![] };
        Ok(self.state.build.push_as(node, templates)?)
    }

    /// Input `i` in the graph; where it is quantized, the reals that it stands for.
    pub fn real(&mut self, i: usize) -> Result<TensorId, Stop> {
        let x = self.input(i)?;
        match self.tensor(x).quant {
            Some(_) => self.inner(&format!("real{i}"), Dequantize {}, &[x], (DType::F32, None)),
            None => Ok(x),
        }
    }

    /// Adds the node that gives the operator's result as reals, and quantizes that where the output is quantized.
    pub fn emit_real(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
        if self.template(0)?.quant.is_none() {
            return self.emit(op, inputs);
        }
        let y = self.inner("real", op, inputs, (DType::F32, None))?;
        self.emit(Quantize {}, &[y])
    }

    /// Input `i`, which holds integers, as i64: what the graph wants of sizes and of some indices.
    pub fn as_i64(&mut self, i: usize) -> Result<TensorId, Stop> {
        let id = self.input(i)?;
        match self.tensor(id).dtype {
            DType::I64 => Ok(id),
            _ => self.inner(&format!("i64.{i}"), Cast {}, &[id], (DType::I64, None)),
        }
    }

    /// Adds the node that does the work, and behind it the activation that it can't fuse.
    pub fn emit_with(
        &mut self,
        op: impl Into<Op>,
        inputs: &[TensorId],
        clamp: Clamp,
    ) -> Result<Vec<TensorId>, Stop> {
        if clamp.is_none() {
            return self.emit(op, inputs);
        }
        let out = self.template(0)?;
        let x = self.inner("linear", op, inputs, (out.dtype, out.quant))?;
        self.emit(Unary { kind: UnaryKind::Clip, alpha: clamp.min, beta: clamp.max }, &[x])
    }

    /// `x` in another shape.
    pub fn reshaped(&mut self, tag: &str, x: TensorId, shape: &[i64]) -> Result<TensorId, Stop> {
        let shape = self.int_vector(&format!("{tag}.shape"), shape)?;
        let (dtype, quant) = (self.tensor(x).dtype, self.tensor(x).quant.clone());
        self.inner(tag, Reshape { allow_zero: false }, &[x, shape], (dtype, quant))
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
        self.state.constant(Tensor::constant(name, dtype, dims, data))
    }

    /// A vector of integers.
    pub fn int_vector(&mut self, tag: &str, values: &[i64]) -> Result<TensorId, Stop> {
        self.constant(tag, DType::I64, &[values.len()], Data::from_slice(values))
    }
}
