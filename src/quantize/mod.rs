//! Float graph -> integer graph.

/// Why a graph can't be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {}
