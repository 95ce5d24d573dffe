//! How an application embeds a model: open, one session, inputs in place, run, read the outputs.
//!
//! ```text
//! cargo run --release -- demo --keep /tmp/digits
//! cargo run --release --example embed -- /tmp/digits/mnist_cnn.8va
//! ```
//!
//! It needs nothing of the crate's default features.

use ottava::graph::DType;
use ottava::{Limits, Model, Result, SessionOptions};

fn main() -> Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: embed MODEL.8va");
        std::process::exit(2);
    };

    // Once: read and verify the file, plan, pack weights, take all the memory there will ever be.
    let model = Model::open(path, &Limits::default())?;
    let mut session = model.session(&SessionOptions::default())?;
    println!("{} multiply-adds, {} bytes of activations", session.macs(), session.arena_bytes());

    // For every inference: fill the inputs in place, run, read the outputs in place. Nothing is allocated.
    for (i, port) in session.inputs().to_vec().into_iter().enumerate() {
        println!("input  {} {}{:?}", port.name, port.dtype, port.shape);
        if port.dtype == DType::F32 {
            let input = session.input_mut::<f32>(i)?;
            let ramp = 2.0 / input.len() as f32;
            input.iter_mut().enumerate().for_each(|(k, x)| *x = k as f32 * ramp - 1.0);
        }
    }
    session.run()?;
    for (i, port) in session.outputs().iter().enumerate() {
        println!("output {} {}{:?}", port.name, port.dtype, port.shape);
        if port.dtype == DType::F32 {
            println!("       {:?}", session.output::<f32>(i)?);
        }
    }
    Ok(())
}
