//! Three spatial dimensions, against loops over all of them. Values are small integers: floats are exact.

use crate::build::*;
use crate::control::{answer, session};
use ottava::graph::{DType, Op};
use ottava::import::onnx::proto::{AttributeProto, data_type};
use ottava::optimize;

/// Numbers from -4 to 4 without a pattern that an index mixed up would keep.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) / 13 % 9) as f32 - 4.0).collect()
}

/// One window along one dimension.
#[derive(Clone, Copy)]
struct Span {
    len: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: [usize; 2],
}

impl Span {
    fn outputs(&self) -> usize {
        (self.len + self.pads[0] + self.pads[1] - (self.kernel - 1) * self.dilation - 1) / self.stride + 1
    }

    /// The element under tap `k` for output `o`, if it lies inside.
    fn at(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.pads[0]).filter(|&i| i < self.len)
    }

    /// Of a transposed convolution: where input `i` goes by tap `k`.
    fn goes(&self, i: usize, k: usize, outputs: usize) -> Option<usize> {
        (i * self.stride + k * self.dilation).checked_sub(self.pads[0]).filter(|&o| o < outputs)
    }
}

fn attributes(spans: [Span; 3]) -> Vec<AttributeProto> {
    let list = |name, get: &dyn Fn(&Span) -> usize| {
        int_list(name, &spans.iter().map(|s| get(s) as i64).collect::<Vec<_>>())
    };
    let pads: Vec<i64> = (0..2).flat_map(|end| spans.map(|s| s.pads[end] as i64)).collect();
    vec![
        list("kernel_shape", &|s| s.kernel),
        list("strides", &|s| s.stride),
        list("dilations", &|s| s.dilation),
        int_list("pads", &pads),
    ]
}

/// All indices below `dims`.
fn indices<const N: usize>(dims: [usize; N]) -> impl Iterator<Item = [usize; N]> {
    (0..dims.iter().product()).map(move |mut i: usize| {
        let mut index = [0; N];
        for d in (0..N).rev() {
            index[d] = i % dims[d];
            i /= dims[d];
        }
        index
    })
}

fn place<const N: usize>(dims: [usize; N], index: [usize; N]) -> usize {
    dims.iter().zip(index).fold(0, |at, (&d, i)| at * d + i)
}

const fn span(len: usize, kernel: usize, stride: usize, dilation: usize, pads: [usize; 2]) -> Span {
    Span { len, kernel, stride, dilation, pads }
}

const SHAPES: [[Span; 3]; 5] = {
    use self::span as s;
    [
        [s(5, 3, 1, 1, [1, 1]), s(4, 3, 1, 1, [1, 1]), s(6, 3, 1, 1, [1, 1])],
        [s(6, 2, 2, 1, [0, 0]), s(4, 2, 2, 1, [0, 0]), s(4, 2, 2, 1, [0, 0])],
        [s(7, 3, 2, 2, [2, 1]), s(5, 1, 1, 1, [0, 0]), s(6, 2, 3, 1, [0, 1])],
        [s(4, 1, 1, 1, [0, 0]), s(5, 3, 2, 1, [1, 0]), s(5, 3, 1, 2, [2, 2])],
        [s(5, 4, 1, 1, [0, 3]), s(3, 1, 1, 1, [0, 0]), s(3, 1, 1, 1, [0, 0])],
    ]
};

#[test]
fn convolutions_sum_over_the_depth() {
    for (i, spans) in SHAPES.into_iter().enumerate() {
        for (c, o, groups) in [(3, 4, 1), (4, 6, 2), (3, 3, 3)] {
            let [d, h, w] = spans.map(|s| s.len);
            let (from, to) = ([2, c, d, h, w], spans.map(|s| s.outputs()));
            let taps = [o, c / groups, spans[0].kernel, spans[1].kernel, spans[2].kernel];
            let x = numbers(from.iter().product(), i);
            let (weights, bias) = (numbers(taps.iter().product(), i + 9), numbers(o, 5));
            let dims = |dims: &[usize]| dims.iter().map(|&d| d as i64).collect::<Vec<_>>();
            let attrs = [attributes(spans), vec![int("group", groups as i64)]].concat();
            let model =
                Builder::new(13).input("x", &dims(&from)).constant(floats("w", &dims(&taps), &weights));
            let model = model.constant(floats("b", &[o as i64], &bias)).node("Conv", "x w b", "y", &attrs);
            let (shape, y) = answer(&model.output("y"), &[&x]);
            let out = [2, o, to[0], to[1], to[2]];
            assert_eq!(shape, out);
            for index in indices(out) {
                let [n, m, a, b, e] = index;
                let mut sum = bias[m];
                for [k, kd, kh, kw] in indices([c / groups, taps[2], taps[3], taps[4]]) {
                    let at = [spans[0].at(a, kd), spans[1].at(b, kh), spans[2].at(e, kw)];
                    if let [Some(d), Some(h), Some(w)] = at {
                        let channel = m / (o / groups) * (c / groups) + k;
                        sum +=
                            x[place(from, [n, channel, d, h, w])] * weights[place(taps, [m, k, kd, kh, kw])];
                    }
                }
                assert_eq!(y[place(out, index)], sum, "shape {i}, {groups} groups, {index:?}");
            }
        }
    }
}

