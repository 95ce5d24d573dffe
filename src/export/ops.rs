//! Each operator in ONNX's form.

mod attention;
mod dynamic;
mod elementwise;
mod index;
mod integer_lstm;
mod normalize;
mod product;
mod quantized;
mod recurrent;
mod rows;
mod scan;
mod steps;
mod window;

use super::Stop;
use super::messages::{code, int, ints, text};
use super::onnx::{Layout, TO_NCHW, TO_NHWC, Writer};
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

pub(super) fn write(w: &mut Writer, node: &Node) -> Result<(), Stop> {
    let n = NodeView { node, graph: w.graph };
    match &node.op {
        Op::Conv(op) => product::conv(w, &n, op),
        Op::ConvTranspose(op) => product::conv_transpose(w, &n, op),
        Op::Linear(op) => product::linear(w, &n, op),
        Op::MatMul(op) => product::matmul(w, &n, op),
        Op::Pool(op) => window::pool(w, &n, op),
        Op::Resize(op) => window::resize(w, &n, op),
        Op::Resample(op) => window::resample(w, &n, op),
        Op::Reduce(op) => reduce(w, &n, op),
        Op::Unary(op) => elementwise::unary(w, &n, op),
        Op::Binary(op) => elementwise::binary(w, &n, op),
        Op::Softmax(op) => {
            let name = if op.log { "LogSoftmax" } else { "Softmax" };
            let x = w.real(n.input(0)?, Layout::Plain)?;
            let axis = vec![int("axis", op.axis as i64)];
            w.computed(name, &[x], axis, (n.out(), Layout::Plain), Clamp::NONE)
        }
        Op::Transpose(op) => transpose(w, &n, op),
        Op::Concat(op) => concat(w, &n, op),
        Op::Split(op) => split(w, &n, op),
        Op::Slice(_) => moved(w, &n, "Slice", vec![]),
        Op::Pad(op) => moved(w, &n, "Pad", vec![text("mode", op.mode.name())]),
        Op::Reshape(op) => moved(w, &n, "Reshape", vec![int("allowzero", op.allow_zero.into())]),
        Op::Flatten(op) => moved(w, &n, "Flatten", vec![int("axis", op.axis as i64)]),
        Op::Squeeze(op) if op.axes.is_empty() => moved(w, &n, "Squeeze", vec![]),
        Op::Squeeze(op) => along(w, &n, "Squeeze", &op.axes),
        Op::Unsqueeze(op) => along(w, &n, "Unsqueeze", &op.axes),
        Op::Expand(_) => moved(w, &n, "Expand", vec![]),
        Op::Tile(_) => moved(w, &n, "Tile", vec![]),
        Op::Gather(op) => moved(w, &n, "Gather", vec![int("axis", op.axis as i64)]),
        Op::GatherElements(op) => moved(w, &n, "GatherElements", vec![int("axis", op.axis as i64)]),
        Op::GatherRows(op) => moved(w, &n, "GatherND", vec![int("batch_dims", op.batch_dims as i64)]),
        Op::ScatterElements(op) => {
            let axis = int("axis", op.axis as i64);
            moved(w, &n, "ScatterElements", vec![axis, index::reduction(op.kind)])
        }
        Op::ScatterRows(op) => moved(w, &n, "ScatterND", vec![index::reduction(op.kind)]),
        Op::Where(_) => moved(w, &n, "Where", vec![]),
        Op::ShapeOf(op) => {
            let end = (op.end != i64::MAX).then(|| int("end", op.end));
            moved(w, &n, "Shape", end.into_iter().chain([int("start", op.start)]).collect())
        }
        Op::Cast(_) => {
            let to = code(w.graph.tensor(n.out()).dtype);
            moved(w, &n, "Cast", vec![int("to", to.into())])
        }
        Op::ArgMax(op) => {
            let flags = [("keepdims", op.keep_dims), ("select_last_index", op.select_last)];
            let flags = flags.map(|(name, v)| int(name, v.into()));
            moved(w, &n, "ArgMax", flags.into_iter().chain([int("axis", op.axis as i64)]).collect())
        }
        Op::Fill(_) => index::fill(w, &n),
        Op::Range(_) => index::range(w, &n),
        Op::CumSum(op) => index::cumsum(w, &n, op),
        Op::TopK(op) => index::top_k(w, &n, op),
        Op::BatchNorm(op) => normalize::batch_norm(w, &n, op),
        Op::LayerNorm(op) => normalize::layer_norm(w, &n, op),
        Op::Attention(op) => attention::attention(w, &n, op),
        Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => quantized::convert(w, &n),
        Op::Unpack(op) => quantized::unpack(w, &n, op),
        Op::DynamicQuantize(_) => dynamic::quantize(w, &n),
        Op::IntegerMatMul(_) => dynamic::matmul(w, &n),
        Op::IntegerConv(op) => dynamic::conv(w, &n, op),
        Op::Recurrent(op) => recurrent::recurrent(w, &n, op),
        Op::IntegerLstm(op) => integer_lstm::integer_lstm(w, &n, op),
        Op::Custom(op) => custom(w, &n, op),
        // Branches are written before their nodes are.
        Op::Merge(_) => Err(Stop::because("it chooses between branches that are not known here")),
    }
}

