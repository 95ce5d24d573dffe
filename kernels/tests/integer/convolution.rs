//! Every instruction set computes integer convolutions to the bit as their definition says.

use crate::definition::{self, Data, FULL, Random};
use ottava_kernels::isa::Level;
use ottava_kernels::qconv::QConv;
use ottava_kernels::{ConvShape, Filter, Isa, Output, SLACK};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The kernel for these data.
fn made(isa: Isa, shape: &ConvShape, d: &Data, x_zero_point: u8, out: Output, y_stride: usize) -> QConv {
    let conv = QConv::new(isa, *shape, x_zero_point, out, y_stride);
    if d.offset.is_empty() { conv } else { conv.with_offsets() }
}

/// Runs all rows in two halves; what lies between output rows must stay as it is.
fn run(isa: Isa, shape: &ConvShape, d: &Data, x_zero_point: u8, out: Output, y_stride: usize) -> Vec<u8> {
    let conv = made(isa, shape, d, x_zero_point, out, y_stride);
    let mut packed = vec![0xEE; conv.packed_len()];
    conv.pack(&d.filter(), &mut packed);
    assert!(conv.accepts(&packed) && packed.len().is_multiple_of(64));
    let mut scratch = vec![0xEE; conv.scratch_len()];
    let mut y = vec![0xA5; shape.rows() * y_stride];
    let half = shape.rows() / 2;
    let (first, second) = y.split_at_mut(half * y_stride);
    conv.run(&packed, &d.x, first, 0..half, &mut scratch);
    conv.run(&packed, &d.x, second, half..shape.rows(), &mut scratch);
    let gaps = y.chunks(y_stride).all(|row| row[shape.oc..].iter().all(|&b| b == 0xA5));
    assert!(gaps, "{} wrote between rows of {shape:?}", conv.kernel());
    y.chunks(y_stride).flat_map(|row| row[..shape.oc].to_vec()).collect()
}

fn check_data(shape: &ConvShape, d: &Data, x_zero_point: u8, out: Output, y_stride: usize) {
    let expected = definition::conv(shape, d, x_zero_point, out);
    for isa in Isa::available() {
        let y = run(isa, shape, d, x_zero_point, out, y_stride);
        if let Some(i) = (0..y.len()).find(|&i| y[i] != expected[i]) {
            let (row, oc) = (i / shape.oc, i % shape.oc);
            panic!("{isa}: {shape:?} row {row} channel {oc}: {} is not {}", y[i], expected[i]);
        }
    }
}

fn check(random: &mut Random, shape: ConvShape) {
    let d = Data::random(random, shape.x_len(), shape.oc * shape.k(), shape.oc);
    let x_zero_point = random.pick(&[0, 1, 127, 128, 255]);
    let out = random.pick(&[
        FULL,
        Output { zero_point: 128, min: 0, max: 255 },
        Output { zero_point: 255, min: 3, max: 255 },
        Output { zero_point: 7, min: 7, max: 100 },
    ]);
    let y_stride = shape.oc + random.pick(&[0, 0, 1, 5]);
    check_data(&shape, &d, x_zero_point, out, y_stride);
}

/// What is right and below of the image is padded as left and above.
fn shape(
    x: [usize; 4],
    oc: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    pad: [usize; 2],
) -> Option<ConvShape> {
    let out = |axis: usize| {
        let reach = (kernel[axis] - 1) * dilations[axis] + 1;
        Some((x[1 + axis] + 2 * pad[axis]).checked_sub(reach)? / strides[axis] + 1)
    };
    let [n, h, w, c] = x;
    let (oh, ow) = (out(0)?, out(1)?);
    Some(ConvShape { n, h, w, c, oc, kernel, strides, dilations, pad, oh, ow, groups: 1 })
}

#[test]
fn products_around_every_tile_edge() {
    let mut random = Random::new(1);
    for m in 1..=33 {
        for n in [1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 70, 80, 81, 130] {
            let k = random.pick(&[1, 2, 3, 4, 5, 8, 9, 17, 31]);
            check(&mut random, ConvShape::linear(m, k, n));
        }
    }
}

#[test]
fn products_of_every_depth() {
    let mut random = Random::new(2);
    for k in (1..=19).chain([31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000]) {
        for (m, n) in [(1, 1), (1, 64), (1, 96), (2, 17), (5, 33), (7, 64), (13, 10)] {
            check(&mut random, ConvShape::linear(m, k, n));
        }
    }
}

#[test]
fn weights_larger_than_a_cache() {
    let mut random = Random::new(3);
    check(&mut random, ConvShape::linear(9, 1030, 610));
    // Inputs, too: bands of weights pass blocks of them, one after the other or several at a time.
    check(&mut random, ConvShape::linear(310, 1000, 70));
    check(&mut random, ConvShape::linear(130, 2300, 130));
    check(&mut random, shape([1, 5, 5, 70], 500, [3, 3], [1, 1], [1, 1], [1, 1]).unwrap());
}

