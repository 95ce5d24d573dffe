//! Single quantized operators answer what ONNX Runtime and LiteRT answered, byte by byte.
//!
//! `data/operators.npz` holds small networks of one operator each, inputs and the reference's outputs, with scales and
//! zero points at random: `onnx.*` by ONNX Runtime 1.31.1, `tflite.*` by LiteRT 2.3.0.

use npyz::npz::NpzArchive;
use ottava::import::{ImportOptions, onnx, tflite};
use ottava::{Model, SessionOptions, optimize};
use std::collections::BTreeSet;

/// Where the reference's own kernel rounds in fixed point, or after another step: one step off near ties, and how many
/// of the bytes at most.
const NEAR: [(&str, usize); 7] = [
    // Rounded before the zero point is added, where ONNX Runtime rounds after it: exact ties at odd zero points.
    ("tflite.mul", 7),
    // Fixed-point multipliers.
    ("tflite.prelu", 3),
    ("tflite.hard_swish", 13),
    ("tflite.leaky_relu", 15),
    ("tflite.relu6", 12),
    ("tflite.quantize", 1),
    // Shares of 1/2048.
    ("tflite.resize_bilinear", 79),
];

fn bytes(npz: &mut NpzArchive<std::io::BufReader<std::fs::File>>, name: &str) -> Option<Vec<u8>> {
    npz.by_name(name).unwrap().map(|array| array.into_vec().unwrap())
}

#[test]
fn every_operator() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/operators.npz");
    let mut npz = NpzArchive::open(path).unwrap();
    let cases: BTreeSet<String> =
        npz.array_names().filter_map(|name| Some(name.split_once('/')?.0.to_string())).collect();
    assert!(cases.len() > 60, "{} cases", cases.len());
    for case in cases {
        let file = bytes(&mut npz, &format!("{case}/model")).unwrap();
        let options = ImportOptions::default();
        let graph = match case.starts_with("onnx.") {
            true => onnx::from_bytes(file, &options),
            false => tflite::from_bytes(&file, &options),
        };
        let graph = optimize::float(graph.unwrap_or_else(|e| panic!("{case}: {e}"))).unwrap();
        let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
        for i in 0..session.inputs().len() {
            let x = bytes(&mut npz, &format!("{case}/in{i}")).unwrap();
            session.input_bytes_mut(i).unwrap().copy_from_slice(&x);
        }
        session.run().unwrap_or_else(|e| panic!("{case}: {e}"));
        for i in 0..session.outputs().len() {
            let (got, want) =
                (session.output_bytes(i).unwrap(), bytes(&mut npz, &format!("{case}/out{i}")).unwrap());
            assert_eq!(got.len(), want.len(), "{case}");
            let steps: Vec<u8> = got.iter().zip(&want).map(|(a, b)| a.wrapping_sub(*b)).collect();
            let allowed = NEAR.iter().find(|(name, _)| *name == case).map_or(0, |(_, n)| *n);
            let different = steps.iter().filter(|d| **d != 0).count();
            assert!(different <= allowed, "{case}: {different} of {} differ, output {i}", want.len());
            assert!(steps.iter().all(|d| matches!(d, 0 | 1 | 255)), "{case}: more than a step");
        }
    }
}
