//! Cutting, joining, reshaping, constants.

use crate::build::*;
use ottava::graph::{DType, Graph};
use ottava::import::onnx::proto::{AttributeProto, TensorProto, data_type};

/// One node over an input `x` of `[4, 6]` and constants of integers.
fn with_ints(opset: i64, op: &str, constants: &[&[i64]], attrs: &[AttributeProto]) -> Builder {
    let names: Vec<String> = (0..constants.len()).map(|i| format!("c{i}")).collect();
    let model =
        names.iter().zip(constants).fold(Builder::new(opset).input("x", &[4, 6]), |model, (name, values)| {
            model.constant(ints(name, values))
        });
    model.node(op, &format!("x {}", names.join(" ")), "y", attrs).output("y")
}

#[test]
fn slices_are_the_same_in_both_forms() {
    let old = [int_list("starts", &[1, 0]), int_list("ends", &[3, -2]), int_list("axes", &[0, 1])];
    let old = with_ints(9, "Slice", &[], &old).graph_of();
    let new = with_ints(13, "Slice", &[&[1, 0], &[3, -2], &[0, 1]], &[]).graph_of();
    for g in [&old, &new] {
        assert_eq!(output_dims(g), [2, 4]);
        assert_eq!(constant_input::<i64>(g, &g.nodes[0], 2), [3, -2]);
    }
    assert_eq!(output_dims(&with_ints(10, "Slice", &[&[-1], &[-9], &[1], &[-2]], &[]).graph_of()), [4, 3]);
    assert!(with_ints(10, "Slice", &[&[0], &[1], &[0], &[0]], &[]).refusal().contains("step"));
    assert!(with_ints(10, "Slice", &[&[0, 0], &[1]], &[]).refusal().contains("Slice"));
    assert!(with_ints(9, "Slice", &[], &[int_list("starts", &[0])]).refusal().contains("'ends'"));
}

#[test]
fn padding_is_the_same_in_all_forms() {
    let old = with_ints(10, "Pad", &[], &[int_list("pads", &[0, 1, 0, 2]), float("value", 3.0)]).graph_of();
    let new = with_ints(13, "Pad", &[&[0, 1, 0, 2]], &[]).graph_of();
    for g in [&old, &new] {
        assert_eq!(output_dims(g), [4, 9]);
    }
    assert_eq!(constant_input::<f32>(&old, &old.nodes[0], 2), [3.0]);
    let some = Builder::new(18).input("x", &[4, 6]).constant(ints("p", &[1, 2])).constant(ints("a", &[-1]));
    let some = some.node("Pad", "x p - a", "y", &[text("mode", "reflect")]).output("y").graph_of();
    assert_eq!(constant_input::<i64>(&some, &some.nodes[0], 1), [0, 1, 0, 2]);
    // Negative padding cuts off first.
    let cut = with_ints(13, "Pad", &[&[-1, 1, -2, 0]], &[]).graph_of();
    assert_eq!((op_names(&cut), output_dims(&cut)), (vec!["Slice", "Pad"], vec![1, 7]));
    assert!(with_ints(13, "Pad", &[&[-1, 0, 0, 0]], &[text("mode", "edge")]).refusal().contains("edge"));
    assert!(with_ints(13, "Pad", &[&[1, 1]], &[]).refusal().contains("2 paddings"));
    // Operator set 19 is the first that has it.
    let wrapped = |opset| with_ints(opset, "Pad", &[&[1, 1, 1, 1]], &[text("mode", "wrap")]);
    assert_eq!(op_names(&wrapped(19).graph_of()), ["Gather", "Gather"]);
    assert!(wrapped(18).refusal().contains("wrap"));
}

#[test]
fn the_axes_of_squeeze_moved_to_inputs() {
    let add = [int_list("axes", &[0, -1])];
    assert_eq!(output_dims(&with_ints(12, "Unsqueeze", &[], &add).graph_of()), [1, 4, 6, 1]);
    assert_eq!(output_dims(&with_ints(13, "Unsqueeze", &[&[0, -1]], &[]).graph_of()), [1, 4, 6, 1]);
    assert!(with_ints(13, "Unsqueeze", &[], &add).refusal().contains("'axes'"));
    assert!(with_ints(13, "Unsqueeze", &[&[0, 0]], &[]).refusal().contains("twice"));
    assert!(with_ints(12, "Squeeze", &[], &[int_list("axes", &[0])]).refusal().contains("Squeeze"));
    let squeezed = Builder::new(13).input("x", &[1, 4, 1]).constant(ints("a", &[-1]));
    let squeezed = squeezed.node("Squeeze", "x a", "y", &[]).output("y").graph_of();
    assert_eq!(output_dims(&squeezed), [1, 4]);
}

