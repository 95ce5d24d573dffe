//! `ottava run`: one inference, from arrays to arrays.

use super::failure::Failure;
use super::model;
use super::options::{LoadArgs, RunArgs};
use super::output::{say, say_json};
use super::show;
use crate::data::{Archive, Array, DataError, InputSpec, NamedArray, read_npz, write_npz};
use crate::report::median;
use crate::{Model, Session};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

/// Run one inference: arrays in, arrays out
#[derive(Args)]
#[command(
    after_help = "The arrays of IN.npz are keyed by the names of the model's inputs and have their types and \
shapes; those of OUT.npz are keyed by the names of its outputs. `ottava inspect` shows both.

Examples:
  ottava run model.8va --inputs in.npz --outputs out.npz
  ottava run model.onnx --inputs in.npz --outputs out.npz --repeat 100 --json"
)]
pub(super) struct Run {
    /// .8va, .onnx or .tflite
    model: PathBuf,
    /// Arrays to read
    #[arg(long, value_name = "IN.npz")]
    inputs: PathBuf,
    /// Arrays to write
    #[arg(long, value_name = "OUT.npz")]
    outputs: PathBuf,
    /// Run this many times and tell the median time
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroUsize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    load: LoadArgs,
}

impl Run {
    pub fn execute(&self) -> Result<(), Failure> {
        let model = model::load(&self.model, &self.load)?.model;
        let names = model::input_names(model.graph());
        let archive = read_npz(&self.inputs, &names, self.load.limits().file_bytes)?;
        let options = self.run.session(&self.load, free_shapes(&model, &archive.arrays))?;
        let mut session = model.session(&options)?;
        self.feed(&mut session, archive)?;
        let mut times = Vec::new();
        for _ in 0..self.repeat.get() {
            let start = Instant::now();
            session.run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        write_npz(&self.outputs, &outputs(&session)?)?;
        let median_ms = median(&mut times);
        if self.json {
            return say_json(&serde_json::json!({ "median_ms": median_ms }));
        }
        let mut table = show::table(&["output", "dtype", "shape"], 3);
        for port in session.outputs() {
            table.add_row([port.name.clone(), port.dtype.to_string(), show::shape(&port.shape)]);
        }
        say(table)?;
        say(format!("{} per inference", show::time(median_ms)))
    }

    /// Puts the arrays into the inputs. Each input must have its array; others may be there too.
    fn feed(&self, session: &mut Session, archive: Archive) -> Result<(), Failure> {
        let Archive { names, mut arrays } = archive;
        for (i, input) in InputSpec::of(session).iter().enumerate() {
            let at = arrays.iter().position(|a| a.name() == input.name);
            let array = arrays.swap_remove(at.ok_or_else(|| DataError::MissingInput {
                path: self.inputs.clone(),
                input: input.name.clone(),
                found: names.join(", "),
            })?);
            let bytes = input.exactly(array)?;
            session.input_bytes_mut(i)?.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// Free dimensions are what the arrays have.
fn free_shapes(model: &Model, arrays: &[Array]) -> Vec<(String, Vec<usize>)> {
    let graph = model.graph();
    let free = graph.inputs.iter().map(|id| graph.tensor(*id)).filter(|t| t.shape.dims().is_none());
    free.filter_map(|t| {
        let array = arrays.iter().find(|a| a.name() == t.name && a.shape().len() == t.shape.rank())?;
        Some((t.name.clone(), array.shape().to_vec()))
    })
    .collect()
}

fn outputs(session: &Session) -> Result<Vec<NamedArray>, Failure> {
    let ports = session.outputs().iter().enumerate();
    ports
        .map(|(i, p)| {
            let bytes = session.output_bytes(i)?.to_vec();
            Ok(NamedArray { name: p.name.clone(), dtype: p.dtype, shape: p.shape.clone(), bytes })
        })
        .collect()
}
