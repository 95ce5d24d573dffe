//! The files that fuzzing starts from are committed; this keeps them what they should be. With
//! `OTTAVA_WRITE_SEEDS=1` it writes them anew.

mod format_support;

use format_support::*;
use ottava::graph::*;
use ottava::{Limits, Model, SessionOptions, format};
use std::path::Path;

/// Tensors and nodes, one after the other; shapes are given, not inferred.
struct Chain(Graph);

impl Chain {
    fn input(name: &str, shape: Shape) -> (Chain, TensorId) {
        let mut chain = Chain(Graph { name: name.into(), dims: vec!["batch".into()], ..Graph::default() });
        let id = chain.0.add_tensor(Tensor::value("in", DType::F32, shape));
        chain.0.inputs = vec![id];
        (chain, id)
    }

    fn constant(&mut self, tensor: Tensor) -> TensorId {
        self.0.add_tensor(tensor)
    }

    fn node(&mut self, op: impl Into<Op>, inputs: &[TensorId], output: Tensor) -> TensorId {
        let out = self.0.add_tensor(output);
        let op = op.into();
        let name = format!("{}{}", op.name(), self.0.nodes.len());
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        self.0.nodes.push(Node { name, op, inputs, outputs: vec![out] });
        out
    }

    fn output(mut self, id: TensorId) -> Graph {
        self.0.outputs.push(id);
        self.0
    }
}

fn batch_of(dims: &[usize]) -> Shape {
    let rest = dims.iter().map(|&d| Dim::Fixed(d));
    Shape([Dim::Free(0)].into_iter().chain(rest).collect())
}

/// Quantize, Conv, Pool, Flatten, Linear, Dequantize, Softmax.
fn quantized() -> Graph {
    let (mut c, x) = Chain::input("quantized", batch_of(&[4, 4, 2]));
    let u8s = |name: &str, dims: &[usize], scale| {
        Tensor::value(name, DType::U8, batch_of(dims)).with_quant(Quant::per_tensor(scale, 128))
    };
    let i8s = |name: &str, dims: &[usize], scale: f32| {
        let count = dims.iter().product::<usize>();
        let values: Vec<i8> = (0..count).map(|i| (i as i64 * 37 % 255 - 127) as i8).collect();
        Tensor::constant(name, DType::I8, dims, Data::from_slice(&values))
            .with_quant(Quant::per_channel(0, vec![scale; dims[0]]))
    };
    let i32s = |name: &str, values: &[i32], scale: f32| {
        Tensor::constant(name, DType::I32, &[values.len()], Data::from_slice(values))
            .with_quant(Quant::per_channel(0, vec![scale; values.len()]))
    };
    let q = c.node(Quantize {}, &[x], u8s("q", &[4, 4, 2], 0.5));
    let w = c.constant(i8s("w", &[3, 3, 3, 2], 0.25));
    let b = c.constant(i32s("b", &[100, -100, 0], 0.125));
    let conv = Conv { strides: [1, 1], pads: [1; 4], dilations: [1, 1], groups: 1, clamp: Clamp::RELU };
    let conv = c.node(conv, &[q, w, b], u8s("conv", &[4, 4, 3], 2.0));
    let pool = Pool {
        kind: PoolKind::Max,
        kernel: [2, 2],
        strides: [2, 2],
        pads: [0; 4],
        dilations: [1, 1],
        ceil: false,
        count_include_pad: false,
    };
    let pool = c.node(pool, &[conv], u8s("pool", &[2, 2, 3], 2.0));
    let flat = c.node(Flatten { axis: 1 }, &[pool], u8s("flat", &[12], 2.0));
    let w = c.constant(i8s("w2", &[5, 12], 0.5));
    let linear = c.node(Linear { clamp: Clamp::NONE }, &[flat, w], u8s("linear", &[5], 4.0));
    let float = Tensor::value("float", DType::F32, batch_of(&[5]));
    let float = c.node(Dequantize {}, &[linear], float);
    let probability = Tensor::value("probability", DType::F32, batch_of(&[5]));
    let out = c.node(Softmax { axis: 1, log: false }, &[float], probability);
    c.output(out)
}

