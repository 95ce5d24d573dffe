//! Integers that are known before anything runs, and graphs whose free dimensions get lengths.

use super::*;

fn name(shapes: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    shapes.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect()
}

/// What PyTorch writes for `x.view(x.size(0), -1, 4)` after a convolution-like change of size.
fn viewed() -> (Graph, TensorId, TensorId) {
    let mut b = builder();
    let x = b.input("x", DType::F32, shape(&[-1, 6, -2]));
    let all = b.node("shape", ShapeOf { start: 0, end: i64::MAX }, &[x]).unwrap();
    let zero = b.tensor(Tensor::constant("zero", DType::I64, &[], Data::from_slice(&[0i64])));
    let n = b.node("gather", Gather { axis: 0 }, &[all, zero]).unwrap();
    let n = b.node("unsqueeze", Unsqueeze { axes: vec![0] }, &[n]).unwrap();
    let rest = b.i64s("rest", &[-1, 3]);
    let spec = b.node("concat", Concat { axis: 0 }, &[n, rest]).unwrap();
    let y = b.node("view", Reshape { allow_zero: false }, &[x, spec]).unwrap();
    let relu = Unary { kind: UnaryKind::Relu, alpha: 0.0, beta: 0.0 };
    let y = b.node("relu", relu, &[y]).unwrap();
    (b.finish(&[y]).unwrap(), spec, y)
}

#[test]
fn shapes_computed_from_shapes_are_followed() {
    let (graph, spec, y) = viewed();
    assert_eq!(graph.show_shape(&graph.tensor(y).shape), "[n, view[1], 3]");
    let bound = bind(&graph, &name(&[("x", &[5, 6, 4])]), 1).unwrap();
    assert_eq!(bound.tensor(y).shape, Shape::fixed(&[5, 8, 3]));
    assert_eq!(bound.tensor(spec).data.as_ref().unwrap().to_vec::<i64>(), [5, -1, 3]);
    let names: Vec<&str> = bound.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["view", "relu"]);
    bound.validate().unwrap();
    assert_eq!(bound.tensors.len(), graph.tensors.len());
}

#[test]
fn what_is_not_given_has_the_default_length() {
    let (graph, _, y) = viewed();
    let bound = bind(&graph, &[], 2).unwrap();
    assert_eq!(bound.tensor(y).shape, Shape::fixed(&[2, 4, 3]));
}

#[test]
fn binding_that_cannot_be() {
    let (graph, ..) = viewed();
    let error = |shapes: &[(&str, &[usize])]| bind(&graph, &name(shapes), 1).unwrap_err().to_string();
    assert_eq!(error(&[("z", &[1])]), "graph 'test': has no input 'z' to give a shape; its inputs: x");
    let rank = "tensor 'x': is an input of the shape [n, 6, m], it can't be [1, 6]";
    assert_eq!(error(&[("x", &[1, 6])]), rank);
    let fixed = "tensor 'x': is an input whose dimension 1 is 6, it can't be 7";
    assert_eq!(error(&[("x", &[1, 7, 1])]), fixed);
    let unequal = "tensor 'x': makes the dimension 'n' 2, but it is 1 already";
    assert_eq!(error(&[("x", &[1, 6, 1]), ("x", &[2, 6, 1])]), unequal);
    // 6 * 1 * 5 elements make rows of 3, but 6 * 1 * 0 elements leave no length to infer with a 0 beside it.
    assert!(error(&[("x", &[0, 6, 1])]).contains("can't become"));
    assert!(error(&[("x", &[usize::MAX, 6, 9])]).contains("larger than any memory"));
}

#[test]
fn a_shape_that_depends_on_data_is_refused() {
    let mut b = builder();
    let x = b.input("x", DType::F32, shape(&[4, 6]));
    let spec = b.input("spec", DType::I64, shape(&[2]));
    let y = b.node("view", Reshape { allow_zero: false }, &[x, spec]).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let error = bind(&graph, &[], 1).unwrap_err().to_string();
    assert!(error.contains("node 'view'") && error.contains("not known before it runs"), "{error}");
}

#[test]
fn a_dimension_shared_by_inputs_must_be_the_same() {
    let mut b = builder();
    let a = b.input("a", DType::F32, shape(&[-1, 2]));
    let c = b.input("c", DType::F32, shape(&[-1, 2]));
    let y = b.node("add", Binary { kind: BinaryKind::Add, clamp: Clamp::NONE }, &[a, c]).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let error = bind(&graph, &name(&[("a", &[3, 2]), ("c", &[4, 2])]), 1).unwrap_err().to_string();
    assert_eq!(error, "tensor 'c': makes the dimension 'n' 4, but it is 3 already");
    // Named for one, the other follows.
    let bound = bind(&graph, &name(&[("c", &[4, 2])]), 1).unwrap();
    assert_eq!(bound.tensor(a).shape, Shape::fixed(&[4, 2]));
}

