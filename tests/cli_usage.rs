//! Arguments, exit status and error messages of the command.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{network, ottava, scratch};
use std::process::{Command, Stdio};

const COMMANDS: [&str; 9] =
    ["demo", "quantize", "convert", "run", "bench", "inspect", "compare", "cpu", "verify"];

#[test]
fn every_command_explains_itself_with_examples() {
    let overview = ottava(&["--help"]);
    assert_eq!(overview.code, Some(0));
    for command in COMMANDS {
        assert!(overview.out.contains(command), "{command} is not listed");
        let help = ottava(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.out.contains(&format!("  ottava {command}")), "{command} shows no example");
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["bench"],
        &["bench", "m.onnx", "--shape", "x"],
        &["bench", "m.onnx", "--shape", "x=1x-2"],
        &["bench", "m.onnx", "--fill", "x=a"],
        &["bench", "m.onnx", "--seconds", "-1"],
        &["bench", "m.onnx", "--threads", "0"],
        &["bench", "m.onnx", "--threads", "100000"],
        &["bench", "m.onnx", "--isa", "mmx"],
        &["quantize", "m.onnx", "--calibrate", "x.npy"],
        &["quantize", "m.onnx", "-o", "m.8va"],
        &["quantize", "m.onnx", "-o", "m.8va", "--calibrate", "x.npy", "--method", "magic"],
        &["quantize", "m.onnx", "-o", "m.8va", "--calibrate", "x.npy", "--percentile", "0"],
        &["quantize", "m.onnx", "-o", "m.8va", "--weights-only"],
        &["quantize", "m.onnx", "-o", "m.8va", "--weights-only", "--bits", "9"],
        &["quantize", "m.onnx", "-o", "m.8va", "--dynamic", "--set", "fc"],
        &["quantize", "m.onnx", "-o", "m.8va", "--dynamic", "--set", "fc=tiny"],
        &["compare", "a.onnx", "b.8va"],
        &["run", "m.onnx", "--inputs", "x.npz"],
    ] {
        let outcome = ottava(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {}{}", outcome.out, outcome.err);
        assert!(outcome.out.is_empty() && !outcome.err.is_empty(), "{args:?}");
    }
}

#[test]
fn refusals_are_status_1_and_say_what_to_do() {
    let nothing = scratch("nothing.onnx");
    let nothing = nothing.to_str().unwrap();
    assert!(ottava(&["bench", nothing]).refused("nothing.onnx"));
    assert!(ottava(&["verify", nothing]).refused("nothing.onnx"));
    let text = scratch("text.onnx");
    std::fs::write(&text, "This is no model.").unwrap();
    assert!(ottava(&["inspect", text.to_str().unwrap()]).refused(""));
    let tflite = scratch("model.tflite");
    std::fs::write(&tflite, b"\x1c\x00\x00\x00TFL3\x14\x00\x20\x00").unwrap();
    assert!(ottava(&["inspect", tflite.to_str().unwrap()]).refused("TensorFlow Lite"));
    let out = scratch("out.8va");
    let out = out.to_str().unwrap();
    let twice =
        ["quantize", network(), "-o", out, "--calibrate", "x.npy", "--method", "mse", "--percentile", "99"];
    assert!(ottava(&twice).refused("--percentile"));
    let no_data = ["quantize", network(), "-o", out, "--dynamic", "--set", "op:Linear=static"];
    assert!(ottava(&no_data).refused("needs data"));
    let nobody = ["quantize", network(), "-o", out, "--dynamic", "--set", "nobody*=float"];
    assert!(ottava(&nobody).refused("nobody*"));
    assert!(
        ottava(&["compare", network(), network(), "--data", "x.npy", "--task", "detect"]).refused("detect")
    );
    assert!(!scratch("out.8va").exists());
}

#[test]
fn instructions_that_the_processor_lacks_are_refused() {
    let missing = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    assert!(ottava(&["bench", network(), "--isa", missing]).refused("scalar"), "what there is is told");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ottava"))
        .args(["cpu", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
