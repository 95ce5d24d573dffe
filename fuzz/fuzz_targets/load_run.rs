//! Any bytes, checksum made right: refused with an error, or run on zeros within small limits and written as ONNX.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottava::{Limits, Model, Result, SessionOptions, export, format};

fn run(file: Vec<u8>) -> Result<()> {
    let limits = Limits { arena_bytes: 1 << 22, macs: 1 << 22, nodes: 64, tensors: 256, ..Limits::default() };
    let model = Model::from_bytes(file, &limits)?;
    // What has no form in ONNX is an error there.
    let _ = export::to_onnx(model.graph());
    let options = SessionOptions { threads: 1, limits, ..SessionOptions::default() };
    let mut session = model.session(&options)?;
    for i in 0..session.inputs().len() {
        session.input_bytes_mut(i)?.fill(0);
    }
    session.run()?;
    for i in 0..session.outputs().len() {
        session.output_bytes(i)?;
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    format::reseal(&mut file);
    // Errors are what hostile files are for; crashes are not.
    let _ = run(file);
});
