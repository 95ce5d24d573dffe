//! The micro-kernel for one panel of weights and windows that are three pixels wide and one apart: what is read of a
//! pixel is multiplied for all three windows that it lies in.
//!
//! With one panel each product takes a load of its own otherwise, and a processor neither loads nor fetches instructions
//! fast enough for that beside two products a cycle.

use super::layout::QUAD;
use super::tile::{Columns16, Tiles, leave, start};

/// Pixels of a window, side by side.
pub(crate) const WIDTH: usize = 3;

/// The micro-kernel.
///
/// # Safety
/// As for [`TileFn`](super::tile::TileFn). Rows are found by steps, which are one pixel of whole quads; a tap is
/// [`WIDTH`] of these.
#[inline(always)]
pub(crate) unsafe fn slide<S: Columns16, const MR: usize>(t: &Tiles<'_>) {
    // SAFETY: the caller vouches for the instruction set and for the pointers. The windows of the rows of a tap are
    // `MR + 2` pixels, and each of their quads is multiplied with the line of its place in each window.
    unsafe {
        let quads = t.quads / WIDTH;
        for (index, place) in t.places.iter().enumerate() {
            let mut sums = start::<S, MR, 1>(t, index);
            let mut lines = t.lines;
            for tap in 0..t.taps {
                let mut quad = place.x.add(*t.rows.offsets.add(tap));
                for _ in 0..quads {
                    let columns = [
                        S::line(lines),
                        S::line(lines.add(quads * t.line_step)),
                        S::line(lines.add(2 * quads * t.line_step)),
                    ];
                    let [mut left, mut middle] = [S::quad(quad), S::quad(quad.add(t.rows.step))];
                    let mut pixel = quad.add(2 * t.rows.step);
                    for sum in &mut sums {
                        let right = S::quad(pixel);
                        sum[0] = S::dot(sum[0], left, columns[0]);
                        sum[0] = S::dot(sum[0], middle, columns[1]);
                        sum[0] = S::dot(sum[0], right, columns[2]);
                        (left, middle) = (middle, right);
                        pixel = pixel.add(t.rows.step);
                    }
                    quad = quad.add(QUAD);
                    lines = lines.add(t.line_step);
                }
                lines = lines.add((WIDTH - 1) * quads * t.line_step);
            }
            leave::<S, MR, 1>(&sums, t, place);
        }
    }
}
