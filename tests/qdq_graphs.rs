//! Dequantize -> operator -> Quantize becomes one integer node, and answers what the floats between answered.

#[path = "common/nets.rs"]
mod nets;

use nets::{binary, conv, doubling, noise, unary};
use ottava::graph::*;
use ottava::{Model, SessionOptions, optimize};

#[derive(Default)]
struct Net(GraphBuilder);

impl Net {
    fn quantize(&mut self, x: TensorId, name: &str, dtype: DType, scale: f32, zero: i32) -> TensorId {
        let codes = Tensor::value(name, dtype, Shape::default()).with_quant(Quant::per_tensor(scale, zero));
        self.0.node_as(name, Quantize {}, &[x], codes).unwrap()
    }

    fn dequantize(&mut self, x: TensorId) -> TensorId {
        self.0.node("dequantize", Dequantize {}, &[x]).unwrap()
    }

    /// Floats that went through u8.
    fn through(&mut self, x: TensorId, name: &str, scale: f32, zero: i32) -> TensorId {
        let codes = self.quantize(x, name, DType::U8, scale, zero);
        self.dequantize(codes)
    }

    fn constant(&mut self, name: &str, dtype: DType, dims: &[usize], codes: &[u8], quant: Quant) -> TensorId {
        let tensor = Tensor::constant(name, dtype, dims, Data::from_bytes(codes)).with_quant(quant);
        let codes = self.0.tensor(tensor);
        self.dequantize(codes)
    }
}

fn input(net: &mut Net, dims: &[usize]) -> TensorId {
    net.0.input("x", DType::F32, Shape::fixed(dims))
}

