//! Optimized float graphs give the answers of the graphs they were made from, and are what they promise to be.

#[path = "common/interpret.rs"]
mod interpret;
#[path = "common/nets.rs"]
mod nets;
#[path = "common/same.rs"]
mod same;

use nets::{binary, clip, conv, count, noise, transpose, unary};
use ottava::graph::*;
use same::optimized;

const TO_LAST: [usize; 4] = [0, 2, 3, 1];
const TO_FIRST: [usize; 4] = [0, 3, 1, 2];

fn is_transpose(op: &Op) -> bool {
    matches!(op, Op::Transpose(_))
}

/// A builder that wraps spatial operators the way an importer of channels-first networks does.
struct Nchw {
    b: GraphBuilder,
    seed: u64,
}

impl Nchw {
    fn new() -> Nchw {
        Nchw { b: GraphBuilder::new("nchw"), seed: 100 }
    }

    fn input(&mut self, dims: &[usize]) -> TensorId {
        self.b.input("x", DType::F32, Shape::fixed(dims))
    }

    fn node(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        let op = op.into();
        let name = format!("{}{}", op.name(), self.b.graph().nodes.len());
        self.b.node(&name, op, inputs).unwrap()
    }

    fn weights(&mut self, dims: &[usize]) -> TensorId {
        self.seed += 1;
        let values = noise(self.seed, dims.iter().product());
        self.b.f32s("w", dims, &values)
    }

    fn channels(&self, x: TensorId) -> usize {
        self.b.graph().tensor(x).shape[1].fixed().unwrap()
    }

    fn wrapped(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        let mut inputs = inputs.to_vec();
        inputs[0] = self.node(transpose(&TO_LAST), &inputs[..1]);
        let y = self.node(op, &inputs);
        self.node(transpose(&TO_FIRST), &[y])
    }

    fn conv(&mut self, x: TensorId, out: usize, k: usize, groups: usize) -> TensorId {
        let c = self.channels(x);
        let (w, b) = (self.weights(&[out, k, k, c / groups]), self.weights(&[out]));
        self.wrapped(conv(groups, k / 2), &[x, w, b])
    }

    fn max_pool(&mut self, x: TensorId) -> TensorId {
        self.wrapped(pool(PoolKind::Max, [0; 4]), &[x])
    }

    fn finish(self, outputs: &[TensorId]) -> Graph {
        self.b.finish(outputs).unwrap()
    }
}

fn pool(kind: PoolKind, pads: [usize; 4]) -> Pool {
    let (kernel, strides, dilations) = ([2, 2], [2, 2], [1, 1]);
    Pool { kind, kernel, strides, pads, dilations, ceil: false, count_include_pad: false }
}

fn mean(axes: &[usize], keep_dims: bool) -> Reduce {
    Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep_dims }
}

#[test]
fn classifier_with_flatten_keeps_no_transpose_but_the_inputs() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 8, 8]);
    let mut y = n.conv(x, 6, 3, 1);
    y = n.node(unary(UnaryKind::Relu), &[y]);
    y = n.max_pool(y);
    y = n.conv(y, 5, 3, 1);
    y = n.node(clip(0.0, 6.0), &[y]);
    y = n.max_pool(y);
    y = n.node(Flatten { axis: 1 }, &[y]);
    let (w, b) = (n.weights(&[7, 5 * 2 * 2]), n.weights(&[7]));
    y = n.node(Linear { clamp: Clamp::NONE }, &[y, w, b]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 1);
    assert_eq!(count(&after, |op| matches!(op, Op::Unary(_))), 0);
    assert_eq!(after.nodes.len(), 7, "{:#?}", after.nodes);
}

#[test]
fn branches_share_one_transpose() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 6, 6]);
    let (a, b) = (n.conv(x, 4, 3, 1), n.conv(x, 2, 1, 1));
    let y = n.node(Concat { axis: 1 }, &[a, b]);
    let y = n.node(mean(&[2, 3], false), &[y]);
    assert_eq!(count(&optimized(n.finish(&[y])), is_transpose), 1);
}

#[test]
fn one_channel_needs_no_transpose_at_all() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 1, 6, 6]);
    let y = n.conv(x, 4, 3, 1);
    let y = n.conv(y, 1, 1, 1);
    let y = n.node(unary(UnaryKind::Sigmoid), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 0);
}

