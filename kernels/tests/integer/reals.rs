//! Sums that leave as f32 have the bits of their definition, on every instruction set.

use crate::definition::{self, Data, Random};
use ottava_kernels::qconv::QConv;
use ottava_kernels::{ConvShape, Isa};

const UNBOUND: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Runs all rows in two parts; what lies behind them must stay as it is.
fn run(isa: Isa, shape: &ConvShape, d: &Data, x_zero_point: u8, bounds: [f32; 2]) -> Vec<u32> {
    let conv = QConv::to_f32(isa, *shape, x_zero_point, bounds);
    let conv = if d.offset.is_empty() { conv } else { conv.with_offsets() };
    let mut packed = vec![0xEE; conv.packed_len()];
    conv.pack(&d.filter(), &mut packed);
    let mut scratch = vec![0xEE; conv.scratch_len()];
    let (rows, row) = (shape.rows(), 4 * shape.oc);
    let mut y = vec![0xA5; (rows + 1) * row];
    let (first, second) = y.split_at_mut(rows / 3 * row);
    conv.run(&packed, &d.x, first, 0..rows / 3, &mut scratch);
    conv.run(&packed, &d.x, second, rows / 3..rows, &mut scratch);
    assert!(y[rows * row..].iter().all(|&b| b == 0xA5), "{} wrote behind {shape:?}", conv.kernel());
    y[..rows * row].chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn check(shape: &ConvShape, d: &Data, x_zero_point: u8, bounds: [f32; 2]) {
    let expected = definition::conv_reals(shape, d, x_zero_point, bounds);
    for isa in Isa::available() {
        let y = run(isa, shape, d, x_zero_point, bounds);
        if let Some(i) = (0..y.len()).find(|&i| y[i] != expected[i].to_bits()) {
            let (row, oc, got) = (i / shape.oc, i % shape.oc, f32::from_bits(y[i]));
            panic!("{isa}: {shape:?} row {row} channel {oc}: {got} is not {}", expected[i]);
        }
    }
}

fn random(random: &mut Random, shape: &ConvShape) -> (Data, u8) {
    let d = Data::random(random, shape.x_len(), shape.oc * shape.k(), shape.oc);
    (d, random.pick(&[0, 1, 127, 128, 255]))
}

#[test]
fn every_tail_of_channels_around_every_tile_edge() {
    let mut generator = Random::new(11);
    for oc in (1..=67).chain([80, 81, 129]) {
        for rows in [1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 33] {
            let shape = ConvShape::linear(rows, generator.pick(&[1, 3, 4, 9, 20]), oc);
            let (d, zero) = random(&mut generator, &shape);
            check(&shape, &d, zero, generator.pick(&[UNBOUND, [0.0, 6.0], [-3.5, 250.25]]));
        }
    }
}

#[test]
fn windows_and_groups() {
    let mut generator = Random::new(12);
    for (c, oc, groups) in [(1, 5, 1), (3, 17, 1), (40, 33, 1), (6, 34, 2), (8, 12, 4)] {
        let (kernel, strides, pad) = ([3, 3], [2, 1], [1, 1]);
        let (n, h, w, oh, ow) = (2, 7, 5, 4, 5);
        let shape = ConvShape { n, h, w, c, oc, kernel, strides, dilations: [1, 1], pad, oh, ow, groups };
        let (d, zero) = random(&mut generator, &shape);
        check(&shape, &d, zero, UNBOUND);
    }
}

#[test]
fn multipliers_that_are_no_numbers_give_bounds() {
    let mut generator = Random::new(13);
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE, f32::MAX, 1e-45, -1.0];
    for bounds in [UNBOUND, [0.0, 6.0], [-0.0, 0.0], [-1e30, 1e30]] {
        for oc in [8, 16, 24, 40, 72] {
            let shape = ConvShape::linear(17, 5, oc);
            let (mut d, zero) = random(&mut generator, &shape);
            d.multiplier.iter_mut().zip(odd.iter().cycle()).for_each(|(m, &odd)| *m = odd);
            // Sums of 0 make an infinite multiplier no number.
            d.bias.iter_mut().step_by(3).for_each(|b| *b = 0);
            d.x[..5].fill(zero);
            check(&shape, &d, zero, bounds);
        }
    }
}
