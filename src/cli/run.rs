//! `ottava run`: inferences, from arrays to arrays.

use super::failure::Failure;
use super::model;
use super::options::{LoadArgs, RunArgs};
use super::output::{say, say_json};
use super::show;
use crate::data::Shapes;
use crate::data::{Archive, Array, DataError, InputSpec, NamedArray, read_npz, write_npz};
use crate::report::median;
use crate::{Error, Model, Session, format};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Run inferences: arrays in, arrays out
#[derive(Args)]
#[command(
    after_help = "The arrays of IN.npz are keyed by the names of the model's inputs and have their types and \
shapes; those of OUT.npz are keyed by the names of its outputs. `ottava inspect` shows both. Given several of each, \
one session runs them in turn; where the model has free dimensions, each may have shapes of its own. States of the \
model go on from one to the next.

Examples:
  ottava run model.8va --inputs in.npz --outputs out.npz
  ottava run model.onnx --inputs in.npz --outputs out.npz --repeat 100 --json
  ottava run model.8va --inputs short.npz --inputs long.npz --outputs short_out.npz --outputs long_out.npz
  ottava run model.8va --inputs next.npz --outputs next_out.npz --load-states s.bin --save-states s.bin"
)]
pub(super) struct Run {
    /// .8va, .onnx or .tflite
    model: PathBuf,
    /// Arrays to read; repeatable
    #[arg(long, value_name = "IN.npz", required = true)]
    inputs: Vec<PathBuf>,
    /// Arrays to write; as often as --inputs
    #[arg(long, value_name = "OUT.npz", required = true)]
    outputs: Vec<PathBuf>,
    /// Start from states that --save-states wrote, instead of the initial ones
    #[arg(long, value_name = "FILE")]
    load_states: Option<PathBuf>,
    /// Write the states that the last run leaves
    #[arg(long, value_name = "FILE")]
    save_states: Option<PathBuf>,
    /// Run each this many times, from the same states, and tell the median time
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
        let (given, wanted) = (self.inputs.len(), self.outputs.len());
        if given != wanted {
            let what = format!("{given} --inputs and {wanted} --outputs: give one of each per inference");
            return Err(Failure::refused(what));
        }
        let model = model::load(&self.model, &self.load, &|| self.shapes())?.model;
        let names = model::input_names(model.graph());
        let mut session: Option<Session> = None;
        let mut times = Vec::new();
        let mut table = show::table(&["output", "dtype", "shape"], 3);
        for (from, to) in self.inputs.iter().zip(&self.outputs) {
            let archive = read_npz(from, &names, self.load.limits().file_bytes)?;
            let shapes = free_shapes(&model, &archive.arrays);
            let session = match &mut session {
                Some(session) => {
                    let shapes: Vec<_> = shapes.iter().map(|(name, dims)| (&name[..], &dims[..])).collect();
                    session.reshape(&shapes)?;
                    session
                }
                none => {
                    let session = none.insert(model.session(&self.run.session(&self.load, shapes)?)?);
                    if let Some(path) = &self.load_states {
                        session.load_states(&std::fs::read(path).map_err(|e| Error::io(path, e))?)?;
                    }
                    session
                }
            };
            feed(session, archive, from)?;
            let again = self.repeat.get() > 1 && !session.states().is_empty();
            let states = again.then(|| session.save_states()).transpose()?;
            for _ in 0..self.repeat.get() {
                states.as_ref().map_or(Ok(()), |saved| session.load_states(saved))?;
                let start = Instant::now();
                session.run()?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            write_npz(to, &outputs(session)?)?;
            for port in session.outputs() {
                table.add_row([port.name.clone(), port.dtype.to_string(), show::shape(&port.shape)]);
            }
        }
        if let (Some(path), Some(session)) = (&self.save_states, &session) {
            format::replace(path, &session.save_states()?).map_err(|e| Error::io(path, e))?;
        }
        let median_ms = median(&mut times);
        if self.json {
            return say_json(&serde_json::json!({ "median_ms": median_ms }));
        }
        say(table)?;
        say(format!("{} per inference", show::time(median_ms)))
    }

    /// The shapes of the first arrays.
    fn shapes(&self) -> Result<Shapes, Failure> {
        let (Some(first), limit) = (self.inputs.first(), self.load.limits().file_bytes) else {
            return Ok(Vec::new());
        };
        let names = read_npz(first, &[], limit)?.names;
        let arrays = read_npz(first, &names, limit)?.arrays;
        Ok(arrays.iter().map(|a| (a.name().to_string(), a.shape().to_vec())).collect())
    }
}

/// Puts the arrays of a file into the inputs. Each input must have its array; others may be there too.
fn feed(session: &mut Session, archive: Archive, path: &Path) -> Result<(), Failure> {
    let Archive { names, mut arrays } = archive;
    for (i, input) in InputSpec::of(session).iter().enumerate() {
        let at = arrays.iter().position(|a| a.name() == input.name);
        let array = arrays.swap_remove(at.ok_or_else(|| DataError::MissingInput {
            path: path.to_path_buf(),
            input: input.name.clone(),
            found: names.join(", "),
        })?);
        let bytes = input.exactly(array)?;
        session.input_bytes_mut(i)?.copy_from_slice(&bytes);
    }
    Ok(())
}

/// Free dimensions are what the arrays have.
fn free_shapes(model: &Model, arrays: &[Array]) -> Shapes {
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
