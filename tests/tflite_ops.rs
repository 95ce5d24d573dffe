//! Operators of TensorFlow Lite answer what LiteRT answered.
//!
//! `data/tflite_ops.npz` holds networks of one operator each, their inputs and the outputs.

mod common;

use common::stored::Stored;
use ottava::graph::DType;
use ottava::import::{ImportOptions, tflite};
use ottava::{Limits, Model, SessionOptions, format, optimize};
use ottava_kernels::Isa;

/// Integers that another rounding near ties moves by one step at most: LiteRT computes them in fixed point or looks them
/// up in tables of its own.
const NEAR_TIES: [&str; 6] =
    ["squared_difference_int8", "rsqrt_int8", "l2_norm_", "log_softmax_", "softmax_", "dense_computed_int8"];

/// The outputs that are wrong: `None` if all are right.
fn fault(name: &str, dtype: DType, got: &[u8], want: &[u8]) -> Option<String> {
    assert_eq!(got.len(), want.len(), "{name}");
    let near = NEAR_TIES.iter().any(|n| name.starts_with(n));
    let difference = |a: &[u8], b: &[u8]| match dtype {
        DType::F32 => {
            let [a, b] = [a, b].map(|v| f64::from(f32::from_le_bytes(v.try_into().unwrap())));
            if a == b { 0.0 } else { (a - b).abs() / b.abs().max(0.1) * 1e5 }
        }
        DType::U8 | DType::Bool => f64::from(a[0].abs_diff(b[0])),
        DType::I8 => f64::from((a[0] as i8).abs_diff(b[0] as i8)),
        DType::I16 => {
            let [a, b] = [a, b].map(|v| i16::from_le_bytes(v.try_into().unwrap()));
            f64::from(a.abs_diff(b))
        }
        _ => f64::from(u8::from(a != b)),
    };
    let size = dtype.size();
    let all = got.chunks(size).zip(want.chunks(size)).map(|(a, b)| difference(a, b));
    let most = all.fold(0.0, f64::max);
    let bound = if dtype == DType::F32 || near { 1.0 } else { 0.0 };
    (most.is_nan() || most > bound).then(|| format!("{name}: {dtype} off by {most}"))
}

#[test]
fn operators_answer_as_the_reference() {
    let mut stored = Stored::open("tflite_ops.npz");
    let names = stored.names();
    assert!(names.len() > 100, "{names:?}");
    let mut wrong = vec![];
    for name in names {
        let file = stored.get(&format!("{name}/model"));
        let graph = match tflite::from_bytes(&file, &ImportOptions::default()) {
            Ok(graph) => graph,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let graph = Model::from_graph(optimize::float(graph).unwrap()).unwrap();
        let file = format::write(graph.graph(), &[]).unwrap();
        let model = Model::from_bytes(file, &Limits::default()).unwrap();
        for isa in [Isa::SCALAR, Isa::best()] {
            let mut session = match model.session(&SessionOptions { isa, ..Default::default() }) {
                Ok(session) => session,
                Err(e) => {
                    wrong.push(format!("{name}: {e}"));
                    continue;
                }
            };
            for i in 0..session.inputs().len() {
                let x = stored.get(&format!("{name}/in{i}"));
                session.input_bytes_mut(i).unwrap().copy_from_slice(&x);
            }
            session.run().unwrap();
            for i in 0..session.outputs().len() {
                let (dtype, want) = (session.outputs()[i].dtype, stored.get(&format!("{name}/out{i}")));
                wrong.extend(fault(&name, dtype, session.output_bytes(i).unwrap(), &want));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn damaged_bytes_never_panic() {
    Stored::open("tflite_ops.npz").damage(&[
        "batch_to_space_int8",
        "space_to_batch_float32",
        "depth_to_space_int8",
        "mirror_symmetric_int8",
        "gather_batch_float32",
        "scatter_nd",
        "one_hot_first",
        "top_k_int8",
        "split_rest_float32",
        "select_rows_int8",
        "cumsum_int32",
        "fill",
    ]);
}
