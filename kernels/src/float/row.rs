//! Products of one row: several panels of weights at a time, since two chains of multiply-adds wait for each other.
//!
//! Loops over vectors count indices: iterators over registers would be functions without the vector features.
#![allow(clippy::needless_range_loop)]

use super::Floats;
use super::tile::{self, Panels, Taps, Tile};
use std::ops::Range;

/// The one row and what its product is.
pub(crate) struct Row<'a> {
    /// `panels.k` elements.
    pub(crate) x: &'a [f32],
    /// How the weights are packed.
    pub(crate) panels: Panels,
    /// Lowest and highest result.
    pub(crate) clamp: [f32; 2],
}

/// Computes the output channels of some panels; `y` starts at the first of them.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn run<V: Floats>(row: &Row<'_>, packed: &[f32], panels: Range<usize>, y: &mut [f32]) {
    let (k, n, width) = (row.panels.k, row.panels.n, 2 * V::LANES);
    let mut at = panels.start;
    while at < panels.end {
        let (first, from) = (at * width, &packed[at * width * (k + 1)..]);
        let y = &mut y[first - panels.start * width..];
        // Panels of full width whose channels are all there.
        let whole = (n / width).min(panels.end).saturating_sub(at);
        // SAFETY: the caller's promise.
        at += unsafe {
            match whole {
                4.. => some::<V, 4>(row, from, y),
                3 => some::<V, 3>(row, from, y),
                2 => some::<V, 2>(row, from, y),
                1 => some::<V, 1>(row, from, y),
                _ => {
                    let taps = Taps { rows: 1, row_stride: 0, columns: 1, column_stride: 0, run: k };
                    let Row { x, clamp, .. } = *row;
                    let tile = Tile { x, taps, rows: 1, x_stride: 0, y_stride: 0, clamp };
                    tile::run::<V>(&tile, from, n - first, y);
                    1
                }
            }
        };
    }
}

/// `P` whole panels, and returns `P`.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn some<V: Floats, const P: usize>(row: &Row<'_>, packed: &[f32], y: &mut [f32]) -> usize {
    let (k, width) = (row.panels.k, 2 * V::LANES);
    let panel = width * (k + 1);
    let x = &row.x[..k];
    assert!(packed.len() >= P * panel && y.len() >= P * width);
    // SAFETY: the caller has the instruction set; by the assert, biases and weights lie in `packed` and the outputs in
    // `y`.
    unsafe {
        let mut sums = [[V::splat(0.0); 2]; P];
        for p in 0..P {
            for v in 0..2 {
                sums[p][v] = V::load(packed.as_ptr().add(p * panel + v * V::LANES));
            }
        }
        let mut weights = packed.as_ptr();
        for &x in x {
            let x = V::splat(x);
            weights = weights.add(width);
            for p in 0..P {
                for v in 0..2 {
                    let w = V::load(weights.add(p * panel + v * V::LANES));
                    sums[p][v] = V::multiply_add(x, w, sums[p][v]);
                }
            }
        }
        let (min, max) = (V::splat(row.clamp[0]), V::splat(row.clamp[1]));
        for p in 0..P {
            for v in 0..2 {
                V::store(V::clamp(sums[p][v], min, max), y.as_mut_ptr().add(p * width + v * V::LANES));
            }
        }
    }
    P
}
