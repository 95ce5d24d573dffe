//! Depthwise convolution, one output at a time.
//!
//! Packed: `bias[c]` i32, `multiplier[c]` f32, `offset[c]` f32 if there are any, weights less zero points `[c][kh][kw]`
//! i16, little endian, filled up to 64 bytes.

use crate::Filter;
use crate::qconv::requantize::scaled;
use crate::qdepthwise::QDepthwise;
use crate::round::Requant;
use std::ops::Range;

pub(crate) fn packed_len(conv: &QDepthwise) -> usize {
    let [kh, kw] = conv.shape.kernel;
    (conv.shape.c * (8 + 2 * kh * kw) + offsets_len(conv)).next_multiple_of(64)
}

fn offsets_len(conv: &QDepthwise) -> usize {
    if conv.offsets { 4 * conv.shape.c } else { 0 }
}

pub(crate) fn pack(conv: &QDepthwise, filter: &Filter<'_>, packed: &mut [u8]) {
    let shape = &conv.shape;
    packed.fill(0);
    let (biases, rest) = packed.split_at_mut(4 * shape.c);
    let (multipliers, rest) = rest.split_at_mut(4 * shape.c);
    for (c, to) in biases.chunks_exact_mut(4).enumerate() {
        to.copy_from_slice(&conv.folded_bias(filter, c).to_le_bytes());
    }
    for (c, to) in multipliers.chunks_exact_mut(4).enumerate() {
        to.copy_from_slice(&filter.multiplier[c].to_le_bytes());
    }
    let (offsets, rest) = rest.split_at_mut(offsets_len(conv));
    for (to, offset) in offsets.chunks_exact_mut(4).zip(filter.offset) {
        to.copy_from_slice(&offset.to_le_bytes());
    }
    let taps = shape.kernel[0] * shape.kernel[1];
    for (i, to) in rest.chunks_exact_mut(2).take(shape.c * taps).enumerate() {
        to.copy_from_slice(&conv.weight(filter, i / taps, i % taps).to_le_bytes());
    }
}

pub(crate) fn run(conv: &QDepthwise, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>) {
    let s = &conv.shape;
    let (biases, rest) = packed.split_at(4 * s.c);
    let (multipliers, rest) = rest.split_at(4 * s.c);
    let (offsets, weights) = rest.split_at(offsets_len(conv));
    let word = |bytes: &[u8], c: usize| [0, 1, 2, 3].map(|i| bytes[4 * c + i]);
    let out = Requant::new(conv.out);
    let pixels = rows.flat_map(|row| (0..s.ow).map(move |ox| (row / s.oh, row % s.oh, ox)));
    for ((image, oy, ox), y) in pixels.zip(y.chunks_mut(conv.y_stride)) {
        for c in 0..s.c {
            let mut acc = i32::from_le_bytes(word(biases, c));
            for ky in 0..s.kernel[0] {
                for kx in 0..s.kernel[1] {
                    let iy = (oy * s.strides[0] + ky * s.dilations[0]).checked_sub(s.pad[0]);
                    let ix = (ox * s.strides[1] + kx * s.dilations[1]).checked_sub(s.pad[1]);
                    let v = match (iy, ix) {
                        (Some(iy), Some(ix)) if iy < s.h && ix < s.w => {
                            x[((image * s.h + iy) * s.w + ix) * s.c + c]
                        }
                        _ => conv.x_zero_point,
                    };
                    let at = 2 * ((c * s.kernel[0] + ky) * s.kernel[1] + kx);
                    let w = i16::from_le_bytes([weights[at], weights[at + 1]]);
                    acc = acc.wrapping_add(i32::from(v) * i32::from(w));
                }
            }
            let offset = conv.offsets.then(|| f32::from_le_bytes(word(offsets, c)));
            y[c] = out.apply(scaled(acc, f32::from_le_bytes(word(multipliers, c)), offset));
        }
    }
}
