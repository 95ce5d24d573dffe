//! A network for any batch and length.

use super::nets::{noise, unary};
use super::recurrent::{INPUT, Layer};
use ottava::graph::*;

/// Inputs `x [batch, length, 5]` and `h [1, batch, 16]`, outputs of every kind of layer that holds weights, and one
/// that depends on the shape alone.
pub fn sequence_network() -> Graph {
    let layer = Layer::new(
        Recurrent { batch_first: true, ..Recurrent::new(RecurrentCell::Gru, Direction::Forward) },
        16,
    );
    let mut b = GraphBuilder::new("sequences");
    let (batch, length) = (b.free_dim("batch"), b.free_dim("length"));
    let x = b.input("x", DType::F32, Shape(vec![batch, length, Dim::Fixed(INPUT)]));
    let h = b.input("h", DType::F32, Shape(vec![batch, Dim::Fixed(1), Dim::Fixed(16)]));
    let [w, r, bias] = &layer.weights;
    let inputs = vec![
        Some(x),
        Some(b.f32s("w", &[48, INPUT], w)),
        Some(b.f32s("r", &[48, 16], r)),
        Some(b.f32s("b", &[1, 96], bias)),
        None,
        Some(h),
    ];
    let node = Node { name: "layer".into(), op: layer.op.into(), inputs, outputs: vec![] };
    let states = b.push(node, &["y".to_string(), "y_h".to_string()]).unwrap();
    let flat = b.i64s("flat", &[0, 0, 16]);
    let y = b.node("states", Reshape { allow_zero: false }, &[states[0], flat]).unwrap();
    // Weights that are computed of constants.
    let half = b.f32s("half", &[40, 16], &noise(5, 640));
    let whole = b.node("whole", unary(UnaryKind::Neg), &[half]).unwrap();
    let bias = b.f32s("bias", &[40], &noise(6, 40));
    let wide = b.node("wide", Linear { clamp: Clamp::NONE }, &[y, whole, bias]).unwrap();
    let share = b.node("share", Softmax { axis: 2, log: false }, &[wide]).unwrap();
    let size = b.node("size", ShapeOf { start: 0, end: 2 }, &[share]).unwrap();
    b.finish(&[share, states[1], size]).unwrap()
}
