//! Real networks.

use crate::build::{dims, only, op_names};
use crate::common::shared;
use ottava::graph::{DType, Dim, Graph, Op, infer};
use ottava::import::{ImportOptions, load};

/// The model at this path of the test material.
fn model(path: &str) -> Graph {
    let mut graph = load(shared(path), &ImportOptions::default()).unwrap_or_else(|e| panic!("{path}: {e}"));
    infer::check(&mut graph).unwrap_or_else(|e| panic!("{path}: {e}"));
    graph
}

fn count(graph: &Graph, op: &str) -> usize {
    graph.nodes.iter().filter(|n| n.op.name() == op).count()
}

/// Name, element type and shape of an input or output.
fn port(graph: &Graph, id: ottava::graph::TensorId) -> String {
    let t = graph.tensor(id);
    format!("{} {} {}", t.name, t.dtype, graph.show_shape(&t.shape))
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_perceptron_is_a_chain_of_linear_layers() {
    let g = model("models/seeds/mnist_mlp.onnx");
    assert_eq!(op_names(&g), ["Reshape", "Linear", "Unary", "Linear", "Unary", "Linear"]);
    assert_eq!(port(&g, g.inputs[0]), "input f32 [batch, 1, 28, 28]");
    assert_eq!(port(&g, g.outputs[0]), "logits f32 [batch, 10]");
    let first = &g.nodes[1];
    assert_eq!(first.name, "/linear1/Gemm");
    assert_eq!(dims(&g, first.inputs[1].unwrap()), [100, 784]);
    assert_eq!(dims(&g, first.inputs[2].unwrap()), [100]);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_small_convolutional_network_keeps_names_and_batch() {
    let g = model("models/seeds/mnist_cnn.onnx");
    assert_eq!(port(&g, g.inputs[0]), "input f32 [batch, 1, 28, 28]");
    assert_eq!(port(&g, g.outputs[0]), "logits f32 [batch, 10]");
    let convs: Vec<_> = g.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_))).collect();
    assert_eq!(convs.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["/f/f.0/Conv", "/f/f.4/Conv"]);
    assert_eq!(dims(&g, convs[0].inputs[1].unwrap()), [16, 3, 3, 1]);
    assert_eq!(dims(&g, convs[1].inputs[1].unwrap()), [32, 3, 3, 16]);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn an_old_network_reaches_its_weights_through_a_reshape() {
    let g = model("models/ort_examples/mnist.onnx");
    let linear = only(&g, "Linear");
    assert_eq!(dims(&g, linear.inputs[1].unwrap()), [10, 256]);
    for node in &g.nodes {
        if let Op::Conv(conv) = &node.op {
            // auto_pad SAME_UPPER of a 5x5 window.
            assert_eq!(conv.pads, [2, 2, 2, 2], "{}", node.name);
        }
    }
    assert_eq!(port(&g, g.outputs[0]), "Plus214_Output_0 f32 [1, 10]");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn efficientnet_comes_in_whole() {
    let g = model("models/efficientnet_lite0/efficientnet_lite0_same.onnx");
    assert_eq!((count(&g, "Conv"), count(&g, "Unary"), count(&g, "Binary")), (49, 33, 9));
    assert_eq!((count(&g, "Reduce"), count(&g, "Flatten"), count(&g, "Linear")), (1, 1, 1));
    assert_eq!(g.nodes.len(), 49 * 3 + 33 + 9 + 3);
    assert_eq!(port(&g, g.inputs[0]), "input f32 [N, 3, 224, 224]");
    assert_eq!(port(&g, g.outputs[0]), "logits f32 [N, 1000]");
    let depthwise = g.nodes.iter().filter(|n| matches!(&n.op, Op::Conv(c) if c.groups > 1)).count();
    assert_eq!(depthwise, 16);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_unet_comes_in_whole() {
    let g = model("models/unet_isbi/unet_isbi_fp32.onnx");
    assert_eq!((count(&g, "Conv"), count(&g, "ConvTranspose"), count(&g, "Pool")), (15, 3, 3));
    assert_eq!(count(&g, "Concat"), 3);
    assert_eq!(port(&g, g.outputs[0]), "prob f32 [1, 1, 512, 512]");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_half_precision_network_is_half_precision_at_its_border_only() {
    let g = model("models/winml/SqueezeNet_fp16.onnx");
    assert_eq!(port(&g, g.inputs[0]), "data_0 f16 [1, 3, 224, 224]");
    assert_eq!(port(&g, g.outputs[0]), "softmaxout_1 f16 [1, 1000, 1, 1]");
    assert_eq!(g.tensors.iter().filter(|t| t.dtype == DType::F16).count(), 2);
    assert_eq!((count(&g, "Conv"), count(&g, "Cast")), (26, 2));
    // Operator set 7 flattens; all behind the channels has length 1, so one axis is enough.
    assert!(matches!(&only(&g, "Softmax").op, Op::Softmax(s) if s.axis == 1 && !s.log));
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_batch_without_a_name_gets_one() {
    let g = model("models/tract/onnx/test_cases/averagepool_count_include_pad/model.onnx");
    assert!(matches!(&only(&g, "Pool").op, Op::Pool(p) if p.count_include_pad));
    assert!(g.tensor(g.inputs[0]).shape.iter().all(|d| matches!(d, Dim::Fixed(_))));
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn a_recurrent_network_is_its_layers() {
    let g = model("models/seeds/lstm_mnist.onnx");
    let hidden: Vec<Option<usize>> = g
        .nodes
        .iter()
        .filter(|n| n.op.name() == "Recurrent")
        .map(|n| g.tensor(n.input(2).expect("recurrent weights")).shape[1].fixed())
        .collect();
    assert_eq!(hidden, [Some(64), Some(32)]);
}

/// Damaged files that are still networks: bytes that only weights or names feel.
const STILL_MODELS: [&str; 6] = ["02", "04", "10", "12", "14", "16"];

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn damaged_files_are_refused() {
    let folder = shared("models/malformed");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        if !name.ends_with(".onnx") {
            continue;
        }
        seen += 1;
        let still = STILL_MODELS.iter().any(|n| name == format!("onnx_mnist_flip_{n}.onnx"));
        match load(&path, &ImportOptions::default()) {
            Ok(graph) => {
                assert!(still, "{name} was imported");
                graph.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            Err(e) => assert!(!still, "{name} was refused: {e}"),
        }
    }
    assert!(seen >= 40, "{seen} damaged files");
}
