//! The kernels of Ottava: no graph, no files; slices in, slices out.
//!
//! `scalar` holds one oracle per operation: that code defines the bits, every other instruction set equals it on
//! every shape. An [`Isa`] is proof that the processor has an instruction set; a kernel is an object made at plan
//! time from an `Isa` and a shape. It tells its name, how its weights are packed and how much scratch it needs,
//! and runs without allocating.
//!
//! Quantized activations are u8 (`real = scale * (q - zero_point)`), weights i8, accumulators i32; a requantized output
//! is `clamp(round_half_even(acc as f32 * multiplier) + zero_point)`, the [offset](Filter::offset) of its channel added
//! before rounding if there is one, each step one IEEE f32 operation. Activations of i16 are in `q16`.

pub mod attention;
pub mod binary;
pub mod broadcast;
mod bytes;
pub mod cast;
pub mod copy;
pub mod dynamic;
pub mod fconv;
pub mod fconv_transpose;
pub mod fdepthwise;
pub mod filter;
pub mod fixed;
mod float;
pub mod frow;
pub mod index;
pub mod integer;
pub mod integer_lstm;
pub mod isa;
pub mod layer_norm;
pub mod limit;
mod math;
pub mod matmul;
mod multiversion;
pub mod pool;
mod prefetch;
pub mod q16;
pub mod qbinary;
pub mod qconv;
pub mod qdepthwise;
pub mod qrow;
pub mod quantize;
pub mod recurrent;
pub mod reduce;
pub mod resample;
pub mod resize;
mod round;
mod scalar;
pub mod shape;
pub mod softmax;
pub mod table;
pub mod team;
#[cfg(test)]
mod testing;
pub mod unary;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use filter::Filter;
pub use isa::Isa;
pub use qconv::{DynamicQConv, QConv, QConvTranspose, Source};
pub use qdepthwise::QDepthwise;
pub use qrow::QRow;
pub use qrow::sparse::QSparseRow;
pub use shape::{ConvShape, ConvTransposeShape, Output};

/// Readable bytes that every u8 activation slice must have behind its last element: kernels read in groups of 4
/// channels and whole vectors. What is there does not matter.
pub const SLACK: usize = 64;