#[test]
fn residual_squeeze_excite_and_global_pooling_stay_channels_last() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 4, 5, 6]);
    let a = n.conv(x, 8, 1, 1);
    let s = n.node(mean(&[2, 3], true), &[a]);
    let s = n.conv(s, 2, 1, 1);
    let s = n.node(unary(UnaryKind::Relu), &[s]);
    let s = n.conv(s, 8, 1, 1);
    let s = n.node(unary(UnaryKind::Sigmoid), &[s]);
    let scaled = n.node(binary(BinaryKind::Mul), &[a, s]);
    let d = n.conv(scaled, 8, 3, 8);
    let sum = n.node(binary(BinaryKind::Add), &[d, a]);
    let y = n.node(unary(UnaryKind::Relu), &[sum]);
    let y = n.node(mean(&[2, 3], false), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 1);
    assert_eq!(count(&after, |op| matches!(op, Op::Unary(_))), 1, "only the sigmoid");
}

#[test]
fn squeeze_excite_over_linear_stays_channels_last() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 4, 5, 6]);
    let a = n.conv(x, 8, 1, 1);
    let s = n.node(mean(&[2, 3], false), &[a]);
    let w = n.weights(&[8, 8]);
    let s = n.node(Linear { clamp: Clamp::NONE }, &[s, w]);
    let s = n.node(unary(UnaryKind::Sigmoid), &[s]);
    let s = n.node(Unsqueeze { axes: vec![2, 3] }, &[s]);
    let y = n.node(binary(BinaryKind::Mul), &[s, a]);
    let y = n.conv(y, 4, 3, 1);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 2);
}

#[test]
fn unet_stays_channels_last() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 1, 8, 8]);
    let a = n.conv(x, 4, 3, 1);
    let a = n.node(unary(UnaryKind::Relu), &[a]);
    let down = n.max_pool(a);
    let b = n.conv(down, 6, 3, 1);
    let (w, bias) = (n.weights(&[4, 2, 2, 6]), n.weights(&[4]));
    let op = ConvTranspose {
        strides: [2, 2],
        pads: [0; 4],
        output_pads: [0; 2],
        dilations: [1, 1],
        groups: 1,
        clamp: Clamp::NONE,
    };
    let up = n.wrapped(op, &[b, w, bias]);
    let joined = n.node(Concat { axis: 1 }, &[up, a]);
    let y = n.conv(joined, 1, 1, 1);
    let y = n.node(unary(UnaryKind::Sigmoid), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 0);
}

#[test]
fn operators_with_axes_follow_the_layout() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 4, 5, 6]);
    let a = n.conv(x, 8, 3, 1);
    let parts = Node {
        name: "split".into(),
        op: Split { axis: 1, sizes: vec![3, 5] }.into(),
        inputs: vec![Some(a)],
        outputs: vec![],
    };
    let parts = n.b.push(parts, &["left".into(), "right".into()]).unwrap();
    let (starts, ends, axes) = (n.b.i64s("starts", &[1]), n.b.i64s("ends", &[4]), n.b.i64s("axes", &[1]));
    let right = n.node(Slice {}, &[parts[1], starts, ends, axes]);
    let sum = n.node(binary(BinaryKind::Add), &[parts[0], right]);
    let per_channel = n.weights(&[3, 1, 1]);
    let sum = n.node(binary(BinaryKind::Mul), &[sum, per_channel]);
    let pads = n.b.i64s("pads", &[0, 1, 0, 2, 0, 0, 1, 0]);
    let padded = n.node(Pad { mode: PadMode::Constant }, &[sum, pads]);
    let soft = n.node(Softmax { axis: 1, log: false }, &[padded]);
    let stats: Vec<TensorId> = (0..4).map(|_| n.weights(&[4])).collect();
    let variance = n.b.f32s("variance", &[4], &[0.5, 1.0, 2.0, 3.0]);
    let norm = n.node(BatchNorm { axis: 1, epsilon: 1e-3 }, &[soft, stats[0], stats[1], stats[2], variance]);
    let y = n.conv(norm, 2, 1, 1);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, is_transpose), 2);
    assert_eq!(count(&after, |op| matches!(op, Op::BatchNorm(_))), 0);
}

