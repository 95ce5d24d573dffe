//! Models of other kinds -> graph.
//!
//! [`load`] tells the kind of a file by its content. What can't be taken in is refused with everything that
//! stands in the way at once, so that a model is fixed in one round.

mod bounds;
mod node;
pub mod onnx;
mod padding;
mod sniff;
pub mod tflite;

use crate::Limits;
use crate::error::{Error, Result};
use crate::graph::{Graph, GraphError};
use sniff::Kind;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One node that can't be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node's name; made of operator and position if the file gives none.
    pub node: String,
    /// Its operator, with the domain in front if that is not ONNX's own; in capitals for TensorFlow Lite.
    pub op: String,
    /// What stands in the way, and what to do about it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node '{}' ({}): {}", self.node, self.op, self.reason)
    }
}

/// Why a model can't be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are of another kind.
    #[error("not a model that can be imported: it looks like {looks_like}; {advice}")]
    Kind {
        /// What they look like.
        looks_like: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The container can't be decoded.
    #[error("not a usable model file: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The file asks for more than [`Limits`] allows.
    #[error("the model has {found} {what}; the limit is {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much may be.
        limit: u64,
    },
    /// The model as a whole can't be what it says.
    #[error("the model is not well formed: {what}")]
    Model {
        /// What is wrong.
        what: String,
    },
    /// A tensor can't be what it says.
    #[error("tensor '{tensor}': {what}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// Nodes that can't be taken in: all of them, not only the first.
    #[error("{}", list(problems))]
    Unsupported {
        /// One for each such node, in the order of the file.
        problems: Vec<Problem>,
    },
    /// The graph that came out is not well formed.
    #[error("{0}")]
    Graph(#[from] GraphError),
}

impl ImportError {
    fn damaged(what: impl Into<String>) -> ImportError {
        ImportError::Damaged { what: what.into() }
    }
    fn model(what: impl Into<String>) -> ImportError {
        ImportError::Model { what: what.into() }
    }
    fn tensor(tensor: &str, what: impl Into<String>) -> ImportError {
        ImportError::Tensor { tensor: tensor.to_string(), what: what.into() }
    }
}

/// How many problems a message lists; the error itself holds all.
const LISTED: usize = 20;

fn list(problems: &[Problem]) -> String {
    let mut text = match problems {
        [one] => return one.to_string(),
        many => format!("{} nodes can't be imported:", many.len()),
    };
    for problem in problems.iter().take(LISTED) {
        text += &format!("\n  {problem}");
    }
    if problems.len() > LISTED {
        text += &format!("\n  ... and {} more", problems.len() - LISTED);
    }
    text
}

/// How models are taken in.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The folder that tensors may be read from which are stored outside of the model file. `None`: such
    /// tensors are refused, so that a model from a stranger reads no other file.
    pub external_data: Option<PathBuf>,
    /// Shapes of inputs by name, for ONNX models that run a loop along a free dimension: it is unrolled, so its length
    /// must be known now. The graph has these shapes for good. What names no input is passed over.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// Upper bounds on the file and on its graph.
    pub limits: Limits,
}

/// Reads a model of any kind: `.8va`, ONNX or TensorFlow Lite, told by content. Fails if the file can't be read, is
/// larger than the limits allow, is of another kind or can't be taken in.
pub fn load(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Graph> {
    let path = path.as_ref();
    let bytes = read(path, options.limits.file_bytes)?;
    match sniff::kind(&bytes) {
        Kind::Ottava => Ok(crate::format::read_bytes(bytes, &options.limits)?.graph),
        Kind::TfLite => Ok(tflite::from_bytes(&bytes, options)?),
        // ONNX has no mark of its own: what it is not is said only if it can't be read as ONNX.
        _ => Ok(onnx::from_bytes(bytes, options)?),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    // One byte more than may be: a file that grows, or a device that never ends, stops here too.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    match bytes.len() as u64 {
        found if found > limit => Err(ImportError::Limit { what: "bytes or more", found, limit }.into()),
        _ => Ok(bytes),
    }
}
