//! Networks, inputs and what the reference runtime answered.
#![allow(dead_code, reason = "each test file uses a part of it")]

use crate::common::shared;
use ottava::data::{Array, read_npz};
use ottava::graph::DType;
use ottava::import::{self, ImportOptions};
use ottava::{Model, Session, SessionOptions, optimize};

/// A network of the shared material, imported and optimized.
pub fn network(model: &str) -> Model {
    let graph = import::load(shared(&format!("models/{model}")), &ImportOptions::default()).unwrap();
    Model::from_graph(optimize::float(graph).unwrap()).unwrap()
}

/// The arrays of a golden file of one kind, `in` or `out`, in the model's order. The first axis is samples.
fn arrays(golden: &str, kind: &str) -> Vec<Array> {
    let wanted: Vec<String> = (0..8).map(|i| format!("{kind}_{i}")).collect();
    read_npz(&shared(&format!("golden/{golden}.npz")), &wanted, 1 << 30).unwrap().arrays
}

/// One sample's bytes.
fn sample(array: &mut Array, index: usize) -> Vec<u8> {
    let mut bytes = vec![0; array.row_bytes()];
    array.read_row(index, &mut bytes).unwrap();
    bytes
}

fn floats(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F32 => bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect(),
        DType::F16 => {
            bytes.chunks_exact(2).map(|b| bytemuck::pod_read_unaligned::<half::f16>(b).to_f32()).collect()
        }
        other => panic!("an output of {other}"),
    }
}

/// A session for the shapes of these inputs.
fn session(model: &Model, inputs: &[Array], options: SessionOptions) -> Session {
    let graph = model.graph();
    assert_eq!(graph.inputs.len(), inputs.len());
    let shapes = graph.inputs.iter().map(|id| graph.tensor(*id).name.clone());
    let shapes = shapes.zip(inputs.iter().map(|a| a.shape()[1..].to_vec())).collect();
    model.session(&SessionOptions { shapes, ..options }).unwrap()
}

/// Runs every sample of a golden file; `check` is told the output's index, what came out and what should have.
pub fn replay(model: &Model, golden: &str, check: impl FnMut(usize, &[f32], &[f32])) {
    replay_with(model, golden, SessionOptions::default(), check);
}

/// As [`replay`], with options of the session; their shapes are those of the golden file.
pub fn replay_with(
    model: &Model,
    golden: &str,
    options: SessionOptions,
    mut check: impl FnMut(usize, &[f32], &[f32]),
) {
    let (mut inputs, mut outputs) = (arrays(golden, "in"), arrays(golden, "out"));
    let mut session = session(model, &inputs, options);
    assert_eq!(session.outputs().len(), outputs.len(), "{golden}");
    let samples = inputs[0].rows();
    assert!(samples > 0, "{golden} has samples");
    for i in 0..samples {
        for (input, array) in inputs.iter_mut().enumerate() {
            session.input_bytes_mut(input).unwrap().copy_from_slice(&sample(array, i));
        }
        session.run().unwrap();
        for (output, array) in outputs.iter_mut().enumerate() {
            let dtype = session.outputs()[output].dtype;
            let got = floats(dtype, session.output_bytes(output).unwrap());
            check(output, &got, &floats(dtype, &sample(array, i)));
        }
    }
}
