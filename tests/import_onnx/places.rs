//! Where greatest values lie, values put back there, and norms of windows.

use crate::build::*;
use crate::control::session;
use ottava::import::onnx::proto::data_type;

#[test]
fn places_of_greatest_values() {
    // Two images, windows of 2 x 2 with one row and column of padding in front.
    let x = [3.0, 1.0, 2.0, 3.0, 0.0, 5.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0];
    let window = [int_list("kernel_shape", &[2, 2]), int_list("pads", &[1, 1, 0, 0])];
    for (order, want) in
        [(0, [0, 0, 2, 0, 0, 5, 6, 6, 7, 6, 6, 7]), (1, [0, 0, 4, 0, 0, 5, 6, 6, 8, 6, 6, 8])]
    {
        let attrs = [&window[..], &[int("storage_order", order)]].concat();
        let model = Builder::new(12).input("x", &[1, 2, 2, 3]).node("MaxPool", "x", "y i", &attrs);
        let model = model.output("y").output_of("i", data_type::INT64);
        let mut session = session(model.graph_of(), &[]).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
        session.run().unwrap();
        assert_eq!(session.outputs()[1].shape, [1, 2, 2, 3]);
        let places = session.output::<i64>(1).unwrap().to_vec();
        assert_eq!(places, want, "order {order}");
        if order == 0 {
            let values: Vec<f32> = places.iter().map(|&i| x[i as usize]).collect();
            assert_eq!(session.output::<f32>(0).unwrap(), values);
        }
    }
}

#[test]
fn values_go_back_where_they_were() {
    let window = [int_list("kernel_shape", &[2, 2]), int_list("strides", &[2, 2])];
    let model = Builder::new(11).input("x", &[1, 1, 4, 4]).node("MaxPool", "x", "m i", &window);
    let mut session =
        session(model.node("MaxUnpool", "m i", "y", &window).output("y").graph_of(), &[]).unwrap();
    let x = [1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 5.0, 0.0, 1.0, 9.0, 2.0, 3.0, 1.0, 1.0, 1.0];
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
    session.run().unwrap();
    let kept = [8.0, 6.0, 3.0, 9.0];
    let want = x.map(|v| if kept.contains(&v) { v } else { 0.0 });
    // 3 is the greatest of its window only in the last row.
    let want: Vec<f32> = want.iter().enumerate().map(|(i, &v)| if i == 2 { 0.0 } else { v }).collect();
    assert_eq!(session.output::<f32>(0).unwrap(), want);
    // A signal, and a shape that says what follows anyway or something else.
    let signal = |shape: &[i64]| {
        let model = Builder::new(11).input("x", &[1, 1, 4]).constant(ints("shape", shape));
        let window = [int_list("kernel_shape", &[2]), int_list("strides", &[2])];
        let model = model.node("MaxPool", "x", "m i", &window);
        model.node("MaxUnpool", "m i shape", "y", &window).output("y")
    };
    assert_eq!(output_dims(&signal(&[1, 1, 4]).graph_of()), [1, 1, 4]);
    assert!(signal(&[1, 1, 5]).refusal().contains("not defined alike"));
}

#[test]
fn norms_of_windows() {
    for (p, want) in [(1, 7.0f32), (2, 5.0), (3, 91f32.powf(1.0 / 3.0))] {
        for op in ["LpPool", "GlobalLpPool"] {
            let mut attrs = vec![int("p", p)];
            attrs.extend((op == "LpPool").then(|| int_list("kernel_shape", &[1, 2])));
            let model = Builder::new(13).input("x", &[1, 1, 1, 2]).node(op, "x", "y", &attrs).output("y");
            let mut session = session(model.graph_of(), &[]).unwrap();
            session.input_mut::<f32>(0).unwrap().copy_from_slice(&[-3.0, 4.0]);
            session.run().unwrap();
            let y = session.output::<f32>(0).unwrap()[0];
            assert!((y - want).abs() < 1e-5, "{op} {p}: {y}");
        }
    }
}
