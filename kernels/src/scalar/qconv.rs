//! What an integer convolution is.

use crate::qconv::layout::Packed;
use crate::qconv::{Correlation, tile::names};
use std::ops::Range;

/// By operation.
pub(crate) const NAMES: [&str; 6] = names!("1", "1", "scalar");

/// Computes output positions `rows` and hands out each with its outputs: the weighted sum of the window, wrapping
/// in i32, requantized. Outside of the image lies the input's zero point.
pub(crate) fn run(
    conv: &Correlation,
    packed: &Packed<'_>,
    x: &[u8],
    rows: Range<usize>,
    mut put: impl FnMut(usize, &[u8]),
) {
    let g = &conv.geometry;
    let (channels, group_oc) = (g.group_channels(), g.oc / g.groups);
    let mut y = vec![0; g.oc];
    for row in rows {
        let position = g.position(row);
        let corner = g.corner(&position);
        for (oc, y) in y.iter_mut().enumerate() {
            let mut acc = packed.bias(oc);
            for ky in 0..g.kernel[0] {
                for kx in 0..g.kernel[1] {
                    let at = [
                        corner[0] + (ky * g.dilations[0]) as isize,
                        corner[1] + (kx * g.dilations[1]) as isize,
                    ];
                    let first = g.pixel(position.n, at).map(|p| p + oc / group_oc * channels);
                    let [tap, start] = g.tap(ky, kx);
                    for c in 0..channels {
                        let a = first.map_or(conv.x_zero_point, |p| x[p + c]);
                        let w = packed.weight(oc, tap, start + c);
                        acc = acc.wrapping_add(i32::from(a) * i32::from(w));
                    }
                }
            }
            *y = conv.out.apply(acc, packed.multiplier(oc));
        }
        put(row, &y);
    }
}
