//! Quantized networks in the forms in which exporters write them become networks of integers, and answer what ONNX
//! Runtime answers, to the bit.
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

#[test]
fn every_pattern() {
    let mut npz = Npz::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/patterns.npz")).unwrap();
    let cases: BTreeSet<String> =
        npz.array_names().filter_map(|n| Some(n.split_once('|')?.0.to_string())).collect();
    assert!(cases.len() > 70, "{} patterns", cases.len());
    for case in cases {
        let file: Vec<u8> = array(&mut npz, &format!("{case}|model"));
        let graph = onnx::from_bytes(file, &ImportOptions::default());
        let graph = optimize::float(graph.unwrap_or_else(|e| panic!("{case}: {e}"))).unwrap();
        let floats =
            FLOAT.iter().find(|(name, _)| case.starts_with(name)).map_or(&[][..], |(_, nodes)| nodes);
        assert_eq!(float_nodes(&graph), floats, "{case}");
        let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
        for i in 0..session.inputs().len() {
            let x: Vec<f32> = array(&mut npz, &format!("{case}|in{i}"));
            session.input_mut::<f32>(i).unwrap().copy_from_slice(&x);
        }
        session.run().unwrap();
        for i in 0..session.outputs().len() {
            let want: Vec<f32> = array(&mut npz, &format!("{case}|out{i}"));
            assert_eq!(session.output::<f32>(i).unwrap(), want, "{case}, output {i}");
        }
    }
}