/// Float operators, most of which move data.
fn float() -> Graph {
    let (mut c, x) = Chain::input("float", batch_of(&[2, 3, 4]));
    let f32s = |name: &str, dims: &[usize]| Tensor::value(name, DType::F32, batch_of(dims));
    let i64s = |name: &str, values: &[i64]| {
        Tensor::constant(name, DType::I64, &[values.len()], Data::from_slice(values))
    };
    let unary = Unary { kind: UnaryKind::Sigmoid, alpha: 0.0, beta: 0.0 };
    let a = c.node(unary, &[x], f32s("sigmoid", &[2, 3, 4]));
    let t = c.node(Transpose { perm: vec![0, 2, 1, 3] }, &[a], f32s("turned", &[3, 2, 4]));
    let shape = c.constant(i64s("shape", &[-1, 6, 4]));
    let r = c.node(Reshape { allow_zero: false }, &[t, shape], f32s("rows", &[6, 4]));
    let m = c.node(MatMul { transpose_b: true }, &[r, r], f32s("product", &[6, 6]));
    let (starts, ends) = (c.constant(i64s("starts", &[1])), c.constant(i64s("ends", &[5])));
    let axes = c.constant(i64s("axes", &[2]));
    let s = c.node(Slice {}, &[m, starts, ends, axes], f32s("part", &[6, 4]));
    let binary = Binary { kind: BinaryKind::Add, clamp: Clamp { min: -1.0, max: 6.0 } };
    let sum = c.node(binary, &[s, r], f32s("sum", &[6, 4]));
    let joined = c.node(Concat { axis: 1 }, &[sum, r], f32s("joined", &[12, 4]));
    let pads = c.constant(i64s("pads", &[0, 1, 0, 0, 0, 2]));
    let padded = c.node(Pad { mode: PadMode::Reflect }, &[joined, pads], f32s("padded", &[13, 6]));
    let reduce = Reduce { kind: ReduceKind::Mean, axes: vec![1], keep_dims: false };
    let mean = c.node(reduce, &[padded], f32s("mean", &[6]));
    let best = Tensor::value("best", DType::I64, batch_of(&[]));
    let best = c.node(ArgMax { axis: 1, keep_dims: false, select_last: false }, &[mean], best);
    c.0.outputs.push(best);
    c.output(mean)
}

/// An LSTM in both directions with all its inputs, a GRU behind it.
fn recurrent() -> Graph {
    let mut b = GraphBuilder::new("recurrent");
    let batch = b.free_dim("batch");
    let x = b.input("in", DType::F32, Shape(vec![3.into(), batch, 2.into()]));
    let lengths = b.input("lengths", DType::I32, Shape(vec![batch]));
    let h = b.input("h", DType::F32, Shape(vec![2.into(), batch, 4.into()]));
    let mut floats = |name: &str, dims: &[usize]| {
        let values: Vec<f32> =
            (0..dims.iter().product::<usize>()).map(|i| (i * 37 % 17) as f32 / 16.0 - 0.5).collect();
        b.f32s(name, dims, &values)
    };
    let (w, r) = (floats("w", &[32, 2]), floats("r", &[32, 4]));
    let (bias, peepholes) = (floats("bias", &[2, 32]), floats("peepholes", &[2, 12]));
    let (w2, r2) = (floats("w2", &[9, 4]), floats("r2", &[9, 3]));
    let node = |name: &str, op: Recurrent, inputs: &[Option<TensorId>]| Node {
        name: name.into(),
        op: op.into(),
        inputs: inputs.to_vec(),
        outputs: vec![],
    };
    let op = Recurrent { cell_clip: 3.0, ..Recurrent::new(RecurrentCell::Lstm, Direction::Bidirectional) };
    let inputs = [x, w, r, bias, lengths, h, h, peepholes].map(Some);
    let names = ["y", "last", "cell"].map(String::from);
    let lstm = b.push(node("lstm", op, &inputs), &names).expect("well formed");
    let gru = Recurrent { reset_after: true, ..Recurrent::new(RecurrentCell::Gru, Direction::Reverse) };
    let inputs = [lstm[1], w2, r2].map(Some);
    let out = b.push(node("gru", gru, &inputs), &["out".into()]).expect("well formed");
    b.finish(&[out[0], lstm[2]]).expect("well formed")
}

/// A running sum that starts from a constant.
fn state() -> Graph {
    let mut b = GraphBuilder::new("state");
    let x = b.input("in", DType::F32, Shape::fixed(&[2]));
    let sum = b.input("sum", DType::F32, Shape::fixed(&[2]));
    let start = b.f32s("start", &[2], &[1.0, -1.0]);
    let add = Binary { kind: BinaryKind::Add, clamp: Clamp::NONE };
    let next = b.node("add", add.clone(), &[x, sum]).expect("well formed");
    let out = b.node("twice", add, &[next, next]).expect("well formed");
    b.state(sum, next, Some(start));
    b.finish(&[out]).expect("well formed")
}

