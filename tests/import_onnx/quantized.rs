//! Operators on quantized tensors, and which forms of them are refused.

use crate::build::{Builder, bytes, counting, dims, floats, int, only, op_names};
use ottava::graph::DType;
use ottava::import::onnx::proto::*;

/// Inputs of a network whose weights `w [O, C, 1, 1]` have two scales.
fn parameters() -> Builder {
    Builder::new(13)
        .input("x", &[1, 3, 4, 4])
        .constant(floats("s", &[], &[0.5]))
        .constant(bytes("z", &[], data_type::UINT8, &[128]))
        .constant(bytes("w", &[2, 3, 1, 1], data_type::INT8, &[1, 2, 3, -4, -5, -6]))
        .constant(floats("ws", &[2], &[0.25, 0.125]))
        .constant(bytes("wz", &[2], data_type::INT8, &[0, 0]))
        .constant(bytes("b", &[2], data_type::INT32, &[7, 9]))
}

#[test]
fn a_quantized_convolution_is_taken_apart() {
    let graph = parameters()
        .node("QuantizeLinear", "x s z", "xq", &[])
        .node("QLinearConv", "xq s z w ws wz s z b", "yq", &[])
        .node("DequantizeLinear", "yq s z", "y", &[])
        .output("y")
        .graph_of();
    let conv = only(&graph, "Conv");
    let codes_of = |i: usize| {
        let real = conv.input(i).unwrap();
        let node = graph.nodes.iter().find(|n| n.outputs == [real]).unwrap();
        assert_eq!(node.op.name(), "Dequantize");
        node.input(0).unwrap()
    };
    let (w, b) = (graph.tensor(codes_of(1)), graph.tensor(codes_of(2)));
    assert_eq!((w.dtype, dims(&graph, codes_of(1))), (DType::I8, vec![2, 1, 1, 3]));
    let scales = |q: &Option<ottava::graph::Quant>| q.as_ref().map(|q| (q.axis, q.scale.clone()));
    assert_eq!(scales(&w.quant), Some((Some(0), vec![0.25, 0.125])));
    assert_eq!((b.dtype, scales(&b.quant)), (DType::I32, Some((Some(0), vec![0.125, 0.0625]))));
    assert_eq!(graph.nodes.iter().filter(|n| n.op.name() == "Quantize").count(), 2);
}

#[test]
fn constants_are_quantized_at_once() {
    let graph = Builder::new(13)
        .input("x", &[2, 3])
        .constant(counting("w", &[3, 2]))
        .constant(floats("s", &[2], &[1.0, 2.0]))
        .constant(bytes("z", &[2], data_type::INT8, &[0, 1]))
        .node("QuantizeLinear", "w s z", "wq", &[int("axis", 1)])
        .node("DequantizeLinear", "wq s z", "wr", &[int("axis", 1)])
        .node("MatMul", "x wr", "y", &[])
        .output("y")
        .graph_of();
    assert_eq!(op_names(&graph), ["Dequantize", "Linear"]);
    let codes = graph.tensor(graph.nodes[0].input(0).unwrap());
    // Columns 0, 2, 4 and 1, 3, 5 as rows; 0.5, 1.5 and 2.5 go to even.
    assert_eq!(codes.codes().unwrap(), [0, 2, 4, 1, 3, 3]);
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let quantize = |inputs: &str, attrs: &[AttributeProto]| {
        parameters().node("QuantizeLinear", inputs, "y", attrs).output_of("y", data_type::UINT8).refusal()
    };
    assert!(quantize("x ws wz", &[int("axis", 0)]).contains("2 scales for axis 0"));
    assert!(quantize("x ws wz", &[int("block_size", 2)]).contains("one value per block of axis 1"));
    assert!(quantize("x s z", &[int("block_size", -1)]).contains("can't be negative"));
    assert!(quantize("x s b", &[]).contains("it quantizes to i32"));
    assert!(quantize("x s", &[int("output_dtype", 17)]).contains("FLOAT8E4M3FN"));
}

/// Before operator set 13 a softmax looks at all dimensions from its axis on. The operator says itself which one its
/// float form had.
#[test]
fn a_quantized_softmax_names_its_own_operator_set() {
    let y = |opset: i64| {
        let mut model = Builder::new(13)
            .input("x", &[1, 2, 2])
            .constant(floats("s", &[], &[0.5]))
            .constant(bytes("z", &[], data_type::UINT8, &[0]))
            .constant(floats("t", &[], &[1.0 / 256.0]))
            .node("QuantizeLinear", "x s z", "xq", &[])
            .node("QLinearSoftmax", "xq s z t z", "yq", &[int("axis", 1), int("opset", opset)]);
        model.graph().node[1].domain = "com.microsoft".into();
        let graph = model.node("DequantizeLinear", "yq t z", "y", &[]).output("y").graph_of();
        let mut session = crate::control::session(graph, &[]).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 1.0, 1.0, 1.0]);
        session.run().unwrap();
        session.output::<f32>(0).unwrap().to_vec()
    };
    assert_eq!(y(11), [0.25; 4]);
    assert_eq!(y(13), [0.5; 4]);
}

#[test]
fn the_greatest_of_signed_bytes_is_found() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .constant(floats("s", &[], &[0.5]))
        .constant(bytes("z", &[], data_type::INT8, &[3]))
        .node("QuantizeLinear", "x s z", "q", &[])
        .node("ArgMax", "q", "y", &[int("axis", 1), int("keepdims", 0)])
        .output_of("y", data_type::INT64);
    let mut session = crate::control::session(model.graph_of(), &[]).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&[-3.0, -1.0, -2.0, 1.0, -5.0, 0.0]);
    session.run().unwrap();
    assert_eq!(session.output::<i64>(0).unwrap(), [1, 0]);
}
