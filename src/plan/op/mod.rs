//! Nodes -> kernels, one file per family of operators.

mod binary;
mod conv;
mod convert;
mod copy;
mod custom;
mod dynamic;
mod index;
mod integer;
mod integer_lstm;
mod matmul;
mod pool;
mod q16;
mod recurrent;
mod reduce;
mod resample;
mod resize;
mod transformer;
mod unary;
mod weights;

use super::parts::Part;
use super::{Kernel, PlanError, Planned, Planner};
use crate::graph::{Clamp, DType, Data, Graph, Node, Op, Tensor, TensorId};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::Output;
use ottava_kernels::qbinary::Operand;
use std::collections::HashMap;
use std::ops::Range;

/// Weights in the order in which a kernel reads them.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    /// The tensor of the canonical weights.
    pub tensor: TensorId,
    /// Names the order.
    pub layout: u32,
    /// The bytes.
    pub bytes: Data,
}

/// True if the kernels of a node can leave room between the rows of its output (runs of its last dimension): they ask for
/// the [spacing](NodeView::spacing).
pub(super) fn leaves_room(graph: &Graph, node: &Node) -> bool {
    let Some(x) = node.input(0).map(|id| graph.tensor(id)) else { return false };
    // Kernels of other types don't ask.
    let types = x.dtype == graph.tensor(node.outputs[0]).dtype && matches!(x.dtype, DType::U8 | DType::F32);
    types && matches!(node.op, Op::Conv(_) | Op::Linear(_) | Op::ConvTranspose(_) | Op::Pool(_))
}

/// Chooses the kernel of a node.
pub(super) fn plan(
    p: &Planner<'_>,
    parts: &HashMap<TensorId, Part>,
    node: &Node,
) -> Result<Planned, PlanError> {
    let v = NodeView { graph: p.graph, parts, node };
    match &node.op {
        Op::Conv(op) => conv::plan_conv(p, v, op),
        Op::ConvTranspose(op) => conv::plan_transpose(p, v, op),
        Op::Linear(op) => conv::plan_linear(p, v, op),
        Op::MatMul(op) => matmul::plan(p, v, op),
        Op::Pool(op) => pool::plan(p, v, op),
        Op::Reduce(op) => reduce::plan_reduce(p, v, op),
        Op::ArgMax(op) => reduce::plan_argmax(v, op),
        Op::Softmax(op) => reduce::plan_softmax(p, v, op),
        Op::Unary(op) => unary::plan(p, v, op),
        Op::Binary(op) => binary::plan(p, v, op),
        Op::Where(_) => binary::plan_where(v),
        Op::Concat(op) => copy::plan_concat(v, op),
        Op::Split(op) => copy::plan_split(v, op),
        Op::Slice(_) => copy::plan_slice(v),
        Op::Pad(op) => copy::plan_pad(v, op),
        Op::Resize(op) => resize::plan(p, v, op),
        Op::Resample(op) => resample::plan(p, v, op),
        Op::Transpose(op) => copy::plan_transpose(p, v, op),
        Op::Expand(_) => copy::plan_expand(v, false),
        Op::Tile(_) => copy::plan_expand(v, true),
        Op::Custom(op) => custom::plan(v, op),
        Op::Gather(op) => copy::plan_gather(v, op),
        Op::Fill(_) => copy::plan_fill(v),
        Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => {
            Ok(Planned::Alias { from: v.input(0)? })
        }
        Op::Quantize(_) => convert::plan_quantize(p, v),
        Op::Dequantize(_) => convert::plan_dequantize(p, v),
        Op::Requantize(_) => convert::plan_requantize(p, v),
        Op::Cast(_) => convert::plan_cast(p, v),
        Op::Recurrent(op) => recurrent::plan(p, v, op),
        Op::IntegerLstm(op) => integer_lstm::plan(p, v, op),
        Op::DynamicQuantize(_) => dynamic::plan_quantize(p, v),
        Op::Unpack(op) => convert::plan_unpack(v, op),
        Op::IntegerMatMul(_) => dynamic::plan_matmul(p, v),
        Op::IntegerConv(op) => dynamic::plan_conv(p, v, op),
        Op::LayerNorm(op) => transformer::plan_layer_norm(p, v, op),
        Op::Attention(op) => transformer::plan_attention(p, v, op),
        Op::BatchNorm(_) => Err(v.unsupported("it must be folded first: run optimize::float on the graph")),
        Op::Merge(_) => copy::plan_merge(v),
        Op::GatherElements(op) => index::plan_gather_elements(v, op),
        Op::GatherRows(op) => index::plan_gather_rows(v, op),
        Op::ScatterElements(op) => index::plan_scatter_elements(v, op),
        Op::ScatterRows(op) => index::plan_scatter_rows(v, op),
        Op::CumSum(op) => index::plan_cum_sum(v, op),
        Op::TopK(op) => index::plan_top_k(v, op),
        Op::Range(_) => index::plan_range(v),
        Op::ShapeOf(_) => Err(v.unsupported("its input's shape is not known after binding")),
    }
}

