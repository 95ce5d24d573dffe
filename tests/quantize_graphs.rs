//! Quantized graphs are made of what they should be made of and stay close to the float graphs.

#[path = "common/interpret.rs"]
mod interpret;
#[path = "common/nets.rs"]
mod nets;

use interpret::Array;
use nets::{binary, conv, count, noise, transpose, unary};
use ottava::graph::*;
use ottava::quantize::{
    Calibration, Method, Mode, Modes, Options, QuantizeError, Quantized, with_calibration,
};

const MIN_MAX: Options = Options {
    method: Method::MinMax,
    per_tensor: false,
    exclude: Vec::new(),
    float_ends: false,
    modes: Modes::all(Mode::Static),
};

struct Net {
    b: GraphBuilder,
    seed: u64,
}

impl Net {
    fn new(input: &[usize]) -> (Net, TensorId) {
        let mut net = Net { b: GraphBuilder::new("net"), seed: 40 };
        let x = net.b.input("x", DType::F32, Shape::fixed(input));
        (net, x)
    }

    fn node(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        self.b.node(name, op, inputs).unwrap()
    }

    fn weights(&mut self, dims: &[usize]) -> TensorId {
        self.seed += 1;
        let values = noise(self.seed, dims.iter().product());
        self.b.f32s("w", dims, &values)
    }

    fn conv(&mut self, name: &str, x: TensorId, out: usize, groups: usize) -> TensorId {
        let c = self.b.graph().tensor(x).shape[3].fixed().unwrap();
        let (w, b) = (self.weights(&[out, 3, 3, c / groups]), self.weights(&[out]));
        let relu = Conv { clamp: Clamp::RELU, ..conv(groups, 1) };
        self.node(name, relu, &[x, w, b])
    }

    fn linear(&mut self, name: &str, x: TensorId, out: usize) -> TensorId {
        let k = self.b.graph().tensor(x).shape.last().unwrap().fixed().unwrap();
        let (w, b) = (self.weights(&[out, k]), self.weights(&[out]));
        self.node(name, Linear { clamp: Clamp::NONE }, &[x, w, b])
    }

    fn finish(self, outputs: &[TensorId]) -> Graph {
        self.b.finish(outputs).unwrap()
    }
}

fn samples(graph: &Graph, count: u64) -> Vec<Vec<Array>> {
    let one = |seed: u64| {
        let inputs = graph.inputs.iter().zip(0..);
        let dims = inputs.map(|(&t, i)| (graph.tensor(t).shape.dims().unwrap(), seed * 10 + i));
        dims.map(|(d, seed)| Array::new(&d, noise(seed, d.iter().product()))).collect()
    };
    (1..=count).map(one).collect()
}

fn quantized(graph: &Graph, options: &Options) -> Quantized {
    let mut calibration = Calibration::new(graph, options.method);
    for sample in samples(graph, 8) {
        interpret::run(graph, &sample, &mut |t, a| calibration.observe(t, bytemuck::cast_slice(&a.values)));
    }
    let mut q = with_calibration(graph, &calibration, options).unwrap();
    infer::check(&mut q.graph).unwrap();
    let named =
        |g: &Graph, ids: &[TensorId]| -> Vec<Tensor> { ids.iter().map(|&t| g.tensor(t).clone()).collect() };
    assert_eq!(named(graph, &graph.inputs), named(&q.graph, &q.graph.inputs));
    assert_eq!(named(graph, &graph.outputs), named(&q.graph, &q.graph.outputs));
    q
}

/// Signal to quantization noise of the outputs, in dB.
fn sqnr(float: &Graph, int8: &Graph) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for sample in samples(float, 8) {
        let want = interpret::run(float, &sample, &mut |_, _| {});
        let got = interpret::run(int8, &sample, &mut |_, _| {});
        for (w, g) in want.iter().zip(&got).flat_map(|(w, g)| w.values.iter().zip(&g.values)) {
            signal += f64::from(*w).powi(2);
            noise += f64::from(w - g).powi(2);
        }
    }
    10.0 * (signal / noise).log10()
}

fn is_conversion(op: &Op) -> bool {
    matches!(op, Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_))
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

