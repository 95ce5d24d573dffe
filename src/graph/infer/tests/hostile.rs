//! Whatever a file says, inference answers: it never panics, and what it accepts can be stored.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Numbers at which arithmetic goes wrong, among harmless ones.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => -3..9i64,
        1 => Just(0),
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
        1 => Just(i32::MAX as i64),
        1 => Just(1 << 40),
        1 => Just(1 << 62),
        1 => any::<i64>(),
    ]
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![3 => 0.0..4.0f32, 1 => any::<f32>(), 1 => Just(f32::NAN), 1 => Just(1.0)]
}

/// Any attribute of about the right kind.
fn replaced(attr: Attr) -> BoxedStrategy<Attr> {
    match attr {
        Attr::Int(_) => number().prop_map(Attr::Int).boxed(),
        Attr::Float(_) => float().prop_map(Attr::Float).boxed(),
        Attr::Ints(v) if v.is_empty() => vec(number(), 0..5).prop_map(Attr::Ints).boxed(),
        Attr::Ints(v) => vec(number(), v.len()).prop_map(Attr::Ints).boxed(),
        other => Just(other).boxed(),
    }
}

/// An operator of every kind, with harmless attributes.
fn plain() -> Vec<Op> {
    let conv = Conv { strides: [1; 2], pads: [0; 4], dilations: [1; 2], groups: 1, clamp: Clamp::NONE };
    let (strides, pads, dilations, groups, clamp) = ([1; 2], [0; 4], [1; 2], 1, Clamp::NONE);
    let transpose = ConvTranspose { strides, pads, output_pads: [0; 2], dilations, groups, clamp };
    let (kernel, count_include_pad) = ([1; 2], false);
    let pool = |kind, ceil| Pool { kind, kernel, strides, pads, dilations, ceil, count_include_pad };
    let (mode, coord) = (ResizeMode::Nearest, ResizeCoord::HalfPixel);
    let mut ops: Vec<Op> = vec![
        conv.into(),
        transpose.into(),
        Linear { clamp }.into(),
        MatMul { transpose_b: false }.into(),
        MatMul { transpose_b: true }.into(),
        pool(PoolKind::Max, false).into(),
        pool(PoolKind::Average, true).into(),
        Softmax { axis: 1, log: false }.into(),
        Concat { axis: 0 }.into(),
        Split { axis: 0, sizes: vec![] }.into(),
        Slice {}.into(),
        Resize { mode, coord, nearest: NearestMode::Floor }.into(),
        Resample {
            filter: ResampleFilter::Cubic,
            coord,
            coefficient: -0.5,
            antialias: true,
            exclude_outside: true,
        }
        .into(),
        Reshape { allow_zero: false }.into(),
        Reshape { allow_zero: true }.into(),
        Flatten { axis: 1 }.into(),
        Transpose { perm: vec![] }.into(),
        Squeeze { axes: vec![] }.into(),
        Unsqueeze { axes: vec![] }.into(),
        Expand {}.into(),
        Gather { axis: 0 }.into(),
        ShapeOf { start: 0, end: 1 }.into(),
        Cast {}.into(),
        ArgMax { axis: 0, keep_dims: true, select_last: false }.into(),
        Fill {}.into(),
        BatchNorm { axis: 1, epsilon: 0.0 }.into(),
        Quantize {}.into(),
        Dequantize {}.into(),
        Requantize {}.into(),
        Where {}.into(),
        Tile {}.into(),
        DynamicQuantize {}.into(),
        IntegerMatMul {}.into(),
        IntegerConv { strides: [1; 2], pads: [0; 4], dilations: [1; 2], groups: 1 }.into(),
        LayerNorm { axis: 0, epsilon: 0.0, rms: false }.into(),
        Attention {
            scale: 1.0,
            causal: false,
            q_heads_first: true,
            k_heads_first: true,
            v_heads_first: true,
        }
        .into(),
        Unpack { bits: 4, dims: vec![2] }.into(),
        Merge {}.into(),
        GatherElements { axis: 0 }.into(),
        GatherRows { batch_dims: 0 }.into(),
        CumSum { axis: 0, exclusive: false, reverse: false }.into(),
        TopK { axis: 0, largest: true }.into(),
        Range {}.into(),
        Custom { name: "nobody".into(), parameters: String::new() }.into(),
        IntegerLstm { batch_first: true, cell_clip: f32::INFINITY }.into(),
    ];
    ops.extend(RecurrentCell::ALL.iter().map(|&cell| Op::from(Recurrent::new(cell, Direction::Forward))));
    for &kind in ScatterKind::ALL {
        ops.extend([Op::from(ScatterElements { axis: 0, kind }), Op::from(ScatterRows { kind })]);
    }
    ops.extend(PadMode::ALL.iter().map(|&mode| Op::from(Pad { mode })));
    ops.extend(ReduceKind::ALL.iter().map(|&kind| Op::from(Reduce { kind, axes: vec![], keep_dims: true })));
    ops.extend(UnaryKind::ALL.iter().map(|&kind| Op::from(Unary { kind, alpha: 0.0, beta: 0.0 })));
    ops.extend(BinaryKind::ALL.iter().map(|&kind| Op::from(Binary { kind, clamp })));
    ops
}

#[test]
fn the_list_of_operators_is_complete() {
    let names: std::collections::BTreeSet<&str> = plain().iter().map(Op::name).collect();
    let table: std::collections::BTreeSet<&str> = Op::TABLE.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, table);
}

