use super::*;
use crate::testing::{Operands, Random, on_every_isa};

fn shape(c: usize, h: usize, w: usize, kernel: [usize; 2]) -> ConvShape {
    let mut shape = ConvShape::linear(1, c, c);
    (shape.h, shape.w, shape.groups, shape.kernel) = (h, w, c, kernel);
    shape
}

/// Output sizes for this padding on all sides.
fn fit(mut s: ConvShape, strides: [usize; 2], dilations: [usize; 2], pad: [usize; 2]) -> ConvShape {
    (s.strides, s.dilations, s.pad) = (strides, dilations, pad);
    let out = |len: usize, i: usize| {
        (len + 2 * pad[i]).checked_sub((s.kernel[i] - 1) * dilations[i] + 1).map_or(0, |n| n / strides[i] + 1)
    };
    (s.oh, s.ow) = (out(s.h, 0), out(s.w, 1));
    s
}

fn data(s: &ConvShape, random: &mut Random) -> Operands {
    let taps = s.kernel[0] * s.kernel[1];
    let mut weights: Vec<i8> = random.bytes(s.c * taps).into_iter().map(|b| b as i8).collect();
    weights[0] = -128;
    let mut x = random.bytes(s.x_len() + SLACK);
    for v in &mut x[..s.x_len()] {
        // Extremes are as likely as anything else.
        *v = [*v, 0, 255, *v][usize::from(*v) % 4];
    }
    Operands {
        weights,
        zero_points: vec![],
        bias: (0..s.c).map(|_| (random.float() * 1e5) as i32).collect(),
        multiplier: (0..s.c).map(|_| 0.01 * random.float().abs() + 1e-4).collect(),
        offset: vec![],
        x,
    }
}

/// The output of all rows, computed in calls of `rows_at_once`, with untouched bytes between pixels.
fn output(conv: &QDepthwise, d: &Operands, rows_at_once: usize) -> Vec<u8> {
    let s = &conv.shape;
    let mut packed = vec![0xaa; conv.packed_len()];
    conv.pack(&d.filter(), &mut packed);
    let mut scratch = vec![0x55; conv.scratch_len()];
    let mut y = vec![0xee; s.rows() * conv.y_stride];
    let mut row = 0;
    while row < s.n * s.oh {
        let end = (row + rows_at_once).min(s.n * s.oh);
        conv.run(&packed, &d.x, &mut y[row * s.ow * conv.y_stride..], row..end, &mut scratch);
        row = end;
    }
    y
}

fn check(s: ConvShape, extra: usize, seed: u64) {
    let mut random = Random::new(seed);
    let mut d = data(&s, &mut random);
    check_data(s, extra, &d);
    // Halves make ties; some leave the range of a byte, and of an i32.
    d.offset = (0..s.c).map(|c| [0.5, -0.5, 300.0, 4e9, -4e9, 0.3, random.float()][c % 7]).collect();
    check_data(s, extra, &d);
}

fn check_data(s: ConvShape, extra: usize, d: &Operands) {
    for (zero_point, out) in [
        (0, Output { zero_point: 0, min: 0, max: 255 }),
        (255, Output { zero_point: 255, min: 3, max: 250 }),
        (117, Output { zero_point: 100, min: 100, max: 255 }),
    ] {
        let new = |isa| {
            let conv = QDepthwise::new(isa, s, zero_point, out, s.c + extra);
            if d.offset.is_empty() { conv } else { conv.with_offsets() }
        };
        let expected = output(&new(Isa::SCALAR), d, usize::MAX >> 1);
        on_every_isa(|isa| {
            let conv = new(isa);
            assert_eq!(conv.packed_len() % 64, 0);
            for rows in [1, 3, usize::MAX >> 1] {
                assert!(output(&conv, d, rows) == expected, "{isa} {s:?} zero point {zero_point} + {extra}");
            }
        });
    }
}

#[test]
fn channels_around_vectors() {
    for c in [2, 3, 4, 7, 8, 15, 16, 17, 24, 31, 32, 33, 40, 48, 63, 64, 65, 96, 127, 128, 129, 144] {
        check(fit(shape(c, 6, 7, [3, 3]), [1, 1], [1, 1], [1, 1]), 0, c as u64);
        check(fit(shape(c, 6, 7, [3, 3]), [1, 1], [1, 1], [1, 1]), 5, c as u64);
        check(fit(shape(c, 7, 6, [3, 3]), [2, 2], [1, 1], [1, 0]), 0, c as u64);
    }
}

/// Pairs of lines, several in the pieces of a vector, and what is left of both.
#[test]
fn pairs_and_pieces_of_lines() {
    for c in [4, 8, 16, 24, 32, 48, 64, 80] {
        for k in [3, 5] {
            for (h, w) in [(1, 4), (2, 1), (3, 5), (5, 2), (7, 9), (8, 3), (11, 6), (18, 7)] {
                for stride in [1, 2] {
                    let s = fit(shape(c, h, w, [k, k]), [stride; 2], [1, 1], [k / 2; 2]);
                    check(s, c % 3, (c + h) as u64);
                }
            }
        }
    }
}

