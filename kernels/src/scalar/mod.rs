//! One oracle per operation: this code defines the bits.

pub(crate) mod qdepthwise;
