//! Any bytes as ONNX or TensorFlow Lite: refused with an error, or a network that runs on zeros within small limits and
//! can be written as a file that reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottava::import::{ImportOptions, onnx, tflite};
use ottava::{Limits, Model, Result, SessionOptions, format, optimize};

fn run(data: &[u8]) -> Result<()> {
    let limits = Limits { arena_bytes: 1 << 22, macs: 1 << 22, nodes: 256, tensors: 1024, ..Limits::default() };
    let options = ImportOptions { limits: limits.clone(), ..ImportOptions::default() };
    let graph = match data.get(4..8) {
        Some(b"TFL3") => tflite::from_bytes(data, &options)?,
        _ => onnx::from_bytes(data.to_vec(), &options)?,
    };
    let graph = optimize::float(graph)?;
    let file = format::write(&graph, &[])?;
    format::read_bytes(file, &Limits::default()).expect("what is written reads back");
    let options = SessionOptions { threads: 1, limits, ..SessionOptions::default() };
    let mut session = Model::from_graph(graph)?.session(&options)?;
    for i in 0..session.inputs().len() {
        session.input_bytes_mut(i)?.fill(0);
    }
    session.run()
}

fuzz_target!(|data: &[u8]| {
    // Errors are what hostile files are for; crashes are not.
    let _ = run(data);
});