fn classifier() -> Graph {
    let (mut net, y) = backbone();
    let y = net.node("softmax", Softmax { axis: 1, log: false }, &[y]);
    net.finish(&[y])
}

/// A small network up to its logits.
fn backbone() -> (Net, TensorId) {
    let (mut net, x) = Net::new(&[1, 3, 8, 8]);
    let y = net.node("layout", transpose(&[0, 2, 3, 1]), &[x]);
    let a = net.conv("stem", y, 8, 1);
    let b = net.conv("depthwise", a, 8, 8);
    let y = net.node("add", binary(BinaryKind::Add), &[a, b]);
    let mean = Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false };
    let y = net.node("pool", mean, &[y]);
    let y = net.linear("classes", y, 5);
    (net, y)
}

#[test]
fn a_classifier_is_integer_from_end_to_end() {
    let float = classifier();
    let q = quantized(&float, &MIN_MAX);
    let want = ["Quantize", "Transpose", "Conv", "Conv", "Binary", "Reduce", "Linear", "Softmax"];
    assert_eq!(names(&q.graph), want);
    assert_eq!((q.nodes_int8, q.nodes_float), (6, 1));
    assert_eq!(q.float_nodes[0].0, "softmax");
    let db = sqnr(&float, &q.graph);
    assert!(db > 35.0, "{db} dB");
}

#[test]
fn the_scales_of_input_and_transpose_are_one() {
    let q = quantized(&classifier(), &MIN_MAX);
    let quant = |i: usize| q.graph.tensor(q.graph.nodes[i].outputs[0]).quant.clone();
    assert_eq!(quant(0), quant(1));
    assert!(quant(0).is_some());
}

#[test]
fn every_method_stays_close() {
    let (net, y) = backbone();
    let float = net.finish(&[y]);
    for method in [Method::MinMax, Method::Percentile(99.99), Method::Mse, Method::Entropy] {
        let q = quantized(&float, &Options { method, ..MIN_MAX });
        let db = sqnr(&float, &q.graph);
        assert!(db > 45.0, "{method:?}: {db} dB");
    }
}

#[test]
fn one_scale_per_channel_is_better_than_one_for_all() {
    let (mut net, x) = Net::new(&[4, 16]);
    let values: Vec<f32> =
        noise(3, 8 * 16).iter().enumerate().map(|(i, v)| v * 4f32.powi(-(i as i32 / 16))).collect();
    let w = net.b.f32s("w", &[8, 16], &values);
    let y = net.node("a", Linear { clamp: Clamp::NONE }, &[x, w]);
    let float = net.finish(&[y]);
    let each = quantized(&float, &MIN_MAX);
    let all = quantized(&float, &Options { per_tensor: true, ..MIN_MAX });
    let quant = |q: &Quantized| q.graph.tensor(q.graph.find("w").unwrap()).quant.clone().unwrap().scale;
    assert!(quant(&all).windows(2).all(|s| s[0] == s[1]));
    assert!(quant(&each).windows(2).all(|s| s[0] > s[1]));
}

#[test]
fn excluded_nodes_stay_float_between_conversions() {
    let float = classifier();
    let q = quantized(&float, &Options { exclude: vec!["depthwise".into()], ..MIN_MAX });
    let node = q.graph.nodes.iter().find(|n| n.name == "depthwise").unwrap();
    assert_eq!(q.graph.tensor(node.outputs[0]).dtype, DType::F32);
    assert!(q.float_nodes.contains(&("depthwise".to_string(), "is excluded".to_string())));
    assert_eq!(count(&q.graph, is_conversion), 3);
    assert!(sqnr(&float, &q.graph) > 35.0);
}

#[test]
fn names_that_nothing_has_are_refused() {
    let float = classifier();
    let calibration = Calibration::new(&float, Method::MinMax);
    let options = Options { exclude: vec!["nothing".into()], ..MIN_MAX };
    let error = with_calibration(&float, &calibration, &options).unwrap_err();
    assert!(matches!(error, ottava::Error::Quantize(QuantizeError::UnknownNode(_))), "{error}");
    let options = Options { method: Method::Percentile(12.0), ..MIN_MAX };
    let error = with_calibration(&float, &calibration, &options).unwrap_err();
    assert!(matches!(error, ottava::Error::Quantize(QuantizeError::Percentile(_))), "{error}");
}

