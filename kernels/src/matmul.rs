//! Float matrix product of two tensors that are both computed.

use crate::Isa;
use crate::float::{Panels, Taps, Tile, Variant, cover};

/// `y[m][n] = a[m][k] b[k][n]`, or `b[n][k]` if it is transposed, for one matrix of a batch.
#[derive(Clone, Debug)]
pub struct FMatMul {
    variant: Variant,
    m: usize,
    k: usize,
    n: usize,
    transpose_b: bool,
}

impl FMatMul {
    /// `transpose_b`: b is `[n][k]`.
    pub fn new(isa: Isa, m: usize, k: usize, n: usize, transpose_b: bool) -> FMatMul {
        FMatMul { variant: Variant::new(isa), m, k, n, transpose_b }
    }

    /// What runs, for people: operation, vectors.
    pub fn kernel(&self) -> &'static str {
        match self.variant.name() {
            "avx512" => "float matmul avx512",
            "avx2" => "float matmul avx2",
            _ => "float matmul scalar",
        }
    }

    /// f32 elements of scratch that one call of `run` needs: one panel of b.
    pub fn scratch_len(&self) -> usize {
        self.panel(2 * self.variant.lanes()).len()
    }

    fn panel(&self, channels: usize) -> Panels {
        Panels { lanes: self.variant.lanes(), k: self.k, n: channels }
    }

    /// One product.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, a: &[f32], b: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        let (m, k, n) = (self.m, self.k, self.n);
        let (a, b, y) = (&a[..m * k], &b[..k * n], &mut y[..m * n]);
        let taps = Taps { rows: 1, row_stride: 0, columns: 1, column_stride: 0, run: k };
        for first in (0..n).step_by(2 * self.variant.lanes()) {
            let channels = (n - first).min(2 * self.variant.lanes());
            let panel = self.panel(channels);
            if self.transpose_b {
                panel.pack(&[], |o, i| b[(first + o) * k + i], scratch);
            } else {
                panel.pack(&[], |o, i| b[i * n + first + o], scratch);
            }
            for (rows, at) in cover(m, self.variant.rows()) {
                let clamp = [f32::NEG_INFINITY, f32::INFINITY];
                let tile = Tile { x: &a[at * k..], taps, rows, x_stride: k, y_stride: n, clamp };
                self.variant.run(&tile, scratch, channels, &mut y[at * n + first..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn equals_the_definition() {
        for (m, k, n) in
            [(1, 1, 1), (3, 5, 7), (13, 64, 33), (7, 9, 64), (25, 3, 16), (2, 0, 3), (0, 2, 2), (2, 2, 0)]
        {
            let mut random = Random::new((m * k * n) as u64);
            let (a, b) = (random.floats(m * k, 1.0), random.floats(k * n, 1.0));
            let transposed: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            on_every_isa(|isa| {
                let mut results = Vec::new();
                for (b, transpose_b) in [(&b, false), (&transposed, true)] {
                    let product = FMatMul::new(isa, m, k, n, transpose_b);
                    let mut y = vec![f32::NAN; m * n];
                    product.run(&a, b, &mut y, &mut vec![f32::NAN; product.scratch_len()]);
                    results.push(y);
                }
                assert_eq!(results[0], results[1], "{isa} {m} {k} {n}");
                for (i, &y) in results[0].iter().enumerate() {
                    let products = (0..k).map(|p| f64::from(a[i / n * k + p]) * f64::from(b[p * n + i % n]));
                    let exact: f64 = products.sum();
                    assert!((f64::from(y) - exact).abs() <= 1e-7 * (k * k) as f64, "{isa} {m} {k} {n}");
                }
            });
        }
    }
}
