//! The model around the nodes: names, order, inputs, outputs.

use crate::build::*;
use ottava::graph::{DType, Dim, Op};
use ottava::import::ImportError;
use ottava::import::onnx::proto::{DimensionProto, OperatorSetIdProto, data_type};

#[test]
fn nodes_are_put_in_order() {
    let model = Builder::new(13).input("x", &[2]).output("y");
    let g = model.node("Neg", "b", "y", &[]).node("Exp", "a", "b", &[]).node("Abs", "x", "a", &[]).graph_of();
    let names: Vec<&str> = g.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["Abs_2", "Exp_1", "Neg_0"], "nodes without names are called after their place");
}

#[test]
fn a_deep_chain_is_no_deep_recursion() {
    let mut model = Builder::new(13).input("t0", &[2]);
    for i in (0..20_000).rev() {
        model = model.node("Neg", &format!("t{i}"), &format!("t{}", i + 1), &[]);
    }
    assert_eq!(model.output("t20000").import().expect("a chain").nodes.len(), 20_000);
}

#[test]
fn graphs_that_make_no_sense_are_refused() {
    let base = || Builder::new(13).input("x", &[2]);
    let cycle = base().node("Add", "x b", "a", &[]).node("Neg", "a", "b", &[]).output("b");
    assert!(cycle.refusal().contains("cycle"));
    let twice = base().node("Neg", "x", "y", &[]).node("Abs", "x", "y", &[]).output("y");
    assert!(twice.refusal().contains("'y'"));
    let over = base().node("Neg", "x", "x", &[]).output("x");
    assert!(over.refusal().contains("already there"));
    assert!(base().node("Neg", "z", "y", &[]).output("y").refusal().contains("nothing computes it"));
    assert!(base().node("Neg", "x", "y", &[]).output("z").refusal().contains("'z'"));
    assert!(base().node("Neg", "x", "y", &[]).refusal().contains("no output"));
    assert!(base().node("Neg", "x", "y", &[]).output("y").output("y").refusal().contains("already"));
    assert!(base().output("x").refusal().contains("input or output already"));
    assert!(base().input("x", &[2]).output("x").refusal().contains("two inputs"));
    assert!(base().node("Neg", "x x", "y", &[]).output("y").refusal().contains("2 inputs"));
    assert!(base().node("Neg", "-", "y", &[]).output("y").refusal().contains("0 inputs"));
    assert!(Builder::new(13).input("x", &[i64::MIN]).output("x").refusal().contains("-9223372036854775808"));
}

