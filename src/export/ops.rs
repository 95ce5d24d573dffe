//! Each operator in ONNX's form.

mod elementwise;
mod product;
mod window;

use super::Stop;
use super::onnx::{Layout, TO_NCHW, TO_NHWC, Writer, code, int, ints, text};
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
        Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => elementwise::convert(w, &n),
        Op::Softmax(op) => {
            let name = if op.log { "LogSoftmax" } else { "Softmax" };
            let x = w.real(n.input(0)?, Layout::Plain)?;
            let axis = vec![int("axis", op.axis as i64)];
            w.computed(name, &[x], axis, (n.out(), Layout::Plain), Clamp::NONE)
        }
        Op::Transpose(op) => transpose(w, &n, op),
        Op::Concat(op) => moved(w, &n, "Concat", vec![int("axis", op.axis as i64)]),
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
        Op::Where(_) => moved(w, &n, "Where", vec![]),
        Op::ShapeOf(op) => {
            let end = (op.end != i64::MAX).then(|| int("end", op.end));
            moved(w, &n, "Shape", end.into_iter().chain([int("start", op.start)]).collect())
        }
        Op::Cast(_) => {
            let to = code(w.graph.tensor(n.out()).dtype)?;
            moved(w, &n, "Cast", vec![int("to", to.into())])
        }
        Op::ArgMax(op) => {
            let flags = [("keepdims", op.keep_dims), ("select_last_index", op.select_last)];
            let flags = flags.map(|(name, v)| int(name, v.into()));
            moved(w, &n, "ArgMax", flags.into_iter().chain([int("axis", op.axis as i64)]).collect())
        }
        Op::Fill(_) => {
            let (shape, value) =
                (w.stored(n.input(0)?, Layout::Plain)?, w.stored(n.input(1)?, Layout::Plain)?);
            let to = w.make(n.out(), Layout::Plain);
            w.push("Expand", &[value, shape], to, vec![]);
            Ok(())
        }
        _ => Err(Stop::because("it has no ONNX form here; keep the .8va file")),
    }
}

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

    /// The extents of constant input `i`.
    fn dims(&self, i: usize) -> Result<Vec<usize>, Stop> {
        let t = self.tensor(i)?;
        t.shape.dims().ok_or_else(|| Stop::because(format!("the shape of '{}' is not known", t.name)))
    }

    /// The bytes of constant input `i`.
    fn constant(&self, i: usize) -> Result<&'a Data, Stop> {
        let t = self.tensor(i)?;
        t.data.as_ref().ok_or_else(|| Stop::because(format!("'{}' is not constant", t.name)))
    }
}

/// An operator that takes integers as they are.
fn moved(w: &mut Writer, n: &NodeView, op: &str, attributes: Vec<AttributeProto>) -> Result<(), Stop> {
    let named = |w: &mut Writer, input: &Option<TensorId>| match input {
        Some(id) => w.stored(*id, Layout::Plain),
        None => Ok(String::new()),
    };
    let inputs = n.node.inputs.iter().map(|i| named(w, i)).collect::<Result<Vec<_>, _>>()?;
    let to = w.make(n.out(), Layout::Plain);
    w.push(op, &inputs, to, attributes);
    Ok(())
}

/// [`moved`] with axes as a second input.
fn along(w: &mut Writer, n: &NodeView, op: &str, axes: &[usize]) -> Result<(), Stop> {
    let x = w.stored(n.input(0)?, Layout::Plain)?;
    let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
    let axes = w.int_vector(&format!("{}/axes", n.node.name), &axes)?;
    let to = w.make(n.out(), Layout::Plain);
    w.push(op, &[x, axes], to, vec![]);
    Ok(())
}

fn split(w: &mut Writer, n: &NodeView, op: &Split) -> Result<(), Stop> {
    let mut inputs = vec![w.stored(n.input(0)?, Layout::Plain)?];
    let mut attributes = vec![int("axis", op.axis as i64)];
    if op.sizes.is_empty() {
        attributes.push(int("num_outputs", n.node.outputs.len() as i64));
    } else {
        let sizes: Vec<i64> = op.sizes.iter().map(|&s| s as i64).collect();
        inputs.push(w.int_vector(&format!("{}/sizes", n.node.name), &sizes)?);
    }
    let outputs = n.node.outputs.iter().map(|&id| w.make(id, Layout::Plain)).collect();
    w.push_many("Split", &inputs, outputs, attributes);
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
    let name = match op.kind.name() {
        "mean" => "ReduceMean",
        "sum" => "ReduceSum",
        "max" => "ReduceMax",
        "min" => "ReduceMin",
        other => return Err(Stop::because(format!("the reduction {other} has no ONNX form here"))),
    };
    let axes: Vec<i64> = op.axes.iter().map(|&a| a as i64).collect();
    let axes = w.int_vector(&format!("{}/axes", n.node.name), &axes)?;
    let x = w.real(x, Layout::Plain)?;
    let keep = vec![int("keepdims", op.keep_dims.into())];
    w.computed(name, &[x, axes], keep, (y, Layout::Plain), Clamp::NONE)
}