#[test]
fn channel_shuffle_stays_channels_last() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 4, 3, 5]);
    let a = n.conv(x, 6, 1, 1);
    let (split, join) = (n.b.i64s("split", &[1, 2, 3, 3, 5]), n.b.i64s("join", &[1, 6, 3, 5]));
    let y = n.node(Reshape { allow_zero: false }, &[a, split]);
    let y = n.node(transpose(&[0, 2, 1, 3, 4]), &[y]);
    let y = n.node(Reshape { allow_zero: false }, &[y, join]);
    let y = n.conv(y, 4, 3, 1);
    let after = optimized(n.finish(&[y]));
    // In, shuffle (which really moves channels), out.
    assert_eq!(count(&after, is_transpose), 3);
}

#[test]
fn transposed_keys_become_part_of_the_product() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 3, 4]);
    let k = n.b.input("k", DType::F32, Shape::fixed(&[2, 5, 4]));
    let kt = n.node(transpose(&[0, 2, 1]), &[k]);
    let y = n.node(MatMul { transpose_b: false }, &[x, kt]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.nodes.len(), 1);
}

#[test]
fn normalization_scale_and_bias_move_into_weights() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 4, 4]);
    let w = n.weights(&[5, 3, 3, 3]);
    let y = n.wrapped(conv(1, 1), &[x, w]);
    let bias = n.weights(&[1, 5, 1, 1]);
    let y = n.node(binary(BinaryKind::Add), &[y, bias]);
    let stats: Vec<TensorId> = (0..3).map(|_| n.weights(&[5])).collect();
    let variance = n.b.f32s("variance", &[5], &[0.5, 1.0, 2.0, 3.0, 0.1]);
    let y = n.node(BatchNorm { axis: 1, epsilon: 1e-5 }, &[y, stats[0], stats[1], stats[2], variance]);
    let half = n.b.f32s("half", &[], &[0.5]);
    let y = n.node(binary(BinaryKind::Div), &[y, half]);
    let y = n.node(unary(UnaryKind::Relu), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.nodes.len(), 3, "transpose, conv, transpose");
}

#[test]
fn matrix_product_and_addition_become_linear() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 3, 2, 2]);
    let flat = n.b.i64s("flat", &[2, 12]);
    let x = n.node(Reshape { allow_zero: false }, &[x, flat]);
    let (w, b) = (n.weights(&[12, 4]), n.weights(&[1, 4]));
    let y = n.node(MatMul { transpose_b: false }, &[x, w]);
    let y = n.node(binary(BinaryKind::Add), &[b, y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.nodes.len(), 2);
    assert!(matches!(&after.nodes[1].op, Op::Linear(_)));
    assert_eq!(after.nodes[1].inputs.len(), 3);
}

#[test]
fn normalization_that_follows_nothing_becomes_arithmetic() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 4, 4]);
    let stats: Vec<TensorId> = (0..3).map(|_| n.weights(&[3])).collect();
    let variance = n.b.f32s("variance", &[3], &[0.5, 1.0, 2.0]);
    let y = n.node(BatchNorm { axis: 1, epsilon: 1e-5 }, &[x, stats[0], stats[1], stats[2], variance]);
    let y = n.node(unary(UnaryKind::Relu), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, |op| matches!(op, Op::Binary(_))), 2);
    assert_eq!(after.nodes.len(), 2);
}

#[test]
fn zero_borders_move_into_convolution_and_pooling() {
    for kind in [None, Some(PoolKind::Average), Some(PoolKind::Max)] {
        let mut n = Nchw::new();
        let x = n.input(&[1, 3, 5, 5]);
        let x = n.conv(x, 4, 1, 1);
        let x = n.node(unary(UnaryKind::Relu), &[x]);
        let pads = n.b.i64s("pads", &[0, 0, 1, 0, 0, 0, 0, 1]);
        let x = n.node(Pad { mode: PadMode::Constant }, &[x, pads]);
        let y = match kind {
            None => n.conv(x, 2, 3, 1),
            Some(kind) => n.wrapped(pool(kind, [0; 4]), &[x]),
        };
        let after = optimized(n.finish(&[y]));
        assert_eq!(count(&after, |op| matches!(op, Op::Pad(_))), 0, "{kind:?}");
    }
}

