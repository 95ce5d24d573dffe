//! Float product of one row with packed weights.

use crate::Isa;
use crate::float::{Panels, Row, Variant};
use std::ops::Range;

/// `y[n] = bias[n] + w[n][k] x[k]`, with everything decided but the data. What it costs is to read the weights, so that
/// threads best share out the output channels, by panels.
///
/// Results and packed weights are those of [`FConv`](crate::fconv::FConv).
#[derive(Clone, Debug)]
pub struct FRow {
    variant: Variant,
    panels: Panels,
    clamp: [f32; 2],
}

impl FRow {
    /// `clamp`: lowest and highest result.
    pub fn new(isa: Isa, k: usize, n: usize, clamp: [f32; 2]) -> FRow {
        let variant = Variant::new(isa);
        FRow { variant, panels: Panels { lanes: variant.lanes(), k, n }, clamp }
    }

    /// What runs, for people: operation, vectors.
    pub fn kernel(&self) -> &'static str {
        match self.variant.name() {
            "avx512" => "float gemv avx512",
            "avx2" => "float gemv avx2",
            _ => "float gemv scalar",
        }
    }

    /// f32 elements of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.panels.len()
    }

    /// Packs `[n][k]` weights and `bias[n]` (or none).
    ///
    /// Panics if a slice is too short.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        self.panels.pack(bias, |n, k| weights[n * self.panels.k + k], packed);
    }

    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.panels.count()
    }

    /// Output channels of a panel.
    pub fn width(&self) -> usize {
        2 * self.panels.lanes
    }

    /// f32 elements of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        0
    }

    /// Computes the output channels of some panels; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run(&self, packed: &[f32], x: &[f32], y: &mut [f32], panels: Range<usize>, _scratch: &mut [f32]) {
        assert!(panels.end <= self.panels(), "no such panels");
        let row = Row { x: &x[..self.panels.k], panels: self.panels, clamp: self.clamp };
        self.variant.run_row(&row, &packed[..self.packed_len()], panels, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConvShape;
    use crate::fconv::FConv;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn panels_give_what_several_rows_give() {
        for n in [1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 100, 127, 128, 129, 160, 224, 257, 300] {
            for k in [0, 1, 2, 33] {
                let mut random = Random::new((n * 100 + k) as u64);
                let (weights, bias) = (random.floats(n * k, 1.0), random.floats(n, 1.0));
                let x = random.floats(2 * k, 1.0);
                on_every_isa(|isa| {
                    let clamp = [-0.8, 0.9];
                    // A product of two rows computes the same chains by tiles.
                    let tiles = FConv::new(isa, ConvShape::linear(2, k, n), clamp, n);
                    let row = FRow::new(isa, k, n, clamp);
                    assert_eq!(row.packed_len(), tiles.packed_len());
                    let mut packed = vec![f32::NAN; row.packed_len()];
                    row.pack(&weights, &bias, &mut packed);
                    let mut expected = vec![f32::NAN; 2 * n];
                    tiles.run(&packed, &x, &mut expected, 0..2, &mut []);
                    for at_once in 1..=row.panels() {
                        let mut y = vec![f32::NAN; n];
                        for from in (0..row.panels()).step_by(at_once) {
                            let to = row.panels().min(from + at_once);
                            row.run(&packed, &x, &mut y[from * row.width()..], from..to, &mut []);
                        }
                        assert!(y == expected[..n], "{isa} 1x{k}x{n}, {at_once} at once");
                    }
                });
            }
        }
    }
}
