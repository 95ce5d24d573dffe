//! Threads change how long a run takes, and nothing else.

mod common;

use common::integer::{Net, one_of_everything};
use common::nets::{binary, conv, doubling, noise, pool, transpose, unary};
use common::session::{answers, feed};
use ottava::graph::*;
use ottava::{Model, Session, SessionOptions};
use ottava_kernels::Isa;

fn session(model: &Model, isa: Isa, threads: usize) -> Session {
    let mut session = model.session(&SessionOptions { isa, threads, ..Default::default() }).unwrap();
    feed(&mut session, 0, 3);
    session
}

/// Runs of any number of threads give the bytes of one.
fn same_for_any_number(graph: Graph) {
    let model = Model::from_graph(graph).unwrap();
    for isa in Isa::available() {
        let want = answers(&mut session(&model, isa, 1));
        assert!(want.iter().all(|y| y.iter().any(|&byte| byte != y[0])), "every output has something to say");
        for threads in [2, 3, 7] {
            let mut session = session(&model, isa, threads);
            // Who computes what is another matter in every run.
            for run in 0..5 {
                assert!(answers(&mut session) == want, "{isa}, {threads} threads, run {run}");
            }
        }
    }
}

/// Float steps of all kinds that threads share out, each large enough for it.
fn images() -> Graph {
    let mut b = GraphBuilder::new("images");
    let x = b.input("x", DType::F32, Shape::fixed(&[2, 3, 45, 37]));
    let x = b.node("pixels", transpose(&[0, 2, 3, 1]), &[x]).unwrap();
    let weights = |b: &mut GraphBuilder, name: &str, dims: &[usize]| {
        let values = noise(dims[0] as u64, dims.iter().product());
        b.f32s(name, dims, &values)
    };
    let w = weights(&mut b, "w", &[24, 3, 3, 3]);
    let stem = b.node("stem", conv(1, 1), &[x, w]).unwrap();
    let w = weights(&mut b, "depthwise_w", &[24, 3, 3, 1]);
    let deep = b.node("depthwise", conv(24, 1), &[stem, w]).unwrap();
    let w = weights(&mut b, "point_w", &[24, 1, 1, 24]);
    let point = b.node("point", conv(1, 0), &[deep, w]).unwrap();
    let sum = b.node("sum", binary(BinaryKind::Add), &[stem, point]).unwrap();
    let most = b.node("most", pool(PoolKind::Max), &[sum]).unwrap();
    let mean = b.node("mean", pool(PoolKind::Average), &[sum]).unwrap();
    let join = b.node("join", Concat { axis: 3 }, &[most, mean]).unwrap();
    let wide = b.node("gelu", unary(UnaryKind::Gelu), &[join]).unwrap();
    let scale = b.f32s("scale", &[48], &noise(8, 48));
    let scaled = b.node("scaled", binary(BinaryKind::Mul), &[wide, scale]).unwrap();
    let less = b.node("less", binary(BinaryKind::Less), &[scaled, join]).unwrap();
    let chosen = b.node("chosen", Where {}, &[less, scaled, join]).unwrap();
    let w = weights(&mut b, "up_w", &[8, 2, 2, 48]);
    let up = b.node("up", doubling(), &[chosen, w]).unwrap();
    let sizes = b.i64s("sizes", &[2, 120, 111, 8]);
    let resize = Resize {
        mode: ResizeMode::Linear,
        coord: ResizeCoord::HalfPixel,
        nearest: NearestMode::RoundPreferFloor,
    };
    let resized = b.node("resized", resize, &[up, sizes]).unwrap();
    let planes = b.node("planes", transpose(&[0, 3, 1, 2]), &[resized]).unwrap();
    let share = b.node("share", Softmax { axis: 3, log: false }, &[planes]).unwrap();
    b.finish(&[share, chosen, less]).unwrap()
}

/// What transformers are made of, and products of inputs that are quantized as they come.
fn sequences(rows: usize) -> Graph {
    let mut b = GraphBuilder::new("sequences");
    let x = b.input("x", DType::F32, Shape::fixed(&[1, rows, 192]));
    let (scale, bias) = (b.f32s("scale", &[192], &noise(1, 192)), b.f32s("bias", &[192], &noise(2, 192)));
    let norm = LayerNorm { axis: 2, epsilon: 1e-5, rms: false };
    let normed = b.node("norm", norm, &[x, scale, bias]).unwrap();
    let quantize = Node {
        name: "bytes".into(),
        op: DynamicQuantize {}.into(),
        inputs: vec![Some(normed)],
        outputs: vec![],
    };
    let bytes = b.push(quantize, &["q", "s", "z"].map(String::from)).unwrap();
    let product = |b: &mut GraphBuilder, name: &str, outputs: usize| {
        let mut net = Net::new(outputs as u64);
        let w = Data::from_slice(&net.noise.i8s(outputs * 192));
        let quant = Quant::per_channel(0, vec![0.01; outputs]);
        let w =
            b.tensor(Tensor::constant(format!("{name}_w"), DType::I8, &[outputs, 192], w).with_quant(quant));
        let bias = b.f32s("bias", &[outputs], &noise(4, outputs));
        let op = Linear { clamp: Clamp::NONE };
        b.node(name, op, &[bytes[0], w, bias, bytes[1], bytes[2]]).unwrap()
    };
    let heads = b.i64s("heads", &[0, 0, 6, 32]);
    let [q, k, v] = ["query", "key", "value"].map(|name| {
        let flat = product(&mut b, name, 192);
        b.node(&format!("{name}_heads"), Reshape { allow_zero: false }, &[flat, heads]).unwrap()
    });
    let attention = Attention {
        scale: 0.2,
        causal: false,
        q_heads_first: false,
        k_heads_first: false,
        v_heads_first: false,
    };
    let seen = b.node("seen", attention, &[q, k, v]).unwrap();
    // More weights than a cache holds.
    let wide = product(&mut b, "wide", 1600);
    let gate = b.node("gate", unary(UnaryKind::Sigmoid), &[wide]).unwrap();
    let scores = b.node("scores", MatMul { transpose_b: true }, &[gate, wide]).unwrap();
    b.finish(&[seen, scores, gate]).unwrap()
}

#[test]
fn images_are_the_same_for_any_number_of_threads() {
    same_for_any_number(images());
}

#[test]
fn sequences_are_the_same_for_any_number_of_threads() {
    // One row; fewer than two tiles; many.
    for rows in [1, 11, 130] {
        same_for_any_number(sequences(rows));
    }
}

#[test]
fn bytes_are_the_same_for_any_number_of_threads() {
    for size in [31, 97] {
        same_for_any_number(one_of_everything(size));
    }
}

#[test]
fn sessions_run_side_by_side_and_inside_of_other_pools() {
    let model = Model::from_graph(one_of_everything(64)).unwrap();
    let want = answers(&mut session(&model, Isa::best(), 1));
    let run = || {
        let mut session = session(&model, Isa::best(), 3);
        (0..20).all(|_| answers(&mut session) == want)
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        assert!(runs.into_iter().all(|run| run.join().unwrap()));
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    assert_eq!(pool.install(|| rayon::join(run, run)), (true, true));
}

#[test]
fn a_session_moves_between_threads() {
    let model = Model::from_graph(one_of_everything(64)).unwrap();
    let mut session = session(&model, Isa::best(), 2);
    let want = answers(&mut session);
    let mut session = std::thread::spawn(move || {
        answers(&mut session);
        session
    })
    .join()
    .unwrap();
    assert_eq!(answers(&mut session), want);
}
