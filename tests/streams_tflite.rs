//! TensorFlow Lite networks that keep states answer, run after run, what LiteRT answered.
//!
//! `data/streams.npz` and `data/hybrid.npz` hold the networks, the inputs of several runs without a reset between them,
//! and the outputs.

mod common;

use common::shared;
use npyz::npz::NpzArchive;
use ottava::custom::{CustomOp, Input, Kernel, Parameters, register};
use ottava::graph::{DType, Dim, Node, Op, RowQuant, Shape};
use ottava::import::{ImportOptions, tflite};
use ottava::{Limits, Model, Session, SessionOptions, format, optimize};
use ottava_kernels::Isa;
use std::sync::Arc;

fn stored(name: &str) -> Vec<u8> {
    let found = ["streams", "hybrid"].into_iter().find_map(|file| {
        let path = format!("{}/tests/data/{file}.npz", env!("CARGO_MANIFEST_DIR"));
        NpzArchive::open(path).unwrap().by_name(name).unwrap()?.into_vec().ok()
    });
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

fn import(bytes: &[u8]) -> Result<Model, ottava::import::ImportError> {
    let graph = tflite::from_bytes(bytes, &ImportOptions::default())?;
    Ok(Model::from_graph(optimize::float(graph).unwrap()).unwrap())
}

/// The network as it comes out of a file.
fn network(name: &str) -> Model {
    let model = import(&stored(&format!("{name}/model"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let file = format::write(model.graph(), &[]).unwrap();
    Model::from_bytes(file, &Limits::default()).unwrap()
}

/// What a session answers to the stored inputs, one after the other, and what it should.
fn outputs(session: &mut Session, name: &str) -> Vec<(DType, Vec<u8>, Vec<u8>)> {
    let inputs = stored(&format!("{name}/in0"));
    let mut got = vec![vec![]; session.outputs().len()];
    for x in inputs.chunks_exact(session.input_bytes_mut(0).unwrap().len()) {
        session.input_bytes_mut(0).unwrap().copy_from_slice(x);
        session.run().unwrap();
        for (i, got) in got.iter_mut().enumerate() {
            got.extend_from_slice(session.output_bytes(i).unwrap());
        }
    }
    let ports = session.outputs().iter().zip(got).enumerate();
    ports.map(|(i, (p, got))| (p.dtype, got, stored(&format!("{name}/out{i}")))).collect()
}

/// The greatest difference of floats; infinite if there are not as many.
fn distance(got: &[u8], want: &[u8]) -> f32 {
    let reals =
        |b: &[u8]| b.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
    let (got, want) = (reals(got), reals(want));
    if got.len() != want.len() {
        return f32::INFINITY;
    }
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Floats are within `bound` of the reference's, bytes within as many steps, other integers are the same; on every
/// instruction set, and again after a reset.
fn check_model(model: &Model, name: &str, bound: f32) {
    for isa in Isa::available() {
        let mut session = model.session(&SessionOptions { isa, ..Default::default() }).unwrap();
        assert!(!session.states().is_empty(), "{name} keeps something");
        assert_eq!(session.inputs().len(), 1, "{name}");
        for _ in 0..2 {
            for (dtype, got, want) in outputs(&mut session, name) {
                if dtype == DType::F32 {
                    let distance = distance(&got, &want);
                    assert!(distance <= bound, "{name} on {isa}: {distance}");
                } else if dtype == DType::I8 {
                    let steps = got.iter().zip(&want).map(|(a, b)| (*a as i8).abs_diff(*b as i8)).max();
                    assert_eq!(got.len(), want.len(), "{name} on {isa}");
                    assert!(f32::from(steps.unwrap_or(0)) <= bound, "{name} on {isa}: {steps:?}");
                } else {
                    let different = got.iter().zip(&want).filter(|(a, b)| a != b).count();
                    assert_eq!((got.len(), different), (want.len(), 0), "{name} on {isa}");
                }
            }
            session.reset();
        }
    }
}

#[test]
fn integer_layers() {
    for name in ["int_lstm", "int_lstm_time_major_clipped", "int_lstm_step"] {
        check_model(&network(name), name, 0.0);
    }
}

/// Another order of additions, another exp.
#[test]
fn float_layers() {
    for name in ["float_lstm", "float_lstm_time_major"] {
        check_model(&network(name), name, 2e-6);
    }
}

/// Layers with one gate, one step at a time, in both directions; filters with a memory.
#[test]
fn other_float_layers() {
    let gates =
        ["rnn_step", "rnn_sequence", "rnn_time_major", "rnn_both", "rnn_merged", "lstm_step", "lstm_both"];
    for name in gates.iter().chain(&["svdf_float"]) {
        // States of Relu grow from step to step.
        let bound = if *name == "rnn_time_major" { 1e-5 } else { 2e-6 };
        check_model(&network(name), name, bound);
    }
}

/// What is remembered is summed as floats: near a tie an output may be the other byte.
#[test]
fn integer_filters_with_a_memory() {
    for (name, steps) in [("svdf_int", 0.0), ("svdf_int_rank", 1.0)] {
        check_model(&network(name), name, steps);
    }
}

/// Its weights are scrambled, so that it says nothing whatever it hears; what its layers compute is compared above.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn keywords() {
    let file = std::fs::read(shared("models/tflite_micro/keyword_scrambled.tflite")).unwrap();
    check_model(&import(&file).unwrap(), "keyword", 0.0);
}

/// The same bytes of inputs and states as there; another exp. In one run of the first network the last bits of exp decide:
/// a state is 95.5 steps, and goes to the other byte.
#[test]
fn layers_with_bytes_for_weights() {
    for (name, rows, bound) in [
        ("hybrid_lstm", RowQuant::Symmetric, 5e-4),
        ("symmetric", RowQuant::Symmetric, 1e-6),
        ("symmetric_clipped", RowQuant::Symmetric, 1e-6),
        ("symmetric_step", RowQuant::Symmetric, 1e-6),
        ("asymmetric", RowQuant::Asymmetric, 1e-6),
        ("asymmetric_clipped", RowQuant::Asymmetric, 1e-6),
        ("asymmetric_step", RowQuant::Asymmetric, 1e-6),
    ] {
        let model = network(name);
        let is_so = |node: &Node| matches!(&node.op, Op::Recurrent(op) if op.rows == rows);
        assert!(model.graph().nodes.iter().any(is_so), "{name}");
        check_model(&model, name, bound);
    }
}

#[test]
fn resource_variables() {
    check_model(&network("sums"), "sums", 1e-6);
    check_model(&network("window"), "window", 0.0);
    let model = network("sums");
    let session = model.session(&SessionOptions::default()).unwrap();
    let names: Vec<_> = session.states().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["total"], "what is assigned before it is read outlives no run");
}

#[test]
fn variables_without_a_value_are_refused() {
    let error = import(&stored("orphan/model")).err().unwrap().to_string();
    assert!(error.contains("READ_VARIABLE_1") && error.contains("nothing has given a value"), "{error}");
}

#[test]
fn graphs_that_call_themselves_are_refused() {
    let error = import(&stored("endless/model")).err().unwrap().to_string();
    assert!(error.contains("CALL_ONCE_0") && error.contains("called itself"), "{error}");
}

/// Any byte of a file with variables may change: what comes out is a network or an error.
#[test]
fn damaged_variables_never_panic() {
    for bytes in ["window", "int_lstm", "svdf_int", "rnn_both"].map(|name| stored(&format!("{name}/model"))) {
        flip_all(&bytes);
    }
}

fn flip_all(bytes: &[u8]) {
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= flip;
            if let Ok(graph) = tflite::from_bytes(&damaged, &ImportOptions::default()) {
                let model = Model::from_graph(graph).unwrap();
                // It may be one that no kernel can run.
                let _ = model.session(&SessionOptions::default()).map(|mut s| s.run());
            }
        }
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn noise_suppression() {
    let file = std::fs::read(shared("models/tflite_micro/dtln_noise_suppression.tflite")).unwrap();
    check_model(&import(&file).unwrap(), "dtln", 0.0);
}

/// Adds the difference of the zero points and the option in the middle.
struct Shift;

impl CustomOp for Shift {
    fn output(&self, inputs: &[Input<'_>], parameters: &Parameters) -> Result<(DType, Shape), String> {
        assert_eq!(parameters.bytes("options"), Some(vec![1, 0, 255]));
        assert_eq!(inputs[0].dtype, DType::I8, "the file's own type");
        assert_eq!(inputs[0].shape.0, [Dim::Fixed(1), Dim::Fixed(4)]);
        Ok((DType::I8, inputs[0].shape.clone()))
    }
    fn kernel(&self, _: &[Input<'_>], _: &Parameters) -> Result<Kernel, String> {
        Ok(Box::new(|inputs, out| {
            for (y, x) in out.iter_mut().zip(inputs[0]) {
                *y = (*x as i8).saturating_add(10) as u8;
            }
        }))
    }
}

#[test]
fn operators_of_the_application() {
    let file = stored("custom/model");
    let error = import(&file).err().unwrap().to_string();
    assert!(error.contains("'Shift' is not registered"), "{error}");
    register("Shift", Arc::new(Shift));
    let model = import(&file).unwrap();
    let file = format::write(model.graph(), &[]).unwrap();
    let mut session =
        Model::from_bytes(file, &Limits::default()).unwrap().session(&Default::default()).unwrap();
    session.input_mut::<i8>(0).unwrap().copy_from_slice(&[-128, -3, 0, 127]);
    session.run().unwrap();
    assert_eq!(session.output::<i8>(0).unwrap(), [-118, 7, 10, 127]);
}
