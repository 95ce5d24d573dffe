//! Small graphs, one per family of operators whose answers are the same bits everywhere.
//!
//! Each has one input of floats, and an output for each operator. Float products are not among them: their order of
//! additions is the fastest one on the machine at hand.

use super::integer::Noise;
use ottava::graph::*;

/// A graph under construction over one input of floats.
struct Part {
    b: GraphBuilder,
    x: TensorId,
    noise: Noise,
    outputs: Vec<TensorId>,
}

fn bytes(name: &str, scale: f32, zero: i32) -> Tensor {
    Tensor::value(name, DType::U8, Shape::default()).with_quant(Quant::per_tensor(scale, zero))
}

impl Part {
    fn new(dims: &[usize]) -> Part {
        let mut b = GraphBuilder::new("part");
        let x = b.input("x", DType::F32, Shape::fixed(dims));
        Part { b, x, noise: Noise::new(5), outputs: vec![] }
    }

    /// An output that an operator computes.
    fn give(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId]) {
        let out = self.b.node(name, op, inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.outputs.push(out);
    }

    /// The same in bytes.
    fn give_bytes(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId], scale: f32, zero: i32) {
        let out = self.b.node_as(name, op, inputs, bytes(&format!("{name}_q"), scale, zero));
        self.outputs.push(out.unwrap_or_else(|e| panic!("{name}: {e}")));
    }

    fn quantized(&mut self, name: &str, scale: f32, zero: i32) -> TensorId {
        self.b.node_as(name, Quantize {}, &[self.x], bytes(&format!("{name}_q"), scale, zero)).unwrap()
    }

    /// i8 weights, rows first, with a scale for each of `scales` rows.
    fn weights(&mut self, name: &str, dims: &[usize], scales: &[f32]) -> TensorId {
        let codes = Data::from_slice(&self.noise.i8s(dims.iter().product()));
        let quant = Quant::per_channel(0, scales.to_vec());
        self.b.tensor(Tensor::constant(name, DType::I8, dims, codes).with_quant(quant))
    }

    fn scales(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| 0.002 + 0.004 * self.noise.unit()).collect()
    }

    fn floats(&mut self, name: &str, dims: &[usize]) -> TensorId {
        let n = dims.iter().product();
        let values: Vec<f32> = (0..n).map(|_| self.noise.unit() - 0.5).collect();
        self.b.f32s(name, dims, &values)
    }

    fn done(self) -> Graph {
        self.b.finish(&self.outputs).unwrap()
    }
}

/// Every part, with a name.
pub fn parts() -> Vec<(&'static str, Graph)> {
    vec![
        ("functions of floats", functions()),
        ("functions of bytes", tables()),
        ("two floats", pairs()),
        ("two tensors of bytes", byte_pairs()),
        ("rows", rows()),
        ("reductions", reductions()),
        ("windows", windows()),
        ("samples between samples", samples()),
        ("bytes moved", moved()),
        ("products of bytes quantized as they come", dynamic()),
        ("products of one row", stack()),
        ("recurrent layers over bytes", recurrent()),
        ("a layer with 16-bit states", integer_lstm()),
    ]
}

fn unary(kind: UnaryKind) -> Unary {
    let (alpha, beta) = match kind {
        UnaryKind::Clip => (-0.5, 1.25),
        UnaryKind::HardSigmoid => (0.2, 0.5),
        _ => (0.3, 0.1),
    };
    Unary { kind, alpha, beta }
}

fn all_unary() -> impl Iterator<Item = UnaryKind> {
    UnaryKind::ALL.iter().copied().filter(|kind| *kind != UnaryKind::Not)
}

fn functions() -> Graph {
    let mut p = Part::new(&[3, 7, 11]);
    for kind in all_unary() {
        p.give(kind.name(), unary(kind), &[p.x]);
    }
    p.done()
}

fn tables() -> Graph {
    let mut p = Part::new(&[3, 7, 11]);
    let q = p.quantized("q", 0.02, 117);
    for kind in all_unary() {
        p.give_bytes(kind.name(), unary(kind), &[q], 0.013, 90);
    }
    p.give_bytes("requantize", Requantize {}, &[q], 0.033, 100);
    p.give("dequantize", Dequantize {}, &[q]);
    p.done()
}