/// A node with what planning asks of it.
#[derive(Clone, Copy)]
pub(super) struct NodeView<'a> {
    pub graph: &'a Graph,
    /// Tensors that are written as parts of others.
    pub parts: &'a HashMap<TensorId, Part>,
    pub node: &'a Node,
}

impl<'a> NodeView<'a> {
    /// A refusal of this node.
    pub fn unsupported(&self, why: impl Into<String>) -> PlanError {
        PlanError::unsupported(self.node, why)
    }

    /// Input `i`, which must be there.
    pub fn input(&self, i: usize) -> Result<TensorId, PlanError> {
        self.node.input(i).ok_or_else(|| self.unsupported(format!("input {i} is missing")))
    }

    /// The tensor of input `i`, which must be there.
    pub fn tensor(&self, i: usize) -> Result<&'a Tensor, PlanError> {
        Ok(self.graph.tensor(self.input(i)?))
    }

    /// The first output.
    pub fn out(&self) -> &'a Tensor {
        self.graph.tensor(self.node.outputs[0])
    }

    /// Elements from one row of the first output to the next, if a row has so many: more where it is a part of another
    /// tensor.
    pub fn spacing(&self, row: usize) -> usize {
        let part = self.parts.get(&self.node.outputs[0]).filter(|part| part.rows > 1);
        part.map_or(row, |part| part.stride / self.out().dtype.size())
    }

    /// The dimensions of a tensor.
    pub fn dims(&self, t: &Tensor) -> Result<Vec<usize>, PlanError> {
        t.shape.dims().ok_or_else(|| self.unsupported(format!("the shape of '{}' is not bound", t.name)))
    }

    /// The bytes of constant input `i`.
    pub fn constant(&self, i: usize) -> Result<&'a Data, PlanError> {
        let t = self.tensor(i)?;
        t.data.as_ref().ok_or_else(|| {
            self.unsupported(format!("'{}' must be constant; it depends on the network's inputs", t.name))
        })
    }

    /// The values of constant input `i` of type i64 (or i32).
    pub fn ints(&self, i: usize) -> Result<Vec<i64>, PlanError> {
        let data = self.constant(i)?;
        match self.tensor(i)?.dtype {
            DType::I64 => Ok(data.to_vec::<i64>()),
            DType::I32 => Ok(data.to_vec::<i32>().into_iter().map(i64::from).collect()),
            other => Err(self.unsupported(format!("input {i} should be i64, it is {other}"))),
        }
    }

    /// The values of constant input `i` of type f32 (or f16, or bf16).
    pub fn floats(&self, i: usize) -> Result<Vec<f32>, PlanError> {
        match self.tensor(i)?.dtype {
            DType::F32 => Ok(self.constant(i)?.to_vec::<f32>()),
            DType::F16 => {
                let halves = self.constant(i)?.to_vec::<half::f16>();
                Ok(halves.into_iter().map(half::f16::to_f32).collect())
            }
            DType::BF16 => {
                let halves = self.constant(i)?.to_vec::<half::bf16>();
                Ok(halves.into_iter().map(half::bf16::to_f32).collect())
            }
            other => Err(self.unsupported(format!("input {i} should be f32, it is {other}"))),
        }
    }

    /// Scale and zero point of a u8 tensor.
    pub fn affine(&self, t: &Tensor) -> Result<Affine, PlanError> {
        match (t.dtype, t.quant.as_ref().and_then(|q| q.single())) {
            (DType::U8, Some((scale, zero))) => Ok(Affine { scale, zero: zero as u8 }),
            _ => Err(self.unsupported(format!(
                "'{}' should be u8 with one scale and zero point, it is {}",
                t.name, t.dtype
            ))),
        }
    }

    /// A refusal because no kernel takes these element types.
    pub fn no_kernel(&self) -> PlanError {
        let types: Vec<&str> =
            self.node.present_inputs().map(|i| self.graph.tensor(i).dtype.name()).collect();
        let out = self.out().dtype;
        self.unsupported(format!("there is no kernel for ({}) -> {out}", types.join(", ")))
    }
}

