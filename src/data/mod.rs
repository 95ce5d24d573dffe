//! data.

/// Why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {}