#[test]
fn splits_give_all_their_parts() {
    let split = |opset: i64, sizes: Option<&[i64]>, outputs: &str, attrs: &[AttributeProto]| {
        let model = Builder::new(opset).input("x", &[4, 7]);
        let model = match sizes {
            Some(sizes) => model.constant(ints("s", sizes)).node("Split", "x s", outputs, attrs),
            None => model.node("Split", "x", outputs, attrs),
        };
        outputs.split(' ').filter(|o| *o != "-").fold(model, |m, o| m.output(o))
    };
    let parts = |g: &Graph| g.outputs.iter().map(|&o| dims(g, o)[1]).collect::<Vec<_>>();
    let axis = || int("axis", 1);
    assert_eq!(parts(&split(13, Some(&[2, 5]), "a b", &[axis()]).graph_of()), [2, 5]);
    let old = [axis(), int_list("split", &[3, 4])];
    assert_eq!(parts(&split(11, None, "a b", &old).graph_of()), [3, 4]);
    let new = [axis(), int("num_outputs", 3)];
    assert_eq!(parts(&split(18, None, "a b c", &new).graph_of()), [3, 3, 1]);
    assert_eq!(parts(&split(13, Some(&[2, 5]), "- b", &[axis()]).graph_of()), [5], "the first is not wanted");
    assert!(split(13, None, "a b", &[axis()]).refusal().contains("equal parts"));
    assert!(split(13, Some(&[2, 4]), "a b", &[axis()]).refusal().contains("don't cut"));
    assert!(split(18, None, "a b", &new).refusal().contains("num_outputs"));
    assert!(split(13, Some(&[i64::MAX, 2]), "a b", &[axis()]).refusal().contains("don't cut"));
}

#[test]
fn shapes_computed_from_shapes_are_known() {
    let model = Builder::new(13).input("x", &[2, 3, 4]).constant(ints("i", &[0])).constant(ints("m", &[-1]));
    let model = model.node("Shape", "x", "s", &[]).node("Gather", "s i", "b", &[]);
    let model =
        model.node("Concat", "b m", "t", &[int("axis", 0)]).node("Reshape", "x t", "y", &[]).output("y");
    assert_eq!(output_dims(&model.graph_of()), [2, 12]);
}

#[test]
fn shape_takes_a_part_from_version_15_on() {
    let attrs = [int("start", -1)];
    let shape = |opset: i64| {
        let model = Builder::new(opset).input("x", &[2, 3, 4]).node("Shape", "x", "y", &attrs);
        model.output_of("y", data_type::INT64)
    };
    assert_eq!(output_dims(&shape(15).graph_of()), [1]);
    assert!(shape(14).refusal().contains("'start'"));
}

#[test]
fn plain_moves_are_checked() {
    assert_eq!(output_dims(&with_ints(13, "Flatten", &[], &[int("axis", 2)]).graph_of()), [24, 1]);
    assert!(with_ints(13, "Flatten", &[], &[int("axis", 3)]).refusal().contains("axis 3"));
    assert_eq!(output_dims(&with_ints(13, "Transpose", &[], &[]).graph_of()), [6, 4]);
    assert!(with_ints(13, "Transpose", &[], &[int_list("perm", &[0, 0])]).refusal().contains("perm"));
    assert_eq!(output_dims(&with_ints(13, "Expand", &[&[3, 1, 1]], &[]).graph_of()), [3, 4, 6]);
    assert_eq!(output_dims(&with_ints(13, "Tile", &[&[2, 1]], &[]).graph_of()), [8, 6]);
    assert_eq!(output_dims(&with_ints(13, "Gather", &[&[0, -4]], &[]).graph_of()), [2, 6]);
    assert!(with_ints(13, "Gather", &[&[4]], &[]).refusal().contains("index 4"));
    assert!(with_ints(13, "Gather", &[&[i64::MIN]], &[]).refusal().contains("out of range"));
    assert!(with_ints(13, "Reshape", &[&[i64::MAX, 4]], &[]).refusal().contains("Reshape"));
    assert!(with_ints(13, "Concat", &[], &[]).refusal().contains("'axis'"));
}

