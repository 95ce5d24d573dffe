//! Products with the weights of a recurrent layer.

use crate::bytes::{floats, floats_mut};
use crate::fconv::FConv;
use crate::{ConvShape, Isa};
use std::ops::Range;

/// `y[m][n] = x[m][k] w[n][k] + bias[n]` in f32.
#[derive(Clone, Debug)]
pub struct Product {
    float: FConv,
    k: usize,
    n: usize,
}

impl Product {
    /// A product of `rows` rows of `k` with `n` rows of weights.
    pub fn new(isa: Isa, rows: usize, k: usize, n: usize) -> Product {
        let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
        Product { float: FConv::new(isa, ConvShape::linear(rows, k, n), unbounded, n), k, n }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        self.float.kernel()
    }

    /// Elements of a row of the result.
    pub fn width(&self) -> usize {
        self.n
    }

    /// Bytes of the packed weights: a multiple of 64.
    pub fn packed_len(&self) -> usize {
        (self.float.packed_len() * 4).next_multiple_of(64)
    }

    /// Packs weights `[n][k]` and biases `[n]`.
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [u8]) {
        let (weights, bias) = (&weights[..self.n * self.k], &bias[..self.n]);
        self.float.pack(weights, bias, &mut floats_mut(packed)[..self.float.packed_len()]);
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        self.float.scratch_len() * 4
    }

    /// Computes `rows`; `x` holds all rows, `y` starts with the first of these.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[u8], x: &[f32], rows: Range<usize>, y: &mut [f32], scratch: &mut [u8]) {
        let packed = &floats(packed)[..self.float.packed_len()];
        self.float.run(packed, x, y, rows, floats_mut(scratch));
    }
}
