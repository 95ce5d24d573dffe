//! Float graph -> integer graph.

pub mod affine;

/// Why a graph can't be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {}
