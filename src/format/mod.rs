//! The `.8va` file: a graph, its weights as the kernels read them, in one file that is mapped and run.
//!
//! `docs/format.md` specifies it. [`write()`] and [`save`] make files, [`read`], [`open`] and [`map`] take them
//! apart; no byte of a file is believed before it is checked, and constants are never copied. There is exactly
//! one encoding of a graph: equal graphs make equal files.

mod checksum;
mod error;
mod frame;
mod layout;
mod mmap;
mod pool;
mod read;
mod rules;
mod save;
mod write;

pub(crate) use checksum::xxh64;
pub use error::{FormatError, Place};
pub use frame::reseal;
pub use mmap::map;
pub use read::read;
#[cfg(feature = "cli")]
pub(crate) use save::replace;
pub use save::{open, save};
pub(crate) use write::fingerprint;
pub use write::write;

use crate::graph::{AlignedBytes, Data, Graph};
use crate::limits::Limits;
use std::sync::Arc;

/// Bytes that graphs are read from and that their constants keep alive. They must not change: each call of
/// `as_ref` gives the same slice.
pub type Storage = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The graph; its constants are views into the file.
    pub graph: Graph,
    /// Packed weights, ascending by node and layout; views into the file as well.
    pub packed: Vec<PackedSection>,
    /// Kinds of optional sections that this version does not know and has passed over.
    pub skipped: Vec<u32>,
    /// The file's checksum: names its contents, in caches for instance.
    pub checksum: u64,
}

/// Weights of one node in a layout that kernels read directly. Whether they are the node's own weights is up to
/// who uses them: the file only says so.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedSection {
    /// Index in [`Graph::nodes`].
    pub node: usize,
    /// Number of the layout, as the kernels count them.
    pub layout: u32,
    /// The bytes; they start at a multiple of 64 of the file.
    pub data: Data,
}

/// True if `bytes` start like a `.8va` file.
pub fn is_8va(bytes: &[u8]) -> bool {
    bytes.starts_with(&layout::MAGIC)
}

/// Reads a file from bytes of any alignment; they are copied once.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: Vec<u8>, limits: &Limits) -> Result<Loaded, FormatError> {
    frame::check_len(bytes.len() as u64, limits)?;
    let aligned = AlignedBytes::copy_of(&bytes);
    drop(bytes);
    read(Arc::new(aligned), limits)
}