/// More rows of weights than any network has: constants are made as long as there are rows.
const MAX_ROWS: usize = 1 << 24;

/// A node with what writing asks of it.
struct NodeView<'a> {
    node: &'a Node,
    graph: &'a Graph,
}

impl<'a> NodeView<'a> {
    fn input(&self, i: usize) -> Result<TensorId, Stop> {
        self.node.input(i).ok_or_else(|| Stop::because(format!("input {i} is missing")))
    }

    fn tensor(&self, i: usize) -> Result<&'a Tensor, Stop> {
        Ok(self.graph.tensor(self.input(i)?))
    }

    fn out(&self) -> TensorId {
        self.node.outputs[0]
    }

    /// The names of all inputs as the graph has them.
    fn inputs(&self, w: &mut Writer) -> Result<Vec<String>, Stop> {
        self.node.inputs.iter().map(|&id| w.optional(id)).collect()
    }

    /// The extents of input `i`.
    fn dims(&self, i: usize) -> Result<Vec<usize>, Stop> {
        let t = self.tensor(i)?;
        t.shape.dims().ok_or_else(|| Stop::because(format!("the shape of '{}' is not known", t.name)))
    }

    /// The scales and zero points of the rows of weights, input `i`.
    fn rows(&self, i: usize) -> Result<(Vec<f32>, Vec<i32>), Stop> {
        let (tensor, rows) = (self.tensor(i)?, self.dims(i)?.first().copied().unwrap_or(0));
        let quant = tensor.quant.as_ref().filter(|_| rows <= MAX_ROWS);
        match quant.map(|q| (q.axis, q.scale.len(), q)) {
            Some((None, 1, q)) => Ok((vec![q.scale[0]; rows], vec![q.zero_point[0]; rows])),
            Some((Some(0), len, q)) if len == rows => Ok((q.scale.clone(), q.zero_point.clone())),
            _ => Err(Stop::because(format!("'{}' needs one scale, or one for each row", tensor.name))),
        }
    }

    /// The bytes of constant input `i`.
    fn constant(&self, i: usize) -> Result<&'a Data, Stop> {
        let t = self.tensor(i)?;
        t.data.as_ref().ok_or_else(|| Stop::because(format!("'{}' is not constant", t.name)))
    }
}

/// An operator that takes integers as they are.
fn moved(w: &mut Writer, n: &NodeView, op: &str, attributes: Vec<AttributeProto>) -> Result<(), Stop> {
    let mut inputs = n.inputs(w)?;
    let to = w.make(n.out(), Layout::Plain);
    // What ONNX Runtime has no kernels for.
    if w.graph.tensor(n.out()).dtype == DType::I16 && matches!(op, "Pad" | "Where" | "Tile") {
        for (id, name) in n.node.inputs.iter().zip(&mut inputs) {
            if id.is_some_and(|id| w.graph.tensor(id).dtype == DType::I16) {
                *name = w.cast(name, DType::I32);
            }
        }
        let wide: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let wide = w.calc(op, &wide, attributes);
        w.push_cast(wide, to, DType::I16);
        return Ok(());
    }
    w.push(op, &inputs, to, attributes);
    Ok(())
}

