//! Quantization at run time: the chains that exporters write become one product, with the same bits.

use crate::build::bytes;
use crate::build::{Builder, counting, floats, int_list, ints, only, op_names};
use ottava::graph::{DType, Graph, Op};
use ottava::import::onnx::proto::*;
use ottava::{Model, SessionOptions, optimize};
use ottava_kernels::Isa;

/// The outputs of a graph for an input that is the same every time, as bits.
fn outputs(graph: Graph, isa: Isa) -> Vec<Vec<u8>> {
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(&SessionOptions { isa, ..SessionOptions::default() }).unwrap();
    let x = session.input_mut::<f32>(0).unwrap();
    x.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 37 % 101) as f32 - 40.0) * 0.031);
    session.run().unwrap();
    (0..session.outputs().len()).map(|i| session.output_bytes(i).unwrap().to_vec()).collect()
}

/// The optimized graph; it gives the bits of the one that was imported, with every instruction set.
fn fused(model: &Builder) -> Graph {
    let expected = outputs(model.graph_of(), Isa::SCALAR);
    let graph = optimize::float(model.graph_of()).unwrap();
    for isa in Isa::available() {
        assert!(outputs(graph.clone(), isa) == expected, "{isa}: {:?}", op_names(&graph));
    }
    graph
}

fn weights(n: i64, low: i32) -> Vec<i32> {
    (0..n as i32).map(|i| (i * 89 + 11) % 255 + low).collect()
}

/// Quantize x, multiply by w, scale.
fn product(w: TensorProto, scales: TensorProto, zero: TensorProto) -> Builder {
    Builder::new(17)
        .input("x", &[2, 5, 7])
        .constant(w)
        .constant(scales)
        .constant(zero)
        .node("DynamicQuantizeLinear", "x", "q s z", &[])
        .node("Mul", "s ws", "scale", &[])
        .node("MatMulInteger", "q w z wz", "sums", &[])
        .node("Cast", "sums", "reals", &[crate::build::int("to", 1)])
        .node("Mul", "reals scale", "scaled", &[])
}

fn i8s(low: i32) -> [TensorProto; 2] {
    let w = bytes("w", &[7, 19], data_type::INT8, &weights(7 * 19, low));
    [w, bytes("wz", &[19], data_type::INT8, &[0; 19])]
}

fn per_column() -> TensorProto {
    floats("ws", &[19], &(1..20).map(|i| i as f32 * 0.0013).collect::<Vec<_>>())
}

#[test]
fn a_product_with_scales_bias_and_relu_is_one_node() {
    let [w, wz] = i8s(-127);
    let graph = fused(
        &product(w, per_column(), wz)
            .constant(counting("b", &[19]))
            .node("Add", "b scaled", "biased", &[])
            .node("Relu", "biased", "y", &[])
            .output("y"),
    );
    assert_eq!(op_names(&graph), ["DynamicQuantize", "Linear"]);
    let linear = only(&graph, "Linear");
    assert_eq!(linear.inputs.len(), 5);
    assert_eq!(graph.tensor(linear.input(1).unwrap()).dtype, DType::I8);
}

#[test]
fn one_scale_no_bias_and_weights_of_minus_128() {
    let [w, wz] = i8s(-128);
    let scale = floats("ws", &[1], &[0.25]);
    let graph = fused(&product(w, scale, wz).node("Neg", "scaled", "y", &[]).output("y"));
    assert_eq!(op_names(&graph), ["DynamicQuantize", "Linear", "Unary"]);
}

#[test]
fn products_of_one_input_share_its_bytes() {
    let [w, wz] = i8s(-127);
    let graph = fused(
        &product(w, per_column(), wz)
            .node("MatMulInteger", "q w z wz", "sums2", &[])
            .node("Cast", "sums2", "reals2", &[crate::build::int("to", 1)])
            .node("Mul", "scale reals2", "scaled2", &[])
            .node("Sub", "scaled scaled2", "y", &[])
            .output("y"),
    );
    assert_eq!(op_names(&graph).iter().filter(|op| **op == "DynamicQuantize").count(), 1);
    assert_eq!(op_names(&graph).iter().filter(|op| **op == "Linear").count(), 2);
}

#[test]
fn weights_with_zero_points() {
    for (zero, kind) in
        [(128, data_type::UINT8), (3, data_type::UINT8), (255, data_type::UINT8), (-9, data_type::INT8)]
    {
        let low = if kind == data_type::UINT8 { 0 } else { -128 };
        let w = bytes("w", &[7, 19], kind, &weights(7 * 19, low));
        let wz = bytes("wz", &[], kind, &[zero]);
        let graph = fused(&product(w, per_column(), wz).output("scaled"));
        assert_eq!(op_names(&graph), ["DynamicQuantize", "Linear"], "{zero}");
    }
    let columns: Vec<i32> = (0..19).map(|i| i * 13).collect();
    let w = bytes("w", &[7, 19], data_type::UINT8, &weights(7 * 19, 0));
    let wz = bytes("wz", &[19], data_type::UINT8, &columns);
    let graph = fused(&product(w, per_column(), wz).output("scaled"));
    assert_eq!(op_names(&graph), ["DynamicQuantize", "Linear"]);
}

