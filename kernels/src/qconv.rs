//! Integer convolution and matrix product: u8 activations, i8 weights, i32 accumulators, u8 out.

use crate::{ConvShape, Isa, Output};
use std::ops::Range;

/// An integer convolution (grouped or not, not depthwise) or matrix product, with everything decided but the data.
#[derive(Clone, Debug)]
pub struct QConv {
    // private: isa, shape, x_zero_point, out, y_stride, chosen variant
}

impl QConv {
    /// `x_zero_point` fills the border. `y_stride` >= `shape.oc`: bytes between output rows (a concatenation's
    /// part is written in place).
    pub fn new(isa: Isa, shape: ConvShape, x_zero_point: u8, out: Output, y_stride: usize) -> QConv {
        todo!()
    }

    /// What runs, for people: operation, tile, instruction set (`conv3x3 6x64 avx512vnni`).
    pub fn kernel(&self) -> &'static str {
        todo!()
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        todo!()
    }

    /// Bytes of the packed weights (a multiple of 64).
    pub fn packed_len(&self) -> usize {
        todo!()
    }

    /// Packs `[oc][kh][kw][c/groups]` weights (all of -128..=127), `bias[oc]` (or none) and `multiplier[oc]`.
    /// The zero point's share `-x_zero_point * sum(w)` is folded into the bias here, with wrapping arithmetic.
    pub fn pack(&self, weights: &[i8], bias: &[i32], multiplier: &[f32], packed: &mut [u8]) {
        todo!()
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        todo!()
    }

    /// Computes output rows `rows` of `shape.rows()`. `x`: the whole input and [`SLACK`](crate::SLACK) bytes
    /// behind it. `y` starts at the first of these rows. Panics if a slice is too short.
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]) {
        todo!()
    }
}