/// [`moved`] with axes as a second input.
fn along(w: &mut Writer, n: &NodeView, op: &str, axes: &[usize]) -> Result<(), Stop> {
    let x = w.stored(n.input(0)?, Layout::Plain)?;
    let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
    let axes = w.int_vector(&axes);
    let to = w.make(n.out(), Layout::Plain);
    w.push(op, &[x, axes], to, vec![]);
    Ok(())
}

/// Channels first if that is how all parts are there.
fn concat(w: &mut Writer, n: &NodeView, op: &Concat) -> Result<(), Stop> {
    let layout = elementwise::layout(w, n);
    let inputs: Vec<TensorId> = n.node.present_inputs().collect();
    let inputs = inputs.into_iter().map(|id| w.stored(id, layout)).collect::<Result<Vec<_>, _>>()?;
    let to = w.make(n.out(), layout);
    w.push("Concat", &inputs, to, vec![int("axis", layout.axis(op.axis) as i64)]);
    Ok(())
}

fn split(w: &mut Writer, n: &NodeView, op: &Split) -> Result<(), Stop> {
    let mut inputs = vec![w.stored(n.input(0)?, Layout::Plain)?];
    let mut attributes = vec![int("axis", op.axis as i64)];
    if op.sizes.is_empty() {
        attributes.push(int("num_outputs", n.node.outputs.len() as i64));
    } else {
        let sizes: Vec<i64> = op.sizes.iter().map(|&s| s as i64).collect();
        inputs.push(w.int_vector(&sizes));
    }
    let outputs = n.node.outputs.iter().map(|&id| w.make(id, Layout::Plain)).collect();
    w.push_many(("", "Split"), &inputs, outputs, attributes);
    Ok(())
}

/// Between channels first and channels last nothing needs to move: the other form is remembered.
fn transpose(w: &mut Writer, n: &NodeView, op: &Transpose) -> Result<(), Stop> {
    let x = n.input(0)?;
    if op.perm[..] == TO_NHWC {
        let x = w.stored(x, Layout::Plain)?;
        w.is(n.out(), Layout::Nchw, x);
        return Ok(());
    }
    if op.perm[..] == TO_NCHW && w.is_nchw(x) {
        let x = w.stored(x, Layout::Nchw)?;
        w.is(n.out(), Layout::Plain, x);
        return Ok(());
    }
    moved(w, n, "Transpose", vec![ints("perm", op.perm.iter().map(|&p| p as i64))])
}

fn reduce(w: &mut Writer, n: &NodeView, op: &Reduce) -> Result<(), Stop> {
    let (x, y) = (n.input(0)?, n.out());
    // What runtimes have an integer form for.
    if op.kind == ReduceKind::Mean && op.axes == [1, 2] && op.keep_dims && n.tensor(0)?.shape.rank() == 4 {
        let x = w.real(x, Layout::Nchw)?;
        return w.computed("GlobalAveragePool", &[x], vec![], (y, Layout::Nchw), Clamp::NONE);
    }
    let name = match op.kind {
        ReduceKind::Mean => "ReduceMean",
        ReduceKind::Sum => "ReduceSum",
        ReduceKind::Max => "ReduceMax",
        ReduceKind::Min => "ReduceMin",
        ReduceKind::Prod => "ReduceProd",
    };
    let axes: Vec<i64> = op.axes.iter().map(|&a| a as i64).collect();
    let axes = w.int_vector(&axes);
    let x = w.real(x, Layout::Plain)?;
    // No axes are none, not all.
    let flags = [("keepdims", op.keep_dims), ("noop_with_empty_axes", true)];
    let flags = flags.map(|(name, v)| int(name, v.into())).to_vec();
    w.computed(name, &[x, axes], flags, (y, Layout::Plain), Clamp::NONE)
}

/// An operator of the application, under the name that it came by. Its parameters stay texts: whoever runs the file
/// must bring the operator along.
fn custom(w: &mut Writer, n: &NodeView, op: &Custom) -> Result<(), Stop> {
    let (domain, name) = op.name.rsplit_once('.').unwrap_or(("custom", &op.name));
    let inputs = n.inputs(w)?;
    let lines = op.parameters.lines().filter_map(|line| line.split_once('='));
    let attributes = lines.map(|(name, value)| text(name, value)).collect();
    let to = w.make(n.out(), Layout::Plain);
    w.push_many((domain, name), &inputs, vec![to], attributes);
    Ok(())
}