#[test]
fn kernels_strides_dilations() {
    for c in [16, 32, 40, 72] {
        for kernel in [[1, 1], [1, 3], [3, 1], [2, 2], [5, 5], [4, 4], [7, 7], [9, 2], [1, 9]] {
            for strides in [[1, 1], [2, 2], [1, 3], [3, 1]] {
                for (dilations, pad) in [([1, 1], [0, 0]), ([2, 1], [2, 1]), ([1, 3], [1, 4])] {
                    let s = fit(shape(c, 10, 11, kernel), strides, dilations, pad);
                    if s.oh > 0 && s.ow > 0 {
                        check(s, 0, c as u64);
                    }
                }
            }
        }
    }
}

#[test]
fn wide_rows_and_batches() {
    for (c, w) in [(2, 300), (16, 131), (32, 200), (64, 150), (70, 101)] {
        let mut s = fit(shape(c, 4, w, [3, 3]), [1, 1], [1, 1], [1, 1]);
        s.n = 3;
        check(s, 0, w as u64);
        for stride in [1, 2] {
            let mut s = fit(shape(c, 5, w, [5, 5]), [stride; 2], [1, 1], [2, 2]);
            s.n = 2;
            check(s, 3, w as u64);
        }
    }
    // Lines of several bands.
    check(fit(shape(80, 27, 300, [5, 5]), [2, 2], [1, 1], [1, 2]), 0, 27);
}

/// Where windows start at stride 2: within patches of the image, at their middle, and outside of it.
#[test]
fn borders_of_patches() {
    for (c, k) in [(16, 5), (40, 5), (65, 5), (16, 3), (40, 3), (65, 3)] {
        for pad in [[0, 0], [1, 1], [1, 2], [2, 1], [3, 4], [5, 3], [7, 8]] {
            for (h, w) in [(1, 1), (2, 3), (5, 8), (9, 14)] {
                let s = fit(shape(c, h, w, [k, k]), [2, 2], [1, 1], pad);
                if s.oh > 0 && s.ow > 0 {
                    check(s, 1, (h + w) as u64);
                }
            }
        }
    }
}

/// Wide weights on a few channels, with every number of parts.
#[test]
fn zero_points_of_weights() {
    let out = Output { zero_point: 100, min: 0, max: 255 };
    for (c, kernel, strides) in [
        (2, [3, 3], [1, 1]),
        (12, [3, 3], [2, 2]),
        (40, [5, 5], [2, 1]),
        (80, [5, 5], [2, 2]),
        (130, [3, 3], [1, 1]),
        (130, [3, 3], [2, 2]),
        (140, [5, 5], [1, 1]),
        (200, [4, 2], [2, 2]),
    ] {
        let s = fit(shape(c, 6, 7, kernel), strides, [1, 1], [1, 1]);
        for (farthest, zero_points) in [(142, [14, -14]), (254, [126, -126]), (255, [127, -128])] {
            let mut d = data(&s, &mut Random::new(c as u64));
            // Channels from 64 on are narrow, so that some blocks need fewer parts than others.
            d.zero_points = (0..c).map(|c| if c < 64 { zero_points[c % 2] } else { 0 }).collect();
            for (i, w) in d.weights.iter_mut().enumerate() {
                let zero = d.zero_points[i / (kernel[0] * kernel[1])];
                *w = (*w).clamp((zero - farthest).max(-127) as i8, (zero + farthest).min(127) as i8);
                *w = if i % 5 == 0 && zero != 0 {
                    if zero > 0 { (zero - farthest).max(-128) as i8 } else { 127 }
                } else {
                    *w
                };
            }
            let new = |isa| QDepthwise::new(isa, s, 9, out, c).with_wide_weights(farthest as u16);
            let expected = direct(&s, &d, 9, out);
            on_every_isa(|isa| assert!(output(&new(isa), &d, 2) == expected, "{isa} {s:?} {farthest}"));
        }
    }
}

/// Written without any of the kernels' ideas.
fn direct(s: &ConvShape, d: &Operands, x_zero_point: u8, out: Output) -> Vec<u8> {
    let [kh, kw] = s.kernel;
    let source = |o: usize, k: usize, i: usize, len: usize| {
        (o * s.strides[i] + k * s.dilations[i]).checked_sub(s.pad[i]).filter(|&at| at < len)
    };
    let mut y = vec![];
    for (oy, ox, c) in (0..s.oh * s.ow * s.c).map(|i| (i / s.c / s.ow, i / s.c % s.ow, i % s.c)) {
        let mut sum = d.bias[c];
        for (ky, kx) in (0..kh * kw).map(|k| (k / kw, k % kw)) {
            if let (Some(iy), Some(ix)) = (source(oy, ky, 0, s.h), source(ox, kx, 1, s.w)) {
                let x = i32::from(d.x[(iy * s.w + ix) * s.c + c]) - i32::from(x_zero_point);
                let w = i32::from(d.weights[(c * kh + ky) * kw + kx]) - i32::from(d.zero_points[c]);
                sum += x * w;
            }
        }
        let q = (sum as f32 * d.multiplier[c]).round_ties_even() as i32 + i32::from(out.zero_point);
        y.push(q.clamp(out.min.into(), out.max.into()) as u8);
    }
    y
}

