//! What an integer convolution is.

use crate::qconv::geometry::Span;
use crate::qconv::layout::Packed;
use crate::qconv::requantize::{Epilogue, scaled};
use crate::qconv::{Correlation, ladder::names};
use std::cell::Cell;

/// By operation.
pub(crate) const NAMES: [&str; 6] = names!("1", "1", "scalar");

/// The outputs `y` of the first position of `span`: the sum of its window, each byte times weight less zero point,
/// wrapping in i32, requantized or as a real. Outside of the image lies the input's zero point.
pub(crate) fn pixel(conv: &Correlation, packed: &Packed<'_>, x: &[u8], span: &Span, y: &[Cell<u8>]) {
    let g = &conv.geometry;
    let channels = g.group_channels();
    let corner = [g.top(span.y), g.left(span.x.start)];
    for (oc, y) in y.chunks_exact(conv.out.size()).enumerate() {
        let group = oc / (g.oc / g.groups);
        let mut acc = packed.bias(oc);
        for ky in 0..g.kernel[0] {
            for kx in 0..g.kernel[1] {
                let at =
                    [corner[0] + (ky * g.dilations[0]) as isize, corner[1] + (kx * g.dilations[1]) as isize];
                let pixel = g.pixel(span.n, at);
                let [tap, start] = g.tap(ky, kx);
                for c in 0..channels {
                    let a = pixel.map_or(conv.x_zero_point, |p| x[p + group * channels + c]);
                    let w = packed.weight(oc, tap, start + c);
                    acc = acc.wrapping_add(i32::from(a).wrapping_mul(w));
                }
            }
        }
        let real = scaled(acc, packed.multiplier(oc), packed.offset(oc));
        match conv.out {
            Epilogue::Bytes(out) => y[0].set(out.apply(real)),
            Epilogue::Reals(out) => {
                let real = out.apply(real);
                y.iter().zip(real.to_ne_bytes()).for_each(|(y, byte)| y.set(byte));
            }
            Epilogue::Dynamic(out) => {
                let bytes = out.apply(acc, packed.bias(oc), packed.multiplier(oc), packed.sum(oc));
                y.iter().zip(bytes).for_each(|(y, byte)| y.set(byte));
            }
        }
    }
}