#[test]
fn arithmetic_of_shapes() {
    let mut b = builder();
    let x = b.input("x", DType::F32, shape(&[-1, 6, 8]));
    let all = b.node("shape", ShapeOf { start: 0, end: i64::MAX }, &[x]).unwrap();
    let (zero, one, three) = (b.i64s("zero", &[0]), b.i64s("one", &[1]), b.i64s("three", &[3]));
    let tail = b.node("tail", Slice {}, &[all, one, three]).unwrap();
    let two = b.i64s("two", &[2]);
    let math = |b: &mut GraphBuilder, name: &str, kind, x, y| {
        b.node(name, Binary { kind, clamp: Clamp::NONE }, &[x, y]).unwrap()
    };
    let doubled = math(&mut b, "doubled", BinaryKind::Mul, tail, two);
    let halved = math(&mut b, "halved", BinaryKind::Div, doubled, two);
    let narrow = Tensor::value("narrow", DType::I32, Shape::default());
    let narrow = b.node_as("cast", Cast {}, &[halved], narrow).unwrap();
    let wide = Tensor::value("wide", DType::I64, Shape::default());
    let wide = b.node_as("back", Cast {}, &[narrow], wide).unwrap();
    // The exporters' idiom: expand(-1, ...) keeps a dimension.
    let head = b.node("head", Slice {}, &[all, zero, one]).unwrap();
    let minus = b.i64s("minus", &[-1]);
    let is_minus = math(&mut b, "is_minus", BinaryKind::Equal, head, minus);
    let head = b.node("where", Where {}, &[is_minus, one, head]).unwrap();
    let spec = b.node("concat", Concat { axis: 0 }, &[head, wide]).unwrap();
    let value = b.f32s("value", &[], &[0.5]);
    let y = b.node("fill", Fill {}, &[spec, value]).unwrap();
    assert_eq!(b.graph().show_shape(&b.graph().tensor(y).shape), "[n, 6, 8]");
    let graph = b.finish(&[y, narrow]).unwrap();
    let bound = bind(&graph, &[], 7).unwrap();
    assert_eq!(bound.tensor(y).shape, Shape::fixed(&[7, 6, 8]));
    assert_eq!(bound.tensor(narrow).data.as_ref().unwrap().to_vec::<i32>(), [6, 8]);
    assert_eq!(bound.nodes.len(), 1);
    bound.validate().unwrap();
}

#[test]
fn overflowing_integers_are_unknown_not_wrong() {
    let mut b = builder();
    let big = b.i64s("big", &[i64::MAX, i64::MIN]);
    let minus = b.i64s("minus", &[-1]);
    let zero = b.i64s("zero", &[0]);
    for (kind, y) in [(BinaryKind::Mul, big), (BinaryKind::Div, minus), (BinaryKind::Div, zero)] {
        let z = b.node("math", Binary { kind, clamp: Clamp::NONE }, &[big, y]).unwrap();
        assert!(b.value(z).unwrap().elements.contains(&Element::Unknown), "{kind:?}");
    }
    let narrow = Tensor::value("narrow", DType::I32, Shape::default());
    let narrow = b.node_as("cast", Cast {}, &[big], narrow).unwrap();
    assert_eq!(b.value(narrow).unwrap().elements, [Element::Unknown; 2]);
}

#[test]
fn inference_again_gives_the_same_and_finds_lies() {
    let (graph, _, y) = viewed();
    let mut again = graph.clone();
    super::super::graph(&mut again).unwrap();
    assert_eq!(again, graph);
    check(&mut again).unwrap();
    assert_eq!(again, graph);
    let mut lie = graph.clone();
    lie.tensor_mut(y).shape = shape(&[-1, 5, 4]);
    let error = check(&mut lie).unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor 'relu_out': has the shape [n, 5, 4], but what computes it gives [n, view[1], 3]"
    );
    let node = graph.nodes.last().unwrap().clone();
    assert!(check_node(&mut lie, &node).is_err());
    assert!(bind(&lie, &[], 1).is_err());
    let mut lie = graph.clone();
    lie.tensor_mut(y).dtype = DType::U8;
    assert!(super::super::graph(&mut lie).unwrap_err().to_string().contains("declared to be u8"));
}

#[test]
fn nodes_of_one_name_have_free_dimensions_of_their_own() {
    let mut b = builder();
    let x = b.input("x", DType::F32, shape(&[-1, 2]));
    let y = b.node("same", Concat { axis: 0 }, &[x, x]).unwrap();
    let z = b.node("same", Concat { axis: 0 }, &[x, y]).unwrap();
    assert_ne!(b.graph().tensor(y).shape, b.graph().tensor(z).shape);
}