/// Products one behind the other, more weights than a first cache holds: what is below zero becomes zero in the first.
fn stack() -> Graph {
    let mut p = Part::new(&[1, 300]);
    let layer = |p: &mut Part, x: TensorId, name: &str, [k, n]: [usize; 2], out: Tensor| {
        let scales = p.scales(n);
        let w = p.weights(&format!("{name}_w"), &[n, k], &scales);
        let y = p.b.node_as(name, Linear { clamp: Clamp::NONE }, &[x, w], out).unwrap();
        p.outputs.push(y);
        y
    };
    let x = p.quantized("q", 0.02, 117);
    let a = layer(&mut p, x, "first", [300, 200], bytes("first_q", 0.1, 0));
    let b = layer(&mut p, a, "second", [200, 150], bytes("second_q", 0.5, 0));
    let c = layer(&mut p, b, "third", [150, 130], bytes("third_q", 2.0, 90));
    layer(&mut p, c, "last", [130, 10], Tensor::value("last_r", DType::F32, Shape::default()));
    p.done()
}

fn two(kind: BinaryKind) -> Binary {
    Binary { kind, clamp: Clamp::NONE }
}

const ARITHMETIC: [BinaryKind; 8] = [
    BinaryKind::Add,
    BinaryKind::Sub,
    BinaryKind::Mul,
    BinaryKind::Div,
    BinaryKind::Pow,
    BinaryKind::Min,
    BinaryKind::Max,
    BinaryKind::PRelu,
];

fn pairs() -> Graph {
    let mut p = Part::new(&[3, 7, 33]);
    for dims in [&[3, 7, 33][..], &[33], &[7, 1], &[]] {
        let other = p.floats("other", dims);
        for kind in ARITHMETIC.into_iter().chain([BinaryKind::Less, BinaryKind::Fmod]) {
            p.give(kind.name(), two(kind), &[p.x, other]);
        }
    }
    p.done()
}

fn byte_pairs() -> Graph {
    let mut p = Part::new(&[3, 7, 33]);
    let (a, b) = (p.quantized("a", 0.02, 117), p.quantized("b", 0.031, 99));
    for kind in ARITHMETIC {
        p.give_bytes(kind.name(), two(kind), &[a, b], 0.037, 101);
    }
    p.done()
}

fn rows() -> Graph {
    let mut p = Part::new(&[5, 6, 77]);
    let (scale, bias) = (p.floats("scale", &[77]), p.floats("bias", &[77]));
    for rms in [false, true] {
        p.give("norm", LayerNorm { axis: 2, epsilon: 1e-5, rms }, &[p.x, scale, bias]);
    }
    let q = p.quantized("q", 0.03, 128);
    for axis in [1, 2] {
        for log in [false, true] {
            p.give("softmax", Softmax { axis, log }, &[p.x]);
        }
        p.give_bytes("softmax of bytes", Softmax { axis, log: false }, &[q], 1.0 / 256.0, 0);
        p.give("sums", CumSum { axis, exclusive: false, reverse: axis == 1 }, &[p.x]);
        p.give("greatest", ArgMax { axis, keep_dims: false, select_last: false }, &[p.x]);
    }
    p.done()
}

fn reductions() -> Graph {
    let mut p = Part::new(&[4, 9, 35]);
    let q = p.quantized("q", 0.03, 128);
    for axes in [vec![2], vec![1], vec![0, 2], vec![0, 1, 2]] {
        for &kind in ReduceKind::ALL {
            p.give(kind.name(), Reduce { kind, axes: axes.clone(), keep_dims: false }, &[p.x]);
        }
        for kind in [ReduceKind::Mean, ReduceKind::Sum] {
            let op = Reduce { kind, axes: axes.clone(), keep_dims: true };
            p.give_bytes(kind.name(), op, &[q], 0.05, 77);
        }
    }
    p.done()
}

