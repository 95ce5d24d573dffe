//! What is written as ONNX and read again answers with the same bits.

mod common;

use common::{integer, nets, shared};
use ottava::graph::*;
use ottava::import::{self, ImportOptions, onnx};
use ottava::{Model, SessionOptions, export, optimize};

/// Outputs for noise, as bytes.
fn answers(graph: Graph) -> Vec<Vec<u8>> {
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let inputs: Vec<DType> = session.inputs().iter().map(|p| p.dtype).collect();
    for (i, dtype) in inputs.into_iter().enumerate() {
        let bytes = session.input_bytes_mut(i).unwrap();
        match dtype {
            DType::F32 => {
                let values = nets::noise(i as u64 + 3, bytes.len() / 4);
                bytes.copy_from_slice(bytemuck::cast_slice(&values));
            }
            DType::I64 | DType::I32 | DType::Bool => bytes.fill(0),
            _ => bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31 % 251) as u8),
        }
    }
    session.run().unwrap();
    (0..session.outputs().len()).map(|i| session.output_bytes(i).unwrap().to_vec()).collect()
}

fn read_again(graph: &Graph) -> Graph {
    let bytes = export::to_onnx(graph).unwrap();
    optimize::float(onnx::from_bytes(bytes, &ImportOptions::default()).unwrap()).unwrap()
}

#[track_caller]
fn assert_round_trip(graph: Graph) {
    let graph = optimize::float(graph).unwrap();
    let again = read_again(&graph);
    let ports = |g: &Graph, ids: &[TensorId]| -> Vec<(String, DType)> {
        ids.iter().map(|&id| (g.tensor(id).name.clone(), g.tensor(id).dtype)).collect()
    };
    assert_eq!(ports(&graph, &graph.inputs), ports(&again, &again.inputs));
    assert_eq!(ports(&graph, &graph.outputs), ports(&again, &again.outputs));
    let integers = |g: &Graph| g.nodes.iter().filter(|n| g.tensor(n.outputs[0]).dtype.is_8bit()).count();
    assert!(integers(&again) >= integers(&graph), "integers stay integers");
    assert_eq!(answers(graph), answers(again));
}

#[test]
fn every_integer_kernel() {
    assert_round_trip(integer::one_of_everything(12));
}

macro_rules! shared_models {
    ($($test:ident: $model:literal;)*) => {$(
        #[test]
        #[cfg_attr(not(shared), ignore = "needs the shared test material")]
        fn $test() {
            let model = shared(concat!("models/", $model));
            assert_round_trip(import::load(model, &ImportOptions::default()).unwrap());
        }
    )*};
}

shared_models! {
    mlp: "seeds/mnist_mlp.onnx";
    mlp_quantized: "seeds/mnist_mlp_qdq.onnx";
    cnn: "seeds/mnist_cnn.onnx";
    cnn_quantized: "seeds/mnist_cnn_qdq.onnx";
    mnist_qoperator: "ort_quantized/mnist_qop_perch_s8s8.onnx";
    resnet18: "resnet18/resnet18_qdq.onnx";
    efficientnet: "ort_quantized/efflite0_qop_perch_au8.onnx";
    unet: "unet_isbi/unet_isbi_qdq_perch.onnx";
    squeezenet: "winml/SqueezeNet_fp16.onnx";
    keywords: "mlperf_tiny/kws_ref_model.tflite";
    autoencoder: "mlperf_tiny/ad01_int8.tflite";
    mobilenet_v2: "coral/mobilenet_v2_1.0_224_quant.tflite";
}

#[test]
fn what_has_no_form_is_named() {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[1, 4]));
    let ones = |name: &str| Tensor::constant(name, DType::F32, &[4], Data::from_slice(&[1f32; 4]));
    let [s, o, m, v] = ["s", "o", "m", "v"].map(ones).map(|t| b.tensor(t));
    let y = b.node("norm", BatchNorm { axis: 1, epsilon: 1e-5 }, &[x, s, o, m, v]).unwrap();
    let error = export::to_onnx(&b.finish(&[y]).unwrap()).unwrap_err();
    assert_eq!((error.node.as_str(), error.op), ("norm", "BatchNorm"));
}
