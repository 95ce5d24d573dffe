//! Products of inputs whose quantization comes with the data have the bits of their definition, everywhere.

use crate::definition::{self, Data, Random};
use ottava_kernels::qconv::{DynamicQConv, Source};
use ottava_kernels::{ConvShape, Isa};

/// Runs all rows in two parts; what lies behind them must stay as it is.
fn run(conv: &DynamicQConv, shape: &ConvShape, d: &Data, bias: &[f32], source: Source) -> Vec<u32> {
    let mut packed = vec![0xEE; conv.packed_len()];
    conv.pack(&d.filter(), bias, &mut packed);
    assert!(conv.accepts(&packed));
    let mut scratch = vec![0xEE; conv.scratch_len()];
    let (rows, row) = (shape.rows(), 4 * shape.oc);
    let mut y = vec![0xA5; (rows + 1) * row];
    let (first, second) = y.split_at_mut(rows / 3 * row);
    conv.run(&packed, &d.x, source, first, 0..rows / 3, &mut scratch);
    conv.run(&packed, &d.x, source, second, rows / 3..rows, &mut scratch);
    assert!(y[rows * row..].iter().all(|&b| b == 0xA5), "{} wrote behind {shape:?}", conv.kernel());
    y[..rows * row].chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn check(random: &mut Random, shape: &ConvShape, weights: impl Fn(i8) -> i8) {
    let mut d = Data::random(random, shape.x_len(), shape.oc * shape.k(), shape.oc);
    d.weights.iter_mut().for_each(|w| *w = weights(*w));
    d.bias.clear();
    d.offset.clear();
    let scale = random.pick(&[1.0, 0.037, 1e-20, 3e30, f32::INFINITY]);
    let source = Source { scale, zero_point: random.pick(&[0, 1, 127, 128, 255]) };
    let bounds = random.pick(&[[f32::NEG_INFINITY, f32::INFINITY], [0.0, 6.0], [-3.5, 250.25]]);
    let odd = [0.0, -0.0, 1.5, f32::MAX, f32::NAN, f32::NEG_INFINITY, -7.25];
    let bias: Vec<f32> = (0..shape.oc).map(|_| random.pick(&odd)).collect();
    let sums = definition::conv_sums(shape, &d, source.zero_point);
    let reals = sums.iter().enumerate().map(|(i, &sum)| {
        let c = i % shape.oc;
        let real = sum as i32 as f32 * (scale * d.multiplier[c]) + bias[c];
        // Not `clamp`: what is not a number stays so.
        if real > bounds[1] {
            bounds[1]
        } else if real < bounds[0] {
            bounds[0]
        } else {
            real
        }
    });
    let reals: Vec<f32> = reals.collect();
    for isa in Isa::available() {
        let y = run(&DynamicQConv::sums(isa, *shape), shape, &d, &[], source);
        assert!(y.iter().zip(&sums).all(|(&y, &sum)| y == sum as i32 as u32), "{isa}: sums of {shape:?}");
        let y = run(&DynamicQConv::reals(isa, *shape, bounds), shape, &d, &bias, source);
        let same = |(&y, &e): (&u32, &f32)| y == e.to_bits() || (e.is_nan() && f32::from_bits(y).is_nan());
        let wrong = y.iter().zip(&reals).position(|pair| !same(pair));
        if let Some(i) = wrong {
            panic!("{isa}: {shape:?} at {i}: {} is not {}", f32::from_bits(y[i]), reals[i]);
        }
    }
}

#[test]
fn products_around_every_tile_edge() {
    let mut random = Random::new(21);
    for oc in (1..=35).chain([47, 48, 49, 63, 64, 65, 80, 129]) {
        for rows in [1, 2, 3, 5, 6, 7, 9, 12, 13, 16, 17, 33] {
            let shape = ConvShape::linear(rows, random.pick(&[1, 3, 4, 9, 20, 65]), oc);
            check(&mut random, &shape, |w| w);
        }
    }
}

#[test]
fn windows_groups_and_the_least_weight() {
    let mut random = Random::new(22);
    for (c, oc, groups) in [(1, 5, 1), (3, 17, 1), (40, 33, 1), (6, 34, 2), (8, 12, 4), (9, 9, 9)] {
        let (kernel, strides, pad) = ([3, 3], [2, 1], [1, 1]);
        let (n, h, w, oh, ow) = (2, 7, 5, 4, 5);
        let shape = ConvShape { n, h, w, c, oc, kernel, strides, dilations: [1, 1], pad, oh, ow, groups };
        check(&mut random, &shape, |w| w);
        check(&mut random, &shape, |w| if w < -100 { -128 } else { w });
    }
}

#[test]
fn extreme_values_do_not_saturate() {
    let mut random = Random::new(23);
    for k in [1, 2, 7, 64, 300] {
        check(&mut random, &ConvShape::linear(5, k, 19), |_| 127);
        check(&mut random, &ConvShape::linear(5, k, 19), |_| -127);
    }
}
