//! Branches and loops.

use crate::build::*;
use ottava::graph::{Graph, Op};
use ottava::import::ImportOptions;
use ottava::import::onnx::{from_bytes, proto::*};
use ottava::{Model, Session, SessionOptions, optimize};
use prost::Message;

fn bool_value(name: &str) -> ValueInfoProto {
    value(name, data_type::BOOL, &[])
}

fn truth(name: &str, v: bool) -> TensorProto {
    let raw = Some(vec![u8::from(v)].into());
    TensorProto { name: name.into(), data_type: data_type::BOOL, raw_data: raw, ..Default::default() }
}

/// A session over the optimized graph.
pub fn session(graph: Graph, shapes: &[(&str, &[usize])]) -> Result<Session, String> {
    let shapes = shapes.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    let graph = optimize::float(graph).map_err(|e| e.to_string())?;
    let model = Model::from_graph(graph).map_err(|e| e.to_string())?;
    model.session(&SessionOptions { shapes, ..Default::default() }).map_err(|e| e.to_string())
}

/// The shape and values of a model's output for these inputs.
pub fn answer(model: &Builder, inputs: &[&[f32]]) -> (Vec<usize>, Vec<f32>) {
    let mut session = session(model.graph_of(), &[]).unwrap_or_else(|e| panic!("{e}"));
    for (i, x) in inputs.iter().enumerate() {
        session.input_mut::<f32>(i).unwrap().copy_from_slice(x);
    }
    session.run().unwrap();
    (session.outputs()[0].shape.clone(), session.output::<f32>(0).unwrap().to_vec())
}

/// A branch: captured `x`, one node, one output.
fn one(op: &str, inputs: &str, output: &str) -> Builder {
    Builder::new(16).node(op, inputs, output, &[]).output(output)
}

#[test]
fn a_known_condition_chooses_at_import() {
    for (v, op) in [(true, "Softmax"), (false, "Unary")] {
        let branches =
            [body("then_branch", one("Softmax", "x", "a")), body("else_branch", one("Neg", "x", "b"))];
        let model = Builder::new(16).input("x", &[2]).constant(truth("c", v)).node("If", "c", "y", &branches);
        assert_eq!(op_names(&model.output("y").graph_of()), [op]);
    }
    // From a shape, through comparisons of integers.
    let branches = [body("then_branch", one("Softmax", "x", "a")), body("else_branch", one("Neg", "x", "b"))];
    let model = Builder::new(16).input("x", &[2, 3]).constant(ints("six", &[6]));
    let model = model.node("Size", "x", "n", &[]).node("Equal", "n six", "c", &[]);
    assert!(matches!(single(&model.node("If", "c", "y", &branches).output("y").graph_of()), Op::Softmax(_)));
}

/// `if c { if d { x + 1 } else { x * 2 } } else { -x[i] }`
fn nested() -> Graph {
    let inner =
        [body("then_branch", one("Add", "x one", "p")), body("else_branch", one("Mul", "x two", "q"))];
    let outer =
        Builder::new(16).constant(floats("two", &[1], &[2.0])).node("If", "d", "r", &inner).output("r");
    let other = Builder::new(16).node("Gather", "x i", "s", &[]).node("Neg", "s", "t", &[]).output("t");
    let branches = [body("then_branch", outer), body("else_branch", other)];
    let mut model = Builder::new(16).input("x", &[3]).constant(floats("one", &[1], &[1.0]));
    model.graph().input.extend([bool_value("c"), bool_value("d"), value("i", data_type::INT64, &[3])]);
    model.node("If", "c", "y", &branches).output("y").graph_of()
}

