//! TensorFlow Lite networks with 16-bit activations answer what LiteRT answered, to the bit.
//!
//! `data/int16.npz` holds the networks, their inputs and the outputs.

mod common;

use common::stored::Stored;
use ottava::graph::DType;
use ottava::import::{ImportOptions, tflite};
use ottava::{Limits, Model, SessionOptions, format, optimize};
use ottava_kernels::Isa;

/// The network as it comes out of a file.
fn network(file: &[u8], name: &str) -> Model {
    let graph = tflite::from_bytes(file, &ImportOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let graph = Model::from_graph(optimize::float(graph).unwrap()).unwrap();
    let file = format::write(graph.graph(), &[]).unwrap();
    Model::from_bytes(file, &Limits::default()).unwrap()
}

#[test]
fn networks_answer_as_the_reference() {
    let mut stored = Stored::open("int16.npz");
    let names = stored.names();
    assert!(names.len() > 40, "{names:?}");
    let mut wrong = vec![];
    for name in names {
        let model = network(&stored.get(&format!("{name}/model")), &name);
        for (isa, threads) in Isa::available().into_iter().zip([1, 3, 2].into_iter().cycle()) {
            let options = SessionOptions { isa, threads, ..Default::default() };
            let mut session = model.session(&options).unwrap_or_else(|e| panic!("{name}: {e}"));
            for i in 0..session.inputs().len() {
                session.input_bytes_mut(i).unwrap().copy_from_slice(&stored.get(&format!("{name}/in{i}")));
            }
            session.run().unwrap();
            let (got, want) = (session.output_bytes(0).unwrap(), stored.get(&format!("{name}/out0")));
            assert_eq!(got.len(), want.len(), "{name}");
            let size = session.outputs()[0].dtype.size();
            let different = got.chunks(size).zip(want.chunks(size)).filter(|(g, w)| g != w).count();
            if different > 0 {
                wrong.push(format!("{name} on {isa}: {different} of {}", want.len() / size));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Nothing between the borders is float, nor left to anything but the integer kernels.
#[test]
fn networks_stay_integers() {
    let mut stored = Stored::open("int16.npz");
    for name in ["mobile", "enhance"] {
        let model = network(&stored.get(&format!("{name}/model")), name);
        let graph = model.graph();
        for node in &graph.nodes {
            let wide = graph.tensor(node.outputs[0]).dtype == DType::I16;
            assert!(wide || name == "enhance" && node.op.name() == "Dequantize", "{name}: {}", node.name);
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    Stored::open("int16.npz").damage(&[
        "conv_i32",
        "depthwise_one_channel",
        "transposed_valid",
        "mean",
        "softmax",
        "add_relu",
        "i16_to_i8",
    ]);
}