#[test]
fn transposed_convolutions_add_up_in_depth() {
    for (i, spans) in SHAPES.into_iter().enumerate() {
        for (added, groups) in [(0, 1), (1, 2)] {
            // More is added than a stride reaches nowhere.
            let added = spans.map(|s| added.min(s.stride - 1));
            let (c, per_group) = (4, 3);
            let o = per_group * groups;
            let from = [2, c, spans[0].len, spans[1].len, spans[2].len];
            let taps = [c, per_group, spans[0].kernel, spans[1].kernel, spans[2].kernel];
            let full = |a: usize| {
                let s = spans[a];
                (s.len - 1) * s.stride + (s.kernel - 1) * s.dilation + 1 + added[a] - s.pads[0] - s.pads[1]
            };
            let out = [2, o, full(0), full(1), full(2)];
            let x = numbers(from.iter().product(), i);
            let (weights, bias) = (numbers(taps.iter().product(), i + 3), numbers(o, 7));
            let dims = |dims: &[usize]| dims.iter().map(|&d| d as i64).collect::<Vec<_>>();
            let more = vec![int("group", groups as i64), int_list("output_padding", &dims(&added))];
            let attrs = [attributes(spans), more].concat();
            let model =
                Builder::new(13).input("x", &dims(&from)).constant(floats("w", &dims(&taps), &weights));
            let model = model.constant(floats("b", &[o as i64], &bias));
            let (shape, y) = answer(&model.node("ConvTranspose", "x w b", "y", &attrs).output("y"), &[&x]);
            assert_eq!(shape, out);
            let mut want: Vec<f32> = indices(out).map(|[_, m, ..]| bias[m]).collect();
            for index in indices(from) {
                let [n, k, d, h, w] = index;
                for [m, kd, kh, kw] in indices([per_group, taps[2], taps[3], taps[4]]) {
                    let to = [(d, kd), (h, kh), (w, kw)];
                    let to = [0, 1, 2].map(|a| spans[a].goes(to[a].0, to[a].1, out[a + 2]));
                    if let [Some(a), Some(b), Some(e)] = to {
                        let channel = k / (c / groups) * per_group + m;
                        want[place(out, [n, channel, a, b, e])] +=
                            x[place(from, index)] * weights[place(taps, [k, m, kd, kh, kw])];
                    }
                }
            }
            assert_eq!(y, want, "shape {i}, {groups} groups");
        }
    }
}