#[test]
fn all_problems_are_told_at_once() {
    let model = Builder::new(13).input("x", &[2]).node("Fourier", "x", "a", &[]).node("Neg", "a", "b", &[]);
    let model = model.node("Relu", "b", "c", &[int("turbo", 1)]).node("Elu", "c", "y", &[]).output("y");
    match model.import() {
        Err(ImportError::Unsupported { problems }) => {
            let found: Vec<_> = problems.iter().map(|p| (p.node.as_str(), p.op.as_str())).collect();
            // What only follows from another problem is not one.
            assert_eq!(found, [("Fourier_0", "Fourier"), ("Relu_2", "Relu")]);
            assert!(problems[1].reason.contains("'turbo'"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_known_operator_sets_are_taken() {
    let model = |opset: i64| Builder::new(opset).input("x", &[2]).node("Neg", "x", "y", &[]).output("y");
    for opset in 1..=28 {
        assert_eq!(op_names(&model(opset).graph_of()), ["Unary"]);
    }
    for opset in [-3, 0, 29, i64::MAX] {
        assert!(model(opset).refusal().contains(&format!("version {opset} ")));
    }
    let mut none = model(13);
    none.model.opset_import.clear();
    assert!(none.refusal().contains("which version"));
    let mut both = model(13);
    both.model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx".into(), version: 13 });
    assert_eq!(op_names(&both.graph_of()), ["Unary"]);
    both.model.opset_import[1].version = 12;
    assert!(both.refusal().contains("13 and 12"));
    let mut foreign = model(13);
    foreign.graph().node[0].domain = "com.example".into();
    assert!(foreign.refusal().contains("(com.example.Neg)"));
}

#[test]
fn constants_listed_as_inputs_are_constants() {
    let model = Builder::new(13).input("x", &[2]).input("c", &[2]).constant(counting("c", &[2]));
    let g = model.node("Add", "x c", "y", &[]).output("y").graph_of();
    assert_eq!(g.inputs.len(), 1);
    assert_eq!(constant_input::<f32>(&g, &g.nodes[0], 1), [0.0, 1.0]);
}

#[test]
fn outputs_keep_their_names() {
    let model = Builder::new(13).input("x", &[2, 3]).constant(counting("c", &[2]));
    let model =
        model.node("Neg", "x", "n", &[]).node("Identity", "n", "a", &[]).node("Identity", "n", "b", &[]);
    let model = model.node("Identity", "x", "d", &[]).node("Identity", "c", "e", &[]);
    let g = ["a", "b", "n", "d", "e", "c"].iter().fold(model, |m, name| m.output(name)).graph_of();
    let names: Vec<&str> = g.outputs.iter().map(|&o| g.tensor(o).name.as_str()).collect();
    assert_eq!(names, ["a", "b", "n", "d", "e", "c"]);
    assert_eq!(g.outputs.iter().collect::<std::collections::HashSet<_>>().len(), 6, "each its own tensor");
    assert_eq!(g.tensor(g.inputs[0]).name, "x");
}

#[test]
fn free_dimensions_are_shared_by_name() {
    let mut model =
        Builder::new(13).input("x", &[1, 1, 1, 2]).input("z", &[1, 2]).node("Relu", "x", "y", &[]);
    let dims = |list: [(Option<i64>, Option<&str>); 4]| {
        list.map(|(dim_value, name)| DimensionProto { dim_value, dim_param: name.map(String::from) }).to_vec()
    };
    let shape = |model: &mut Builder, i: usize, dim: Vec<DimensionProto>| {
        let tensor = model.graph().input[i].r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
        tensor.and_then(|t| t.shape.as_mut()).expect("a shape").dim = dim;
    };
    shape(&mut model, 0, dims([(None, Some("N")), (None, None), (Some(-1), None), (Some(2), None)]));
    shape(
        &mut model,
        1,
        dims([(None, Some("N")), (None, None), (None, Some("")), (Some(2), None)])[..2].to_vec(),
    );
    let g = model.output("y").graph_of();
    assert_eq!(g.show_shape(&g.tensor(g.inputs[0]).shape), "[N, x_d1, x_d2, 2]");
    assert_eq!(g.show_shape(&g.tensor(g.inputs[1]).shape), "[N, z_d1]");
    assert_eq!(g.tensor(g.outputs[0]).shape[3], Dim::Fixed(2));
}

#[test]
fn half_precision_stays_at_the_border() {
    let mut model = Builder::new(13).input("x", &[2]).node("Neg", "x", "y", &[]);
    model.graph().input[0] = value("x", data_type::FLOAT16, &[2]);
    let g = model.output_of("y", data_type::FLOAT16).graph_of();
    assert_eq!(op_names(&g), ["Cast", "Unary", "Cast"]);
    let (x, y) = (g.tensor(g.inputs[0]), g.tensor(g.outputs[0]));
    assert_eq!(
        ((x.name.as_str(), x.dtype), (y.name.as_str(), y.dtype)),
        (("x", DType::F16), ("y", DType::F16))
    );
}

#[test]
fn declared_outputs_are_checked() {
    let model = || Builder::new(13).input("x", &[2, 3]).node("Neg", "x", "y", &[]);
    let declared = |elem_type: i32, dims: &[i64]| {
        let mut model = model();
        model.graph().output.push(value("y", elem_type, dims));
        model
    };
    assert!(declared(data_type::INT64, &[2, 3]).refusal().contains("i64"));
    assert!(declared(data_type::BFLOAT16, &[2, 3]).refusal().contains("BFLOAT16"));
    assert!(declared(data_type::FLOAT, &[2, 4]).refusal().contains("[2, 4]"));
    assert!(declared(data_type::FLOAT, &[6]).refusal().contains("[6]"));
    assert_eq!(op_names(&declared(data_type::FLOAT, &[2, 3]).graph_of()), ["Unary"]);
}

#[test]
fn casts_between_floats_vanish() {
    let model = Builder::new(13).input("x", &[2]).node("Cast", "x", "h", &[int("to", 10)]);
    let g = model.node("Neg", "h", "y", &[]).output("y").graph_of();
    assert!(matches!(single(&g), Op::Unary(_)));
    let model = Builder::new(13).input("x", &[2]).node("Cast", "x", "y", &[int("to", 7)]);
    let g = model.output_of("y", data_type::INT64).graph_of();
    assert!(matches!(single(&g), Op::Cast(_)));
    let model = Builder::new(13).input("x", &[2]).node("Cast", "x", "y", &[int("to", 8)]).output("y");
    assert!(model.refusal().contains("STRING"));
}
