//! Quantization without data, and several ways in one graph: what becomes of the nodes, and how close answers stay.
#![cfg(feature = "quantize")]

#[path = "common/nets.rs"]
mod nets;

use nets::{conv, count, noise, unary};
use ottava::graph::*;
use ottava::quantize::{Calibration, Method, Mode, Modes, Options, Pattern, with_calibration, without_data};
use ottava::{Limits, Model, SessionOptions, format};
use ottava_kernels::Isa;

/// Convolution, gelu, global mean, two products; a depthwise convolution in between.
fn network() -> Graph {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[1, 8, 8, 16]));
    let weights = |b: &mut GraphBuilder, seed: u64, dims: &[usize]| {
        b.f32s("w", dims, &noise(seed, dims.iter().product()))
    };
    let w = weights(&mut b, 1, &[24, 3, 3, 16]);
    let y = b.node("conv", conv(1, 1), &[x, w]).unwrap();
    let y = b.node("gelu", unary(UnaryKind::Gelu), &[y]).unwrap();
    let w = weights(&mut b, 2, &[24, 3, 3, 1]);
    let y = b.node("depthwise", conv(24, 1), &[y, w]).unwrap();
    let mean = Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false };
    let y = b.node("mean", mean, &[y]).unwrap();
    let (w, bias, gate) =
        (weights(&mut b, 3, &[64, 24]), weights(&mut b, 4, &[64]), weights(&mut b, 5, &[64, 24]));
    let a = b.node("fc3", Linear { clamp: Clamp::RELU }, &[y, w, bias]).unwrap();
    let c = b.node("fc3/gate", Linear { clamp: Clamp::NONE }, &[y, gate]).unwrap();
    let y = b.node("sum", nets::binary(BinaryKind::Add), &[a, c]).unwrap();
    let w = weights(&mut b, 6, &[10, 64]);
    let y = b.node("head", Linear { clamp: Clamp::NONE }, &[y, w]).unwrap();
    b.finish(&[y]).unwrap()
}

fn answers(graph: &Graph, isa: Isa) -> Vec<f32> {
    let model = Model::from_graph(graph.clone()).unwrap();
    let mut session = model.session(&SessionOptions { isa, ..SessionOptions::default() }).unwrap();
    let mut all = Vec::new();
    for seed in 100..104 {
        let x = session.input_mut::<f32>(0).unwrap();
        x.copy_from_slice(&noise(seed, x.len()));
        session.run().unwrap();
        all.extend_from_slice(session.output::<f32>(0).unwrap());
    }
    all
}

/// Signal to noise in dB.
fn sqnr(float: &[f32], other: &[f32]) -> f64 {
    let signal: f64 = float.iter().map(|v| f64::from(*v).powi(2)).sum();
    let noise: f64 = float.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    10.0 * (signal / noise).log10()
}

fn options(default: Mode, choices: &[(&str, Mode)]) -> Options {
    let choices = choices.iter().map(|(p, m)| (Pattern::parse(p), *m)).collect();
    Options { modes: Modes { default, choices }, ..Options::default() }
}

fn is_dynamic(op: &Op) -> bool {
    matches!(op, Op::DynamicQuantize(_))
}

#[test]
fn dynamic_products_share_bytes_and_agree_on_every_machine() {
    let float = network();
    let q = without_data(&float, &options(Mode::Dynamic, &[])).unwrap();
    // One for the convolution, one for the two products that read the mean, one for the head.
    assert_eq!(count(&q.graph, is_dynamic), 3);
    assert_eq!(q.nodes_int8, 4);
    assert!(q.float_nodes.iter().any(|(name, why)| name == "depthwise" && why.contains("few channels")));
    let want = answers(&float, Isa::best());
    let got = answers(&q.graph, Isa::SCALAR);
    assert!(sqnr(&want, &got) > 30.0, "{}", sqnr(&want, &got));
}

#[test]
fn a_dynamic_file_comes_back_as_it_was() {
    let q = without_data(&network(), &options(Mode::Dynamic, &[("depthwise", Mode::Float)])).unwrap();
    let bytes = format::write(&q.graph, &[]).unwrap();
    let back = Model::from_bytes(bytes, &Limits::default()).unwrap();
    assert_eq!(answers(back.graph(), Isa::best()), answers(&q.graph, Isa::best()));
}