#[test]
fn pools_look_into_the_depth() {
    for (i, spans) in SHAPES.into_iter().enumerate() {
        if spans.iter().any(|s| s.pads.iter().any(|&p| p > (s.kernel - 1) * s.dilation)) {
            continue;
        }
        let from = [2, 3, spans[0].len, spans[1].len, spans[2].len];
        let x = numbers(from.iter().product(), i);
        let dims: Vec<i64> = from.iter().map(|&d| d as i64).collect();
        let to = spans.map(|s| s.outputs());
        let out = [2, 3, to[0], to[1], to[2]];
        for (op, include) in [("MaxPool", false), ("AveragePool", false), ("AveragePool", true)] {
            let mut attrs = attributes(spans);
            attrs.extend((op == "AveragePool").then(|| int("count_include_pad", include.into())));
            let model = Builder::new(19).input("x", &dims).node(op, "x", "y", &attrs).output("y");
            let (shape, y) = answer(&model, &[&x]);
            assert_eq!(shape, out);
            for index in indices(out) {
                let [n, c, a, b, e] = index;
                let under = indices(spans.map(|s| s.kernel)).filter_map(|[kd, kh, kw]| {
                    match [spans[0].at(a, kd), spans[1].at(b, kh), spans[2].at(e, kw)] {
                        [Some(d), Some(h), Some(w)] => Some(x[place(from, [n, c, d, h, w])]),
                        _ => None,
                    }
                });
                let under: Vec<f32> = under.collect();
                let all = spans.iter().map(|s| s.kernel).product();
                let count = if include { all } else { under.len() };
                let want = match op {
                    "MaxPool" => under.iter().copied().fold(f32::MIN, f32::max),
                    _ => under.iter().sum::<f32>() / count as f32,
                };
                let got = y[place(out, index)];
                assert!((got - want).abs() < 1e-5, "shape {i}, {op}, {index:?}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn a_window_of_one_slice_is_no_second_pool() {
    let flat = [span(4, 1, 1, 1, [0, 0]), span(4, 2, 2, 1, [0, 0]), span(4, 2, 2, 1, [0, 0])];
    let deep = [flat[1], flat[0], flat[0]];
    for spans in [flat, deep] {
        let model = Builder::new(13).input("x", &[1, 2, 4, 4, 4]);
        let model = model.node("MaxPool", "x", "y", &attributes(spans)).output("y");
        assert!(matches!(only(&model.graph_of(), "Pool").op, Op::Pool(_)));
    }
}

#[test]
fn between_bytes_volumes_stay_bytes() {
    // Dequantize, Conv, MaxPool, Quantize: a convolution and two pools over u8.
    let model = Builder::new(13).input("x", &[1, 4, 4, 4, 4]).constant(floats("s", &[], &[0.5]));
    let model = model.constant(bytes("z", &[], data_type::UINT8, &[100]));
    let codes: Vec<i32> = (0..4 * 4 * 27).map(|i| (i * 31 % 255) - 127).collect();
    let model = model.constant(bytes("w", &[4, 4, 3, 3, 3], data_type::INT8, &codes));
    let model = model.constant(floats("ws", &[], &[0.01])).constant(bytes("wz", &[], data_type::INT8, &[0]));
    let model = model.node("QuantizeLinear", "x s z", "q", &[]).node("DequantizeLinear", "q s z", "r", &[]);
    let model = model.node("DequantizeLinear", "w ws wz", "v", &[]);
    let pads = int_list("pads", &[1; 6]);
    let model = model.node("Conv", "r v", "c", &[pads]).node("QuantizeLinear", "c s z", "cq", &[]);
    let window = [int_list("kernel_shape", &[2, 2, 2]), int_list("strides", &[2, 2, 2])];
    let model = model.node("DequantizeLinear", "cq s z", "d", &[]).node("MaxPool", "d", "m", &window);
    let model = model.node("QuantizeLinear", "m s z", "mq", &[]).node("DequantizeLinear", "mq s z", "y", &[]);
    let graph = optimize::float(model.output("y").graph_of()).unwrap();
    for node in graph.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_) | Op::Pool(_))) {
        let types = [node.input(0).unwrap(), node.outputs[0]].map(|t| graph.tensor(t).dtype);
        assert_eq!(types, [DType::U8, DType::U8], "{}", node.name);
    }
    assert_eq!(graph.nodes.iter().filter(|n| matches!(n.op, Op::Pool(_))).count(), 2);
}

#[test]
fn a_free_batch_is_found_out() {
    let taps = counting("w", &[2, 2, 3, 3, 3]);
    let model = Builder::new(13).input("x", &[-1, 2, 3, 3, 3]).constant(taps);
    let model = model.node("Conv", "x w", "c", &[]).node("GlobalAveragePool", "c", "y", &[]).output("y");
    let session = session(model.graph_of(), &[("x", &[3, 2, 3, 3, 3])]).unwrap();
    assert_eq!(session.outputs()[0].shape, [3, 2, 1, 1, 1]);
    let free = Builder::new(13).input("x", &[1, 2, -1, 3, 3]).constant(counting("w", &[2, 2, 3, 3, 3]));
    assert!(free.node("Conv", "x w", "y", &[]).output("y").refusal().contains("must be fixed"));
}

#[test]
fn windows_that_don_t_fit_are_refused() {
    let model = |attrs: &[AttributeProto]| {
        let model = Builder::new(13).input("x", &[1, 2, 3, 3, 3]).constant(counting("w", &[2, 2, 4, 1, 1]));
        model.node("Conv", "x w", "y", attrs).output("y")
    };
    assert!(model(&[]).refusal().contains("deeper than its padded input"));
    assert!(model(&[int_list("strides", &[1, 1])]).refusal().contains("it must have 3 values"));
    let cut = Builder::new(13).input("x", &[1, 2, 1, 3, 3]).constant(counting("w", &[2, 2, 2, 1, 1]));
    let cut = cut.node("ConvTranspose", "x w", "y", &[int_list("pads", &[1, 0, 0, 1, 0, 0])]).output("y");
    assert!(cut.refusal().contains("cuts off all of its output"));
}