fn windows() -> Graph {
    let mut p = Part::new(&[2, 9, 8, 19]);
    let q = p.quantized("q", 0.03, 128);
    for count_include_pad in [false, true] {
        let pool = |kind| Pool {
            kind,
            kernel: [3, 2],
            strides: [2, 1],
            pads: [1, 0, 1, 1],
            dilations: [1, 1],
            ceil: false,
            count_include_pad,
        };
        p.give("greatest", pool(PoolKind::Max), &[p.x]);
        p.give("average", pool(PoolKind::Average), &[p.x]);
        p.give_bytes("average of bytes", pool(PoolKind::Average), &[q], 0.02, 99);
        let averages = [PoolKind::AverageUnsigned, PoolKind::AverageSigned];
        let averages = averages.into_iter().filter(|_| !count_include_pad);
        for kind in averages.chain([PoolKind::Max]) {
            p.give_bytes(kind.name(), pool(kind), &[q], 0.03, 128);
        }
    }
    p.done()
}

fn samples() -> Graph {
    let mut p = Part::new(&[2, 7, 5, 11]);
    let q = p.quantized("q", 0.03, 128);
    let sizes = p.b.i64s("sizes", &[2, 10, 8, 11]);
    for mode in [ResizeMode::Nearest, ResizeMode::Linear] {
        let node = Node {
            name: mode.name().into(),
            op: Resize { mode, coord: ResizeCoord::HalfPixel, nearest: NearestMode::RoundPreferFloor }.into(),
            inputs: vec![],
            outputs: vec![],
        };
        let reals = Node { inputs: vec![Some(p.x), Some(sizes)], ..node.clone() };
        let made = p.b.push(reals, &["real".into()]).unwrap();
        p.outputs.extend(made);
        let codes = Node { inputs: vec![Some(q), Some(sizes)], ..node };
        let made = p.b.push_as(codes, vec![bytes("resized", 0.03, 128)]).unwrap();
        p.outputs.extend(made);
    }
    for filter in [ResampleFilter::Linear, ResampleFilter::Cubic] {
        let op = Resample {
            filter,
            coord: ResizeCoord::HalfPixel,
            coefficient: -0.75,
            antialias: true,
            exclude_outside: false,
        };
        p.give(filter.name(), op, &[p.x, sizes]);
    }
    p.done()
}

fn moved() -> Graph {
    let mut p = Part::new(&[2, 6, 5, 8]);
    let q = p.quantized("q", 0.03, 128);
    p.give_bytes("turned", Transpose { perm: vec![0, 3, 1, 2] }, &[q], 0.03, 128);
    let pads = p.b.i64s("pads", &[0, 2, 1, 0, 0, 1, 2, 0]);
    p.give_bytes("mirrored", Pad { mode: PadMode::Reflect }, &[q, pads], 0.03, 128);
    let steps = [[1, 0], [6, 5], [1, 2], [2, 2]];
    let [from, to, axes, by] = [0, 1, 2, 3].map(|i| p.b.i64s("bounds", &steps[i]));
    p.give_bytes("part", Slice {}, &[q, from, to, axes, by], 0.03, 128);
    let rows = p.b.i64s("rows", &[3, -1, 0]);
    p.give_bytes("picked", Gather { axis: 1 }, &[q, rows], 0.03, 128);
    let repeats = p.b.i64s("repeats", &[1, 2, 1, 3]);
    p.give_bytes("again", Tile {}, &[q, repeats], 0.03, 128);
    p.done()
}