#[test]
fn what_calibration_has_not_seen_stays_float_and_says_so() {
    let float = classifier();
    let calibration = Calibration::new(&float, Method::MinMax);
    let q = with_calibration(&float, &calibration, &MIN_MAX).unwrap();
    assert_eq!(q.nodes_int8, 0);
    assert!(q.float_nodes.iter().any(|(_, why)| why.contains("calibration saw no finite value")));
    assert_eq!(count(&q.graph, is_conversion), 0);
}

#[test]
fn a_unet_joins_its_skips_and_ends_in_a_table() {
    let (mut net, x) = Net::new(&[1, 8, 8, 1]);
    let a = net.conv("encoder", x, 4, 1);
    let (kernel, strides) = ([2, 2], [2, 2]);
    let pool = Pool {
        kind: PoolKind::Max,
        kernel,
        strides,
        pads: [0; 4],
        dilations: [1, 1],
        ceil: false,
        count_include_pad: false,
    };
    let down = net.node("down", pool, &[a]);
    let b = net.conv("bottom", down, 6, 1);
    let up = ConvTranspose {
        strides,
        pads: [0; 4],
        output_pads: [0; 2],
        dilations: [1, 1],
        groups: 1,
        clamp: Clamp::NONE,
    };
    let w = net.weights(&[4, 2, 2, 6]);
    let up = net.node("up", up, &[b, w]);
    let joined = net.node("join", Concat { axis: 3 }, &[up, a]);
    let w = net.weights(&[1, 1, 1, 8]);
    let y = net.node("logit", conv(1, 0), &[joined, w]);
    let y = net.node("prob", unary(UnaryKind::Sigmoid), &[y]);
    let float = net.finish(&[y]);
    let q = quantized(&float, &MIN_MAX);
    assert_eq!(q.nodes_float, 0, "{:?}", q.float_nodes);
    assert_eq!(names(&q.graph).last(), Some(&"Dequantize"));
    let quant = |i: TensorId| q.graph.tensor(i).quant.clone().unwrap();
    let node = |name: &str| q.graph.nodes.iter().find(|n| n.name == name).unwrap();
    let (join, down) = (node("join"), node("down"));
    assert!(join.present_inputs().all(|t| quant(t) == quant(join.outputs[0])));
    assert_eq!(quant(down.input(0).unwrap()), quant(down.outputs[0]));
    assert_eq!(quant(node("prob").outputs[0]).single(), Some((1.0 / 255.0, 0)));
    let db = sqnr(&float, &q.graph);
    assert!(db > 25.0, "{db} dB");
}

#[test]
fn a_concat_does_not_spoil_a_much_smaller_input() {
    let (mut net, x) = Net::new(&[1, 4, 4, 4]);
    let small = net.conv("small", x, 4, 1);
    let hundred = net.b.f32s("hundred", &[1], &[100.0]);
    let large = net.conv("large", x, 4, 1);
    let large = net.node("scaled", binary(BinaryKind::Mul), &[large, hundred]);
    let joined = net.node("join", Concat { axis: 3 }, &[small, large]);
    let (y, z) = (net.conv("both", joined, 3, 1), net.conv("one", small, 3, 1));
    let q = quantized(&net.finish(&[y, z]), &MIN_MAX);
    let node = |name: &str| q.graph.nodes.iter().find(|n| n.name == name).unwrap();
    let quant = |t: TensorId| q.graph.tensor(t).quant.clone().unwrap();
    let (join, small) = (node("join"), node("small"));
    assert!(join.present_inputs().all(|t| quant(t) == quant(join.outputs[0])));
    assert!(quant(small.outputs[0]).scale[0] * 10.0 < quant(join.outputs[0]).scale[0]);
    assert_eq!(count(&q.graph, |op| matches!(op, Op::Requantize(_))), 1);
}