#[test]
fn an_open_condition_is_asked_when_it_runs() {
    let mut session = session(nested(), &[]).unwrap();
    // An index that is out of range does no harm where its branch is not taken.
    for (c, d, i, wanted) in [
        (1u8, 1u8, 99i64, Ok([2.0f32, 3.0, 4.0])),
        (1, 0, 99, Ok([2.0, 4.0, 6.0])),
        (0, 1, 2, Ok([-3.0, -3.0, -3.0])),
        (0, 0, 99, Err("index 99")),
        (1, 1, 0, Ok([2.0, 3.0, 4.0])),
    ] {
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0, 3.0]);
        session.input_mut::<u8>(1).unwrap()[0] = c;
        session.input_mut::<u8>(2).unwrap()[0] = d;
        session.input_mut::<i64>(3).unwrap().fill(i);
        match (session.run(), wanted) {
            (Ok(()), Ok(wanted)) => assert_eq!(session.output::<f32>(0).unwrap(), wanted),
            (Err(e), Err(wanted)) => assert!(e.to_string().contains(wanted), "{e}"),
            (got, _) => panic!("{c} {d} {i}: {got:?}"),
        }
    }
}

#[test]
fn what_is_not_run_is_not_observed() {
    let mut session = session(nested(), &[]).unwrap();
    session.input_mut::<u8>(1).unwrap()[0] = 1;
    let mut seen = vec![];
    session.run_observed(&mut |id, _| seen.push(id)).unwrap();
    let name = |id: &ottava::graph::TensorId| session.graph().tensor(*id).name.clone();
    let names: Vec<String> = seen.iter().map(name).collect();
    assert!(names.iter().any(|n| n.ends_with('q')), "{names:?}");
    assert!(!names.iter().any(|n| n.ends_with('p') || n.ends_with('s') || n.ends_with('t')), "{names:?}");
}

/// Exporters write `squeeze` so: it drops a dimension of length 1, and leaves any other.
fn squeezed() -> Builder {
    let branches =
        [body("then_branch", one("Squeeze", "x axes", "a")), body("else_branch", one("Identity", "x", "b"))];
    let mut model = Builder::new(16).constant(ints("axes", &[1])).constant(ints("one", &[1]));
    let mut x = value("x", data_type::FLOAT, &[2, 0]);
    let dims = x.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()).and_then(|t| t.shape.as_mut()).unwrap();
    dims.dim[1] = DimensionProto { dim_value: None, dim_param: Some("n".into()) };
    model.graph().input.push(x);
    let model = model.node("Shape", "x", "s", &[]).node("Gather", "s one", "n", &[]);
    model.node("Equal", "n one", "c", &[]).node("If", "c", "y", &branches)
}

#[test]
fn branches_of_different_rank_need_a_shape() {
    let graph = squeezed().output("y").graph_of();
    assert_eq!(session(graph.clone(), &[("x", &[2, 1])]).unwrap().outputs()[0].shape, [2]);
    let refusal = session(graph, &[("x", &[2, 3])]).err().unwrap();
    assert!(refusal.contains("chooses a branch that was left out"), "{refusal}");
    // What is behind tells that the other branch is meant: three axes can be reordered by none but this.
    let perm = int_list("perm", &[1, 0]);
    let graph = squeezed().node("Transpose", "y", "z", &[perm]).output("z").graph_of();
    assert_eq!(session(graph, &[("x", &[2, 3])]).unwrap().outputs()[0].shape, [3, 2]);
}

fn number(name: &str, v: i64) -> TensorProto {
    TensorProto { dims: vec![], ..ints(name, &[v]) }
}

