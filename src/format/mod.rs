//! The `.8va` file: `layout` (records), `verify`, `read`, `write`.

use crate::graph::Graph;
use crate::limits::Limits;

/// Why bytes are not a usable `.8va` file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {}

/// A graph read from a file, with the packed-weight sections the file brings.
pub struct Loaded {
    /// The graph; its constants are views into the file.
    pub graph: Graph,
}

/// Reads from bytes.
pub fn read_bytes(_bytes: Vec<u8>, _limits: &Limits) -> Result<Loaded, FormatError> {
    todo!()
}