#[test]
fn normalization_between_linear_layers_stays_float() {
    let (mut net, x) = Net::new(&[2, 6]);
    let h = net.linear("a", x, 6);
    let mean = Reduce { kind: ReduceKind::Mean, axes: vec![1], keep_dims: true };
    let m = net.node("mean", mean.clone(), &[h]);
    let d = net.node("centred", binary(BinaryKind::Sub), &[h, m]);
    let two = net.b.f32s("two", &[], &[2.0]);
    let s = net.node("squares", binary(BinaryKind::Pow), &[d, two]);
    let v = net.node("variance", mean, &[s]);
    let root = net.node("root", unary(UnaryKind::Sqrt), &[v]);
    let y = net.node("norm", binary(BinaryKind::Div), &[d, root]);
    let y = net.linear("b", y, 3);
    let float = net.finish(&[y]);
    let mut calibration = Calibration::new(&float, Method::MinMax);
    for i in 0..float.tensors.len() {
        calibration.observe(TensorId(i as u32), bytemuck::cast_slice(&[-3f32, 3.0]));
    }
    let q = with_calibration(&float, &calibration, &MIN_MAX).unwrap();
    assert_eq!((q.nodes_int8, q.nodes_float), (2, 6));
    let want = [
        "Quantize", "Linear", "Reduce", "Binary", "Binary", "Reduce", "Unary", "Binary", "Quantize", "Linear",
    ];
    assert_eq!(names(&q.graph), want, "integer sums leave as floats");
}

#[test]
fn a_border_has_the_code_of_its_value() {
    let (mut net, x) = Net::new(&[1, 4, 4, 2]);
    let y = net.conv("a", x, 4, 1);
    let y = net.linear("shift", y, 4);
    let pads = net.b.i64s("pads", &[0, 1, 1, 0, 0, 1, 1, 0]);
    let y = net.node("pad", Pad { mode: PadMode::Constant }, &[y, pads]);
    let y = net.linear("b", y, 2);
    let float = net.finish(&[y]);
    let q = quantized(&float, &MIN_MAX);
    let pad = q.graph.nodes.iter().find(|n| n.name == "pad").unwrap();
    let border = q.graph.tensor(pad.input(2).unwrap());
    let zero_point = border.quant.as_ref().unwrap().single().unwrap().1;
    assert!(zero_point > 0);
    assert_eq!(border.data.as_ref().unwrap().bytes(), [zero_point as u8]);
    assert!(sqnr(&float, &q.graph) > 35.0);
}

#[test]
fn a_gate_and_a_constant_operand_are_integer() {
    let (mut net, x) = Net::new(&[1, 4, 4, 3]);
    let a = net.conv("a", x, 4, 1);
    let mean = Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true };
    let s = net.node("squeeze", mean, &[a]);
    let s = net.conv("excite", s, 4, 1);
    let s = net.node("gate", unary(UnaryKind::Sigmoid), &[s]);
    let y = net.node("scaled", binary(BinaryKind::Mul), &[a, s]);
    let shift = net.b.f32s("shift", &[4], &[0.5, -0.25, 1.0, 0.0]);
    let y = net.node("shifted", binary(BinaryKind::Add), &[y, shift]);
    let y = net.conv("b", y, 2, 1);
    let float = net.finish(&[y]);
    let q = quantized(&float, &MIN_MAX);
    assert_eq!(q.nodes_float, 0);
    assert_eq!(q.graph.tensor(q.graph.find("shift").unwrap()).dtype, DType::U8);
    assert!(sqnr(&float, &q.graph) > 30.0);
}

#[test]
fn a_perceptron_leaves_nothing_behind() {
    let (mut net, x) = Net::new(&[1, 784]);
    let y = net.linear("1", x, 100);
    let y = net.node("relu", unary(UnaryKind::Relu), &[y]);
    let y = net.linear("2", y, 100);
    let y = net.linear("3", y, 10);
    let float = ottava::optimize::float(net.finish(&[y])).unwrap();
    let q = quantized(&float, &MIN_MAX);
    assert_eq!(names(&q.graph), ["Quantize", "Linear", "Linear", "Linear"]);
    let constants = q.graph.tensors.iter().filter_map(|t| t.data.as_ref());
    assert_eq!(constants.map(|d| d.bytes().len()).sum::<usize>(), 784 * 100 + 100 * 100 + 100 * 10 + 4 * 210);
    assert_eq!(q.graph.tensors.len(), 11);
}
