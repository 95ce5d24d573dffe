//! Weights that 16-bit floats hold exactly are stored in them, and answer as before.
#![cfg(feature = "quantize")]

mod common;

use common::nets::noise;
use common::shapes::sequence_network;
use half::{bf16, f16};
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

/// The weights of `narrow`, and not its biases, are of this type: the answers are those of `plain`, the file is smaller and
/// reads back.
fn assert_narrow(plain: &Graph, narrow: &Graph, dtype: DType) {
    assert_eq!(stored(narrow), [("Linear", dtype), ("Linear", DType::F32)], "weights, not biases");
    let ((want, _), (got, kernel)) = (answers(plain.clone()), answers(narrow.clone()));
    assert_eq!(got, want);
    assert!(kernel.ends_with(&format!(", {dtype} weights")), "{kernel}");
    let bytes = |graph: &Graph| format::write(graph, &[]).unwrap();
    assert!(bytes(plain).len() - bytes(narrow).len() >= 48 * 40 * 2);
    let back = Model::from_bytes(bytes(narrow), &Limits::default()).unwrap();
    assert_eq!(back.graph(), narrow);
}

#[test]
fn exact_weights_become_f16_and_answer_the_same() {
    let halves: Vec<f32> = noise(2, 48 * 40).iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    let plain = large(&halves);
    let narrow = optimize::float(plain.clone()).unwrap();
    assert_narrow(&plain, &narrow, DType::F16);
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
    for odd in [1.0 + f32::EPSILON, 1e-9, 1e6, -65505.0] {
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

/// Some weights too large for f16, all with as few bits as bf16 has.
fn bf16_weights() -> Vec<f32> {
    let scaled = |(i, v): (usize, &f32)| bf16::from_f32(v * if i % 7 == 0 { 1e6 } else { 1.0 }).to_f32();
    noise(2, 48 * 40).iter().enumerate().map(scaled).collect()
}

#[test]
fn weights_of_bf16_networks_take_half_the_room() {
    let plain = large(&bf16_weights());
    let narrow = optimize::float(plain.clone()).unwrap();
    assert_narrow(&plain, &narrow, DType::BF16);
    let mut wide = narrow;
    optimize::widen(&mut wide);
    assert_eq!(wide, plain);
}

/// f16 is tried first: what both hold is stored as before.
#[test]
fn what_both_types_hold_is_f16() {
    let weights: Vec<f32> = (0..48 * 40).map(|i| (i % 128) as f32 - 64.0).collect();
    assert_eq!(stored(&optimize::float(large(&weights)).unwrap())[0], ("Linear", DType::F16));
}

#[test]
fn recurrent_layers_and_quantization_take_bf16() {
    let mut wide = rounded();
    let mut narrow = wide.clone();
    for node in wide.nodes.clone() {
        let Op::Recurrent(_) = node.op else { continue };
        for id in [1, 2].map(|i| node.input(i).unwrap()) {
            let values: Vec<f32> = wide.tensor(id).data.as_ref().unwrap().to_vec();
            let halves: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
            let values: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
            wide.tensor_mut(id).data = Some(Data::from_slice(&values));
            let tensor = narrow.tensor_mut(id);
            (tensor.dtype, tensor.data) = (DType::BF16, Some(Data::from_slice(&halves)));
        }
    }
    assert_eq!(answers(narrow).0, answers(wide).0);
    let options = Options { modes: Modes::all(Mode::Dynamic), ..Options::default() };
    let quantized = |graph: &Graph| without_data(graph, &options).unwrap().graph;
    let plain = large(&bf16_weights());
    assert_eq!(quantized(&optimize::float(plain.clone()).unwrap()), quantized(&plain));
}

#[test]
fn bf16_is_for_constants() {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::BF16, Shape::fixed(&[4]));
    let error = b.finish(&[x]).unwrap_err().to_string();
    assert_eq!(error, "tensor 'x': is bf16, which only constants are: compute in f32");
}
