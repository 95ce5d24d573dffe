//! Attention and normalization, in pieces or as operators of ONNX and of ONNX Runtime's own domain.

use crate::build::bytes;
use crate::build::{Builder, counting, float, floats, int, int_list, ints, only, op_names};
use ottava::graph::{Graph, Op};
use ottava::import::onnx::proto::*;
use ottava::{Model, SessionOptions, optimize};

/// The first output for inputs that are the same every time.
fn outputs(graph: Graph) -> Vec<f32> {
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    for i in 0..session.inputs().len() {
        let x = session.input_mut::<f32>(i).unwrap();
        x.iter_mut().enumerate().for_each(|(j, x)| *x = ((j * 37 + i * 11) % 101) as f32 * 0.031 - 1.2);
    }
    session.run().unwrap();
    session.output::<f32>(0).unwrap().to_vec()
}

/// The optimized graph, which gives nearly what the imported one gives.
fn fused(model: &Builder) -> Graph {
    let expected = outputs(model.graph_of());
    let graph = optimize::float(model.graph_of()).unwrap();
    let got = outputs(graph.clone());
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(&expected) {
        assert!((g - e).abs() <= 1e-5 * e.abs().max(1.0), "{g} for {e}: {:?}", op_names(&graph));
    }
    graph
}

/// Attention of 3 heads of 4 elements over 2 sequences of 5, as BERT is exported.
fn attention(scale: &str, mask: bool) -> Builder {
    let to_heads = int_list("perm", &[0, 2, 1, 3]);
    let builder = Builder::new(17)
        .input("x", &[2, 5, 12])
        .input("y", &[2, 5, 12])
        .input("z", &[2, 5, 12])
        .input("m", &[2, 1, 1, 5])
        .constant(ints("split", &[0, 0, 3, 4]))
        .constant(ints("join", &[0, 0, 12]))
        .constant(floats("root", &[], &[2.0]))
        .node("Reshape", "x split", "q", &[])
        .node("Reshape", "y split", "k", &[])
        .node("Reshape", "z split", "v", &[])
        .node("Transpose", "q", "qt", std::slice::from_ref(&to_heads))
        .node("Transpose", "k", "kt", &[int_list("perm", &[0, 2, 3, 1])])
        .node("Transpose", "v", "vt", std::slice::from_ref(&to_heads));
    let builder = match scale {
        "scores" => builder.node("MatMul", "qt kt", "qk", &[]).node("Div", "qk root", "scores", &[]),
        "query" => builder.node("Div", "qt root", "qs", &[]).node("MatMul", "qs kt", "scores", &[]),
        _ => builder.node("MatMul", "qt kt", "scores", &[]),
    };
    let builder = match mask {
        true => builder.node("Add", "m scores", "masked", &[]),
        // The mask is read by something else.
        false => builder.node("Identity", "scores", "masked", &[]).node("Neg", "m", "n", &[]).output("n"),
    };
    let mut builder = builder
        .node("Softmax", "masked", "weights", &[int("axis", -1)])
        .node("MatMul", "weights vt", "context", &[])
        .node("Transpose", "context", "together", &[to_heads])
        .node("Reshape", "together join", "out", &[])
        .output("out");
    builder.graph().output.rotate_right(1);
    builder
}

#[test]
fn attention_in_pieces_is_one_node_without_transposes() {
    for (scale, mask) in [("scores", true), ("query", true), ("", true), ("scores", false)] {
        let graph = fused(&attention(scale, mask));
        let Op::Attention(op) = &only(&graph, "Attention").op else { panic!("{:?}", op_names(&graph)) };
        assert_eq!(op.scale, if scale.is_empty() { 1.0 } else { 0.5 });
        assert_eq!(only(&graph, "Attention").inputs.len(), if mask { 4 } else { 3 });
        assert!(!op_names(&graph).iter().any(|op| matches!(*op, "Transpose" | "MatMul" | "Softmax")));
    }
}

#[test]
fn scores_that_are_read_elsewhere_stay() {
    let mut builder = attention("scores", true);
    builder = builder.output("masked");
    let graph = fused(&builder);
    assert!(!op_names(&graph).contains(&"Attention"), "{:?}", op_names(&graph));
}

