//! Functions of elements, softmax, normalization, reductions.

use crate::build::*;
use ottava::graph::{BinaryKind, Op, UnaryKind};
use ottava::import::onnx::proto::{AttributeProto, TensorProto, data_type};

/// One node over an input `x` of `[2, 3, 4, 5]`.
fn unary(opset: i64, op: &str, attrs: &[AttributeProto]) -> Builder {
    Builder::new(opset).input("x", &[2, 3, 4, 5]).node(op, "x", "y", attrs).output("y")
}

fn flag(name: &str, value: u8) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: data_type::BOOL,
        raw_data: Some(vec![value].into()),
        ..Default::default()
    }
}

fn function(model: &Builder) -> (UnaryKind, f32, f32) {
    match single(&model.graph_of()) {
        Op::Unary(u) => (u.kind, u.alpha, u.beta),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_have_the_defaults_of_onnx() {
    assert_eq!(function(&unary(13, "LeakyRelu", &[])), (UnaryKind::LeakyRelu, 0.01, 0.0));
    assert_eq!(function(&unary(13, "Elu", &[])), (UnaryKind::Elu, 1.0, 0.0));
    assert_eq!(function(&unary(13, "HardSigmoid", &[])), (UnaryKind::HardSigmoid, 0.2, 0.5));
    assert_eq!(function(&unary(20, "Gelu", &[])).0, UnaryKind::Gelu);
    assert_eq!(function(&unary(20, "Gelu", &[text("approximate", "tanh")])).0, UnaryKind::GeluTanh);
    assert!(unary(19, "Gelu", &[]).refusal().contains("operator set 19"));
    assert!(unary(13, "Relu", &[float("alpha", 1.0)]).refusal().contains("'alpha'"));
}

#[test]
fn the_bounds_of_clip_moved_to_inputs() {
    let old = unary(7, "Clip", &[float("min", -1.0), float("max", 6.0)]);
    let new = Builder::new(13).input("x", &[2]).constant(floats("lo", &[], &[-1.0])).constant(floats(
        "hi",
        &[],
        &[6.0],
    ));
    let new = new.node("Clip", "x lo hi", "y", &[]).output("y");
    for model in [old, new] {
        assert_eq!(function(&model), (UnaryKind::Clip, -1.0, 6.0));
    }
    let upper = Builder::new(13).input("x", &[2]).constant(floats("hi", &[], &[6.0]));
    let upper = upper.node("Clip", "x - hi", "y", &[]).output("y");
    assert_eq!(function(&upper), (UnaryKind::Clip, f32::NEG_INFINITY, 6.0));
    // Crossed bounds: the upper one wins.
    assert_eq!(
        function(&unary(7, "Clip", &[float("min", 3.0), float("max", 1.0)])),
        (UnaryKind::Clip, 1.0, 1.0)
    );
    assert!(unary(7, "Clip", &[float("min", f32::NAN)]).refusal().contains("not a number"));
    assert!(unary(13, "Clip", &[float("min", 0.0)]).refusal().contains("'min'"));
    // Computed bounds are two functions of two tensors.
    let free = Builder::new(13).input("x", &[2]).input("lo", &[]).input("hi", &[]);
    let g = free.node("Clip", "x lo hi", "y", &[]).output("y").graph_of();
    assert_eq!(op_names(&g), ["Binary", "Binary"]);
}

#[test]
fn any_number_of_values_is_combined_in_order() {
    let max = |inputs: &str| {
        let model = Builder::new(13).input("a", &[2]).input("b", &[1]).input("c", &[3, 1]);
        model.node("Max", inputs, "y", &[]).output("y").graph_of()
    };
    let g = max("a b c");
    assert!(g.nodes.iter().all(|n| matches!(&n.op, Op::Binary(b) if b.kind == BinaryKind::Max)));
    assert_eq!((g.nodes.len(), output_dims(&g)), (2, vec![3, 2]));
    assert_eq!(max("a b").nodes.len(), 1);
    assert_eq!(op_names(&max("a")), ["Transpose"], "an input that is an output is copied");
}

#[test]
fn an_integer_exponent_is_converted() {
    let model = Builder::new(13).input("x", &[2]).constant(ints("e", &[3]));
    let g = model.node("Pow", "x e", "y", &[]).output("y").graph_of();
    assert_eq!(op_names(&g), ["Cast", "Binary"]);
}

#[test]
fn softmax_flattened_at_first() {
    let names = |opset: i64, axis: i64| op_names(&unary(opset, "Softmax", &[int("axis", axis)]).graph_of());
    assert_eq!(names(12, 1), ["ShapeOf", "Flatten", "Softmax", "Reshape"]);
    assert_eq!(names(12, -1), ["Softmax"]);
    assert_eq!(names(13, 1), ["Softmax"]);
    let axis = |model: Builder| match &only(&model.graph_of(), "Softmax").op {
        Op::Softmax(s) => s.axis,
        other => panic!("{other:?}"),
    };
    assert_eq!(axis(unary(13, "LogSoftmax", &[])), 3, "the last by default");
    let ones = Builder::new(12).input("x", &[2, 1, 7, 1]).node("Softmax", "x", "y", &[]).output("y");
    assert_eq!(axis(ones), 2, "the only one behind axis 1 that is not 1");
    assert_eq!(output_dims(&unary(12, "Softmax", &[int("axis", 2)]).graph_of()), [2, 3, 4, 5]);
    assert!(unary(13, "Softmax", &[int("axis", 4)]).refusal().contains("axis 4"));
    assert!(unary(13, "Softmax", &[int("axis", i64::MIN)]).refusal().contains("out of range"));
}

#[test]
fn normalization_is_for_inference() {
    let norm = |opset: i64, outputs: &str, attrs: &[AttributeProto]| {
        let model = Builder::new(opset).input("x", &[2, 3, 4, 5]);
        let model =
            ["s", "b", "m", "v"].iter().fold(model, |m, name| m.constant(floats(name, &[3], &[1.0; 3])));
        model.node("BatchNormalization", "x s b m v", outputs, attrs).output("y")
    };
    let g = norm(15, "y", &[float("epsilon", 0.5), float("momentum", 0.1)]).graph_of();
    assert!(matches!(single(&g), Op::BatchNorm(n) if n.axis == 1 && n.epsilon == 0.5));
    assert!(norm(7, "y", &[int("spatial", 0)]).refusal().contains("spatial"));
    assert!(norm(9, "y", &[int("spatial", 1)]).refusal().contains("spatial"));
    assert!(norm(14, "y", &[int("training_mode", 1)]).refusal().contains("training_mode"));
    assert!(norm(13, "y mean", &[]).refusal().contains("training"));
}

#[test]
fn dropout_vanishes() {
    let g = Builder::new(7).input("x", &[2]).node("Relu", "x", "r", &[]);
    let g = g.node("Dropout", "r", "y mask", &[float("ratio", 0.5)]).output("y").graph_of();
    assert_eq!((op_names(&g), g.tensor(g.outputs[0]).name.as_str()), (vec!["Unary"], "y"));
    let trained = |on: u8| {
        let model =
            Builder::new(13).input("x", &[2]).constant(floats("p", &[], &[0.5])).constant(flag("t", on));
        model.node("Relu", "x", "r", &[]).node("Dropout", "r p t", "y", &[]).output("y")
    };
    assert_eq!(op_names(&trained(0).graph_of()), ["Unary"]);
    assert!(trained(1).refusal().contains("training_mode"));
}

#[test]
fn the_axes_of_reductions_moved_to_inputs() {
    let axes = |g: &ottava::graph::Graph| match single(g) {
        Op::Reduce(r) => (r.axes.clone(), r.keep_dims),
        other => panic!("{other:?}"),
    };
    let attrs = [int_list("axes", &[-1, 1]), int("keepdims", 0)];
    assert_eq!(axes(&unary(17, "ReduceMean", &attrs).graph_of()), (vec![1, 3], false));
    assert!(unary(18, "ReduceMean", &attrs).refusal().contains("'axes'"));
    assert!(unary(13, "ReduceSum", &attrs).refusal().contains("'axes'"));
    assert_eq!(axes(&unary(12, "ReduceSum", &attrs).graph_of()), (vec![1, 3], false));
    let input = |attrs: &[AttributeProto], values: &[i64]| {
        let model =
            Builder::new(18).input("x", &[2, 3]).node("Neg", "x", "n", &[]).constant(ints("a", values));
        model.node("ReduceMax", "n a", "y", attrs).output("y")
    };
    assert_eq!(output_dims(&input(&[], &[-1]).graph_of()), [2, 1]);
    assert_eq!(output_dims(&input(&[], &[]).graph_of()), [1, 1], "no axes: all of them");
    let none = input(&[int("noop_with_empty_axes", 1)], &[]).graph_of();
    assert_eq!(op_names(&none), ["Unary"]);
    assert!(input(&[], &[1, -1]).refusal().contains("named twice"));
    assert!(input(&[], &[2]).refusal().contains("axis 2"));
}

#[test]
fn the_greatest_index_is_found() {
    let attrs = [int("axis", -1), int("select_last_index", 1), int("keepdims", 0)];
    let model = Builder::new(12).input("x", &[2, 3, 4, 5]).node("ArgMax", "x", "y", &attrs);
    let g = model.output_of("y", data_type::INT64).graph_of();
    assert!(matches!(single(&g), Op::ArgMax(a) if a.axis == 3 && a.select_last && !a.keep_dims));
    assert!(unary(11, "ArgMax", &[int("select_last_index", 1)]).refusal().contains("select_last_index"));
}
