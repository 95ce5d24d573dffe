//! Convolutions, pools and images.

use crate::build::*;
use ottava::graph::{NearestMode, Op, PoolKind, ResampleFilter, ResizeCoord};
use ottava::import::onnx::proto::{AttributeProto, data_type};

/// `op` over an input `x` of `input` with weights `w` that count from 0.
fn conv(op: &str, input: &[i64], weights: &[i64], attrs: &[AttributeProto]) -> Builder {
    let model = Builder::new(13).input("x", input).constant(counting("w", weights));
    model.node(op, "x w", "y", attrs).output("y")
}

#[test]
fn weights_become_ohwi() {
    let g = conv("Conv", &[1, 2, 4, 4], &[3, 2, 2, 2], &[]).graph_of();
    assert_eq!(op_names(&g), ["Transpose", "Conv", "Transpose"]);
    let node = only(&g, "Conv");
    assert_eq!(dims(&g, node.inputs[1].unwrap()), [3, 2, 2, 2]);
    let w = constant_input::<f32>(&g, node, 1);
    // Of filter 0: position (0, 0) of both channels, position (0, 1) of both, ...
    assert_eq!(w[..8], [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
    assert_eq!(output_dims(&g), [1, 3, 3, 3]);
}

#[test]
fn automatic_padding_puts_the_odd_row_where_it_says() {
    let pads = |mode: &str, stride: i64| {
        let attrs = [text("auto_pad", mode), int_list("strides", &[stride, stride])];
        let g = conv("Conv", &[1, 1, 6, 6], &[1, 1, 4, 3], &attrs).graph_of();
        match &only(&g, "Conv").op {
            Op::Conv(c) => (c.pads, output_dims(&g)[2..].to_vec()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pads("SAME_UPPER", 1), ([1, 1, 2, 1], vec![6, 6]));
    assert_eq!(pads("SAME_LOWER", 1), ([2, 1, 1, 1], vec![6, 6]));
    assert_eq!(pads("SAME_UPPER", 2), ([1, 0, 1, 1], vec![3, 3]));
    assert_eq!(pads("SAME_LOWER", 2), ([1, 1, 1, 0], vec![3, 3]));
    assert_eq!(pads("VALID", 1), ([0, 0, 0, 0], vec![3, 4]));
}

#[test]
fn one_dimension_is_an_image_of_height_one() {
    let attrs = [int_list("strides", &[2]), int_list("pads", &[1, 2]), int_list("dilations", &[3])];
    let g = conv("Conv", &[1, 2, 20], &[4, 2, 3], &attrs).graph_of();
    assert_eq!(op_names(&g), ["Unsqueeze", "Transpose", "Conv", "Transpose", "Squeeze"]);
    let Op::Conv(c) = &only(&g, "Conv").op else { unreachable!() };
    assert_eq!((c.strides, c.pads, c.dilations), ([1, 2], [0, 1, 0, 2], [1, 3]));
    assert_eq!(output_dims(&g), [1, 4, 9]);
}

#[test]
fn transposed_weights_are_regrouped() {
    // C = 4, two groups, O / groups = 3.
    let attrs = [int("group", 2)];
    let g = conv("ConvTranspose", &[1, 4, 3, 3], &[4, 3, 1, 2], &attrs).graph_of();
    let node = only(&g, "ConvTranspose");
    assert_eq!(dims(&g, node.inputs[1].unwrap()), [6, 1, 2, 2]);
    let w = constant_input::<f32>(&g, node, 1);
    // Source element (c, o, 0, k) is c * 6 + o * 2 + k. Output 0 reads channels 0 and 1, output 3 channels 2 and 3.
    assert_eq!(w[..4], [0.0, 6.0, 1.0, 7.0]);
    assert_eq!(w[3 * 4..4 * 4], [12.0, 18.0, 13.0, 19.0]);
    assert_eq!(output_dims(&g), [1, 6, 3, 4]);
}

#[test]
fn a_wanted_output_shape_becomes_padding() {
    let border = |attrs: &[AttributeProto]| {
        let strides = [int_list("strides", &[3, 2])];
        let attrs = [&strides, attrs].concat();
        let g = conv("ConvTranspose", &[1, 1, 3, 3], &[1, 2, 3, 3], &attrs).graph_of();
        match &only(&g, "ConvTranspose").op {
            Op::ConvTranspose(c) => (c.pads, c.output_pads, output_dims(&g)[2..].to_vec()),
            other => panic!("{other:?}"),
        }
    };
    // The full output is 9 x 7.
    assert_eq!(border(&[]), ([0; 4], [0, 0], vec![9, 7]));
    assert_eq!(border(&[int_list("output_shape", &[10, 8])]), ([0; 4], [1, 1], vec![10, 8]));
    assert_eq!(border(&[int_list("output_shape", &[6, 6])]), ([2, 1, 1, 0], [0, 0], vec![6, 6]));
    let upper = [int_list("output_shape", &[6, 6]), text("auto_pad", "SAME_UPPER")];
    assert_eq!(border(&upper), ([1, 0, 2, 1], [0, 0], vec![6, 6]));
    assert_eq!(border(&[text("auto_pad", "SAME_UPPER")]), ([0, 0, 0, 1], [0, 0], vec![9, 6]));
    assert_eq!(border(&[int_list("output_padding", &[1, 1])]), ([0; 4], [1, 1], vec![10, 8]));
}

#[test]
fn bad_convolutions_are_refused() {
    let why = |input: &[i64], weights: &[i64], attr: AttributeProto| {
        conv("Conv", input, weights, &[attr]).refusal()
    };
    let (image, w) = (&[1, 2, 5, 5][..], &[4, 2, 3, 3][..]);
    assert!(why(image, w, int("group", 0)).contains("group"));
    assert!(why(image, w, int("group", 2)).contains("4 channels, the input has 2"));
    assert!(why(image, w, int_list("strides", &[0, 1])).contains("strides"));
    assert!(why(image, w, int_list("pads", &[1, 1])).contains("must have 4 values"));
    assert!(why(image, w, int_list("pads", &[0, -1, 0, 0])).contains("-1"));
    assert!(why(image, w, int_list("kernel_shape", &[3, 2])).contains("kernel_shape"));
    assert!(why(image, w, int("strides", 1)).contains("wrong type"));
    assert!(why(image, w, int("mode", 1)).contains("'mode'"));
    assert!(why(&[1, 2, 2, 2], w, int("group", 1)).contains("does not fit"));
    assert!(why(&[1, 2, 5, 5, 5, 5], &[4, 2, 3, 3, 3, 3], int("group", 1)).contains("must be 3 to 5"));
    assert!(why(image, &[4, 2, 0, 3], int("group", 1)).contains("kernel_shape"));
    let free =
        Builder::new(13).input("x", &[1, 2, 5, 5]).input("w", w).node("Conv", "x w", "y", &[]).output("y");
    assert!(free.refusal().contains("must be constant"));
}

fn pool(opset: i64, op: &str, input: &[i64], attrs: &[AttributeProto]) -> Builder {
    let kernel = [int_list("kernel_shape", &vec![3; input.len() - 2])];
    let attrs = [&kernel, attrs].concat();
    Builder::new(opset).input("x", input).node(op, "x", "y", &attrs).output("y")
}

#[test]
fn pools_know_their_versions() {
    let g =
        pool(13, "MaxPool", &[1, 2, 8, 8], &[int("ceil_mode", 1), int_list("strides", &[2, 2])]).graph_of();
    let Op::Pool(p) = &only(&g, "Pool").op else { unreachable!() };
    assert_eq!((p.kind, p.ceil, p.kernel, p.strides), (PoolKind::Max, true, [3, 3], [2, 2]));
    assert_eq!(output_dims(&g), [1, 2, 4, 4]);
    assert!(pool(9, "MaxPool", &[1, 2, 8, 8], &[int("ceil_mode", 1)]).refusal().contains("ceil_mode"));
    assert!(
        pool(18, "AveragePool", &[1, 2, 8, 8], &[int_list("dilations", &[2, 2])])
            .refusal()
            .contains("dilations")
    );
    let g = pool(19, "AveragePool", &[1, 2, 9], &[int_list("dilations", &[2])]).graph_of();
    assert_eq!(output_dims(&g), [1, 2, 5]);
    let wide = pool(13, "MaxPool", &[1, 2, 8, 8], &[int_list("pads", &[3, 0, 0, 0])]);
    assert!(wide.refusal().contains("as large as its window"));
    // The output's size is given, so that nothing is rounded up.
    let attrs = [text("auto_pad", "SAME_UPPER"), int_list("strides", &[2, 2]), int("ceil_mode", 1)];
    assert_eq!(output_dims(&pool(13, "MaxPool", &[1, 1, 5, 5], &attrs).graph_of()), [1, 1, 3, 3]);
}

#[test]
fn indices_of_a_pool_cost_nothing_unless_they_are_used() {
    let both = |used: bool| {
        let model = Builder::new(13).input("x", &[1, 2, 8, 8]);
        let model = model.node("MaxPool", "x", "y i", &[int_list("kernel_shape", &[2, 2])]).output("y");
        if used { model.output_of("i", data_type::INT64) } else { model }
    };
    assert_eq!(output_dims(&both(false).graph_of()), [1, 2, 7, 7]);
    assert_eq!(op_names(&both(false).graph_of()), ["Transpose", "Pool", "Transpose"]);
    assert!(op_names(&both(true).graph_of()).contains(&"ArgMax"));
}

#[test]
fn resize_changed_with_every_version() {
    let image = |opset: i64| Builder::new(opset).input("x", &[1, 2, 4, 6]);
    let scales = floats("s", &[4], &[1.0, 1.0, 2.0, 3.0]);
    let resize = |g: &ottava::graph::Graph| match &only(g, "Resize").op {
        Op::Resize(r) => r.clone(),
        other => panic!("{other:?}"),
    };
    let up = image(7).node("Upsample", "x", "y", &[float_list("scales", &[1.0, 1.0, 2.0, 3.0])]).output("y");
    let up9 = image(9).constant(scales.clone()).node("Upsample", "x s", "y", &[]).output("y");
    let re10 = image(10).constant(scales.clone()).node("Resize", "x s", "y", &[]).output("y");
    for model in [up, up9, re10] {
        let g = model.graph_of();
        assert_eq!(resize(&g).coord, ResizeCoord::Asymmetric);
        assert_eq!(constant_input::<f32>(&g, only(&g, "Resize"), 2), [1.0, 2.0, 3.0, 1.0]);
        assert_eq!(output_dims(&g), [1, 2, 8, 18]);
    }
    let linear = [text("mode", "linear")];
    let re11 = image(11).constant(scales.clone()).node("Resize", "x - s", "y", &linear).output("y");
    assert_eq!(resize(&re11.graph_of()).coord, ResizeCoord::HalfPixel);
    let sizes =
        image(13).constant(ints("z", &[1, 2, 2, 3])).node("Resize", "x - - z", "y", &linear).output("y");
    assert_eq!(output_dims(&sizes.graph_of()), [1, 2, 2, 3]);
    let axes = [int_list("axes", &[3, 2])];
    let some = image(18).constant(ints("z", &[5, 7])).node("Resize", "x - - z", "y", &axes).output("y");
    assert_eq!(output_dims(&some.graph_of()), [1, 2, 7, 5]);
    let less = floats("s", &[4], &[1.0, 1.0, 0.5, 0.6]);
    let down = image(10).constant(less).node("Resize", "x s", "y", &[]).output("y").graph_of();
    assert_eq!((resize(&down).nearest, output_dims(&down)), (NearestMode::Ceil, vec![1, 2, 2, 3]));
    let mixed = image(10).constant(floats("s", &[4], &[1.0, 1.0, 0.5, 2.0]));
    assert!(mixed.node("Resize", "x s", "y", &[]).output("y").refusal().contains("enlarge or reduce"));
    let late = image(10).constant(scales.clone()).node("Upsample", "x s", "y", &[]).output("y");
    assert!(late.refusal().contains("does not exist"));
    let attrs = [text("mode", "cubic"), float("cubic_coeff_a", -0.5)];
    let cubic =
        image(11).constant(scales.clone()).node("Resize", "x - s", "y", &attrs).output("y").graph_of();
    let Op::Resample(r) = &only(&cubic, "Resample").op else { unreachable!() };
    assert_eq!(
        (r.filter, r.coefficient, output_dims(&cubic)),
        (ResampleFilter::Cubic, -0.5, vec![1, 2, 8, 18])
    );
    let attrs = [text("mode", "linear"), int("antialias", 1)];
    let soft = image(18).constant(scales.clone()).node("Resize", "x - s", "y", &attrs).output("y").graph_of();
    assert!(matches!(&only(&soft, "Resample").op, Op::Resample(r) if r.antialias));
    let early = image(13).constant(scales).node("Resize", "x - s", "y", &attrs).output("y");
    assert!(early.refusal().contains("'antialias'"));
}

#[test]
fn global_pools_are_reductions() {
    let g = Builder::new(13)
        .input("x", &[1, 2, 4, 6])
        .node("GlobalAveragePool", "x", "y", &[])
        .output("y")
        .graph_of();
    assert!(matches!(single(&g), Op::Reduce(r) if r.axes == [2, 3] && r.keep_dims));
}

#[test]
fn computed_weights_are_folded() {
    let model = Builder::new(13)
        .input("x", &[1, 3, 5, 5])
        .constant(counting("w", &[4, 3, 2, 2]))
        .constant(floats("two", &[], &[2.0]))
        .node("Mul", "w two", "doubled", &[])
        .node("Conv", "x doubled", "y", &[])
        .output("y");
    let graph = ottava::optimize::float(model.graph_of()).unwrap_or_else(|e| panic!("{e}"));
    let weights: Vec<f32> = constant_input(&graph, only(&graph, "Conv"), 1);
    // OHWI: the second element is the second channel's first, twice 4.
    assert_eq!(weights[..4], [0.0, 8.0, 16.0, 2.0]);
}

#[test]
fn weights_that_come_with_the_data_are_refused() {
    let model = Builder::new(13).input("x", &[1, 3, 5, 5]).input("w", &[4, 3, 2, 2]);
    let refusal = model.node("Relu", "w", "v", &[]).node("Conv", "x v", "y", &[]).output("y").refusal();
    assert!(refusal.contains("its weights ('v') must be constant"), "{refusal}");
}

#[test]
fn pools_that_runtimes_size_differently_are_refused() {
    let valid = [int_list("strides", &[2, 2]), int("ceil_mode", 1), text("auto_pad", "VALID")];
    assert_eq!(output_dims(&pool(13, "MaxPool", &[1, 1, 9, 7], &valid).graph_of()), [1, 1, 4, 3]);
    let refusal = pool(13, "MaxPool", &[1, 1, 8, 7], &valid).refusal();
    assert!(refusal.contains("'ceil_mode' with 'auto_pad' VALID"), "{refusal}");
}

#[test]
fn aligned_corners_want_whole_lengths() {
    let resize = |scale: f32| {
        Builder::new(13)
            .input("x", &[1, 1, 4, 6])
            .constant(floats("scales", &[4], &[1.0, 1.0, scale, 2.0]))
            .node("Resize", "x - scales", "y", &[text("coordinate_transformation_mode", "align_corners")])
            .output("y")
    };
    assert_eq!(output_dims(&resize(1.5).graph_of()), [1, 1, 6, 12]);
    let refusal = resize(0.6).refusal();
    assert!(refusal.contains("its scale 0.6 does not make dimension 2 a whole number long"), "{refusal}");
}