#[test]
#[should_panic(expected = "farther from its zero point")]
fn weights_farther_than_said_are_refused() {
    let s = fit(shape(40, 5, 5, [3, 3]), [1, 1], [1, 1], [1, 1]);
    let mut d = data(&s, &mut Random::new(1));
    (d.weights[5], d.zero_points) = (127, vec![-1; 40]);
    output(&QDepthwise::new(Isa::best(), s, 7, Output { zero_point: 0, min: 0, max: 255 }, s.c), &d, 1);
}

#[test]
fn image_smaller_than_kernel() {
    for c in [8, 32, 65] {
        check(fit(shape(c, 1, 1, [3, 3]), [1, 1], [1, 1], [1, 1]), 0, 1);
        check(fit(shape(c, 2, 1, [5, 5]), [1, 1], [1, 1], [2, 3]), 0, 2);
        check(fit(shape(c, 1, 2, [5, 5]), [2, 2], [1, 1], [3, 2]), 0, 2);
        // The output asks for more on the right and below than the padding on the left and above.
        let mut s = fit(shape(c, 3, 3, [3, 3]), [1, 1], [1, 1], [0, 0]);
        (s.oh, s.ow) = (3, 4);
        check(s, 0, 3);
    }
}

#[test]
fn saturates_both_ways() {
    for (bias, multiplier) in [
        (i32::MAX / 2, 0.999_999_94),
        (i32::MIN / 2, 0.999_999_94),
        (i32::MAX / 2, 1.0),
        (i32::MIN / 2, 1.0),
        (i32::MAX / 2, 1e30),
        (i32::MIN / 2, 1e30),
        (i32::MIN / 2, -3.0),
    ] {
        for k in [3, 5, 4] {
            let s = fit(shape(40, 5, 5, [k, k]), [1, 1], [1, 1], [1, 1]);
            let mut d = data(&s, &mut Random::new(9));
            d.bias.fill(bias);
            // Of the block's channels only one has a large multiplier.
            d.multiplier.fill(0.5);
            d.multiplier[3] = multiplier;
            let out = Output { zero_point: 10, min: 1, max: 254 };
            on_every_isa(|isa| {
                let y = output(&QDepthwise::new(isa, s, 7, out, s.c), &d, 2);
                for (i, &v) in y.iter().enumerate() {
                    let up = (bias > 0) == (d.multiplier[i % 40] > 0.0);
                    assert_eq!(v, if up { 254 } else { 1 }, "{isa}");
                }
            });
        }
    }
}

/// By hand: a 1x3 kernel over one channel pair, zero point 10 outside the image.
#[test]
fn known_answer() {
    let s = fit(shape(2, 1, 3, [1, 3]), [1, 1], [1, 1], [0, 1]);
    let mut x = vec![11, 9, 12, 8, 13, 7];
    x.resize(x.len() + SLACK, 77);
    let zero_points = vec![];
    let d = Operands {
        weights: vec![1, 2, 3, -1, -2, -3],
        zero_points,
        bias: vec![4, 0],
        multiplier: vec![0.5, 1.0],
        offset: vec![],
        x,
    };
    // Channel 0 is [1, 2, 3] around the zero point, channel 1 is [-1, -2, -3].
    // Channel 0: 4 + [2 + 6, 1 + 4 + 9, 2 + 6] = [12, 18, 12], halved. Channel 1: [2 + 6, 1 + 4 + 9, 2 + 6].
    let out = Output { zero_point: 20, min: 0, max: 255 };
    on_every_isa(|isa| {
        let y = output(&QDepthwise::new(isa, s, 10, out, 2), &d, 1);
        assert_eq!(y, [26, 28, 29, 34, 26, 28], "{isa}");
    });
}

#[test]
fn accepts_its_own_weights_only() {
    let s = fit(shape(40, 5, 5, [3, 3]), [1, 1], [1, 1], [1, 1]);
    let d = data(&s, &mut Random::new(1));
    let out = Output { zero_point: 0, min: 0, max: 255 };
    on_every_isa(|isa| {
        let conv = QDepthwise::new(isa, s, 7, out, s.c);
        let mut packed = vec![0; conv.packed_len()];
        assert!(!conv.accepts(&packed));
        conv.pack(&d.filter(), &mut packed);
        assert!(conv.accepts(&packed) && !conv.accepts(&packed[..packed.len() - 1]));
        assert!(!QDepthwise::new(isa, s, 8, out, s.c).accepts(&packed));
        let transposed = ConvShape { kernel: [1, 9], ..s };
        assert!(!QDepthwise::new(isa, transposed, 7, out, s.c).accepts(&packed));
        if isa != Isa::SCALAR {
            assert!(!QDepthwise::new(Isa::SCALAR, s, 7, out, s.c).accepts(&packed));
        }
    });
}
