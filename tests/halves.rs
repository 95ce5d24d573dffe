//! Weights that 16-bit floats hold exactly are stored in them, and answer as before.
#![cfg(feature = "quantize")]

mod common;

use common::nets::noise;
use common::shapes::sequence_network;
use half::f16;
use ottava::graph::*;
use ottava::quantize::{Mode, Modes, Options, Pattern, without_data};
use ottava::{Limits, Model, SessionOptions, format, optimize};

/// The network with all weights rounded to f16, as f32, and the classifier's alone left as they are.
fn rounded() -> Graph {
    let mut graph = optimize::float(sequence_network()).unwrap();
    for tensor in &mut graph.tensors {
        let Some(data) = tensor.data.as_ref().filter(|_| tensor.dtype == DType::F32) else { continue };
        let values: Vec<f32> = data.to_vec::<f32>().iter().map(|v| f16::from_f32(*v).to_f32()).collect();
        tensor.data = Some(Data::from_slice(&values));
    }
    graph
}

fn stored(graph: &Graph) -> Vec<(&'static str, DType)> {
    let weights = graph.nodes.iter().filter(|n| matches!(n.op, Op::Linear(_) | Op::Recurrent(_)));
    weights.flat_map(|n| [1, 2].map(|i| (n.op.name(), graph.tensor(n.input(i).unwrap()).dtype))).collect()
}

/// A layer of 40 units over 48 values: large enough that it counts.
fn large(weights: &[f32]) -> Graph {
    let mut b = GraphBuilder::new("large");
    let x = b.input("x", DType::F32, Shape::fixed(&[3, 48]));
    let w = b.f32s("w", &[40, 48], weights);
    let bias = b.f32s("b", &[40], &noise(3, 40));
    let y = b.node("layer", Linear { clamp: Clamp::NONE }, &[x, w, bias]).unwrap();
    b.finish(&[y]).unwrap()
}

fn answers(graph: Graph) -> (Vec<f32>, String) {
    let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
    let x = session.input_mut::<f32>(0).unwrap();
    let values = noise(1, x.len());
    x.copy_from_slice(&values);
    session.run().unwrap();
    (session.output::<f32>(0).unwrap().to_vec(), session.steps()[0].kernel.clone())
}

#[test]
fn exact_weights_become_f16_and_answer_the_same() {
    let halves: Vec<f32> = noise(2, 48 * 40).iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    let plain = large(&halves);
    let narrow = optimize::float(plain.clone()).unwrap();
    assert_eq!(stored(&narrow), [("Linear", DType::F16), ("Linear", DType::F32)], "weights, not biases");
    let ((want, _), (got, kernel)) = (answers(plain.clone()), answers(narrow.clone()));
    assert_eq!(got, want);
    assert!(kernel.ends_with(", f16 weights"), "{kernel}");
    let bytes = |graph: &Graph| format::write(graph, &[]).unwrap();
    assert!(bytes(&plain).len() - bytes(&narrow).len() >= 48 * 40 * 2);
    let back = Model::from_bytes(bytes(&narrow), &Limits::default()).unwrap();
    assert_eq!(back.graph(), &narrow);
    let mut wide = narrow;
    optimize::widen(&mut wide);
    assert_eq!(
        wide,
        optimize::float(plain)
            .map(|mut g| {
                optimize::widen(&mut g);
                g
            })
            .unwrap()
    );
    assert_eq!(stored(&wide)[0], ("Linear", DType::F32));
}

#[test]
fn a_weight_that_would_change_keeps_all_in_f32() {
    for odd in [1.0 + f32::EPSILON, 1e-9, 1e6, f32::MIN_POSITIVE, -65505.0] {
        let mut weights = vec![0.5; 48 * 40];
        weights[1000] = odd;
        assert_eq!(stored(&optimize::float(large(&weights)).unwrap())[0], ("Linear", DType::F32), "{odd}");
    }
    for even in [f32::INFINITY, -0.0, 65504.0, 6e-8f32] {
        let even = f16::from_f32(even).to_f32();
        let mut weights = vec![0.5; 48 * 40];
        weights[1000] = even;
        assert_eq!(stored(&optimize::float(large(&weights)).unwrap())[0], ("Linear", DType::F16), "{even}");
    }
}

#[test]
fn quantizing_takes_f16_weights_and_leaves_those_of_float_nodes() {
    let halves: Vec<f32> = noise(2, 48 * 40).iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    let graph = optimize::float(large(&halves)).unwrap();
    let modes = |choices| Options { modes: Modes { default: Mode::Dynamic, choices }, ..Options::default() };
    let int8 = without_data(&graph, &modes(vec![])).unwrap();
    assert_eq!((int8.nodes_int8, int8.nodes_float), (1, 0));
    let float = without_data(&graph, &modes(vec![(Pattern::parse("layer"), Mode::Float)])).unwrap();
    assert_eq!(stored(&float.graph)[0], ("Linear", DType::F16));
}

#[test]
fn recurrent_layers_too() {
    let graph = rounded();
    // Of 48 rows of 5 and 16: too few to matter, so they stay; the answers of larger ones are those of f32.
    assert!(stored(&graph).iter().all(|(_, dtype)| *dtype == DType::F32));
    let mut halves = graph.clone();
    for node in &graph.nodes {
        let Op::Recurrent(_) = node.op else { continue };
        for i in [1, 2] {
            let tensor = &mut halves.tensors[node.input(i).unwrap().index()];
            let values: Vec<f32> = tensor.data.as_ref().unwrap().to_vec();
            tensor.data =
                Some(Data::from_slice(&values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()));
            tensor.dtype = DType::F16;
        }
    }
    assert_eq!(answers(halves).0, answers(graph).0);
}
