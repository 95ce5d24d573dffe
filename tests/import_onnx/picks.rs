//! What constants pick: shapes that would depend on data if they were none.

use crate::build::*;
use crate::control::session;
use ottava::import::onnx::proto::data_type;

#[test]
fn a_constant_condition_picks() {
    let condition = bytes("c", &[3], data_type::BOOL, &[1, 0, 1]);
    let model = Builder::new(13).input("x", &[2, 3]).constant(condition);
    let rows = |axis: &[ottava::import::onnx::proto::AttributeProto]| {
        let graph = model.clone().node("Compress", "x c", "y", axis).output("y").graph_of();
        let mut session = session(graph, &[]).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        session.run().unwrap();
        session.output::<f32>(0).unwrap().to_vec()
    };
    assert_eq!(rows(&[int("axis", 1)]), [1.0, 3.0, 4.0, 6.0]);
    assert_eq!(rows(&[]), [1.0, 3.0]);
    let mut open = Builder::new(13).input("x", &[2, 3]);
    open.graph().input.push(value("c", data_type::BOOL, &[3]));
    assert!(open.node("Compress", "x c", "y", &[]).output("y").refusal().contains("must be constant"));
}

#[test]
fn places_of_a_constant_that_is_not_zero() {
    let mask = floats("m", &[2, 3], &[0.0, 1.0, -0.0, 2.0, 0.0, -1.0]);
    let model = Builder::new(13).input("x", &[2, 3]).constant(mask).node("NonZero", "m", "i", &[]);
    let model = model.node("Cast", "i", "f", &[int("to", 1)]).node("Add", "x f", "y", &[]).output("y");
    let mut session = session(model.graph_of(), &[]).unwrap();
    session.run().unwrap();
    assert_eq!(session.output::<f32>(0).unwrap(), [0.0, 1.0, 1.0, 1.0, 0.0, 2.0]);
    let open = Builder::new(13).input("x", &[2, 3]).node("NonZero", "x", "y", &[]);
    assert!(open.output_of("y", data_type::INT64).refusal().contains("depends on the data"));
}
