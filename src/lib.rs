//! Ottava runs 8-bit neural networks on CPUs at the edge: the same bits everywhere, from one memory-mapped file.
//!
//! Data walks one way: `file -> format -> graph -> optimize -> plan -> run`. [`import`] and [`quantize`] end in a
//! [`Graph`](graph::Graph); [`format::write`] turns a graph into a file; [`Model`] is a graph that is ready, and a
//! [`Session`] runs it.
//!
//! With `default-features = false` the crate is the embeddable runtime: `format`, `graph`, `plan` and `run`.
#![deny(unsafe_code)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod custom;
#[cfg(feature = "report")]
pub mod data;
pub mod error;
#[cfg(feature = "import")]
pub mod export;
pub mod format;
pub mod graph;
#[cfg(feature = "import")]
pub mod import;
pub mod limits;
pub mod optimize;
pub mod plan;
#[cfg(feature = "quantize")]
pub mod quantize;
#[cfg(feature = "report")]
pub mod report;
pub mod run;

pub use error::{Error, Result};
pub use limits::Limits;
pub use run::{Model, Session, SessionOptions};
