//! The operations of x86-64 instruction sets on 16 columns.

pub(crate) mod avx2;
pub(crate) mod avx2_wide;
pub(crate) mod avx512vnni;
pub(crate) mod avxvnni;
mod epilogue;
