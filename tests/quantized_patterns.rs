//! Quantized networks in the forms in which exporters write them become networks of integers, and answer what ONNX
//! Runtime answers, to the bit. Operators of its own domain, which are taken apart or unpacked, answer what it answers.
//!
//! `data/patterns.npz` holds the networks, inputs and answers; `data/patterns.py` makes it.

use npyz::npz::NpzArchive;
use ottava::graph::{Graph, Node, Op};
use ottava::import::{ImportOptions, onnx};
use ottava::{Model, SessionOptions, optimize};
use std::collections::BTreeSet;

/// Nodes that compute in floats: there is no kernel for a product of two computed tensors of bytes.
const FLOAT: [(&str, &[&str]); 1] = [("product_of_activations", &["MatMul"])];

type Npz = NpzArchive<std::io::BufReader<std::fs::File>>;

fn array<T: npyz::Deserialize>(npz: &mut Npz, name: &str) -> Vec<T> {
    let array = npz.by_name(name).unwrap().unwrap_or_else(|| panic!("there is no {name}"));
    array.into_vec().unwrap()
}

/// Nodes that read floats, other than those that quantize them.
fn float_nodes(graph: &Graph) -> Vec<&'static str> {
    let reads_floats = |node: &&Node| {
        !matches!(node.op, Op::Quantize(_)) && node.input(0).is_some_and(|x| graph.tensor(x).dtype.is_float())
    };
    graph.nodes.iter().filter(reads_floats).map(|n| n.op.name()).collect()
}

fn stored() -> (Npz, BTreeSet<String>) {
    let npz = Npz::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/patterns.npz")).unwrap();
    let cases: BTreeSet<String> =
        npz.array_names().filter_map(|n| Some(n.split_once('|')?.0.to_string())).collect();
    (npz, cases)
}

fn graph(npz: &mut Npz, case: &str) -> Graph {
    let file: Vec<u8> = array(npz, &format!("{case}|model"));
    let graph = onnx::from_bytes(file, &ImportOptions::default());
    optimize::float(graph.unwrap_or_else(|e| panic!("{case}: {e}"))).unwrap()
}

/// Every output, and what it should be.
fn answers(npz: &mut Npz, case: &str, graph: Graph) -> Vec<(Vec<f32>, Vec<f32>)> {
    let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
    for i in 0..session.inputs().len() {
        let x: Vec<f32> = array(npz, &format!("{case}|in{i}"));
        session.input_mut::<f32>(i).unwrap().copy_from_slice(&x);
    }
    session.run().unwrap();
    let outputs = 0..session.outputs().len();
    outputs.map(|i| (session.output(i).unwrap().to_vec(), array(npz, &format!("{case}|out{i}")))).collect()
}

#[test]
fn every_pattern() {
    let (mut npz, mut cases) = stored();
    cases.retain(|case| !case.starts_with("contrib."));
    assert!(cases.len() > 70, "{} patterns", cases.len());
    for case in cases {
        let graph = graph(&mut npz, &case);
        let floats =
            FLOAT.iter().find(|(name, _)| case.starts_with(name)).map_or(&[][..], |(_, nodes)| nodes);
        assert_eq!(float_nodes(&graph), floats, "{case}");
        for (got, want) in answers(&mut npz, &case, graph) {
            assert_eq!(got, want, "{case}");
        }
    }
}

#[test]
fn every_operator_of_its_own_domain() {
    let (mut npz, mut cases) = stored();
    cases.retain(|case| case.starts_with("contrib."));
    assert_eq!(cases.len(), 22);
    for case in cases {
        let graph = graph(&mut npz, &case);
        for (got, want) in answers(&mut npz, &case, graph) {
            let greatest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert_eq!(got.len(), want.len(), "{case}");
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-6 * greatest, "{case}: {got} instead of {want}");
            }
        }
    }
}