#[test]
fn a_border_that_counts_stays() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 5, 5]);
    let pads = n.b.i64s("pads", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let x = n.node(Pad { mode: PadMode::Constant }, &[x, pads]);
    let y = n.wrapped(pool(PoolKind::Max, [0; 4]), &[x]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(count(&after, |op| matches!(op, Op::Pad(_))), 1, "the input may be negative");
}

/// Builds `f(x)`, optimizes, and expects one function of this kind.
fn becomes(kind: UnaryKind, build: impl Fn(&mut Nchw, TensorId) -> TensorId) {
    let mut n = Nchw::new();
    let x = n.input(&[2, 50]);
    let y = build(&mut n, x);
    let after = optimized(n.finish(&[y]));
    let kinds: Vec<UnaryKind> = after
        .nodes
        .iter()
        .filter_map(|n| match &n.op {
            Op::Unary(u) => Some(u.kind),
            _ => None,
        })
        .collect();
    assert_eq!((kinds.as_slice(), after.nodes.len()), (&[kind][..], 1));
}

#[test]
fn exported_pieces_become_functions() {
    let mul = || binary(BinaryKind::Mul);
    let scalar = |n: &mut Nchw, v: f32| n.b.f32s("c", &[], &[v]);
    let relu6_of_plus_3 = |n: &mut Nchw, x: TensorId| {
        let three = n.b.f32s("c", &[], &[3.0]);
        let s = n.node(binary(BinaryKind::Add), &[x, three]);
        n.node(clip(0.0, 6.0), &[s])
    };
    let erf_plus_1 = |n: &mut Nchw, x: TensorId| {
        let (root, one) = (n.b.f32s("c", &[], &[std::f32::consts::SQRT_2]), n.b.f32s("c", &[], &[1.0]));
        let e = n.node(binary(BinaryKind::Div), &[x, root]);
        let e = n.node(unary(UnaryKind::Erf), &[e]);
        n.node(binary(BinaryKind::Add), &[e, one])
    };
    becomes(UnaryKind::Silu, |n, x| {
        let s = n.node(unary(UnaryKind::Sigmoid), &[x]);
        n.node(mul(), &[s, x])
    });
    becomes(UnaryKind::HardSwish, |n, x| {
        let c = relu6_of_plus_3(n, x);
        let p = n.node(mul(), &[x, c]);
        let six = scalar(n, 6.0);
        n.node(binary(BinaryKind::Div), &[p, six])
    });
    becomes(UnaryKind::HardSwish, |n, x| {
        let c = relu6_of_plus_3(n, x);
        let sixth = scalar(n, 1.0 / 6.0);
        let c = n.node(mul(), &[c, sixth]);
        n.node(mul(), &[x, c])
    });
    becomes(UnaryKind::HardSwish, |n, x| {
        let h = n.node(Unary { kind: UnaryKind::HardSigmoid, alpha: 1.0 / 6.0, beta: 0.5 }, &[x]);
        n.node(mul(), &[x, h])
    });
    becomes(UnaryKind::HardSigmoid, |n, x| {
        let c = relu6_of_plus_3(n, x);
        let six = scalar(n, 6.0);
        n.node(binary(BinaryKind::Div), &[c, six])
    });
    becomes(UnaryKind::Gelu, |n, x| {
        let e = erf_plus_1(n, x);
        let p = n.node(mul(), &[x, e]);
        let half = scalar(n, 0.5);
        n.node(mul(), &[p, half])
    });
    becomes(UnaryKind::Gelu, |n, x| {
        let e = erf_plus_1(n, x);
        let half = scalar(n, 0.5);
        let h = n.node(mul(), &[half, x]);
        n.node(mul(), &[h, e])
    });
    becomes(UnaryKind::GeluTanh, |n, x| {
        let three = scalar(n, 3.0);
        let cube = n.node(binary(BinaryKind::Pow), &[x, three]);
        let (c, s) = (scalar(n, 0.044715), scalar(n, (2.0 / std::f32::consts::PI).sqrt()));
        let cube = n.node(mul(), &[cube, c]);
        let sum = n.node(binary(BinaryKind::Add), &[x, cube]);
        let sum = n.node(mul(), &[sum, s]);
        let t = n.node(unary(UnaryKind::Tanh), &[sum]);
        let one = scalar(n, 1.0);
        let t = n.node(binary(BinaryKind::Add), &[t, one]);
        let half = scalar(n, 0.5);
        let h = n.node(mul(), &[x, half]);
        n.node(mul(), &[h, t])
    });
}

#[test]
fn a_gate_of_something_else_is_left_alone() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 50]);
    let other = n.b.input("other", DType::F32, Shape::fixed(&[2, 50]));
    let s = n.node(unary(UnaryKind::Sigmoid), &[other]);
    let y = n.node(binary(BinaryKind::Mul), &[x, s]);
    assert_eq!(optimized(n.finish(&[y])).nodes.len(), 2);
}