/// What the bytes of a u8 tensor mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    pub scale: f32,
    pub zero: u8,
}

impl From<Affine> for Operand {
    fn from(q: Affine) -> Operand {
        Operand { scale: q.scale, zero_point: q.zero }
    }
}

impl Affine {
    /// The byte that stands for a real, saturated.
    pub fn quantize(self, real: f32) -> u8 {
        let q = (real / self.scale).round_ties_even() + self.zero as f32;
        q.clamp(0.0, 255.0) as u8
    }

    /// How kernels write this tensor, with the clamp folded into the byte range.
    pub fn output(self, clamp: Clamp) -> Output {
        Output { zero_point: self.zero, min: self.quantize(clamp.min), max: self.quantize(clamp.max) }
    }
}

/// A kernel that is one call: what is decided at plan time is captured by `run`.
pub(super) struct Call<F> {
    pub name: String,
    pub run: F,
}

impl<F: Fn(&mut Io<'_>) + Send + Sync> Kernel for Call<F> {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn run(&self, io: &mut Io<'_>, _pool: &Pool) -> Result<(), RunError> {
        (self.run)(io);
        Ok(())
    }
}

/// A kernel that is one call for every part of its output: threads share out the rows.
pub(super) struct RowsCall<const I: usize, F> {
    pub name: String,
    /// See [`Kernel::cost`].
    pub cost: u64,
    /// Rows of the output.
    pub rows: usize,
    /// A part starts at a multiple of this.
    pub grain: usize,
    /// Bytes of a row.
    pub stride: usize,
    /// Which inputs `run` gets, whole.
    pub inputs: [usize; I],
    /// Computes some rows.
    pub run: F,
}

impl<const I: usize, F> Kernel for RowsCall<I, F>
where
    F: Fn(Range<usize>, [&[u8]; I], &mut [u8]) + Send + Sync,
{
    fn name(&self) -> String {
        self.name.clone()
    }
    fn cost(&self) -> u64 {
        self.cost
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs, outputs: [y], scratch } = io.views(self.inputs, [0]);
        let RowsCall { rows: count, grain, stride, .. } = *self;
        let rows = Rows { count, grain, stride, y, scratch_len: 0, scratch };
        pool.split(self.cost, rows, &|rows, y, _| (self.run)(rows, inputs, y));
        Ok(())
    }
}

/// Elements that a part of a tensor has at least: a line of cache of bytes.
pub(super) const ELEMENTS: usize = 64;

/// What moving so many bytes through the caches costs; see [`Kernel::cost`].
pub(super) fn moving(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(4)
}

/// A step that computes each element of its output from that of its first input: `run(x, y)`, `x` possibly going on
/// behind the elements that are meant. `cost`: of an element, besides that of moving it.
pub(super) fn plan_elements(
    v: NodeView<'_>,
    name: String,
    cost: u64,
    run: impl Fn(&[u8], &mut [u8]) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?.dtype.size(), v.out().dtype.size());
    let rows: usize = v.dims(v.out())?.iter().product();
    let cost = (rows as u64).saturating_mul(cost).saturating_add(moving(rows.saturating_mul(x + y)));
    let run = move |rows: Range<usize>, [input]: [&[u8]; 1], y: &mut [u8]| run(&input[rows.start * x..], y);
    let kernel = RowsCall { name, cost, rows, grain: ELEMENTS, stride: y, inputs: [0], run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

/// Outer, the axis, inner.
pub(super) fn around(v: NodeView<'_>, dims: &[usize], axis: usize) -> Result<[usize; 3], PlanError> {
    let len = *dims.get(axis).ok_or_else(|| v.unsupported(format!("there is no axis {axis}")))?;
    Ok([dims[..axis].iter().product(), len, dims[axis + 1..].iter().product()])
}

/// The first `n` values of bytes that lie aligned.
pub(super) fn values<T: bytemuck::Pod>(bytes: &[u8], n: usize) -> &[T] {
    bytemuck::cast_slice(&bytes[..n * size_of::<T>()])
}

/// All values of bytes that lie aligned.
pub(super) fn values_mut<T: bytemuck::Pod>(bytes: &mut [u8]) -> &mut [T] {
    bytemuck::cast_slice_mut(bytes)
}

/// `a * b / c` for scales, each step rounded to f32: the multiplier that ONNX Runtime and XNNPACK have.
pub(super) fn ratio(a: f32, b: f32, c: f32) -> f32 {
    a * b / c
}
