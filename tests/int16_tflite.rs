//! TensorFlow Lite networks with 16-bit activations answer what LiteRT answered, to the bit.
//!
//! `data/int16.npz` holds the networks, their inputs and the outputs.

use npyz::npz::NpzArchive;
use ottava::graph::DType;
use ottava::import::{ImportOptions, tflite};
use ottava::{Limits, Model, SessionOptions, format, optimize};
use ottava_kernels::Isa;

struct Stored(NpzArchive<std::io::BufReader<std::fs::File>>);

impl Stored {
    fn open() -> Stored {
        Stored(NpzArchive::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/int16.npz")).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let names = self.0.array_names().filter_map(|n| n.strip_suffix("/model"));
        names.map(str::to_string).collect()
    }

    fn get(&mut self, name: &str) -> Vec<u8> {
        self.0.by_name(name).unwrap().unwrap_or_else(|| panic!("there is no {name}")).into_vec().unwrap()
    }
}

/// The network as it comes out of a file.
fn network(file: &[u8], name: &str) -> Model {
    let graph = tflite::from_bytes(file, &ImportOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let graph = Model::from_graph(optimize::float(graph).unwrap()).unwrap();
    let file = format::write(graph.graph(), &[]).unwrap();
    Model::from_bytes(file, &Limits::default()).unwrap()
}

#[test]
fn networks_answer_as_the_reference() {
    let mut stored = Stored::open();
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
    let mut stored = Stored::open();
    for name in ["mobile", "enhance"] {
        let model = network(&stored.get(&format!("{name}/model")), name);
        let graph = model.graph();
        for node in &graph.nodes {
            let wide = graph.tensor(node.outputs[0]).dtype == DType::I16;
            assert!(wide || name == "enhance" && node.op.name() == "Dequantize", "{name}: {}", node.name);
        }
    }
}

/// Any byte may change: what comes out is a network, which may be one that no kernel can run, or an error.
#[test]
fn damaged_bytes_never_panic() {
    let mut stored = Stored::open();
    for name in
        ["conv_i32", "depthwise_one_channel", "transposed_valid", "mean", "softmax", "add_relu", "i16_to_i8"]
    {
        let bytes = stored.get(&format!("{name}/model"));
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Ok(graph) = tflite::from_bytes(&damaged, &ImportOptions::default()) {
                    let session = Model::from_graph(graph).unwrap().session(&SessionOptions::default());
                    let _ = session.map(|mut s| s.run());
                }
            }
        }
    }
}