#[test]
fn what_others_read_is_not_changed() {
    let mut n = Nchw::new();
    let x = n.input(&[1, 3, 4, 4]);
    let conv = n.conv(x, 3, 3, 1);
    let relu = n.node(unary(UnaryKind::Relu), &[conv]);
    let twice = n.node(binary(BinaryKind::Add), &[conv, relu]);
    let after = optimized(n.finish(&[conv, twice]));
    assert_eq!(count(&after, |op| matches!(op, Op::Unary(_))), 1);
}

#[test]
fn nodes_that_change_nothing_go() {
    let mut n = Nchw::new();
    let x = n.input(&[2, 6]);
    let (shape, back) = (n.b.i64s("shape", &[3, 4]), n.b.i64s("back", &[2, 6]));
    let y = n.node(Reshape { allow_zero: false }, &[x, shape]);
    let y = n.node(Reshape { allow_zero: false }, &[y, back]);
    let zero = n.b.f32s("zero", &[1], &[0.0]);
    let y = n.node(binary(BinaryKind::Add), &[y, zero]);
    let y = n.node(clip(f32::NEG_INFINITY, f32::INFINITY), &[y]);
    let y = n.node(unary(UnaryKind::Relu), &[y]);
    let y = n.node(transpose(&[1, 0]), &[y]);
    let y = n.node(transpose(&[1, 0]), &[y]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.nodes.len(), 1);
}

#[test]
fn equal_constants_are_stored_once() {
    let mut n = Nchw::new();
    let x = n.input(&[4]);
    let (a, b) = (n.b.f32s("a", &[4], &[1., 2., 3., 4.]), n.b.f32s("b", &[4], &[1., 2., 3., 4.]));
    let y = n.node(binary(BinaryKind::Add), &[x, a]);
    let y = n.node(unary(UnaryKind::Sigmoid), &[y]);
    let y = n.node(binary(BinaryKind::Add), &[y, b]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.tensors.iter().filter(|t| t.data.is_some()).count(), 1);
}

#[test]
fn nodes_over_constants_are_computed() {
    let mut n = Nchw::new();
    let x = n.input(&[3]);
    let (a, b) = (n.b.f32s("a", &[3], &[1., 2., 3.]), n.b.f32s("b", &[3], &[4., 5., 6.]));
    let c = n.node(binary(BinaryKind::Mul), &[a, b]);
    let y = n.node(binary(BinaryKind::Add), &[x, c]);
    let after = optimized(n.finish(&[y]));
    assert_eq!(after.nodes.len(), 1);
    let folded = after.nodes[0].input(1).and_then(|t| after.tensor(t).data.clone());
    assert_eq!(folded, Some(Data::from_slice(&[4f32, 10., 18.])));
}

#[test]
fn a_power_of_two_is_a_product() {
    for (power, len, kind) in
        [(2.0, 1, BinaryKind::Mul), (3.0, 1, BinaryKind::Pow), (2.0, 3, BinaryKind::Pow)]
    {
        let mut n = Nchw::new();
        let x = n.input(&[4, 3]);
        let power = n.b.f32s("power", &[len], &vec![power; len]);
        let y = n.node(binary(BinaryKind::Pow), &[x, power]);
        let after = optimized(n.finish(&[y]));
        let found =
            after.nodes.iter().find_map(|n| if let Op::Binary(op) = &n.op { Some(op.kind) } else { None });
        assert_eq!(found, Some(kind));
    }
}
