//! The test cases of tract, another runtime: each is answered as its file says, or refused by name.

mod common;

use common::shared;
use npyz::npz::NpzArchive;
use ottava::graph::DType;
use ottava::import::{self, ImportOptions};
use ottava::{Model, SessionOptions, optimize};

/// What becomes of a case.
enum Outcome {
    /// Its answers, within this share of the greatest of them.
    Within(f64),
    /// Its answers, to the bit, where the first and the last row of the input come twice, as its file of options says.
    Framed,
    /// Importing says this.
    Refused(&'static str),
}
use Outcome::*;

const CASES: [(&str, Outcome); 17] = [
    ("averagepool_count_include_pad", Within(0.0)),
    ("byte_sb_bidi_lstm", Within(1e-5)),
    ("deconv_group", Within(1e-6)),
    ("lgbm_classifier_tensor", Within(1e-6)),
    ("lgbm_regressor_tensor", Within(1e-6)),
    ("linear_classifier", Refused("ai.onnx.ml.LinearClassifier")),
    ("linear_regressor", Refused("ai.onnx.ml.LinearRegressor")),
    ("qlstm_3-2-3_T3_S1", Refused("Scan")),
    ("qrelu_1", Within(0.0)),
    ("qrelu_2", Within(0.0)),
    ("qsigmoid_1", Within(0.0)),
    ("qsigmoid_2", Within(0.0)),
    ("qtanh_1", Within(0.0)),
    ("qtanh_2", Within(0.0)),
    ("qtdnn_10x5_101_i32_biases", Framed),
    ("xgboost_classifier_tree", Refused("ai.onnx.ml.TreeEnsembleClassifier")),
    ("xgboost_regressor_tree", Refused("ai.onnx.ml.TreeEnsembleRegressor")),
];

type Npz = NpzArchive<std::io::BufReader<std::fs::File>>;

/// An array, as f64, and its shape.
fn array(npz: &mut Npz, name: &str) -> Option<(Vec<f64>, Vec<usize>)> {
    let npy = npz.by_name(name).unwrap()?;
    let shape = npy.shape().iter().map(|&n| n as usize).collect();
    let kind = npy.dtype().descr();
    let values: Vec<f64> = match kind.trim_matches('\'') {
        "<f4" => npy.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        "<f8" => npy.into_vec::<f64>().unwrap(),
        "|u1" => npy.into_vec::<u8>().unwrap().into_iter().map(f64::from).collect(),
        other => panic!("{name} is {other}"),
    };
    Some((values, shape))
}

/// The greatest difference between an answer and the one that came out, as a share of the greatest answer.
fn error(model: &Model, npz: &mut Npz, framed: bool) -> f64 {
    let graph = model.graph();
    let inputs: Vec<_> = graph.inputs.iter().map(|&id| graph.tensor(id)).collect();
    let mut given: Vec<_> = inputs.iter().map(|t| array(npz, &t.name).expect("an input")).collect();
    for (values, shape) in given.iter_mut().filter(|_| framed) {
        let row = values.len() / shape[0];
        let last = values[values.len() - row..].to_vec();
        *values = [&values[..row], values, &last].concat();
        shape[0] += 2;
    }
    let shapes = inputs.iter().zip(&given).map(|(t, (_, shape))| (t.name.clone(), shape.clone())).collect();
    let mut session = model.session(&SessionOptions { shapes, ..Default::default() }).unwrap();
    for (i, (tensor, (values, _))) in inputs.iter().zip(&given).enumerate() {
        let bytes: Vec<u8> = match tensor.dtype {
            DType::U8 => values.iter().map(|&v| v as u8).collect(),
            _ => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        };
        session.input_bytes_mut(i).unwrap().copy_from_slice(&bytes);
    }
    session.run().unwrap();
    let names: Vec<String> = npz.array_names().map(String::from).collect();
    let name = names.iter().find(|n| inputs.iter().all(|t| t.name != **n)).expect("an answer");
    // One case calls its output by the name that a node inside gave it.
    let outputs: Vec<&str> = graph.outputs.iter().map(|&id| graph.tensor(id).name.as_str()).collect();
    let output = outputs.iter().position(|o| o == name).unwrap_or(0);
    let (want, _) = array(npz, name).expect("an answer");
    let got = session.output::<f32>(output).unwrap();
    assert_eq!(got.len(), want.len());
    let greatest = want.iter().fold(0f64, |m, v| m.max(v.abs()));
    got.iter().zip(&want).fold(0f64, |m, (got, want)| m.max((f64::from(*got) - want).abs())) / greatest
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn every_case() {
    let root = shared("models/tract/onnx/test_cases");
    let folders = std::fs::read_dir(&root).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders, CASES.len());
    for (name, outcome) in CASES {
        let folder = root.join(name);
        let graph = import::load(folder.join("model.onnx"), &ImportOptions::default());
        if let Refused(why) = outcome {
            let refusal = graph.expect_err(name).to_string();
            assert!(refusal.contains(why), "{name}: {refusal}");
            continue;
        }
        let graph = graph.unwrap_or_else(|e| panic!("{name}: {e}"));
        let model = Model::from_graph(optimize::float(graph).unwrap()).unwrap();
        let (share, framed) = match outcome {
            Within(share) => (share, false),
            _ => (0.0, true),
        };
        let error = error(&model, &mut Npz::open(folder.join("io.npz")).unwrap(), framed);
        assert!(error <= share, "{name}: {error}");
    }
}
