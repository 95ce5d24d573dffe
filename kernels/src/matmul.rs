//! Float matrix product of two tensors that are both computed.

use crate::Isa;

/// `y[m][n] = a[m][k] b[k][n]`, or `b[n][k]` if it is transposed, for one matrix of a batch.
#[derive(Clone, Debug)]
pub struct FMatMul {
    isa: Isa,
    m: usize,
    k: usize,
    n: usize,
    transpose_b: bool,
}

impl FMatMul {
    /// `transpose_b`: b is `[n][k]`.
    pub fn new(isa: Isa, m: usize, k: usize, n: usize, transpose_b: bool) -> FMatMul {
        FMatMul { isa, m, k, n, transpose_b }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> &'static str {
        "fmatmul"
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        let _ = self.isa;
        0
    }

    /// One product.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, a: &[f32], b: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        let _ = scratch;
        let (k, n) = (self.k, self.n);
        for i in 0..self.m {
            for j in 0..n {
                let mut sum = 0.0;
                for p in 0..k {
                    sum += a[i * k + p] * if self.transpose_b { b[j * k + p] } else { b[p * n + j] };
                }
                y[i * n + j] = sum;
            }
        }
    }
}