#[test]
fn convolutions_lose_their_transposes() {
    for (group, w) in [(1, [6, 4, 3, 3]), (2, [6, 2, 3, 3])] {
        let count = w.iter().product::<i64>();
        let graph = fused(
            &Builder::new(17)
                .input("x", &[1, 4, 9, 6])
                .constant(bytes("w", &w, data_type::UINT8, &weights(count, 0)))
                .constant(bytes("wz", &[], data_type::UINT8, &[127]))
                .constant(floats("ws", &[], &[0.01]))
                .constant(counting("b", &[1, 6, 1, 1]))
                .node("DynamicQuantizeLinear", "x", "q s z", &[])
                .node("Mul", "s ws", "scale", &[])
                .node(
                    "ConvInteger",
                    "q w z wz",
                    "sums",
                    &[
                        int_list("pads", &[1, 1, 1, 1]),
                        int_list("strides", &[2, 1]),
                        crate::build::int("group", group),
                    ],
                )
                .node("Cast", "sums", "reals", &[crate::build::int("to", 1)])
                .node("Mul", "reals scale", "scaled", &[])
                .node("Add", "scaled b", "y", &[])
                .output("y"),
        );
        assert_eq!(op_names(&graph), ["DynamicQuantize", "Transpose", "Conv", "Transpose"]);
    }
}

#[test]
fn convolutions_along_one_dimension_lose_theirs() {
    let graph = fused(
        &Builder::new(17)
            .input("x", &[1, 4, 19])
            .constant(bytes("w", &[6, 4, 3], data_type::INT8, &weights(72, -127)))
            .constant(bytes("wz", &[], data_type::INT8, &[0]))
            .constant(floats("ws", &[], &[0.01]))
            .constant(counting("b", &[1, 6, 1]))
            .node("DynamicQuantizeLinear", "x", "q s z", &[])
            .node("Mul", "s ws", "scale", &[])
            .node("ConvInteger", "q w z wz", "sums", &[int_list("pads", &[1, 1])])
            .node("Cast", "sums", "reals", &[crate::build::int("to", 1)])
            .node("Mul", "reals scale", "scaled", &[])
            .node("Add", "scaled b", "biased", &[])
            .node("Relu", "biased", "y", &[])
            .output("y"),
    );
    let names = op_names(&graph);
    assert!(names.contains(&"Conv"), "{names:?}");
    assert!(!names.iter().any(|n| ["IntegerConv", "Cast", "Binary", "Unary"].contains(n)), "{names:?}");
}

#[test]
fn integer_products_alone_give_their_sums() {
    let model = |a: i32, b: i32| {
        Builder::new(17)
            .input("x", &[3, 4])
            .constant(bytes("b", &[4, 2], b, &[1, 2, 3, 4, 5, 6, 7, 8]))
            .constant(bytes("bz", &[2], b, &[2, 5]))
            .constant(bytes("az", &[], a, &[3]))
            .node("Cast", "x", "a", &[crate::build::int("to", i64::from(a))])
            .node("MatMulInteger", "a b az bz", "y", &[])
            .output_of("y", data_type::INT32)
    };
    let types = [data_type::UINT8, data_type::INT8];
    for (a, b) in types.into_iter().flat_map(|a| types.map(|b| (a, b))) {
        let model = model(a, b);
        let graph = fused(&model);
        assert!(graph.nodes.iter().any(|n| matches!(n.op, Op::IntegerMatMul(_))));
        let session_of =
            |graph: Graph| Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
        let mut session = session_of(graph);
        session
            .input_mut::<f32>(0)
            .unwrap()
            .copy_from_slice(&[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.]);
        session.run().unwrap();
        let b = [1, 2, 3, 4, 5, 6, 7, 8];
        let sum = |i: i32, j: usize| -> i32 {
            (0..4).map(|k| (i * 4 + k + 1 - 3) * (b[2 * k as usize + j] - [2, 5][j])).sum()
        };
        let expected: Vec<i32> = (0..3).flat_map(|i| [sum(i, 0), sum(i, 1)]).collect();
        assert_eq!(session.output::<i32>(0).unwrap(), expected);
    }
}

#[test]
fn what_is_no_product_of_bytes_is_refused() {
    let floats = Builder::new(17)
        .input("x", &[3, 4])
        .constant(counting("w", &[4, 2]))
        .node("MatMulInteger", "x w", "y", &[])
        .output_of("y", data_type::INT32);
    assert!(floats.refusal().contains("only u8 and i8"));
    let rows = Builder::new(17)
        .input("x", &[3, 4])
        .constant(ints("unused", &[1]))
        .constant(bytes("w", &[4, 2], data_type::UINT8, &[1; 8]))
        .constant(bytes("az", &[3], data_type::UINT8, &[1; 3]))
        .node("DynamicQuantizeLinear", "x", "q s z", &[])
        .node("MatMulInteger", "q w az", "y", &[])
        .output_of("y", data_type::INT32);
    assert!(rows.refusal().contains("zero points per row"));
}
