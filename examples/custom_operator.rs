//! An application brings an operator along, and a file that uses it.
//!
//! `cargo run --example custom_operator`

use ottava::custom::{self, CustomOp, Input, Kernel, Parameters};
use ottava::graph::{Custom, DType, GraphBuilder, Shape};
use ottava::{Limits, Model, SessionOptions, format};
use std::sync::Arc;

/// `y = max(x - threshold, 0)`, parameter `threshold`.
struct Shrink;

impl CustomOp for Shrink {
    fn output(&self, inputs: &[Input<'_>], parameters: &Parameters) -> Result<(DType, Shape), String> {
        parameters.float("threshold").ok_or("needs the parameter 'threshold'")?;
        match inputs {
            [x] if x.dtype == DType::F32 => Ok((DType::F32, x.shape.clone())),
            _ => Err("takes one input of f32".to_string()),
        }
    }

    fn kernel(&self, _inputs: &[Input<'_>], parameters: &Parameters) -> Result<Kernel, String> {
        let threshold = parameters.float("threshold").ok_or("needs the parameter 'threshold'")?;
        Ok(Box::new(move |inputs, y| {
            let x: &[f32] = bytemuck::cast_slice(inputs[0]);
            let y: &mut [f32] = bytemuck::cast_slice_mut(y);
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - threshold).max(0.0);
            }
        }))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    custom::register("example.Shrink", Arc::new(Shrink));
    let mut b = GraphBuilder::new("shrinking");
    let x = b.input("x", DType::F32, Shape::fixed(&[4]));
    let op = Custom { name: "example.Shrink".into(), parameters: "threshold=0.5".into() };
    let y = b.node("shrink", op, &[x])?;
    let bytes = format::write(&b.finish(&[y])?, &[])?;

    let model = Model::from_graph(format::read_bytes(bytes, &Limits::default())?.graph)?;
    let mut session = model.session(&SessionOptions::default())?;
    session.input_mut::<f32>(0)?.copy_from_slice(&[0.0, 0.5, 1.0, -2.0]);
    session.run()?;
    println!("{:?}", session.output::<f32>(0)?);
    Ok(())
}
