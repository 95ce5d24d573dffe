//! Running plans. A [`Model`] is a graph that is ready, shared by its sessions; a [`Session`] owns plan, arena and
//! threads and runs one inference at a time.

mod bound;
mod fold;
mod io;
mod model;
mod pool;
mod session;
mod state;

use crate::graph::DType;

pub use bound::{Port, StepInfo};
pub(crate) use fold::evaluate_node;
pub(crate) use io::{Io, Operands, Place, Views};
pub use model::Model;
pub(crate) use ottava_kernels::team::Rows;
pub(crate) use pool::Pool;
pub use session::{Element, Session, SessionOptions};

/// A session was used wrongly, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such input or output.
    #[error("there is no {what} {index}: the model has {count}")]
    NoSuchPort {
        /// `input` or `output`.
        what: &'static str,
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A slice of another element type was asked for.
    #[error("'{name}' holds {dtype}, it can't be accessed as {asked}")]
    WrongType {
        /// Name of the input or output.
        name: String,
        /// What it holds.
        dtype: DType,
        /// What was asked for.
        asked: &'static str,
    },
    /// A shape was given for an input that the model has not got.
    #[error("the model has no input '{name}'; its inputs are: {inputs}")]
    UnknownInput {
        /// The name that was given.
        name: String,
        /// The names there are.
        inputs: String,
    },
    /// A value that selects something is out of range.
    #[error(
        "node '{node}': index {index} is outside of an axis of length {len}; check the values of the input"
    )]
    Index {
        /// Name of the node.
        node: String,
        /// The value.
        index: i64,
        /// What it must stay below.
        len: usize,
    },
    /// Packed weights in a file are not those of the graph.
    #[error(
        "the packed copy (layout {layout:#x}) of '{weights}' is not what packing makes of the weights; convert the model again"
    )]
    Packed {
        /// Name of the canonical weights.
        weights: String,
        /// Which copy.
        layout: u32,
    },
    /// A state's output is not what its input takes.
    #[error("the state '{state}' is {input:?}, but a run leaves {output:?} for the next one")]
    StateShape {
        /// Name of the input that the state feeds.
        state: String,
        /// Its shape.
        input: Vec<usize>,
        /// The shape of the output, or of the initial value.
        output: Vec<usize>,
    },
    /// Saved states don't belong here.
    #[error("the saved states can't be loaded: {0}")]
    SavedState(String),
    /// The operating system gave no threads.
    #[error("{count} threads could not be started: {source}")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// The reason.
        source: std::io::Error,
    },
}
