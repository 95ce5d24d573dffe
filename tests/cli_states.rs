//! Networks with states on the command line: declared, kept from run to run, saved and loaded, told of on the way to
//! ONNX.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{Outcome, ottava, scratch};
use ottava::data::{NamedArray, read_npz, write_npz};
use ottava::export;
use ottava::graph::*;
use std::path::{Path, PathBuf};

const DECLARED: [&str; 2] = ["--state", "sum=next"];

/// `next = sum + x`, `out = 2 * next`, as an ONNX file that knows of no states.
fn network(name: &str) -> PathBuf {
    let mut b = GraphBuilder::new("running sum");
    let shape = || Shape::fixed(&[2]);
    let x = b.input("x", DType::F32, shape());
    let sum = b.input("sum", DType::F32, shape());
    let add = || Binary { kind: BinaryKind::Add, clamp: Clamp::NONE };
    let next = b.node_as("add", add(), &[sum, x], Tensor::value("next", DType::F32, shape())).unwrap();
    let out = b.node_as("twice", add(), &[next, next], Tensor::value("out", DType::F32, shape())).unwrap();
    let path = scratch(name);
    std::fs::write(&path, export::to_onnx(&b.finish(&[out, next]).unwrap()).unwrap()).unwrap();
    path
}

fn array(name: &str, x: [f32; 2]) -> NamedArray {
    let bytes = bytemuck::cast_slice(&x).to_vec();
    NamedArray { name: name.into(), dtype: DType::F32, shape: vec![2], bytes }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `run` answers to these inputs, one after the other in one session.
fn answers(test: &str, model: &Path, inputs: &[[f32; 2]], more: &[&str]) -> Vec<[f32; 2]> {
    let mut args = vec!["run".to_string(), text(model).into()];
    let mut outputs = Vec::new();
    for (i, x) in inputs.iter().enumerate() {
        let (given, out) = (scratch(&format!("{test}{i}.npz")), scratch(&format!("{test}{i}out.npz")));
        write_npz(&given, &[array("x", *x)]).unwrap();
        args.extend(["--inputs", text(&given), "--outputs", text(&out)].map(String::from));
        outputs.push(out);
    }
    args.extend(more.iter().map(|a| a.to_string()));
    let outcome = ottava(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let answer = |path: &PathBuf| {
        let mut archive = read_npz(path, &[], 1 << 20).unwrap();
        assert_eq!(archive.names, ["out"], "a state is no output");
        bytemuck::pod_read_unaligned(&archive.arrays.remove(0).into_bytes().unwrap())
    };
    outputs.iter().map(answer).collect()
}

fn done(args: &[&str]) -> Outcome {
    let outcome = ottava(args);
    assert_eq!(outcome.code, Some(0), "{args:?}: {}", outcome.err);
    outcome
}

/// The network as a `.8va` file that knows its state.
fn converted(test: &str) -> PathBuf {
    let (from, to) = (network(&format!("{test}.onnx")), scratch(&format!("{test}.8va")));
    done(&[&["convert", text(&from), "-o", text(&to)], &DECLARED[..]].concat());
    to
}

#[test]
fn states_go_on_from_input_to_input() {
    let model = network("go-on.onnx");
    let inputs = [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]];
    let want = [[2.0, 20.0], [6.0, 60.0], [12.0, 120.0]];
    assert_eq!(answers("go-on", &model, &inputs, &DECLARED), want);
    // A file keeps what was declared. Repeated runs start from the same states.
    let model = converted("go-on-file");
    assert_eq!(answers("go-on", &model, &inputs, &[]), want);
    assert_eq!(answers("go-on", &model, &inputs, &["--repeat", "5"]), want);
    let told: serde_json::Value =
        serde_json::from_str(&done(&["inspect", text(&model), "--json"]).out).unwrap();
    assert_eq!(told["states"][0]["name"], "sum");
    assert_eq!(told["states"][0]["output"], "next");
    assert_eq!(told["inputs"].as_array().unwrap().len(), 1);
}

#[test]
fn saved_states_go_on_in_another_process() {
    let (model, saved) = (converted("save"), scratch("save.states"));
    assert_eq!(answers("save", &model, &[[1.0, 2.0]], &["--save-states", text(&saved)]), [[2.0, 4.0]]);
    let both = ["--load-states", text(&saved), "--save-states", text(&saved)];
    assert_eq!(answers("save", &model, &[[1.0, 2.0]], &both), [[4.0, 8.0]]);
    assert_eq!(answers("save", &model, &[[0.0, 0.0]], &both[..2]), [[4.0, 8.0]]);
    let refused = |model: &Path, states: &Path| {
        let (given, out) = (scratch("save0.npz"), scratch("never.npz"));
        let args = ["run", text(model), "--inputs", text(&given), "--outputs", text(&out), "--load-states"];
        let outcome = ottava(&[&args[..], &[text(states)]].concat());
        assert!(!out.exists());
        outcome
    };
    assert!(refused(&model, &scratch("no.states")).refused("no.states"));
    let mut damaged = std::fs::read(&saved).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let bad = scratch("bad.states");
    std::fs::write(&bad, &damaged).unwrap();
    assert!(refused(&model, &bad).refused("saved states"), "{}", refused(&model, &bad).err);
}

#[test]
fn names_that_are_not_there_are_told() {
    let (model, out) = (network("names.onnx"), scratch("names.8va"));
    for (state, why) in [
        ("total=next", "has no input 'total' for a state; there are: x, sum"),
        ("sum=y", "has no output 'y' for a state; there are: out, next"),
    ] {
        let outcome = ottava(&["convert", text(&model), "-o", text(&out), "--state", state]);
        assert!(outcome.refused(why), "{}", outcome.err);
    }
    let outcome = ottava(&["convert", text(&model), "-o", text(&out), "--state", "sum"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.err);
    assert!(!out.exists());
}

#[test]
fn onnx_has_inputs_and_outputs_for_states() {
    let (model, out) = (converted("back"), scratch("back.onnx"));
    let told = done(&["convert", text(&model), "-o", text(&out)]).out;
    let note = "'sum': what 'next' was in the run before; zeros in the first run";
    assert!(told.contains(note), "{told}");
    assert_eq!(answers("back", &out, &[[1.0, 2.0], [1.0, 2.0]], &DECLARED), [[2.0, 4.0], [4.0, 8.0]]);
}