/// Operators with any attributes that a file reader would let through.
fn op() -> impl Strategy<Value = Op> {
    proptest::sample::select(plain()).prop_flat_map(|op| {
        let code = op.code();
        let (names, attrs): (Vec<&str>, Vec<Attr>) = op.attrs().into_iter().unzip();
        let attrs: Vec<_> = attrs.into_iter().map(|a| prop_oneof![Just(a.clone()), replaced(a)]).collect();
        attrs.prop_map(move |attrs| {
            let named: Vec<(String, Attr)> = names.iter().map(|n| n.to_string()).zip(attrs).collect();
            Op::from_attrs(code, &named).unwrap_or_else(|_| op.clone())
        })
    })
}

fn dims() -> impl Strategy<Value = Vec<i64>> {
    let dim = prop_oneof![8 => 0..6i64, 2 => -2..0i64, 1 => number().prop_map(|n| n.max(-2))];
    vec(dim, 0..6)
}

fn input() -> impl Strategy<Value = In> {
    prop_oneof![
        4 => dims().prop_map(In::F32),
        2 => (proptest::sample::select(&DType::ALL[..]), dims()).prop_map(|(t, d)| In::Typed(t, d)),
        3 => vec(number(), 0..9).prop_map(In::Ints),
        1 => vec(float(), 0..6).prop_map(In::Floats),
        1 => Just(In::Missing),
    ]
}

/// A node: operator, inputs (an index among the tensors so far, or left out), outputs and their type.
type Step = (Op, Vec<Option<usize>>, usize, Option<DType>);

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![40 => (0..64usize).prop_map(Some), 1 => Just(None)];
    let want = prop_oneof![3 => Just(None), 1 => proptest::sample::select(&DType::ALL[..]).prop_map(Some)];
    let inputs = prop_oneof![4 => Just(None), 1 => (0..6usize).prop_map(Some)];
    let count = prop_oneof![6 => Just(1), 1 => 0..4usize];
    (op(), vec(source, 6), inputs, count, want).prop_map(|(op, mut sources, inputs, count, want)| {
        sources.truncate(inputs.unwrap_or(usual_inputs(&op)));
        (op, sources, count, want)
    })
}

/// How many inputs an operator mostly has: nodes with another number are soon refused and test little.
fn usual_inputs(op: &Op) -> usize {
    match op.name() {
        "IntegerLstm" => 6,
        "BatchNorm" => 5,
        "Slice" | "Where" | "Recurrent" => 3,
        "Conv" | "ConvTranspose" | "Linear" | "MatMul" | "Binary" | "Concat" => 2,
        "Pad" | "Resize" | "Resample" | "Reshape" | "Expand" | "Gather" | "Fill" | "Tile" => 2,
        _ => 1,
    }
}

/// Tensors that go together, so that random nodes over them often are fine.
fn company() -> Vec<In> {
    let mut company: Vec<In> =
        [&[-1, 4, 4, 2][..], &[1, 4, 4, 2], &[2, 1, 1, 2], &[4, 2], &[2, 2], &[2], &[]].map(f).into();
    company.push(In::Typed(DType::Bool, vec![2]));
    company.push(In::Typed(DType::U8, vec![-1, 4, 4, 2]));
    company.push(In::Typed(DType::I8, vec![2, 1, 1, 2]));
    company.extend([&[0][..], &[1], &[2], &[-1], &[1, 1], &[-1, 2], &[1, 2, 2, 1]].map(ints));
    company
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_node_never_panics(op in op(), inputs in vec(input(), 0..6), count in 0..4usize) {
        let _ = outputs(op, &inputs, count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_graph_never_panics(strangers in vec(input(), 0..3), steps in vec(step(), 1..32), default in 0..5usize) {
        let mut b = builder();
        let mut ids = vec![];
        for (i, input) in company().iter().chain(&strangers).enumerate() {
            match input {
                In::F32(d) => ids.push(b.input(&format!("x{i}"), DType::F32, shape(d))),
                // Only constants are of this type; the builder has no say in it.
                In::Typed(DType::BF16, _) => {}
                In::Typed(t, d) => ids.push(b.input(&format!("x{i}"), *t, shape(d))),
                In::Ints(v) => ids.push(b.i64s("c", v)),
                In::Floats(v) => ids.push(b.f32s("c", &[v.len()], v)),
                In::Missing => {}
            }
        }
        for (i, (op, sources, count, want)) in steps.into_iter().enumerate() {
            let pick = |s: Option<usize>| s.map(|s| ids[s % ids.len()]);
            let inputs = sources.into_iter().map(pick).collect();
            let node = Node { name: format!("node{i}"), op, inputs, outputs: vec![] };
            let made = match want {
                None => b.push(node, &vec!["y".to_string(); count]),
                Some(t) => b.push_as(node, vec![Tensor::value("y", t, Shape::default()); count]),
            };
            ids.extend(made.unwrap_or_default());
        }
        let graph = b.finish(&ids[ids.len() - 1..]).unwrap();
        let mut again = graph.clone();
        super::super::graph(&mut again).unwrap();
        // Not the whole graphs: attributes may be NaN, which equals nothing.
        prop_assert_eq!(&again.tensors, &graph.tensors);
        prop_assert_eq!(&again.dims, &graph.dims);
        let Ok(bound) = bind(&graph, &[], default) else { return Ok(()) };
        bound.validate().unwrap();
        for node in &bound.nodes {
            for id in &node.outputs {
                prop_assert!(bound.tensor(*id).byte_len().is_some());
            }
        }
    }
}