/// An LSTM in integers with its states in 8 and 16 bits.
fn integer_lstm() -> Graph {
    let mut graph = Graph { name: "integer lstm".into(), dims: vec!["batch".into()], ..Graph::default() };
    let steps = |width: usize| Shape(vec![3.into(), Dim::Free(0), width.into()]);
    let state = || Shape(vec![Dim::Free(0), 4.into()]);
    let u8s = |name: &str, shape: Shape| {
        Tensor::value(name, DType::U8, shape).with_quant(Quant::per_tensor(1.0 / 128.0, 128))
    };
    let i16s =
        |name: &str| Tensor::value(name, DType::I16, state()).with_quant(Quant::per_tensor(1.0 / 2048.0, 0));
    let f32s = |name: &str, shape: Shape| Tensor::value(name, DType::F32, shape);
    let weights = |name: &str, columns: usize| {
        let values: Vec<i8> = (0..16 * columns).map(|i| (i * 37 % 255) as i8).collect();
        Tensor::constant(name, DType::I8, &[16, columns], Data::from_slice(&values))
            .with_quant(Quant::per_channel(0, vec![1.0 / 256.0; 16]))
    };
    let bias: Vec<i32> = (0..16).map(|i| i * 100 - 800).collect();
    let bias = Tensor::constant("bias", DType::I32, &[16], Data::from_slice(&bias))
        .with_quant(Quant::per_channel(0, vec![1.0 / 32768.0; 16]));
    let all = [
        f32s("in", steps(2)),
        u8s("x", steps(2)),
        weights("w", 2),
        weights("r", 4),
        bias,
        u8s("h", state()),
        f32s("cell", state()),
        i16s("c"),
        u8s("y", steps(4)),
        u8s("last", state()),
        i16s("last cell"),
        f32s("out", steps(4)),
        f32s("cell out", state()),
    ];
    let id = all.map(|tensor| graph.add_tensor(tensor));
    let [x, qx, w, r, bias, h, cell, c, y, last, last_cell, out, cell_out] = id;
    let mut node = |name: &str, op: Op, inputs: &[TensorId], outputs: &[TensorId]| {
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        graph.nodes.push(Node { name: name.into(), op, inputs, outputs: outputs.to_vec() });
    };
    node("x to bytes", Quantize {}.into(), &[x], &[qx]);
    node("cell to 16 bits", Quantize {}.into(), &[cell], &[c]);
    let lstm = IntegerLstm { batch_first: false, cell_clip: 10.0 };
    node("lstm", lstm.into(), &[qx, w, r, bias, h, c], &[y, last, last_cell]);
    node("y to floats", Dequantize {}.into(), &[y], &[out]);
    node("cell to floats", Dequantize {}.into(), &[last_cell], &[cell_out]);
    graph.inputs = vec![x, h, cell];
    graph.outputs = vec![out, last, cell_out];
    graph
}

/// Wide filters over an image whose length is free; then a layer whose weights are bf16.
fn resample() -> Graph {
    let mut b = GraphBuilder::new("resample");
    let rows = b.free_dim("rows");
    let x = b.input("in", DType::F32, Shape(vec![1.into(), rows, 6.into(), 2.into()]));
    let scales = b.f32s("scales", &[4], &[1.0, 0.5, 1.5, 1.0]);
    let resample = |filter, antialias| Resample {
        filter,
        coord: ResizeCoord::HalfPixel,
        coefficient: -0.75,
        antialias,
        exclude_outside: antialias,
    };
    let node = |name: &str, op: Resample, x: TensorId| Node {
        name: name.into(),
        op: op.into(),
        inputs: vec![Some(x), None, Some(scales)],
        outputs: vec![],
    };
    let cubic = b.push(node("cubic", resample(ResampleFilter::Cubic, false), x), &["c".into()]);
    let cubic = cubic.expect("well formed")[0];
    let linear = b.push(node("linear", resample(ResampleFilter::Linear, true), cubic), &["l".into()]);
    let linear = linear.expect("well formed")[0];
    let halves: Vec<half::bf16> = (0..6).map(|i| half::bf16::from_f32(i as f32 - 2.5)).collect();
    let weights = b.tensor(Tensor::constant("w", DType::BF16, &[3, 2], Data::from_slice(&halves)));
    let out = b.node("layer", Linear { clamp: Clamp::RELU }, &[linear, weights]).expect("well formed");
    b.finish(&[out]).expect("well formed")
}

fn seeds() -> [(&'static str, Vec<u8>); 9] {
    let file = |graph: &Graph| format::write(graph, &[]).expect("well formed");
    [
        ("smallest", file(&smallest())),
        ("records", packed_file()),
        ("quantized", file(&quantized())),
        ("float", file(&float())),
        ("recurrent", file(&recurrent())),
        ("state", file(&state())),
        ("integer_lstm", file(&integer_lstm())),
        ("resample", file(&resample())),
        ("long_text", file(&texted(300))),
    ]
}

/// A seed that is refused early shows a fuzzer nothing.
#[test]
fn seeds_run() {
    for (name, file) in seeds() {
        // The application's operators and the records' made-up shapes don't.
        if matches!(name, "records" | "long_text") {
            continue;
        }
        let model = Model::from_bytes(file, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let shapes = match name {
            "resample" => vec![("in".to_string(), vec![1, 4, 6, 2])],
            _ => vec![],
        };
        let options = SessionOptions { shapes, ..SessionOptions::default() };
        let mut session = model.session(&options).unwrap_or_else(|e| panic!("{name}: {e}"));
        session.run().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn seeds_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, wanted) in seeds() {
        let path = folder.join(name).with_extension("8va");
        if std::env::var_os("OTTAVA_WRITE_SEEDS").is_some() {
            std::fs::write(&path, &wanted).expect("the seed can be written");
        }
        let there = std::fs::read(&path).unwrap_or_default();
        assert!(there == wanted, "{} is out of date: run this with OTTAVA_WRITE_SEEDS=1", path.display());
    }
}