#[test]
fn layer_normalization_in_pieces_is_one_node() {
    for (square, root) in [("Mul", "Div"), ("Pow", "Div"), ("Mul", "Reciprocal")] {
        let builder = Builder::new(17)
            .input("x", &[3, 4, 6])
            .constant(floats("two", &[], &[2.0]))
            .constant(floats("eps", &[], &[1e-5]))
            .constant(counting("g", &[6]))
            .constant(counting("b", &[6]))
            .node("ReduceMean", "x", "mean", &[int_list("axes", &[-1])])
            .node("Sub", "x mean", "d", &[])
            .node(square, if square == "Pow" { "d two" } else { "d d" }, "square", &[])
            .node("ReduceMean", "square", "variance", &[int_list("axes", &[-1])])
            .node("Add", "variance eps", "raised", &[])
            .node("Sqrt", "raised", "deviation", &[]);
        let builder = match root {
            "Div" => builder.node("Div", "d deviation", "n", &[]),
            _ => builder.node("Reciprocal", "deviation", "r", &[]).node("Mul", "r d", "n", &[]),
        };
        let graph = fused(&builder.node("Mul", "n g", "s", &[]).node("Add", "s b", "y", &[]).output("y"));
        assert_eq!(op_names(&graph), ["LayerNorm"], "{square} {root}");
        assert_eq!(graph.nodes[0].inputs.len(), 3);
    }
    let rms = Builder::new(17)
        .input("x", &[3, 4, 6])
        .constant(floats("eps", &[], &[1e-5]))
        .constant(counting("g", &[6]))
        .node("Mul", "x x", "square", &[])
        .node("ReduceMean", "square", "variance", &[int_list("axes", &[-1])])
        .node("Add", "variance eps", "raised", &[])
        .node("Sqrt", "raised", "deviation", &[])
        .node("Div", "x deviation", "n", &[])
        .node("Mul", "n g", "y", &[])
        .output("y");
    let graph = fused(&rms);
    assert!(matches!(&only(&graph, "LayerNorm").op, Op::LayerNorm(op) if op.rms));
}

/// A node of ONNX Runtime's domain behind the others.
fn contrib(mut builder: Builder, op: &str, inputs: &str, attrs: &[AttributeProto]) -> Builder {
    builder = builder.node(op, inputs, "y", attrs).output("y");
    if let Some(node) = builder.graph().node.last_mut() {
        node.domain = "com.microsoft".into();
    }
    builder
}

#[test]
fn fused_operators_are_what_they_abbreviate() {
    let three = || {
        Builder::new(17)
            .input("x", &[2, 3, 6])
            .input("s", &[2, 3, 6])
            .constant(counting("g", &[6]))
            .constant(counting("b", &[6]))
            .constant(floats("c", &[6], &[0.5, -0.5, 1.0, 0.0, 2.0, -1.0]))
    };
    let epsilon = || [float("epsilon", 1e-3)];
    let skip = contrib(three(), "SkipLayerNormalization", "x s g b c", &epsilon());
    let pieces = three()
        .node("Add", "x s", "t", &[])
        .node("Add", "t c", "u", &[])
        .node("LayerNormalization", "u g b", "y", &epsilon())
        .output("y");
    assert_eq!(outputs(skip.graph_of()), outputs(pieces.graph_of()));
    let gelu = contrib(three(), "BiasGelu", "x c", &[]);
    let pieces = three().node("Add", "x c", "t", &[]).node("Sub", "t s", "y", &[]).output("y");
    assert_eq!(op_names(&gelu.graph_of()), ["Binary", "Unary"]);
    assert_eq!(op_names(&pieces.graph_of()), ["Binary", "Binary"]);
    let product = contrib(three(), "FusedMatMul", "x s", &[float("alpha", 0.25), int("transB", 1)]);
    let pieces = three()
        .constant(floats("quarter", &[], &[0.25]))
        .node("Transpose", "s", "t", &[int_list("perm", &[0, 2, 1])])
        .node("MatMul", "x t", "p", &[])
        .node("Mul", "p quarter", "y", &[])
        .output("y");
    assert_eq!(outputs(product.graph_of()), outputs(pieces.graph_of()));
}

#[test]
fn a_dynamic_product_of_the_runtime_is_one_node() {
    let weights: Vec<i32> = (0..6 * 4).map(|i| (i * 89 + 11) % 255).collect();
    let model = contrib(
        Builder::new(17)
            .input("x", &[2, 3, 6])
            .constant(bytes("w", &[6, 4], data_type::UINT8, &weights))
            .constant(bytes("wz", &[], data_type::UINT8, &[117]))
            .constant(floats("ws", &[1], &[0.02]))
            .constant(counting("b", &[4])),
        "DynamicQuantizeMatMul",
        "x w ws wz b",
        &[],
    );
    let graph = fused(&model);
    assert_eq!(op_names(&graph), ["DynamicQuantize", "Linear"]);
    let refused = contrib(Builder::new(17).input("x", &[2, 3]), "FusedTwist", "x", &[]);
    assert!(refused.refusal().contains("com.microsoft.FusedTwist"));
}
