//! Samples whose places are worked out at import.

use crate::build::*;
use crate::control::session;
use ottava::import::onnx::proto::data_type;

#[test]
fn the_other_end_is_put_around() {
    let model = |pads: &[i64]| {
        let model = Builder::new(19).input("x", &[2, 3]).constant(ints("p", pads));
        model.node("Pad", "x p", "y", &[text("mode", "wrap")]).output("y")
    };
    let mut session = session(model(&[1, 4, 0, 2]).graph_of(), &[]).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    session.run().unwrap();
    let (first, second) = ([3., 1., 2., 3., 1., 2., 3., 1., 2.], [6., 4., 5., 6., 4., 5., 6., 4., 5.]);
    assert_eq!(session.output::<f32>(0).unwrap(), [second, first, second].concat());
    assert!(model(&[0, -1, 0, 0]).refusal().contains("cuts off"));
    assert!(model(&[0, 1 << 40, 0, 0]).refusal().contains("too large"));
}

#[test]
fn regions_are_cropped_and_resized() {
    // Columns 0.25 to 1.25 of the width: the last samples lie outside.
    let model = |mode: &str| {
        let model = Builder::new(13).input("x", &[1, 1, 1, 5]);
        let model = model.constant(floats("roi", &[8], &[0.0, 0.0, 0.0, 0.25, 1.0, 1.0, 1.0, 1.25]));
        let model = model.constant(ints("sizes", &[1, 1, 1, 5]));
        let attrs = [
            text("coordinate_transformation_mode", "tf_crop_and_resize"),
            text("mode", mode),
            float("extrapolation_value", 10.0),
        ];
        model.node("Resize", "x roi - sizes", "y", &attrs).output("y")
    };
    let run = |mode: &str| {
        let mut session = session(model(mode).graph_of(), &[]).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 6.0]);
        session.run().unwrap();
        session.output::<f32>(0).unwrap().to_vec()
    };
    assert_eq!(run("linear"), [2.0, 3.0, 4.0, 6.0, 10.0]);
    assert_eq!(run("nearest"), [2.0, 3.0, 4.0, 6.0, 10.0]);
    assert!(model("cubic").refusal().contains("'cubic'"));
    let region = Builder::new(13).input("x", &[1, 1, 1, 5]).input("roi", &[8]);
    let attrs = [text("coordinate_transformation_mode", "tf_crop_and_resize")];
    let region = region.constant(ints("sizes", &[1, 1, 1, 5])).node("Resize", "x roi - sizes", "y", &attrs);
    assert!(region.output("y").refusal().contains("region must be constant"));
}

#[test]
fn a_kept_aspect_may_give_no_whole_length() {
    // 3/4 of 2 x 4: two rows (1.5, halves up) of three.
    let attrs = [text("keep_aspect_ratio_policy", "not_smaller"), int_list("axes", &[2, 3])];
    let model = |more: &str| {
        let attrs = [&attrs[..], &[text("coordinate_transformation_mode", more)]].concat();
        let model = Builder::new(18).input("x", &[1, 1, 2, 4]).constant(ints("sizes", &[1, 3]));
        model.node("Resize", "x - - sizes", "y", &attrs).output("y")
    };
    let mut session = session(model("half_pixel").graph_of(), &[]).unwrap();
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
    session.run().unwrap();
    assert_eq!(session.outputs()[0].shape, [1, 1, 2, 3]);
    assert_eq!(session.output::<f32>(0).unwrap(), [1.0, 2.0, 4.0, 5.0, 6.0, 8.0]);
    assert!(model("align_corners").refusal().contains("not defined alike"));
}

/// ONNX Runtime's answers: what is behind the point is dropped.
#[test]
fn bytes_between_bytes_are_cut_off() {
    for (name, low, want) in [
        (data_type::INT8, -9, vec![-9, -9, -8, -8, -8, -8, -6, -4, -2, 0, 0, -1, -3, -5, -6, -6]),
        (data_type::UINT8, 0, vec![0, 0, 0, 0, 0, 0, 2, 4, 6, 8, 9, 7, 5, 3, 3, 3]),
    ] {
        let codes = [low, low + 1, low + 10, low + 3];
        let model = Builder::new(13).input("x", &[1, 1, 1, 4]).constant(floats("s", &[], &[1.0]));
        let model = model.constant(bytes("z", &[], name, &[0]));
        let model = model.constant(floats("up", &[4], &[1.0, 1.0, 1.0, 4.0]));
        let model = model.node("QuantizeLinear", "x s z", "q", &[]);
        let model = model.node("Resize", "q - up", "r", &[text("mode", "linear")]);
        let model = model.node("DequantizeLinear", "r s z", "y", &[]).output("y");
        let mut session = session(model.graph_of(), &[]).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&codes.map(|v| v as f32));
        session.run().unwrap();
        let want: Vec<f32> = want.into_iter().map(|v: i32| v as f32).collect();
        assert_eq!(session.output::<f32>(0).unwrap(), want);
    }
}