#[test]
fn loops_are_unrolled() {
    // Three rounds of `v += x * round`, which collect v.
    let mut round = Builder::new(16);
    round.graph().input.extend([
        value("i", data_type::INT64, &[]),
        bool_value("going"),
        value("v", data_type::FLOAT, &[2]),
    ]);
    let round = round.node("Cast", "i", "f", &[int("to", 1)]).node("Mul", "x f", "p", &[]);
    let round = round.node("Add", "v p", "w", &[]).node("Identity", "going", "on", &[]);
    let round = round.node("Identity", "w", "row", &[]);
    let round = round.output_of("on", data_type::BOOL).output("w").output("row");
    let model = |n: i64| {
        let model = Builder::new(16).input("x", &[2]).constant(number("n", n)).constant(truth("c", true));
        model.node("Loop", "n c x", "y all", &[body("body", round.clone())]).output("y").output("all")
    };
    let mut session = session(model(3).graph_of(), &[]).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 10.0]);
    session.run().unwrap();
    assert_eq!(session.output::<f32>(0).unwrap(), [4.0, 40.0]);
    assert_eq!(session.output::<f32>(1).unwrap(), [1.0, 10.0, 2.0, 20.0, 4.0, 40.0]);
    assert!(model(1 << 40).refusal().contains("more than 16384 times"));
    assert!(model(0).refusal().contains("never runs"));
}

/// `while sum < 100 && rounds < n { v += v }`, where the first round asks for `c`.
fn doubled(n: i64, attrs: &[&str]) -> Builder {
    let mut round = Builder::new(16).constant(floats("limit", &[], &[100.0]));
    round.graph().input.extend([
        value("i", data_type::INT64, &[]),
        bool_value("going"),
        value("v", data_type::FLOAT, &[2]),
    ]);
    let round = round.node("Add", "v v", "w", &[]).node("ReduceSum", "w", "s", &[int("keepdims", 0)]);
    let round = round.node("Less", "s limit", "on", &[]).node("Identity", "w", "row", &[]);
    let round = round.output_of("on", data_type::BOOL).output("w").output("row");
    let mut model = Builder::new(16).input("x", &[2]).constant(number("n", n));
    model.graph().input.push(bool_value("c"));
    let outputs = ["y", "all"].map(|name| if attrs.contains(&name) { name } else { "-" }).join(" ");
    let model = model.node("Loop", "n c x", &outputs, &[body("body", round)]);
    attrs.iter().fold(model, |model, name| model.output(name))
}

#[test]
fn a_loop_may_end_when_the_data_say_so() {
    let mut session = session(doubled(40, &["y"]).graph_of(), &[]).unwrap();
    for (x, c, wanted) in [
        ([1.0f32, 2.0], 1u8, [64.0f32, 128.0]),
        ([30.0, 30.0], 1, [60.0, 60.0]),
        ([1.0, 2.0], 0, [1.0, 2.0]),
        // All rounds that there are: 2^40 of it is still less than the limit.
        ([1e-20, 0.0], 1, [1e-20 * (1u64 << 40) as f32, 0.0]),
    ] {
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
        session.input_mut::<u8>(1).unwrap()[0] = c;
        session.run().unwrap();
        assert_eq!(session.output::<f32>(0).unwrap(), wanted, "{x:?}");
    }
    // Rounds behind the end are not run: none of their sums is seen.
    session.input_mut::<f32>(0).unwrap().fill(30.0);
    session.input_mut::<u8>(1).unwrap()[0] = 1;
    let mut seen = vec![];
    session.run_observed(&mut |id, _| seen.push(id)).unwrap();
    let computes = |id: &ottava::graph::TensorId| {
        session.graph().nodes.iter().find(|n| n.outputs.contains(id)).map(|n| &n.op)
    };
    assert_eq!(seen.iter().filter(|id| matches!(computes(id), Some(Op::Reduce(_)))).count(), 1);
}

#[test]
fn loops_whose_size_depends_on_the_data_are_refused() {
    assert!(doubled(40, &["y", "all"]).refusal().contains("what it collects has no fixed length"));
    assert!(doubled(i64::MAX, &["y"]).refusal().contains("constant trip count of at most 16384"));
    // What is carried grows.
    let mut round = Builder::new(16).constant(floats("limit", &[], &[100.0]));
    let inputs =
        [value("i", data_type::INT64, &[]), bool_value("going"), value("v", data_type::FLOAT, &[-1])];
    round.graph().input.extend(inputs);
    let round = round.node("Concat", "v x", "w", &[int("axis", 0)]);
    let round = round.node("ReduceSum", "w", "s", &[int("keepdims", 0)]).node("Less", "s limit", "on", &[]);
    let model = Builder::new(16).input("x", &[2]).constant(number("n", 3)).constant(truth("c", true));
    let body = [body("body", round.output_of("on", data_type::BOOL).output("w"))];
    let refusal = model.node("Loop", "n c x", "y", &body).output("y").refusal();
    assert!(refusal.contains("so does the shape of a value that it carries"), "{refusal}");
}