fn dynamic() -> Graph {
    let mut p = Part::new(&[3, 6, 7, 20]);
    let node = Node {
        name: "quantize".into(),
        op: DynamicQuantize {}.into(),
        inputs: vec![Some(p.x)],
        outputs: vec![],
    };
    let made = p.b.push(node, &["q".into(), "scale".into(), "zero".into()]).unwrap();
    let [q, scale, zero] = made[..] else { panic!("three outputs") };
    p.outputs.extend([q, scale, zero]);
    let scales = p.scales(37);
    let (w, bias) = (p.weights("w", &[37, 20], &scales), p.floats("bias", &[37]));
    let linear = Linear { clamp: Clamp { min: -2.0, max: 3.0 } };
    let real = |name: &str| Tensor::value(name, DType::F32, Shape::default());
    let y = p.b.node_as("linear", linear, &[q, w, bias, scale, zero], real("linear_y")).unwrap();
    let w = p.weights("kernel", &[37, 3, 3, 20], &scales);
    let (strides, pads, dilations) = ([1, 2], [1; 4], [1; 2]);
    let conv = Conv { strides, pads, dilations, groups: 1, clamp: Clamp::NONE };
    let z = p.b.node_as("conv", conv, &[q, w, bias, scale, zero], real("conv_y")).unwrap();
    p.outputs.extend([y, z]);
    let plain = Data::from_slice(&p.noise.i8s(20 * 9));
    let b = p.b.tensor(Tensor::constant("b", DType::I8, &[20, 9], plain));
    p.give("sums", IntegerMatMul {}, &[q, b, zero]);
    let kernel = Data::from_slice(&p.noise.i8s(9 * 3 * 3 * 20));
    let kernel = p.b.tensor(Tensor::constant("k", DType::I8, &[9, 3, 3, 20], kernel));
    p.give("window sums", IntegerConv { strides, pads, dilations, groups: 1 }, &[q, kernel, zero]);
    p.done()
}

fn recurrent() -> Graph {
    const HIDDEN: usize = 21;
    let mut p = Part::new(&[4, 3, 17]);
    for &cell in RecurrentCell::ALL {
        for &rows in RowQuant::ALL {
            let n = cell.gates() * HIDDEN;
            let scales = p.scales(n);
            let (w, r) = (p.weights("w", &[n, 17], &scales), p.weights("r", &[n, HIDDEN], &scales));
            let bias = p.floats("bias", &[1, 2 * n]);
            let op = Recurrent { rows, ..Recurrent::new(cell, Direction::Forward) };
            let inputs = [p.x, w, r, bias].map(Some).to_vec();
            let node = Node { name: rows.name().into(), op: op.into(), inputs, outputs: vec![] };
            let names = ["y", "last", "cell"].map(|name| format!("{}.{}.{name}", cell.name(), rows.name()));
            let made = p.b.push(node, &names[..cell.outputs()]).unwrap();
            p.outputs.extend(made);
        }
    }
    p.done()
}

fn integer_lstm() -> Graph {
    const HIDDEN: usize = 21;
    let mut p = Part::new(&[4, 3, 17]);
    let x = p.quantized("q", 0.02, 117);
    for cell_clip in [f32::INFINITY, 0.75] {
        let gates = |scales: [f32; 4]| scales.iter().flat_map(|&s| [s; HIDDEN]).collect::<Vec<f32>>();
        let w = p.weights("w", &[4 * HIDDEN, 17], &gates([0.004, 0.007, 0.005, 0.011]));
        let r = p.weights("r", &[4 * HIDDEN, HIDDEN], &gates([0.006, 0.003, 0.008, 0.005]));
        let bias: Vec<i32> = (0..4 * HIDDEN).map(|_| p.noise.next() as i32 % 8000 - 4000).collect();
        let bias = Tensor::constant("bias", DType::I32, &[4 * HIDDEN], Data::from_slice(&bias));
        let h = Tensor::constant("h", DType::U8, &[3, HIDDEN], Data::from_slice(&[131u8; 3 * HIDDEN]));
        let c = Tensor::constant("c", DType::I16, &[3, HIDDEN], Data::from_slice(&[0i16; 3 * HIDDEN]));
        let (state, cell) = (Quant::per_tensor(0.0078, 131), Quant::per_tensor(2f32.powi(-12), 0));
        let (bias, h) = (p.b.tensor(bias), p.b.tensor(h.with_quant(state.clone())));
        let c = p.b.tensor(c.with_quant(cell.clone()));
        let op = IntegerLstm { batch_first: false, cell_clip };
        let inputs = [x, w, r, bias, h, c].map(Some).to_vec();
        let node = Node { name: "lstm".into(), op: op.into(), inputs, outputs: vec![] };
        let output = |name: &str, dtype, quant: &Quant| {
            Tensor::value(name, dtype, Shape::default()).with_quant(quant.clone())
        };
        let outputs = vec![
            output("y", DType::U8, &state),
            output("last", DType::U8, &state),
            output("last cell", DType::I16, &cell),
        ];
        let made = p.b.push_as(node, outputs).unwrap();
        p.outputs.extend(made);
    }
    p.done()
}
