//! One oracle per operation: this code defines the bits.

pub(crate) mod qconv;
pub(crate) mod qdepthwise;
