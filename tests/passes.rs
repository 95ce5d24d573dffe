//! A batch that goes through in passes gives the bits of the whole batch; one whose entries meet does not go in passes.

mod common;

use common::integer::{Net, one_of_everything};
use common::nets::{binary, conv, doubling, noise, pool, transpose, unary};
use common::session::feed;
use ottava::graph::*;
use ottava::{Limits, Model, Session, SessionOptions};
use ottava_kernels::Isa;

/// A cache that holds nothing: passes of as few entries as weights allow.
const NONE: usize = 1;
/// A cache that holds everything: no passes.
const ALL: usize = usize::MAX;

/// The graph with this dimension 0 instead of `was`.
fn with_batch(mut graph: Graph, was: usize, batch: Dim) -> Graph {
    if graph.dims.is_empty() {
        graph.dims.push("batch".into());
    }
    for tensor in graph.tensors.iter_mut().filter(|t| t.data.is_none()) {
        if let Some(dim) = tensor.shape.0.first_mut().filter(|dim| **dim == Dim::Fixed(was)) {
            *dim = batch;
        }
    }
    graph
}

/// Floats through everything that sums them.
fn floats() -> Graph {
    let mut b = GraphBuilder::new("floats");
    let batch = b.free_dim("batch");
    let x = b.input("x", DType::F32, Shape(vec![batch, 9.into(), 11.into(), 3.into()]));
    let mut count = 0;
    let mut weights = |b: &mut GraphBuilder, dims: &[usize]| {
        count += 1;
        b.f32s(&format!("w{count}"), dims, &noise(count, dims.iter().product()))
    };
    let w = weights(&mut b, &[18, 3, 3, 3]);
    let wide = b.node("wide", conv(1, 1), &[x, w]).unwrap();
    let w = weights(&mut b, &[18, 3, 3, 1]);
    let deep = b.node("deep", conv(18, 1), &[wide, w]).unwrap();
    let w = weights(&mut b, &[5, 1, 1, 18]);
    let point = b.node("point", conv(1, 0), &[deep, w]).unwrap();
    let most = b.node("most", pool(PoolKind::Max), &[point]).unwrap();
    let mean = b.node("mean", pool(PoolKind::Average), &[point]).unwrap();
    let both = b.node("both", Concat { axis: 3 }, &[most, mean]).unwrap();
    let w = weights(&mut b, &[7, 2, 2, 10]);
    let up = b.node("up", doubling(), &[both, w]).unwrap();
    let shape = b.i64s("shape", &[0, -1, 7]);
    let rows = b.node("rows", Reshape { allow_zero: false }, &[up, shape]).unwrap();
    let norm = b.node("norm", LayerNorm { axis: 2, epsilon: 1e-5, rms: false }, &[rows]).unwrap();
    let scores = b.node("scores", MatMul { transpose_b: true }, &[norm, norm]).unwrap();
    let share = b.node("share", Softmax { axis: 2, log: false }, &[scores]).unwrap();
    let seen = b.node("seen", MatMul { transpose_b: false }, &[share, norm]).unwrap();
    let flat = b.node("flat", Flatten { axis: 1 }, &[mean]).unwrap();
    let w = weights(&mut b, &[100, 495]);
    let sums = b.node("sums", Linear { clamp: Clamp::NONE }, &[flat, w]).unwrap();
    b.finish(&[seen, sums]).unwrap()
}

fn session(model: &Model, batch: usize, options: SessionOptions) -> Session {
    let graph = model.graph();
    let shapes = graph.inputs.iter().map(|&id| {
        let tensor = graph.tensor(id);
        (tensor.name.clone(), tensor.shape.iter().map(|dim| dim.fixed().unwrap_or(batch)).collect())
    });
    let shapes = shapes.collect();
    let mut session = model.session(&SessionOptions { shapes, ..options }).unwrap();
    feed(&mut session, 0, 3);
    session
}

/// All outputs, of the second of two runs.
fn answers(session: &mut Session) -> Vec<Vec<u8>> {
    session.run().unwrap();
    common::session::answers(session)
}

fn cached(cache_bytes: usize) -> SessionOptions {
    SessionOptions { cache_bytes, ..SessionOptions::default() }
}