#[test]
fn weights_alone_take_their_bits_in_the_file() {
    let float = network();
    let want = answers(&float, Isa::best());
    let size = |graph: &Graph| format::write(graph, &[]).unwrap().len() as f64;
    let mut last = f64::INFINITY;
    for (bits, db) in [(8, 40.0), (6, 28.0), (4, 15.0), (3, 8.0), (2, 0.0)] {
        let q = without_data(&float, &options(Mode::Weights(bits), &[])).unwrap();
        let found = sqnr(&want, &answers(&q.graph, Isa::best()));
        assert!(found > db && found < last, "{bits} bits: {found} dB");
        last = found;
        let share = (size(&q.graph) - 4000.0) / size(&float);
        assert!(share < f64::from(bits) / 32.0 + 0.12, "{bits} bits: {share}");
        assert_eq!(count(&q.graph, is_dynamic), 0);
    }
}

#[test]
fn three_ways_in_one_graph() {
    let float = network();
    let mut calibration = Calibration::new(&float, Method::MinMax);
    let model = Model::from_graph(float.clone()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    for seed in 0..8 {
        let x = session.input_mut::<f32>(0).unwrap();
        x.copy_from_slice(&noise(seed, x.len()));
        session.run_observed(&mut |t, bytes| calibration.observe(t, bytes)).unwrap();
    }
    let choices = [("fc*", Mode::Dynamic), ("*/gate", Mode::Float), ("head", Mode::Weights(4))];
    let q = with_calibration(&float, &calibration, &options(Mode::Static, &choices)).unwrap();
    let node = |name: &str| q.graph.nodes.iter().find(|n| n.name == name).unwrap();
    let dtype = |n: &Node, i: usize| q.graph.tensor(n.input(i).unwrap()).dtype;
    assert!(dtype(node("conv"), 0) == DType::U8 && node("conv").inputs.len() <= 3);
    assert_eq!((dtype(node("fc3"), 0), node("fc3").inputs.len()), (DType::U8, 5));
    assert_eq!((dtype(node("fc3/gate"), 0), dtype(node("fc3/gate"), 1)), (DType::F32, DType::F32));
    assert_eq!(dtype(node("head"), 0), DType::F32);
    assert_eq!(count(&q.graph, |op| matches!(op, Op::Unpack(_))), 1);
    let found = sqnr(&answers(&float, Isa::best()), &answers(&q.graph, Isa::best()));
    assert!(found > 15.0, "{found}");
}

#[test]
fn embeddings_are_gathered_as_bytes() {
    let mut b = GraphBuilder::new("words");
    let i = b.input("i", DType::I64, Shape::fixed(&[5]));
    let table = b.f32s("table", &[600, 32], &noise(7, 600 * 32));
    let y = b.node("embed", Gather { axis: 0 }, &[table, i]).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let q = without_data(&graph, &options(Mode::Dynamic, &[])).unwrap();
    let gather = q.graph.nodes.iter().find(|n| n.name == "embed").unwrap();
    assert_eq!(q.graph.tensor(gather.outputs[0]).dtype, DType::U8);
    let rows = |graph: &Graph| {
        let mut session =
            Model::from_graph(graph.clone()).unwrap().session(&SessionOptions::default()).unwrap();
        session.input_mut::<i64>(0).unwrap().copy_from_slice(&[0, 599, 3, 3, 77]);
        session.run().unwrap();
        session.output::<f32>(0).unwrap().to_vec()
    };
    assert!(sqnr(&rows(&graph), &rows(&q.graph)) > 40.0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let graph = network();
    let refusal = |default, choices: &[(&str, Mode)]| {
        without_data(&graph, &options(default, choices)).unwrap_err().to_string()
    };
    assert!(refusal(Mode::Dynamic, &[("nobody", Mode::Float)]).contains("'nobody'"));
    assert!(refusal(Mode::Dynamic, &[("op:Linear", Mode::Static)]).contains("needs data"));
    assert!(refusal(Mode::Weights(9), &[]).contains("9 bits"));
}