/// High tiles over many products are finished while others are multiplied for: of other heights, other panels, another
/// group, and the last one by itself.
#[test]
fn tiles_of_many_products_are_finished_later() {
    let mut random = Random::new(14);
    for (m, k, n) in [
        (12, 641, 32),
        (13, 700, 64),
        (25, 644, 48),
        (59, 660, 33),
        (97, 655, 112),
        (23, 1400, 96),
        (14, 5000, 70),
    ] {
        check(&mut random, ConvShape::linear(m, k, n));
    }
    let windows = [
        ([1, 7, 7, 80], 64, [3, 3], [1, 1], 1),
        ([2, 5, 9, 130], 40, [2, 3], [2, 1], 1),
        ([1, 6, 13, 36], 48, [5, 4], [1, 1], 1),
        ([1, 4, 17, 8], 32, [9, 9], [1, 1], 1),
        ([1, 5, 5, 164], 104, [3, 3], [1, 1], 2),
    ];
    for (x, oc, kernel, strides, groups) in windows {
        let pad = kernel.map(|k| k / 2);
        let s = shape(x, oc, kernel, strides, [1, 1], pad).unwrap();
        check(&mut random, ConvShape { groups, ..s });
    }
}

#[test]
fn kernels_strides_dilations_and_padding() {
    let mut random = Random::new(4);
    let kernels = [[1, 1], [3, 3], [5, 5], [1, 7], [7, 1], [2, 2], [3, 2]];
    for kernel in kernels {
        for strides in [[1, 1], [2, 2], [3, 1], [1, 3]] {
            for dilations in [[1, 1], [2, 2], [3, 1], [1, 2]] {
                for pad in [[0, 0], [1, 1], [3, 2]] {
                    for c in [1, 3, 5, 33, 36] {
                        let (h, w) = (random.pick(&[3, 7, 8]), random.pick(&[2, 5, 9]));
                        let (n, oc) = (random.pick(&[1, 2]), random.pick(&[1, 5, 16, 24, 33, 70]));
                        if let Some(s) = shape([n, h, w, c], oc, kernel, strides, dilations, pad) {
                            check(&mut random, s);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn lines_of_few_channels_longer_than_a_tile() {
    let mut random = Random::new(10);
    for (kernel, pad) in
        [([3, 3], [1, 1]), ([5, 4], [4, 3]), ([10, 4], [4, 1]), ([1, 3], [0, 2]), ([2, 9], [1, 8])]
    {
        for strides in [[1, 1], [2, 2], [3, 1], [1, 3]] {
            for c in [1, 3, 4, 16, 32] {
                let (h, w) = (random.pick(&[5, 11]), random.pick(&[17, 33, 40, 53]));
                let (n, oc) = (random.pick(&[1, 2]), random.pick(&[1, 8, 16, 24, 33, 48, 70]));
                let s = shape([n, h, w, c], oc, kernel, strides, [1, 1], pad);
                s.into_iter().for_each(|s| check(&mut random, s));
            }
        }
    }
}

/// Micro-kernels are given up to 64 tiles at once, and finish one while they multiply for the next.
#[test]
fn many_tiles_of_equal_height() {
    let mut random = Random::new(13);
    for n in [17, 32, 47, 64, 128, 130] {
        for k in [1, 4, 8, 20, 24, 52, 100] {
            let m = random.pick(&[12, 13, 30, 59, 71]);
            check(&mut random, ConvShape::linear(m, k, n));
        }
        let m = random.pick(&[391, 780]);
        check(&mut random, ConvShape::linear(m, 12, n));
    }
    for kernel in [[1, 1], [2, 1], [1, 3], [2, 3], [3, 3], [5, 2]] {
        for strides in [[1, 1], [2, 2], [1, 3]] {
            for (pad, c, oc) in [
                ([0, 0], 5, 32),
                ([1, 1], 16, 64),
                ([0, 1], 36, 24),
                ([1, 0], 3, 112),
                ([1, 1], 8, 112),
                ([1, 2], 4, 9),
            ] {
                let s = shape([2, 9, 37, c], oc, kernel, strides, [1, 1], pad).unwrap();
                check(&mut random, s);
            }
        }
    }
}

#[test]
fn groups() {
    let mut random = Random::new(5);
    for groups in [2, 3, 4] {
        for cg in [1, 3, 4, 6, 17] {
            for og in [1, 5, 16, 20, 66] {
                for (kernel, pad) in [([1, 1], [0, 0]), ([3, 3], [1, 1])] {
                    let x = [1, 4, 5, cg * groups];
                    let s = shape(x, og * groups, kernel, [1, 1], [1, 1], pad).unwrap();
                    check(&mut random, ConvShape { groups, ..s });
                }
            }
        }
    }
}

#[test]
fn windows_wholly_outside() {
    let mut random = Random::new(6);
    for c in [2, 40] {
        let s = shape([1, 2, 2, c], 18, [2, 2], [1, 1], [1, 1], [4, 4]).unwrap();
        check(&mut random, s);
        check(&mut random, ConvShape { pad: [0, 0], ..s });
    }
}

#[test]
fn extremes_of_both_sides() {
    for weight in [-128, -127, 127] {
        for a in [0, 1, 127, 128, 255] {
            for x_zero_point in [0, 1, 127, 128, 255] {
                let s = ConvShape::linear(3, 67, 18);
                let scale = 1.0 / 17_000.0;
                let d = Data {
                    x: vec![a; s.x_len() + SLACK],
                    weights: (0..s.oc * s.k()).map(|i| if i % 7 == 0 { 1 } else { weight }).collect(),
                    zero_points: vec![],
                    bias: vec![],
                    multiplier: vec![scale; s.oc],
                    offset: vec![],
                };
                check_data(&s, &d, x_zero_point, Output { zero_point: 128, min: 0, max: 255 }, s.oc);
            }
        }
    }
}

#[test]
fn extremes_of_weights_around_their_zero_points() {
    for (weight, zero) in [(-128, 127), (127, -128), (-127, -128), (0, 127)] {
        for a in [0, 255] {
            for x_zero_point in [0, 128, 255] {
                let s = ConvShape::linear(3, 67, 18);
                let d = Data {
                    x: vec![a; s.x_len() + SLACK],
                    weights: vec![weight; s.oc * s.k()],
                    zero_points: (0..s.oc).map(|oc| if oc % 3 == 0 { 0 } else { zero }).collect(),
                    bias: vec![],
                    multiplier: vec![1.0 / 34_000.0; s.oc],
                    offset: vec![],
                };
                check_data(&s, &d, x_zero_point, Output { zero_point: 128, min: 0, max: 255 }, s.oc);
            }
        }
    }
}

#[test]
fn one_weight_of_minus_128_among_others() {
    let mut random = Random::new(7);
    let s = shape([1, 6, 6, 40], 40, [3, 3], [1, 1], [1, 1], [1, 1]).unwrap();
    let mut d = Data::random(&mut random, s.x_len(), s.oc * s.k(), s.oc);
    for at in [0, 777, s.oc * s.k() - 1] {
        d.weights[at] = -128;
        d.x[at % s.x_len()] = 0;
        check_data(&s, &d, 3, Output { zero_point: 128, min: 0, max: 255 }, s.oc);
    }
}

#[test]
fn sums_wrap_and_multipliers_may_be_anything() {
    let mut random = Random::new(8);
    let s = ConvShape::linear(5, 40, 40);
    let mut d = Data::random(&mut random, s.x_len(), s.oc * s.k(), s.oc);
    for (i, bias) in d.bias.iter_mut().enumerate() {
        *bias = [i32::MAX, i32::MIN, 0, i32::MAX - 100_000][i % 4];
    }
    let multipliers = [1.0, -1.0, 0.5, 1e-8, 1e30, -1e30, 0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY, 3e-8];
    for (i, multiplier) in d.multiplier.iter_mut().enumerate() {
        *multiplier = multipliers[i / 4 % multipliers.len()];
    }
    for out in [FULL, Output { zero_point: 200, min: 10, max: 210 }] {
        check_data(&s, &d, 9, out, s.oc);
    }
}

#[test]
fn halves_round_to_even() {
    let s = ConvShape::linear(250, 1, 3);
    let d = Data {
        x: (0..s.x_len() + SLACK).map(|i| i as u8).collect(),
        weights: vec![1, 1, -1],
        zero_points: vec![],
        bias: vec![0, 1, 0],
        multiplier: vec![0.5, 0.5, 0.5],
        offset: vec![],
    };
    let out = Output { zero_point: 100, min: 0, max: 255 };
    check_data(&s, &d, 0, out, 3);
    check_data(&s, &Data { multiplier: vec![1.0; 3], offset: vec![0.5, -0.5, 2.5], ..d }, 0, out, 3);
}

#[test]
fn a_product_that_is_no_number_becomes_the_highest_result() {
    let s = ConvShape::linear(2, 3, 17);
    for isa in Isa::available() {
        let d = Data {
            x: vec![1; s.x_len() + SLACK],
            weights: vec![1; s.oc * s.k()],
            zero_points: vec![],
            bias: vec![],
            multiplier: vec![f32::NAN; s.oc],
            offset: vec![],
        };
        let y = run(isa, &s, &d, 0, Output { zero_point: 50, min: 20, max: 90 }, s.oc);
        assert!(y.iter().all(|&q| q == 90), "{isa}: {y:?}");
    }
}

#[test]
fn packed_weights_depend_on_nothing_but_their_layout() {
    let mut random = Random::new(9);
    for s in [
        ConvShape::linear(4, 37, 41),
        shape([1, 6, 6, 3], 12, [3, 3], [2, 2], [1, 1], [1, 1]).unwrap(),
        shape([1, 6, 6, 48], 20, [3, 3], [2, 2], [1, 1], [1, 1]).unwrap(),
    ] {
        let d = Data::random(&mut random, s.x_len(), s.oc * s.k(), s.oc);
        let packed: Vec<(u32, Vec<u8>)> = Isa::available()
            .into_iter()
            .map(|isa| {
                let conv = made(isa, &s, &d, 5, FULL, s.oc);
                let mut packed = vec![0; conv.packed_len()];
                conv.pack(&d.filter(), &mut packed);
                (conv.layout(), packed)
            })
            .collect();
        let alike = |a: &(u32, Vec<u8>), b: &(u32, Vec<u8>)| a.0 != b.0 || a.1 == b.1;
        assert!(packed.iter().all(|a| a.1.len() == packed[0].1.len() && packed.iter().all(|b| alike(a, b))));
    }
}

#[test]
fn weights_of_another_convolution_are_refused() {
    let s = ConvShape::linear(2, 8, 16);
    for isa in Isa::available() {
        let conv = QConv::new(isa, s, 5, FULL, s.oc);
        let mut packed = vec![0; conv.packed_len()];
        let filter = Filter { weights: &[1; 128], multiplier: &[1.0; 16], ..Filter::default() };
        conv.pack(&filter, &mut packed);
        let others = [
            QConv::new(isa, s, 6, FULL, s.oc),
            QConv::new(isa, s, 5, FULL, s.oc).with_offsets(),
            QConv::new(isa, ConvShape::linear(2, 7, 16), 5, FULL, s.oc),
            QConv::new(isa, ConvShape::linear(2, 8, 15), 5, FULL, s.oc),
        ];
        assert!(conv.accepts(&packed) && others.iter().all(|other| !other.accepts(&packed)));
        assert!(!conv.accepts(&packed[..packed.len() - 1]) && !conv.accepts(&[]));
        for at in 0..64 {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x40;
            assert!(!conv.accepts(&damaged), "byte {at} of the header");
        }
    }
}

#[test]
fn short_slices_panic() {
    let s = shape([1, 4, 4, 8], 16, [3, 3], [1, 1], [1, 1], [1, 1]).unwrap();
    for isa in Isa::available() {
        let conv = QConv::new(isa, s, 5, FULL, s.oc);
        let mut packed = vec![0; conv.packed_len()];
        let weights = vec![1; s.oc * s.k()];
        let filter = Filter { weights: &weights, multiplier: &[1.0; 16], ..Filter::default() };
        conv.pack(&filter, &mut packed);
        let panics = |x: usize, y: usize, rows: usize, packed: &[u8]| {
            let (x, mut y) = (vec![0; x], vec![0; y]);
            let mut scratch = vec![0; conv.scratch_len()];
            catch_unwind(AssertUnwindSafe(|| conv.run(packed, &x, &mut y, 0..rows, &mut scratch))).is_err()
        };
        let x = s.x_len() + SLACK;
        assert!(!panics(x, s.y_len(), s.rows(), &packed));
        assert!(panics(x - 1, s.y_len(), s.rows(), &packed));
        assert!(panics(x, s.y_len() - 1, s.rows(), &packed));
        assert!(panics(x, s.y_len() + s.oc, s.rows() + 1, &packed));
        assert!(panics(x, s.y_len(), s.rows(), &packed[..packed.len() - 1]));
    }
}

/// What the tests above have exercised is all that the processor has, as the operating system sees it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn no_instruction_set_of_this_processor_is_left_out() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags: Vec<&str> =
        info.lines().find(|l| l.starts_with("flags")).unwrap().split_whitespace().collect();
    let has = |names: &[&str]| names.iter().all(|n| flags.contains(n));
    let levels = [
        (Level::Avx2, has(&["avx2", "fma"])),
        (Level::AvxVnni, has(&["avx2", "fma", "avx_vnni"])),
        (Level::Avx512Vnni, has(&["avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"])),
    ];
    let s = ConvShape::linear(7, 9, 64);
    for (level, has) in levels {
        let isa = Isa::available().into_iter().find(|isa| isa.level() == level);
        assert_eq!(isa.is_some(), has, "{}", level.name());
        if let Some(isa) = isa {
            let kernel = QConv::new(isa, s, 0, FULL, s.oc).kernel();
            assert!(kernel.ends_with(level.name()), "{} runs {kernel}", level.name());
        }
    }
}