#[test]
fn passes_give_the_bits_of_the_whole_batch() {
    let bytes = with_batch(one_of_everything(24), 1, Dim::Free(0));
    for (what, graph) in [("bytes", bytes), ("floats", floats())] {
        let model = Model::from_graph(graph).unwrap();
        let mut counts = std::collections::BTreeSet::new();
        for isa in Isa::available() {
            for batch in [1, 2, 3, 5, 16, 17] {
                let want = answers(&mut session(&model, batch, SessionOptions { isa, ..cached(ALL) }));
                for (threads, cache) in
                    [(1, NONE), (2, NONE), (1, 60 << 10), (2, 150 << 10), (1, 300 << 10), (2, 8 << 20)]
                {
                    let options = SessionOptions { isa, threads, ..cached(cache) };
                    let mut session = session(&model, batch, options);
                    assert!(
                        cache > NONE || session.passes() == batch,
                        "{what}, {batch}: {}",
                        session.passes()
                    );
                    counts.insert((batch, session.passes()));
                    assert!(answers(&mut session) == want, "{what}, {isa}, {batch}, {threads}, {cache}");
                }
            }
        }
        let cut = |(batch, count): &&(usize, usize)| *count > 1 && count < batch && batch % count != 0;
        assert!(counts.iter().any(|c| cut(&c)), "{what}: some passes overlap: {counts:?}");
    }
}

#[test]
fn a_batch_that_is_fixed_goes_in_passes_too() {
    let model = Model::from_graph(with_batch(one_of_everything(24), 1, Dim::Fixed(6))).unwrap();
    let (mut whole, mut cut) = (session(&model, 6, cached(ALL)), session(&model, 6, cached(NONE)));
    assert_eq!((whole.passes(), cut.passes()), (1, 6));
    assert!(answers(&mut whole) == answers(&mut cut));
    assert_eq!(cut.graph(), whole.graph());
}

#[test]
fn entries_may_lie_anywhere_in_lines_of_cache() {
    let mut net = Net::new(3);
    let x =
        Tensor::value("x", DType::U8, Shape::fixed(&[5, 7, 9, 3])).with_quant(Quant::per_tensor(0.02, 117));
    let x = net.b.input_as(x);
    let wide = net.conv(x, 33, [3, 3], 1, 1);
    let deep = net.conv(wide, 33, [3, 3], 2, 33);
    let few = net.conv(deep, 7, [1, 1], 1, 1);
    let y = net.linear(few, 3);
    let model = Model::from_graph(net.b.finish(&[y, few]).unwrap()).unwrap();
    for isa in Isa::available() {
        let answers = [NONE, ALL].map(|cache| {
            let mut session = model.session(&SessionOptions { isa, ..cached(cache) }).unwrap();
            assert_eq!(session.passes(), if cache == ALL { 1 } else { 5 });
            let x = session.input_mut::<u8>(0).unwrap();
            x.iter_mut().enumerate().for_each(|(i, x)| *x = (i * 7919 % 251) as u8);
            answers(&mut session)
        });
        assert!(answers[0] == answers[1], "{isa}");
        assert!(answers[0][1].iter().any(|b| *b != answers[0][1][0]), "{isa}");
    }
}

/// A network of one step from x `[6, 4, 8]`.
fn step(make: impl Fn(&mut GraphBuilder, TensorId) -> Result<TensorId, GraphError>) -> Graph {
    let mut b = GraphBuilder::new("step");
    let x = b.input("x", DType::F32, Shape::fixed(&[6, 4, 8]));
    let y = make(&mut b, x).unwrap();
    b.finish(&[y]).unwrap()
}