#[test]
fn constants_come_in_many_forms() {
    let constant = |opset: i64, attr: AttributeProto, elem_type: i32| {
        Builder::new(opset).node("Constant", "", "y", &[attr]).output_of("y", elem_type)
    };
    let value = |model: &Builder| {
        let g = model.graph_of();
        assert_eq!(g.tensor(g.outputs[0]).name, "y");
        let t = g.tensor(g.nodes[0].inputs[0].unwrap()).clone();
        (t.dtype, t.shape.dims().unwrap(), t.data.unwrap())
    };
    let (dtype, dims, data) = value(&constant(13, tensor("value", ints("", &[1, 2])), data_type::INT64));
    assert_eq!((dtype, dims, data.to_vec::<i64>()), (DType::I64, vec![2], vec![1, 2]));
    let (dtype, dims, data) = value(&constant(13, float("value_float", 2.5), data_type::FLOAT));
    assert_eq!((dtype, dims, data.to_vec::<f32>()), (DType::F32, vec![], vec![2.5]));
    let (_, dims, data) = value(&constant(13, int_list("value_ints", &[7]), data_type::INT64));
    assert_eq!((dims, data.to_vec::<i64>()), (vec![1], vec![7]));
    assert!(constant(11, float("value_float", 2.5), data_type::FLOAT).refusal().contains("value_float"));
    assert!(constant(13, text("value_string", "a"), data_type::FLOAT).refusal().contains("value_string"));
}

/// An initializer behind a Neg, as far as it gets.
fn stored(t: TensorProto) -> Result<Graph, ottava::import::ImportError> {
    let elem_type = if t.data_type == data_type::INT8 { data_type::INT8 } else { data_type::FLOAT };
    Builder::new(13).constant(t).node("Neg", "w", "y", &[]).output_of("y", elem_type).import()
}

#[test]
fn floats_of_every_width_become_f32() {
    let raw = |data_type: i32, bytes: &[u8]| TensorProto {
        name: "w".into(),
        dims: vec![1],
        data_type,
        raw_data: Some(bytes.to_vec().into()),
        ..Default::default()
    };
    let field = TensorProto { raw_data: None, int32_data: vec![0x3e00], ..raw(data_type::FLOAT16, &[]) };
    let double = TensorProto { raw_data: None, double_data: vec![1.5], ..raw(data_type::DOUBLE, &[]) };
    for t in [
        raw(data_type::FLOAT, &1.5f32.to_le_bytes()),
        raw(data_type::DOUBLE, &1.5f64.to_le_bytes()),
        raw(data_type::FLOAT16, &[0x00, 0x3e]),
        raw(data_type::BFLOAT16, &[0xc0, 0x3f]),
        field,
        double,
    ] {
        let g = stored(t.clone()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(constant_input::<f32>(&g, &g.nodes[0], 0), [1.5], "type {}", t.data_type);
    }
}

#[test]
fn constants_that_lie_are_refused() {
    let why = |t: TensorProto| stored(t).expect_err("a lie").to_string();
    let base =
        TensorProto { name: "w".into(), dims: vec![2], data_type: data_type::INT8, ..Default::default() };
    let with = |f: &dyn Fn(&mut TensorProto)| {
        let mut t = base.clone();
        f(&mut t);
        why(t)
    };
    assert!(with(&|t| t.int32_data = vec![1]).contains("1 elements"));
    assert!(with(&|t| t.int32_data = vec![1, 200]).contains("holds 200"));
    assert!(with(&|t| t.raw_data = Some(vec![1, 2, 3].into())).contains("3 bytes"));
    assert!(with(&|t| t.dims = vec![i64::MAX, i64::MAX]).contains("overflow"));
    assert!(with(&|t| t.dims = vec![-2]).contains("-2"));
    assert!(with(&|t| t.dims = vec![1; 9]).contains("rank"));
    assert!(with(&|t| t.data_type = 8).contains("STRING"));
    assert!(with(&|t| t.data_type = 999).contains("999"));
    assert!(with(&|t| t.segment = Some(vec![8, 0].into())).contains("segment"));
}
