//! From a path to a model, whatever its kind.

use super::failure::Failure;
use super::options::LoadArgs;
use super::output::say;
use crate::data::Shapes;
use crate::data::Source;
use crate::format::{self, PackedSection};
use crate::graph::{Graph, Tensor};
use crate::import::ImportError;
use crate::{Error, Model, export, import, optimize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A model and the file it came from.
pub(super) struct Loaded {
    /// Ready for sessions.
    pub model: Model,
    /// Length of the file.
    pub file_bytes: u64,
}

impl Loaded {
    /// Opens data for this model.
    pub fn source(&self, path: &Path, args: &LoadArgs) -> Result<Source, Failure> {
        Ok(Source::open(path, &input_names(self.model.graph()), args.limits().file_bytes)?)
    }
}

/// The names of the inputs that a caller gives, in the model's order.
pub(super) fn input_names(graph: &Graph) -> Vec<String> {
    graph.caller_inputs().map(|id| graph.tensor(id).name.clone()).collect()
}

/// Reads a model; the kind is told by content. What is no `.8va` file is imported and optimized; if it can't be with
/// free dimensions, with those that `shapes` gives.
pub(super) fn load(
    path: &Path,
    args: &LoadArgs,
    shapes: &dyn Fn() -> Result<Shapes, Failure>,
) -> Result<Loaded, Failure> {
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    let file_bytes = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    file.take(16).read_to_end(&mut start).map_err(io)?;
    let mut model = if format::is_8va(&start) {
        Model::open(path, &args.limits())?
    } else {
        let graph = match import::load(path, &args.import(Vec::new())) {
            Err(open @ Error::Import(ImportError::Unsupported { .. })) => match shapes()? {
                none if none.is_empty() => return Err(open.into()),
                shapes => import::load(path, &args.import(shapes))?,
            },
            other => other?,
        };
        Model::from_graph(optimize::float(graph).map_err(Error::from)?)?
    };
    if !args.states.is_empty() {
        let mut graph = model.graph().clone();
        args.states.iter().try_for_each(|(to, from)| graph.add_state(to, from)).map_err(Error::from)?;
        model = Model::from_graph(graph)?;
    }
    Ok(Loaded { model, file_bytes })
}

/// True for the name of an ONNX file.
pub(super) fn is_onnx(path: &Path) -> bool {
    has_ending(path, "onnx")
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Refuses a file that can't be written, before the work for it is done.
pub(super) fn check_output(path: &Path) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::refused(format!("{}: {why}", path.display())));
    if !is_onnx(path) && !has_ending(path, "8va") {
        return refused("the ending says what kind of file is written: OUT.8va or OUT.onnx");
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            refused("there is no such folder")
        }
        _ => Ok(()),
    }
}

/// Writes a `.8va` file, or an ONNX one (without packed weights), and tells its length.
pub(super) fn save(path: &Path, graph: &Graph, packed: &[PackedSection]) -> Result<u64, Failure> {
    let io = |e| Error::io(path, e);
    if !is_onnx(path) {
        format::save(path, graph, packed)?;
        return Ok(std::fs::metadata(path).map_err(io)?.len());
    }
    let bytes = export::to_onnx(graph).map_err(|e| Failure::refused(e.to_string()))?;
    format::replace(path, &bytes).map_err(io)?;
    Ok(bytes.len() as u64)
}

/// Tells what has become of states in an ONNX file.
pub(super) fn say_states(path: &Path, graph: &Graph) -> Result<(), Failure> {
    let states = if is_onnx(path) { export::states(graph) } else { vec![] };
    if states.is_empty() {
        return Ok(());
    }
    let states = states.join("\n  ");
    say(format!("ONNX has no states; whoever runs the model gives them as inputs:\n  {states}"))
}

/// Nodes that compute in 8-bit integers, or hold weights of so few bits, and nodes that compute in floats. What
/// only makes constants of constants is not counted.
pub(super) fn count_nodes(graph: &Graph) -> (usize, usize) {
    // For what is constant, whether it is stored in 8 bits or fewer.
    let stored = |t: &Tensor| t.data.as_ref().map(|_| t.dtype.is_8bit());
    let mut stored: Vec<Option<bool>> = graph.tensors.iter().map(stored).collect();
    let (mut int8, mut float) = (0, 0);
    for node in &graph.nodes {
        let inputs: Vec<Option<bool>> = node.present_inputs().map(|t| stored[t.index()]).collect();
        if !inputs.is_empty() && inputs.iter().all(Option::is_some) {
            let few = inputs.contains(&Some(true));
            node.outputs.iter().for_each(|t| stored[t.index()] = Some(few));
            continue;
        }
        let mut outputs = node.outputs.iter().map(|t| graph.tensor(*t));
        if inputs.contains(&Some(true)) || outputs.clone().any(|t| t.dtype.is_8bit() && t.quant.is_some()) {
            int8 += 1;
        } else if outputs.any(|t| t.dtype.is_float()) {
            float += 1;
        }
    }
    (int8, float)
}