fn weights(count: usize) -> Vec<u8> {
    noise(7, count).iter().map(|v| (v * 127.0) as i8 as u8).collect()
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

fn run(graph: &Graph) -> Vec<f32> {
    let model = Model::from_graph(graph.clone()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let x = session.input_mut::<f32>(0).unwrap();
    let values = noise(3, x.len());
    x.copy_from_slice(&values);
    session.run().unwrap();
    session.output::<f32>(0).unwrap().to_vec()
}

/// The graph with floats for the constants that integers stand for.
fn with_float_constants(mut graph: Graph) -> Graph {
    for node in std::mem::take(&mut graph.nodes) {
        let reals = match node.op {
            Op::Dequantize(_) => graph.tensor(node.input(0).unwrap()).dequantized(),
            _ => None,
        };
        match reals {
            Some(reals) => graph.tensor_mut(node.outputs[0]).data = Some(Data::from_slice(&reals)),
            None => graph.nodes.push(node),
        }
    }
    graph
}

/// Optimizes; what comes out is within a step of what the float nodes computed.
fn optimized(net: Net, y: TensorId, step: f32) -> Graph {
    let graph = net.0.finish(&[y]).unwrap();
    let after = optimize::float(graph.clone()).unwrap();
    let (want, got) = (run(&with_float_constants(graph)), run(&after));
    assert!(want.iter().any(|v| *v != want[0]), "the outputs are not all the same");
    for (want, got) in want.iter().zip(&got) {
        assert!((want - got).abs() <= 1.01 * step, "{want} became {got}, a step is {step}");
    }
    after
}

fn conv_relu(dtype: DType, codes: &[u8], quant: Quant) -> (Net, TensorId) {
    let mut net = Net::default();
    let x = input(&mut net, &[1, 6, 6, 4]);
    let x = net.through(x, "xq", 1.0 / 128.0, 128);
    let w = net.constant("w", dtype, &[3, 2, 2, 4], codes, quant);
    let b = net.0.f32s("b", &[3], &[0.25, -0.5, 0.125]);
    let y = net.0.node("conv", conv(1, 0), &[x, w, b]).unwrap();
    let y = net.0.node("relu", unary(UnaryKind::Relu), &[y]).unwrap();
    let y = net.through(y, "yq", 0.02, 10);
    (net, y)
}

#[test]
fn a_convolution_with_its_activation_is_one_node() {
    let (net, y) = conv_relu(DType::I8, &weights(48), Quant::per_channel(0, vec![0.01, 0.005, 0.008]));
    let after = optimized(net, y, 0.02);
    assert_eq!(names(&after), ["Quantize", "Conv", "Dequantize"]);
    let Op::Conv(conv) = &after.nodes[1].op else { panic!("a convolution") };
    assert_eq!(conv.clamp, Clamp::RELU);
    assert_eq!(after.tensor(after.nodes[1].outputs[0]).dtype, DType::U8);
}

#[test]
fn unsigned_weights_that_fit_become_signed() {
    let codes: Vec<u8> = weights(48).iter().map(|b| b ^ 0x80).collect();
    let (net, y) = conv_relu(DType::U8, &codes, Quant::per_tensor(0.01, 128));
    let after = optimized(net, y, 0.02);
    let w = after.tensor(after.nodes[1].input(1).unwrap());
    assert_eq!((w.dtype, &w.quant), (DType::I8, &Some(Quant::per_channel(0, vec![0.01; 3]))));
}

#[test]
fn weights_far_from_0_keep_zero_points() {
    let codes: Vec<u8> = weights(48).iter().map(|b| b ^ 0x80).collect();
    let (net, y) = conv_relu(DType::U8, &codes, Quant::per_tensor(0.01, 20));
    let after = optimized(net, y, 0.02);
    assert_eq!(names(&after), ["Quantize", "Conv", "Dequantize"]);
    let w = after.tensor(after.nodes[1].input(1).unwrap());
    let quant = w.quant.as_ref().unwrap();
    assert_eq!((w.dtype, quant.axis, &quant.scale), (DType::I8, Some(0), &vec![0.01; 3]));
    assert!(quant.zero_point.iter().any(|&z| z != 0));
    let reals: Vec<f32> = codes.iter().map(|&q| (i32::from(q) - 20) as f32 * 0.01).collect();
    assert_eq!(w.dequantized().unwrap(), reals);
}

#[test]
fn signed_weights_with_zero_points_are_products_of_integers() {
    let quant = Quant { axis: Some(0), scale: vec![0.01, 0.005, 0.008], zero_point: vec![-90, 0, 77] };
    let (net, y) = conv_relu(DType::I8, &weights(48), quant);
    let after = optimized(net, y, 0.02);
    assert_eq!(names(&after), ["Quantize", "Conv", "Dequantize"]);
}

#[test]
fn a_bias_that_the_sums_do_not_hold_stays_a_float() {
    let mut codes = weights(48);
    codes[..16].fill(1);
    // The bias of 0.25 is 2^31 steps of 2^-7 * 2^-26.
    let scales = vec![2f32.powi(-26), 0.005, 0.008];
    let (net, y) = conv_relu(DType::I8, &codes, Quant::per_channel(0, scales.clone()));
    let after = optimized(net, y, 0.02);
    assert_eq!(names(&after), ["Quantize", "Conv", "Dequantize"]);
    let [w, b] = [1, 2].map(|i| after.tensor(after.nodes[1].input(i).unwrap()));
    assert_eq!(w.quant.as_ref().unwrap().scale, scales);
    assert_eq!((b.dtype, b.data.as_ref().unwrap().to_vec::<f32>()), (DType::F32, vec![0.25, -0.5, 0.125]));
}

/// A product of these inputs and weights of one step with a float bias, its output in steps of `step`.
fn biased(op: &str, bias: &[f32], step: f32) -> (Net, TensorId) {
    let (mut net, n) = (Net::default(), bias.len());
    let x = input(&mut net, if op == "linear" { &[5, 8] } else { &[2, 4, 4, 8] });
    let x = net.through(x, "xq", 0.5, 128);
    let dims = match op {
        "linear" => vec![n, 8],
        "conv" => vec![n, 2, 2, 8],
        "depthwise" => vec![8, 2, 2, 1],
        _ => vec![n, 2, 2, 8],
    };
    let codes = weights(dims.iter().product());
    let w = net.constant("w", DType::I8, &dims, &codes, Quant::per_tensor(0.5, 0));
    let b = net.0.f32s("b", &[n], bias);
    let op: Op = match op {
        "linear" => Linear { clamp: Clamp::NONE }.into(),
        "conv" => conv(1, 0).into(),
        "depthwise" => Conv { groups: 8, ..conv(1, 0) }.into(),
        _ => doubling().into(),
    };
    let y = net.0.node("product", op, &[x, w, b]).unwrap();
    let y = net.through(y, "yq", step, 128);
    (net, y)
}

/// A step of the sums is half a step of the output: rounding a bias to it would move every other output.
#[test]
fn biases_between_two_steps_are_added_unrounded() {
    for op in ["linear", "conv", "depthwise", "transpose"] {
        let bias = [0.125, -0.125, 0.0625, 0.3125, 7.1875, -0.0625, 0.25, 0.0];
        let (net, y) = biased(op, &bias, 0.5);
        // Nothing rounds before the sum is quantized: the floats give the same.
        let after = optimized(net, y, 0.0);
        assert_eq!(names(&after)[..2], ["Quantize", after.nodes[1].op.name()], "{op}");
        let b = after.tensor(after.nodes[1].input(2).unwrap());
        assert_eq!((b.dtype, b.data.as_ref().unwrap().to_vec::<f32>()), (DType::F32, bias.to_vec()), "{op}");
    }
}

#[test]
fn float_biases_of_whole_steps_become_integers() {
    // What a float keeps of 77,777 steps is off by one in the last place.
    let bias = [77_777.0 * 0.25 * 1.0000001, 0.25, -0.25, 0.0];
    let (net, y) = biased("linear", &bias, 0.5);
    let after = optimized(net, y, 0.0);
    let b = after.tensor(after.nodes[1].input(2).unwrap());
    assert_eq!((b.dtype, b.data.as_ref().unwrap().to_vec::<i32>()), (DType::I32, vec![77_777, 1, -1, 0]));
}

#[test]
fn moving_bytes_needs_no_floats() {
    let mut net = Net::default();
    let x = input(&mut net, &[1, 4, 4, 2]);
    let x = net.through(x, "xq", 0.01, 120);
    let pool = Pool {
        kind: PoolKind::Max,
        kernel: [2, 2],
        strides: [2, 2],
        pads: [0; 4],
        dilations: [1, 1],
        ceil: false,
        count_include_pad: false,
    };
    let x = net.0.node("pool", pool, &[x]).unwrap();
    let x = net.through(x, "pooled", 0.01, 120);
    let x = net.0.node("flat", Flatten { axis: 1 }, &[x]).unwrap();
    let y = net.through(x, "yq", 0.02, 100);
    let after = optimized(net, y, 0.02);
    assert_eq!(names(&after), ["Quantize", "Pool", "Flatten", "Requantize", "Dequantize"]);
}

#[test]
fn sums_joins_and_functions_are_computed_in_bytes() {
    let mut net = Net::default();
    let x = input(&mut net, &[2, 8]);
    let a = net.through(x, "a", 0.01, 100);
    let b = net.through(x, "b", 0.005, 128);
    let c = net.constant("c", DType::I8, &[8], &weights(8), Quant::per_tensor(0.01, 3));
    let sum = net.0.node("sum", binary(BinaryKind::Add), &[a, c]).unwrap();
    let sum = net.through(sum, "sum_q", 0.02, 130);
    let sigmoid = net.0.node("sigmoid", unary(UnaryKind::Sigmoid), &[b]).unwrap();
    let sigmoid = net.through(sigmoid, "sigmoid_q", 1.0 / 256.0, 0);
    let joined = net.0.node("joined", Concat { axis: 1 }, &[sum, sigmoid]).unwrap();
    let y = net.through(joined, "yq", 0.02, 130);
    let after = optimized(net, y, 0.02);
    let float = after.nodes.iter().filter(|n| !matches!(n.op, Op::Quantize(_)));
    for node in float {
        assert_eq!(after.tensor(node.input(0).unwrap()).dtype, DType::U8, "{}", node.name);
    }
}

#[test]
fn signed_borders_keep_their_type() {
    let mut net = Net::default();
    let x = net.0.input("x", DType::I8, Shape::fixed(&[1, 6]));
    net.0.describe(x, Quant::per_tensor(0.05, -3));
    let real = net.dequantize(x);
    let y = net.0.node("tanh", unary(UnaryKind::Tanh), &[real]).unwrap();
    let y = net.quantize(y, "y", DType::I8, 1.0 / 128.0, 0);
    let graph = net.0.finish(&[y]).unwrap();
    let after = optimize::float(graph.clone()).unwrap();
    assert_eq!(names(&after), ["Requantize", "Unary", "Requantize"]);
    let answer = |graph: &Graph| {
        let model = Model::from_graph(graph.clone()).unwrap();
        let mut session = model.session(&SessionOptions::default()).unwrap();
        session.input_mut::<i8>(0).unwrap().copy_from_slice(&[-128, -20, -3, 0, 40, 127]);
        session.run().unwrap();
        session.output::<i8>(0).unwrap().to_vec()
    };
    assert_eq!(answer(&graph), answer(&after));
}

#[test]
fn products_that_nobody_quantizes_leave_as_floats() {
    let mut net = Net::default();
    let x = input(&mut net, &[3, 8]);
    let x = net.through(x, "xq", 0.01, 110);
    let w = net.constant("w", DType::I8, &[8, 4], &weights(32), Quant::per_channel(1, vec![0.01; 4]));
    let y = net.0.node("product", MatMul { transpose_b: false }, &[x, w]).unwrap();
    let graph = net.0.finish(&[y]).unwrap();
    let after = optimize::float(graph).unwrap();
    assert_eq!(names(&after), ["Quantize", "Linear"]);
    let w = after.tensor(after.nodes[1].input(1).unwrap());
    assert_eq!((w.dtype, w.quant.as_ref().and_then(|q| q.axis)), (DType::I8, Some(0)));
}

/// A convolution with these float weights and a bias, between integers.
fn float_weights(w: &[f32]) -> Graph {
    let mut net = Net::default();
    let x = input(&mut net, &[1, 3, 3, 2]);
    let x = net.through(x, "xq", 0.02, 110);
    let w = Tensor::constant("w", DType::F32, &[w.len() / 2, 1, 1, 2], Data::from_slice(w));
    let channels = w.shape.dims().unwrap()[0];
    let bias = vec![0.1f32; channels];
    let b = Tensor::constant("b", DType::F32, &[channels], Data::from_slice(&bias));
    let (w, b) = (net.0.tensor(w), net.0.tensor(b));
    let y = net.0.node("conv", conv(1, 0), &[x, w, b]).unwrap();
    let y = net.quantize(y, "y", DType::U8, 0.05, 100);
    let y = net.dequantize(y);
    net.0.finish(&[y]).unwrap()
}

#[test]
fn float_weights_between_integers_become_integers() {
    let after = optimize::float(float_weights(&[-1.0, 0.5, 0.99, 0.3])).unwrap();
    assert_eq!(names(&after), ["Quantize", "Conv", "Dequantize"]);
    let [w, b] = [1, 2].map(|i| after.tensor(after.nodes[1].input(i).unwrap()));
    let step = 1.99f32 / 255.0;
    assert_eq!(w.data.as_ref().unwrap().to_vec::<i8>(), [-128, 64, 127, 38]);
    assert!(w.quant.as_ref().unwrap().scale.iter().all(|&s| s == step));
    assert_eq!(
        b.data.as_ref().unwrap().to_vec::<i32>(),
        [(0.1f32 / (0.02 * step)).round_ties_even() as i32; 2]
    );
}

#[test]
fn weights_without_a_range_stay_floats() {
    for w in [[0.0, 0.0], [f32::INFINITY, 1.0], [f32::MIN_POSITIVE, 0.0]] {
        let after = optimize::float(float_weights(&w)).unwrap();
        assert!(names(&after).contains(&"Conv"), "{w:?}");
        let conv = after.nodes.iter().find(|n| n.op.name() == "Conv").unwrap();
        assert_eq!(after.tensor(conv.input(1).unwrap()).dtype, DType::F32, "{w:?}");
    }
}
