//! Models of other kinds -> graph.

/// Why a model can't be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {}
