//! Networks that were quantized elsewhere run in integers and answer what the reference runtime answered.

mod common;
mod golden_support;

use ottava::graph::{DType, Graph, Op, TensorId};

/// The scale of an output that a Dequantize computes.
fn scale(graph: &Graph, out: TensorId) -> f32 {
    let last = graph.nodes.iter().find(|n| n.outputs == [out]).unwrap();
    assert!(matches!(last.op, Op::Dequantize(_)), "the output is dequantized by {}", last.op.name());
    let codes = graph.tensor(last.input(0).unwrap());
    codes.quant.as_ref().and_then(|q| q.single()).unwrap().0
}

/// Nodes that compute something, and do not read bytes.
fn float_nodes(graph: &Graph) -> Vec<&'static str> {
    let computes = |op: &Op| !matches!(op, Op::Quantize(_) | Op::Reshape(_) | Op::Transpose(_));
    let reads_bytes = |t: Option<TensorId>| t.is_some_and(|t| graph.tensor(t).dtype == DType::U8);
    let float = graph.nodes.iter().filter(|n| computes(&n.op) && !reads_bytes(n.input(0)));
    float.map(|n| n.op.name()).collect()
}

/// Every output is within one step of the reference's, and at least 99.5 % are the same.
fn check(model: &str, golden: &str, floats: &[&str]) {
    let model = golden_support::network(model);
    let graph = model.graph();
    assert_eq!(float_nodes(graph), floats, "{golden}");
    let (mut equal, mut all) = (0, 0);
    golden_support::replay(&model, golden, &mut |i, got, want| {
        let scale = scale(graph, graph.outputs[i]);
        for (got, want) in got.iter().zip(want) {
            let steps = (got - want).abs() / scale;
            assert!(steps < 1.01, "{golden}, output {i}: {got} should be {want}: {steps} steps of {scale}");
            equal += usize::from(steps < 0.01);
            all += 1;
        }
    });
    println!("{golden}: {equal} of {all} equal");
    assert!(equal as f64 >= 0.995 * all as f64, "{golden}: {equal} of {all} are equal");
}

macro_rules! golden {
    ($($test:ident: $model:literal, $golden:literal, $floats:expr;)*) => {$(
        #[test]
        #[cfg_attr(not(shared), ignore = "needs the shared test material")]
        fn $test() {
            check($model, $golden, $floats);
        }
    )*};
}

golden! {
    mnist_mlp: "seeds/mnist_mlp_qdq.onnx", "seeds__mnist_mlp_qdq.onnx", &[];
    mnist_cnn: "seeds/mnist_cnn_qdq.onnx", "seeds__mnist_cnn_qdq.onnx", &[];
    mnist_mlp_qat: "seeds/mnist_mlp_qat_qdq.onnx", "seeds__mnist_mlp_qat_qdq.onnx", &[];
    mnist_qdq_perch: "ort_quantized/mnist_qdq_perch_s8s8.onnx", "ort_quantized__mnist_qdq_perch_s8s8.onnx", &[];
    mnist_qdq_pertensor: "ort_quantized/mnist_qdq_pertensor_s8s8.onnx",
        "ort_quantized__mnist_qdq_pertensor_s8s8.onnx", &[];
    mnist_qop_perch: "ort_quantized/mnist_qop_perch_s8s8.onnx", "ort_quantized__mnist_qop_perch_s8s8.onnx", &[];
    mnist_qop_pertensor: "ort_quantized/mnist_qop_pertensor_s8s8.onnx",
        "ort_quantized__mnist_qop_pertensor_s8s8.onnx", &[];
    efficientnet_qdq: "ort_quantized/efflite0_qdq_perch_as8.onnx", "ort_quantized__efflite0_qdq_perch_as8.onnx", &[];
    efficientnet_qop: "ort_quantized/efflite0_qop_perch_au8.onnx", "ort_quantized__efflite0_qop_perch_au8.onnx", &[];
    unet_qdq_perch: "unet_isbi/unet_isbi_qdq_perch.onnx", "unet_isbi__unet_isbi_qdq_perch.onnx", &[];
    unet_qdq_pertensor: "unet_isbi/unet_isbi_qdq_pertensor.onnx", "unet_isbi__unet_isbi_qdq_pertensor.onnx", &[];
    // Its transposed convolutions have float weights.
    unet_qop: "unet_isbi/unet_isbi_qop_perch.onnx", "unet_isbi__unet_isbi_qop_perch.onnx",
        &["ConvTranspose", "ConvTranspose", "ConvTranspose"];
    resnet18: "resnet18/resnet18_qdq.onnx", "resnet18__resnet18_qdq.onnx", &[];
}
