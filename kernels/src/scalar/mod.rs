//! Oracles: plain loops that define the bits of every kernel.

pub(crate) mod qconv;
pub(crate) mod qdepthwise;