type Step = (&'static str, fn(&mut GraphBuilder, TensorId) -> Result<TensorId, GraphError>);

fn slice(b: &mut GraphBuilder, x: TensorId, axis: i64, bounds: [i64; 3]) -> Result<TensorId, GraphError> {
    let [start, end, step] = bounds.map(|n| b.i64s("bound", &[n]));
    let axes = b.i64s("axes", &[axis]);
    b.node("slice", Slice {}, &[x, start, end, axes, step])
}

fn resize(b: &mut GraphBuilder, x: TensorId, scales: &[f32]) -> Result<TensorId, GraphError> {
    let mode = (ResizeMode::Linear, ResizeCoord::Asymmetric, NearestMode::Floor);
    let scales = b.f32s("scales", &[scales.len()], scales);
    let op = Resize { mode: mode.0, coord: mode.1, nearest: mode.2 };
    let node = Node {
        name: "resize".into(),
        op: op.into(),
        inputs: vec![Some(x), None, Some(scales)],
        outputs: vec![],
    };
    Ok(b.push(node, &["resized".to_string()])?[0])
}

/// Entries have nothing to do with each other.
const APART: &[Step] = &[
    ("unary", |b, x| b.node("y", unary(UnaryKind::Tanh), &[x])),
    ("a constant for each column", |b, x| {
        let c = b.f32s("c", &[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
        b.node("y", binary(BinaryKind::Add), &[c, x])
    }),
    ("softmax", |b, x| b.node("y", Softmax { axis: 1, log: false }, &[x])),
    ("mean", |b, x| b.node("y", Reduce { kind: ReduceKind::Mean, axes: vec![1], keep_dims: false }, &[x])),
    ("greatest", |b, x| b.node("y", ArgMax { axis: 2, keep_dims: false, select_last: false }, &[x])),
    ("transpose", |b, x| b.node("y", transpose(&[0, 2, 1]), &[x])),
    ("slice", |b, x| slice(b, x, 1, [-1, -5, -1])),
    ("slice of everything", |b, x| slice(b, x, 0, [0, i64::MAX, 1])),
    ("pad", |b, x| {
        let pads = b.i64s("pads", &[0, 1, 0, 0, 0, 2]);
        b.node("y", Pad { mode: PadMode::Constant }, &[x, pads])
    }),
    ("gather", |b, x| {
        let indices = b.i64s("indices", &[3, 0]);
        b.node("y", Gather { axis: 1 }, &[x, indices])
    }),
    ("join", |b, x| b.node("y", Concat { axis: 1 }, &[x, x])),
    ("resize", |b, x| resize(b, x, &[1.0, 1.5, 2.0])),
    ("rows by a constant", |b, x| {
        let c = b.f32s("c", &[8, 3], &noise(1, 24));
        b.node("y", MatMul { transpose_b: false }, &[x, c])
    }),
    ("batches of products", |b, x| b.node("y", MatMul { transpose_b: true }, &[x, x])),
    ("a shape from the shape", |b, x| {
        let shape = b.node("shape", ShapeOf { start: 0, end: 1 }, &[x])?;
        let rest = b.i64s("rest", &[-1]);
        let shape = b.node("joined", Concat { axis: 0 }, &[shape, rest])?;
        b.node("y", Reshape { allow_zero: false }, &[x, shape])
    }),
];

/// Entries meet, or may.
const TOGETHER: &[Step] = &[
    ("softmax", |b, x| b.node("y", Softmax { axis: 0, log: false }, &[x])),
    ("running sums", |b, x| b.node("y", CumSum { axis: 0, exclusive: false, reverse: false }, &[x])),
    ("mean", |b, x| {
        let mean = b.node("m", Reduce { kind: ReduceKind::Mean, axes: vec![0], keep_dims: true }, &[x])?;
        b.node("y", binary(BinaryKind::Sub), &[x, mean])
    }),
    ("mean of everything, added", |b, x| {
        let all = Reduce { kind: ReduceKind::Mean, axes: vec![0, 1, 2], keep_dims: false };
        let mean = b.node("m", all, &[x])?;
        b.node("y", binary(BinaryKind::Sub), &[x, mean])
    }),
    ("reversed", |b, x| slice(b, x, 0, [-1, -7, -1])),
    ("the last ones", |b, x| slice(b, x, 0, [1, 6, 1])),
    ("moved on", |b, x| {
        let (head, tail) = (slice(b, x, 0, [0, 1, 1])?, slice(b, x, 0, [1, 6, 1])?);
        b.node("y", Concat { axis: 0 }, &[tail, head])
    }),
    ("chosen", |b, x| {
        let indices = b.i64s("indices", &[1, 0, 3, 2, 5, 4]);
        b.node("y", Gather { axis: 0 }, &[x, indices])
    }),
    ("a constant for each entry", |b, x| {
        let c = b.f32s("c", &[6, 1, 1], &noise(1, 6));
        b.node("y", binary(BinaryKind::Add), &[x, c])
    }),
    ("a shape that holds the batch", |b, x| {
        let shape = b.i64s("shape", &[6, 32]);
        b.node("y", Reshape { allow_zero: false }, &[x, shape])
    }),
    ("joined rows", |b, x| {
        let shape = b.i64s("shape", &[-1, 8]);
        b.node("y", Reshape { allow_zero: false }, &[x, shape])
    }),
    ("cut otherwise", |b, x| {
        let shape = b.i64s("shape", &[4, -1, 8]);
        let cut = b.node("cut", Reshape { allow_zero: false }, &[x, shape])?;
        b.node("y", transpose(&[1, 0, 2]), &[cut])
    }),
    ("columns", |b, x| b.node("y", transpose(&[1, 0, 2]), &[x])),
    ("by its transpose", |b, x| {
        let rows = b.node("rows", Flatten { axis: 1 }, &[x])?;
        b.node("y", MatMul { transpose_b: true }, &[rows, rows])
    }),
    ("blurred", |b, x| resize(b, x, &[1.1, 1.0, 1.0])),
    ("padded", |b, x| {
        let pads = b.i64s("pads", &[1, 0, 0, 0, 0, 0]);
        b.node("y", Pad { mode: PadMode::Constant }, &[x, pads])
    }),
    ("quantized as it comes", |b, x| {
        let node =
            Node { name: "q".into(), op: DynamicQuantize {}.into(), inputs: vec![Some(x)], outputs: vec![] };
        let names = ["q", "scale", "zero"].map(String::from);
        let q = b.push(node, &names)?;
        let w = Tensor::constant("w", DType::I8, &[3, 8], Data::from_slice(&[7i8; 24]));
        let w = b.tensor(w.with_quant(Quant::per_channel(0, vec![0.01; 3])));
        let inputs = vec![Some(q[0]), Some(w), None, Some(q[1]), Some(q[2])];
        let op = Linear { clamp: Clamp::NONE }.into();
        Ok(b.push(Node { name: "linear".into(), op, inputs, outputs: vec![] }, &["y".to_string()])?[0])
    }),
];

fn cut_and_whole(graph: Graph) -> (usize, bool) {
    let model = Model::from_graph(graph).unwrap();
    let mut cut = session(&model, 6, cached(NONE));
    let same = answers(&mut cut) == answers(&mut session(&model, 6, cached(ALL)));
    (cut.passes(), same)
}

#[test]
fn only_entries_that_never_meet_go_apart() {
    for (what, make) in APART {
        assert_eq!(cut_and_whole(step(make)), (6, true), "{what}");
    }
    for (what, make) in TOGETHER {
        assert_eq!(cut_and_whole(step(make)), (1, true), "{what}");
    }
}

#[test]
fn states_and_inputs_without_a_batch_keep_it_together() {
    let mut b = GraphBuilder::new("sum");
    let [x, sum] = ["x", "sum"].map(|name| b.input(name, DType::F32, Shape::fixed(&[6, 40])));
    let next = b.node("add", binary(BinaryKind::Add), &[x, sum]).unwrap();
    b.state(sum, next, None);
    let y = b.node("y", unary(UnaryKind::Neg), &[next]).unwrap();
    assert_eq!(cut_and_whole(b.finish(&[y]).unwrap()), (1, true));
    let mut b = GraphBuilder::new("scaled");
    let x = b.input("x", DType::F32, Shape::fixed(&[6, 40]));
    let scale = b.input("scale", DType::F32, Shape::fixed(&[]));
    let y = b.node("y", binary(BinaryKind::Add), &[x, scale]).unwrap();
    assert_eq!(cut_and_whole(b.finish(&[y]).unwrap()), (1, true));
}

#[test]
fn what_users_see_is_the_whole() {
    let model = Model::from_graph(with_batch(one_of_everything(48), 1, Dim::Free(0))).unwrap();
    let (mut whole, mut cut) = (session(&model, 16, cached(ALL)), session(&model, 16, cached(NONE)));
    assert_eq!((whole.passes(), cut.passes()), (1, 16));
    let ports = whole.inputs().iter().chain(whole.outputs()).map(|p| p.shape.iter().product::<usize>() * 4);
    let ports: usize = ports.sum();
    let (all, few) = (whole.arena_bytes() - ports, cut.arena_bytes() - ports);
    assert!(few * 8 < all, "{few} bytes besides inputs and outputs, {all} for the whole batch");
    assert_eq!((cut.macs(), cut.graph()), (whole.macs(), whole.graph()));
    for (a, b) in cut.steps().iter().zip(whole.steps()) {
        assert_eq!((&a.name, &a.out_shape, a.macs), (&b.name, &b.out_shape, b.macs));
    }
    assert_eq!(cut.inputs()[0].shape, [16, 48, 48, 3]);
    let mut timed = [vec![], vec![]];
    cut.run_timed(&mut |step, _| timed[0].push(step)).unwrap();
    whole.run_timed(&mut |step, _| timed[1].push(step)).unwrap();
    assert_eq!(timed[0], timed[1]);
    let mut seen = [vec![], vec![]];
    let outputs = answers(&mut cut);
    cut.run_observed(&mut |id, bytes| seen[0].push((id, bytes.to_vec()))).unwrap();
    whole.run_observed(&mut |id, bytes| seen[1].push((id, bytes.to_vec()))).unwrap();
    assert!(seen[0] == seen[1]);
    assert_eq!(answers(&mut cut), outputs);
    // Other shapes, and back.
    cut.reshape(&[("x", &[5, 48, 48, 3])]).unwrap();
    assert_eq!((cut.passes(), cut.outputs()[0].shape[0]), (5, 5));
    assert!(cut.input_mut::<f32>(0).unwrap().iter().all(|v| *v == 0.0));
}

#[test]
fn limits_hold_for_all_passes_together() {
    let model = Model::from_graph(with_batch(one_of_everything(48), 1, Dim::Free(0))).unwrap();
    let (whole, cut) = (session(&model, 16, cached(ALL)), session(&model, 16, cached(NONE)));
    let tried = |arena_bytes: usize, macs: u64, cache_bytes: usize| {
        let limits = Limits { arena_bytes: arena_bytes as u64, macs, ..Limits::default() };
        let shapes = vec![("x".to_string(), vec![16, 48, 48, 3])];
        model.session(&SessionOptions { limits, shapes, cache_bytes, ..Default::default() }).is_ok()
    };
    let (arena, macs) = (cut.arena_bytes(), cut.macs());
    assert!(tried(arena, macs, NONE) && !tried(arena - 1, macs, NONE) && !tried(arena, macs - 1, NONE));
    assert!(!tried(arena, macs, ALL) && tried(whole.arena_bytes(), macs, ALL));
}

#[test]
fn an_index_out_of_range_in_any_pass_is_named() {
    let mut b = GraphBuilder::new("words");
    let batch = b.free_dim("batch");
    let ids = b.input("ids", DType::I64, Shape(vec![batch, 3.into()]));
    let table = b.f32s("table", &[5, 64], &noise(1, 320));
    let rows = b.node("rows", Gather { axis: 0 }, &[table, ids]).unwrap();
    let y = b.node("y", unary(UnaryKind::Neg), &[rows]).unwrap();
    let model = Model::from_graph(b.finish(&[y]).unwrap()).unwrap();
    let mut texts = vec![];
    for cache_bytes in [NONE, ALL] {
        let shapes = vec![("ids".to_string(), vec![4, 3])];
        let mut session = model.session(&SessionOptions { shapes, ..cached(cache_bytes) }).unwrap();
        assert_eq!(session.passes() > 1, cache_bytes == NONE);
        session.input_mut::<i64>(0).unwrap().copy_from_slice(&[0, 1, 2, 3, 4, 0, 1, 9, 2, 0, 0, 1]);
        texts.push(session.run().unwrap_err().to_string());
        session.input_mut::<i64>(0).unwrap()[7] = 4;
        session.run().unwrap();
        texts.push(format!("{:?}", session.output::<f32>(0).unwrap()));
    }
    assert!(texts[0].contains('9') && texts[..2] == texts[2..], "{texts:?}");
}
