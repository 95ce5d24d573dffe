//! Every family of operators, with what files may say and what they should not.

mod bound;
mod dtypes;
mod hostile;
mod shapes;

use super::super::*;
use super::*;

/// A shape in a test: negative numbers are free dimensions, `-1` the first.
pub(super) fn shape(dims: &[i64]) -> Shape {
    let dim = |&d: &i64| if d < 0 { Dim::Free((-d - 1) as u32) } else { Dim::Fixed(d as usize) };
    Shape(dims.iter().map(dim).collect())
}

/// A builder with the free dimensions `n` and `m`.
pub(super) fn builder() -> GraphBuilder {
    let mut b = GraphBuilder::new("test");
    b.free_dim("n");
    b.free_dim("m");
    b
}

/// A graph's input in a test: a value of some type and shape, or constant integers.
#[derive(Clone, Debug)]
pub(super) enum In {
    F32(Vec<i64>),
    Typed(DType, Vec<i64>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Missing,
}

/// An f32 input.
pub(super) fn f(dims: &[i64]) -> In {
    In::F32(dims.to_vec())
}

/// A constant vector.
pub(super) fn ints(values: &[i64]) -> In {
    In::Ints(values.to_vec())
}

/// What one node over these inputs gives.
pub(super) fn outputs(op: impl Into<Op>, inputs: &[In], count: usize) -> Result<Vec<String>, String> {
    let mut b = builder();
    let inputs = inputs
        .iter()
        .map(|i| match i {
            In::F32(dims) => Some(b.input("x", DType::F32, shape(dims))),
            In::Typed(dtype, dims) => Some(b.input("x", *dtype, shape(dims))),
            In::Ints(values) => Some(b.i64s("c", values)),
            In::Floats(values) => Some(b.f32s("c", &[values.len()], values)),
            In::Missing => None,
        })
        .collect();
    let node = Node { name: "node".into(), op: op.into(), inputs, outputs: vec![] };
    let names: Vec<String> = (0..count).map(|i| format!("y{i}")).collect();
    let ids = b.push(node, &names).map_err(|e| e.to_string())?;
    let show = |id: &TensorId| {
        let t = b.graph().tensor(*id);
        format!("{} {}", t.dtype, b.graph().show_shape(&t.shape))
    };
    Ok(ids.iter().map(show).collect())
}

/// The one output of a node that is fine.
pub(super) fn gives(op: impl Into<Op>, inputs: &[In]) -> String {
    outputs(op, inputs, 1).unwrap().remove(0)
}

/// Fails unless the node is refused with a complaint that contains `why`.
#[track_caller]
pub(super) fn refused(op: impl Into<Op>, inputs: &[In], why: &str) {
    let complaint = outputs(op, inputs, 1).expect_err("must be refused");
    assert!(complaint.starts_with("node 'node' ("), "{complaint}");
    assert!(complaint.contains(why), "{complaint}");
}
