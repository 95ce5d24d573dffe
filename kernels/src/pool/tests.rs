use super::*;
use crate::testing::{Random, on_every_isa};

fn shapes() -> Vec<PoolShape> {
    let mut shapes = Vec::new();
    for c in [1, 3, 16, 63, 64, 65, 130] {
        for (kernel, strides, dilations, pad) in [
            ([2, 2], [2, 2], [1, 1], [0, 0, 0, 0]),
            ([3, 3], [2, 2], [1, 1], [1, 1, 1, 1]),
            ([3, 2], [1, 3], [1, 1], [2, 1, 0, 1]),
            ([2, 2], [1, 1], [2, 3], [1, 2, 1, 2]),
            ([6, 15], [1, 1], [1, 1], [1, 1, 0, 1]),
        ] {
            for count_include_pad in [false, true] {
                let (n, h, w) = (2, 6, 15);
                // Rounded up: the last window may hang over.
                let out = |len: usize, i: usize| {
                    (len + pad[i] + pad[i + 2] - (kernel[i] - 1) * dilations[i] - 1).div_ceil(strides[i]) + 1
                };
                let (oh, ow) = (out(h, 0), out(w, 1));
                shapes.push(PoolShape {
                    n,
                    h,
                    w,
                    c,
                    kernel,
                    strides,
                    dilations,
                    pad,
                    oh,
                    ow,
                    count_include_pad,
                    y_stride: c + if count_include_pad { 0 } else { 5 },
                });
            }
        }
    }
    shapes
}

/// Input offsets that output element `i` sees, and what an average divides by.
fn window(s: &PoolShape, i: usize) -> (Vec<usize>, usize) {
    let (c, ox, oy, image) = (i % s.c, i / s.c % s.ow, i / s.c / s.ow % s.oh, i / s.c / s.ow / s.oh);
    let (mut taps, mut padded) = (Vec::new(), 0);
    for ky in 0..s.kernel[0] {
        for kx in 0..s.kernel[1] {
            let y = oy * s.strides[0] + ky * s.dilations[0];
            let x = ox * s.strides[1] + kx * s.dilations[1];
            padded += usize::from(y < s.pad[0] + s.h + s.pad[2] && x < s.pad[1] + s.w + s.pad[3]);
            let (iy, ix) = (y.wrapping_sub(s.pad[0]), x.wrapping_sub(s.pad[1]));
            if iy < s.h && ix < s.w {
                taps.push(((image * s.h + iy) * s.w + ix) * s.c + c);
            }
        }
    }
    let count = if s.count_include_pad { padded } else { taps.len() };
    (taps, count)
}

#[test]
fn equals_the_definition() {
    for s in shapes() {
        let mut random = Random::new(s.c as u64);
        let bytes = random.bytes(s.x_len());
        let floats = random.floats(s.x_len(), 5.0);
        let out = Output { zero_point: 40, min: 5, max: 250 };
        let op = QAverage { x_zero_point: 33, x_scale: 0.35, y_scale: 0.5, out };
        let centre = if s.c % 2 == 0 { 0 } else { 128 };
        on_every_isa(|isa| {
            // The last pixel has no room behind it.
            let (row, len) = (s.ow * s.y_stride, (s.rows() * s.ow - 1) * s.y_stride + s.c);
            let mut y = [vec![77; len], vec![77; len], vec![77; len]];
            let mut z = [vec![77.0; len], vec![77.0; len]];
            for r in 0..s.rows() {
                max_pool(isa, &s, &bytes, &mut y[0][r * row..], r..r + 1);
                avg_pool_u8(isa, &s, &op, &bytes, &mut y[1][r * row..], r..r + 1);
                avg_pool_codes(isa, &s, centre, &bytes, &mut y[2][r * row..], r..r + 1);
                max_pool(isa, &s, &floats, &mut z[0][r * row..], r..r + 1);
                avg_pool_f32(isa, &s, &floats, &mut z[1][r * row..], r..r + 1);
            }
            for i in 0..len {
                let (pixel, c) = (i / s.y_stride, i % s.y_stride);
                if c >= s.c {
                    assert_eq!(
                        (y.each_ref().map(|y| y[i]), z.each_ref().map(|z| z[i])),
                        ([77; 3], [77.0; 2])
                    );
                    continue;
                }
                let (taps, count) = window(&s, pixel * s.c + c);
                let count = count.max(1) as f32;
                assert_eq!(y[0][i], taps.iter().map(|&t| bytes[t]).max().unwrap_or(0), "{isa} {s:?}");
                let reals = taps.iter().map(|&t| (f32::from(bytes[t]) - 33.0) * 0.35);
                let sum = reals.fold(0f32, |sum, real| sum + real);
                let average = (sum / count / 0.5 + 40.0).round_ties_even();
                assert_eq!(y[1][i], average.clamp(5.0, 250.0) as u8, "{isa} {s:?}");
                let sum: f64 = taps.iter().map(|&t| f64::from(bytes[t]) - f64::from(centre)).sum();
                // f64::round takes halves away from 0.
                let mean = (sum / taps.len().max(1) as f64).round() + f64::from(centre);
                assert_eq!(f64::from(y[2][i]), mean, "{isa} {s:?}");
                let max = taps.iter().map(|&t| floats[t]).fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(z[0][i], max, "{isa} {s:?}");
                let sum = taps.iter().fold(0.0, |sum, &t| sum + floats[t]);
                assert_eq!(z[1][i], sum / count, "{isa} {s:?}");
            }
        });
    }
}