/// `for i in 0..4 { v = if i % 2 == 0 { for _ in 0..rows { v += x } } else { v / 2 } }`, where the rows are x's.
#[test]
fn loops_and_branches_lie_inside_of_each_other() {
    let step = |extra: &str| {
        let mut step = Builder::new(16);
        step.graph().input.extend([
            value(&format!("i{extra}"), data_type::INT64, &[]),
            bool_value(&format!("c{extra}")),
            value(&format!("v{extra}"), data_type::FLOAT, &[2, 3]),
        ]);
        step.node("Identity", &format!("c{extra}"), &format!("d{extra}"), &[])
    };
    let inner = step("_in").node("Add", "v_in x", "w_in", &[]);
    let inner = [body("body", inner.output_of("d_in", data_type::BOOL).output("w_in"))];
    let then = Builder::new(16).node("Loop", "rows c v", "a", &inner).output("a");
    let other = Builder::new(16).constant(floats("half", &[], &[0.5])).node("Mul", "v half", "b", &[]);
    let branches = [body("then_branch", then), body("else_branch", other.output("b"))];
    let outer =
        step("").constant(number("two", 2)).constant(number("none", 0)).node("Mod", "i two", "m", &[]);
    let outer = outer.node("Equal", "m none", "even", &[]).node("If", "even", "w", &branches);
    let outer = [body("body", outer.output_of("d", data_type::BOOL).output("w"))];
    let model = Builder::new(16).input("x", &[-1, 3]).constant(number("four", 4)).constant(truth("c", true));
    let model =
        model.constant(number("none", 0)).node("Shape", "x", "s", &[]).node("Gather", "s none", "rows", &[]);
    let model = model.node("Loop", "four c x", "y", &outer).output("y");
    assert!(model.refusal().contains("must be a constant of integers"));
    let options = ImportOptions { shapes: vec![("x".into(), vec![2, 3])], ..ImportOptions::default() };
    let mut session = session(model.import_with(&options).unwrap(), &[]).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&[2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    session.run().unwrap();
    // x + 2x = 3x, 1.5x, 3.5x, 1.75x
    assert_eq!(session.output::<f32>(0).unwrap(), [3.5, 7.0, 10.5, 14.0, 17.5, 21.0]);
}

#[test]
fn scans_run_along_a_dimension() {
    // Running sums of the columns of x, from the right, collected as columns.
    let mut step = Builder::new(16);
    step.graph().input.extend(["s", "c"].map(|name| value(name, data_type::FLOAT, &[2])));
    let step = step.node("Add", "s c", "t", &[]).node("Neg", "t", "u", &[]).output("t").output("u");
    let attrs = [
        body("body", step),
        int("num_scan_inputs", 1),
        int_list("scan_input_axes", &[-1]),
        int_list("scan_input_directions", &[1]),
        int_list("scan_output_axes", &[1]),
    ];
    let model = Builder::new(16).input("s", &[2]).input("x", &[2, 3]);
    let model = model.node("Scan", "s x", "y all", &attrs).output("y").output("all");
    let mut session = session(model.graph_of(), &[]).unwrap();
    session.input_mut::<f32>(0).unwrap().fill(100.0);
    session.input_mut::<f32>(1).unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
    session.run().unwrap();
    assert_eq!(session.output::<f32>(0).unwrap(), [106.0, 160.0]);
    assert_eq!(session.output::<f32>(1).unwrap(), [-103.0, -105.0, -106.0, -130.0, -150.0, -160.0]);
}

#[test]
fn a_free_length_to_scan_along_is_given_at_import() {
    // Running sums of the rows of x; rows of y come along, whose length is the same dimension.
    let mut step = Builder::new(16);
    step.graph().input.extend(["s", "r", "q"].map(|name| value(name, data_type::FLOAT, &[2])));
    let step = step.node("Add", "s r", "p", &[]).node("Add", "p q", "t", &[]).node("Neg", "t", "u", &[]);
    let attrs = [body("body", step.output("t").output("u")), int("num_scan_inputs", 2)];
    let model = |name: &str| {
        let mut model = Builder::new(16).input("s", &[2]);
        for (x, dim) in [("x", "length"), ("y", name)] {
            let mut input = value(x, data_type::FLOAT, &[-1, 2]);
            let tensor = input.r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
            tensor.unwrap().shape.as_mut().unwrap().dim[0].dim_param = Some(dim.to_string());
            model.graph().input.push(input);
        }
        model.node("Scan", "s x y", "last all", &attrs).output("last").output("all")
    };
    let import = |name: &str, shapes: &[(&str, &[usize])]| {
        let shapes = shapes.iter().map(|(name, dims)| (name.to_string(), dims.to_vec())).collect();
        let options = ImportOptions { shapes, ..ImportOptions::default() };
        from_bytes(model(name).model.encode_to_vec(), &options).map_err(|e| e.to_string())
    };
    assert!(import("length", &[]).unwrap_err().contains("--shape"));
    let graph = import("length", &[("x", &[3, 2]), ("what is no input", &[1])]).unwrap();
    assert!(graph.dims.is_empty(), "the other input's dimension has the same name");
    let mut session = session(graph, &[]).unwrap();
    for i in [1, 2] {
        session.input_mut::<f32>(i).unwrap().copy_from_slice(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    }
    session.run().unwrap();
    assert_eq!(session.output::<f32>(0).unwrap(), [12.0, 120.0]);
    assert_eq!(session.output::<f32>(1).unwrap(), [-2.0, -20.0, -6.0, -60.0, -12.0, -120.0]);
    for (shapes, why) in [
        (&[("x", &[3, 3][..])][..], "dimension 1 is 2"),
        (&[("x", &[3])], "rank 2"),
        (&[("x", &[3, 2]), ("y", &[4, 2])], "'length' 4, but it is 3"),
        (&[("x", &[1 << 20, 2])], "more than 16384 times"),
    ] {
        let refusal = import("length", shapes).unwrap_err();
        assert!(refusal.contains(why), "{refusal}");
    }
    let unequal = import("width", &[("x", &[3, 2]), ("y", &[4, 2])]).unwrap_err();
    assert!(unequal.contains("different lengths"), "{unequal}");
}

#[test]
fn bodies_that_lie_are_refused() {
    let model = |then: Builder, other: Builder| {
        let branches = [body("then_branch", then), body("else_branch", other)];
        let mut model = Builder::new(16).input("x", &[2]);
        model.graph().input.push(bool_value("c"));
        model.node("If", "c", "y", &branches).output("y")
    };
    let neg = || one("Neg", "x", "b");
    assert!(model(one("Neg", "z", "a"), neg()).refusal().contains("nothing computes it"));
    assert!(model(one("Fourier", "x", "a"), neg()).refusal().contains("Fourier"));
    assert!(model(Builder::new(16), neg()).refusal().contains("0 and 1 outputs"));
    // What a branch computes is not seen outside of it.
    let leak = model(one("Abs", "x", "a"), neg()).node("Neg", "a", "z", &[]);
    assert!(leak.output("z").refusal().contains("nothing computes it"));
    let mut deep = neg();
    for _ in 0..40 {
        let branches = [body("then_branch", deep), body("else_branch", neg())];
        deep = Builder::new(16).node("If", "c", "b", &branches).output("b");
    }
    assert!(model(deep, neg()).refusal().contains("deep inside of each other"));
}
