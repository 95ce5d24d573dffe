//! The integer arithmetic as docs/arithmetic.md states it, held against exact references.

use ottava_kernels::broadcast::Broadcast;
use ottava_kernels::qbinary::{Operand, QAdd, qadd};
use ottava_kernels::quantize::{dequantize, quantize};
use ottava_kernels::softmax::QSoftmax;
use ottava_kernels::{ConvShape, Filter, Isa, Output, QConv, SLACK};
use proptest::prelude::*;

/// The largest scale with which no value of a tensor overflows.
const MAX_SCALE: f32 = f32::MAX / 255.0;

/// One linear layer of `k` inputs: what it makes of `x` with these weights `[n][k]`.
fn linear(isa: Isa, x: &[u8], zero: u8, weights: &[i8], bias: &[i32], m: &[f32], out: Output) -> Vec<u8> {
    let (k, n) = (x.len(), bias.len());
    let conv = QConv::new(isa, ConvShape::linear(1, k, n), zero, out, n);
    // Packed weights are read in whole lines: the buffer starts at one.
    let mut packed = vec![Line([0; 64]); conv.packed_len() / 64];
    let packed = bytemuck::cast_slice_mut(&mut packed);
    conv.pack(&Filter { weights, bias, multiplier: m, ..Filter::default() }, packed);
    let mut padded = x.to_vec();
    padded.resize(k + SLACK, 0xA5);
    let mut y = vec![0; n];
    let mut scratch = vec![Line([0; 64]); conv.scratch_len().div_ceil(64)];
    conv.run(packed, &padded, &mut y, 0..1, bytemuck::cast_slice_mut(&mut scratch));
    y
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// What becomes of accumulators: they come in as biases of a layer without inputs that count.
fn requantized(isa: Isa, acc: &[i32], m: &[f32], out: Output) -> Vec<u8> {
    linear(isa, &[0], 0, &vec![0; acc.len()], acc, m, out)
}

/// `acc * m` as a fraction `numerator / 2^shift`, exactly.
fn exact_product(acc: i32, m: f32) -> (i128, u32) {
    let bits = m.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32;
    let mantissa = i128::from(bits & 0x7f_ffff) | if exponent == 0 { 0 } else { 1 << 23 };
    let power = exponent.max(1) - 150;
    assert!((-90..=0).contains(&power), "multipliers in these tests are between 2^-67 and 2^23");
    (i128::from(acc) * mantissa, -power as u32)
}

/// A fraction rounded half to even, and its distance from the nearest tie in steps.
fn round_exactly(numerator: i128, shift: u32) -> (i128, f64) {
    let one = 1i128 << shift;
    let (floor, rest) = (numerator.div_euclid(one), numerator.rem_euclid(one));
    let up = rest * 2 > one || (rest * 2 == one && floor % 2 != 0);
    let from_tie = (rest * 2 - one).unsigned_abs() as f64 / (one * 2) as f64;
    (floor + i128::from(up), from_tie)
}

/// Multipliers as networks have them, and some far off.
fn multiplier() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => (0.5f32..1.0, 0..24i32).prop_map(|(f, e)| f * 2f32.powi(-e)),
        1 => (0.5f32..1.0, -20..66i32).prop_map(|(f, e)| f * 2f32.powi(-e)),
        1 => (0..30i32).prop_map(|e| 2f32.powi(-e)),
    ]
}

/// Accumulators of every magnitude.
fn accumulator() -> impl Strategy<Value = i32> {
    prop_oneof![
        (any::<i32>(), 0..31u32).prop_map(|(v, s)| v >> s),
        Just(i32::MAX),
        Just(i32::MIN),
        Just(1 << 24),
        Just((1 << 24) + 1),
    ]
}

fn output() -> impl Strategy<Value = Output> {
    (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(zero_point, a, b)| Output {
        zero_point,
        min: a.min(b),
        max: a.max(b),
    })
}

/// Any scale that a tensor may have.
fn scale() -> impl Strategy<Value = f32> {
    prop_oneof![
        3 => 1e-6f32..10.0,
        1 => (f32::MIN_POSITIVE.to_bits()..=MAX_SCALE.to_bits()).prop_map(f32::from_bits),
        1 => Just(f32::MIN_POSITIVE),
        1 => Just(MAX_SCALE),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn requantize_is_the_exact_product_rounded(acc in accumulator(), m in multiplier(), out in output()) {
        let q = i128::from(requantized(Isa::SCALAR, &[acc], &[m], out)[0]);
        let (numerator, shift) = exact_product(acc, m);
        let (rounded, from_tie) = round_exactly(numerator, shift);
        let (zero, low, high) = (i128::from(out.zero_point), i128::from(out.min), i128::from(out.max));
        let exact = (rounded + zero).clamp(low, high);
        // Only so near to a tie may f32 round to the other side.
        if from_tie > 2f64.powf(-14.99) {
            prop_assert_eq!(q, exact);
        } else {
            prop_assert!((q - exact).abs() <= 1, "{} instead of {}", q, exact);
        }
        // A power of two only moves the point: nothing but the conversion of a long accumulator rounds.
        if acc.unsigned_abs() <= 1 << 24 && m.to_bits() & 0x7f_ffff == 0 {
            prop_assert_eq!(q, exact);
        }
    }

    #[test]
    fn requantize_is_monotone(a in accumulator(), b in accumulator(), m in multiplier(), out in output()) {
        let y = requantized(Isa::SCALAR, &[a.min(b), a.max(b)], &[m, m], out);
        prop_assert!(y[0] <= y[1]);
    }

    #[test]
    fn clamps_fold_into_the_output_range(acc in accumulator(), m in multiplier(), out in output()) {
        let full = Output { min: 0, max: 255, ..out };
        let clamped = requantized(Isa::SCALAR, &[acc], &[m], out)[0];
        let after = requantized(Isa::SCALAR, &[acc], &[m], full)[0].clamp(out.min, out.max);
        prop_assert_eq!(clamped, after);
    }

    #[test]
    fn quantize_undoes_dequantize(s in scale(), zero in any::<u8>()) {
        let codes: Vec<u8> = (0..=255).collect();
        let mut reals = vec![0f32; 256];
        let mut back = vec![0u8; 256];
        for isa in Isa::available() {
            dequantize(isa, &codes, s, zero, &mut reals);
            quantize(isa, &reals, s, zero, &mut back);
            prop_assert_eq!(&back, &codes);
        }
        prop_assert_eq!(reals[usize::from(zero)], 0.0);
    }

    #[test]
    fn quantized_values_are_within_half_a_step(s in 1e-6f32..10.0, zero in any::<u8>(), t in 0.0f64..1.0) {
        let (z, wide) = (f64::from(zero), f64::from(s));
        let x = ((-z + t * 255.0) * wide) as f32;
        let (mut q, mut back) = ([0u8], [0f32]);
        quantize(Isa::SCALAR, &[x], s, zero, &mut q);
        dequantize(Isa::SCALAR, &q, s, zero, &mut back);
        prop_assert!((f64::from(back[0]) - f64::from(x)).abs() <= wide * (0.5 + 1e-4));
    }

    #[test]
    fn sums_are_within_half_a_step(
        a in any::<[u8; 40]>(), b in any::<[u8; 40]>(), zeros in any::<[u8; 2]>(),
        ma in 0.01f32..2.0, mb in 0.01f32..2.0, out in output(),
    ) {
        let walk = Broadcast::new(&[40], [&[40], &[40]]).unwrap();
        let [a_of, b_of] = [(ma, zeros[0]), (mb, zeros[1])].map(|(scale, zero_point)| Operand { scale, zero_point });
        let op = QAdd::new(a_of, b_of, 1.0, out);
        let mut first = None;
        for isa in Isa::available() {
            let mut y = [0u8; 40];
            qadd(isa, &op, &walk, &a, &b, &mut y);
            for i in 0..40 {
                let term = |q: u8, z: u8, m: f32| (f64::from(q) - f64::from(z)) * f64::from(m);
                let exact = term(a[i], zeros[0], ma) + term(b[i], zeros[1], mb) + f64::from(out.zero_point);
                let exact = exact.clamp(f64::from(out.min), f64::from(out.max));
                prop_assert!((f64::from(y[i]) - exact).abs() <= 0.5 + 2f64.powi(-13), "{} for {exact}", y[i]);
            }
            prop_assert_eq!(*first.get_or_insert(y), y, "{}", isa);
        }
    }

    #[test]
    fn softmax_sums_to_one(x in proptest::collection::vec(any::<u8>(), 1..40), s in 1e-4f32..1.0) {
        let mut y = vec![0u8; x.len()];
        QSoftmax::new(s, 1.0 / 256.0, 0).run([1, x.len(), 1], &x, &mut y);
        // Each of the outputs is rounded by half a step at most; one that would be 1 saturates at 255/256.
        let sum: i32 = y.iter().map(|&q| i32::from(q)).sum();
        prop_assert!((sum - 256).abs() <= 1 + x.len() as i32 / 2, "{sum}");
        let order = |i: usize, j: usize| x[i] <= x[j] && y[i] > y[j];
        prop_assert!(!(0..x.len()).any(|i| (0..x.len()).any(|j| order(i, j))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_instruction_set_requantizes_alike(
        acc in proptest::collection::vec(accumulator(), 1..70),
        m in proptest::collection::vec(multiplier(), 70),
        out in output(),
    ) {
        let m = &m[..acc.len()];
        let scalar = requantized(Isa::SCALAR, &acc, m, out);
        for isa in Isa::available() {
            prop_assert_eq!(&requantized(isa, &acc, m, out), &scalar, "{}", isa);
        }
    }

    #[test]
    fn zero_points_fold_into_the_bias(
        x in proptest::collection::vec(any::<u8>(), 1..80),
        w in proptest::collection::vec(any::<i8>(), 80),
        zero in any::<u8>(),
        bias in -10_000..10_000i32,
        m in multiplier(),
        out in output(),
    ) {
        let w = &w[..x.len()];
        let products = x.iter().zip(w).map(|(&a, &w)| (i32::from(a) - i32::from(zero)) * i32::from(w));
        let sum = bias + products.sum::<i32>();
        let exact = requantized(Isa::SCALAR, &[sum], &[m], out);
        for isa in Isa::available() {
            prop_assert_eq!(&linear(isa, &x, zero, w, &[bias], &[m], out), &exact, "{}", isa);
        }
    }
}

const FULL: Output = Output { zero_point: 0, min: 0, max: 255 };

/// The sum that a layer computes, read off through multipliers that show 8 bits of it each.
#[track_caller]
fn assert_sum(x: &[u8], zero: u8, w: &[i8], bias: i32, sum: i64) {
    let sum = i32::try_from(sum).expect("within the bound");
    // A scale at which the sum shows as about 200: a wrapped or saturated one would be far away.
    let m = 200.0 / sum.unsigned_abs() as f32;
    let out = if sum < 0 { Output { zero_point: 255, ..FULL } } else { FULL };
    let want = requantized(Isa::SCALAR, &[sum], &[m], out);
    assert!((50..=205).contains(&want[0]), "the test can see the sum: {}", want[0]);
    for isa in Isa::available() {
        assert_eq!(linear(isa, x, zero, w, &[bias], &[m], out), want, "{isa}");
    }
}

#[test]
fn accumulators_are_exact_up_to_the_bound() {
    let k = 66_311;
    let most = k as i64 * 255 * 127;
    assert!(most <= i64::from(i32::MAX) && most + 255 * 127 > i64::from(i32::MAX));
    assert_sum(&vec![255; k], 0, &vec![127; k], 0, most);
    assert_sum(&vec![255; k], 0, &vec![127; k], i32::MAX - most as i32, i64::from(i32::MAX));
    assert_sum(&vec![255; k], 0, &vec![-127; k], 0, -most);
    assert_sum(&vec![0; k], 255, &vec![127; k], 0, -most);
}

#[test]
fn partial_sums_may_wrap() {
    // The sum of a * w is nearly twice what an i32 holds; that of (a - 128) * w fits.
    let k = 132_104;
    assert!(k as i64 * 255 * 127 > i64::from(i32::MAX) && k as i64 * 128 * 127 <= i64::from(i32::MAX));
    assert_sum(&vec![255; k], 128, &vec![127; k], 0, k as i64 * 127 * 127);
    assert_sum(&vec![0; k], 128, &vec![127; k], 0, k as i64 * -128 * 127);
}

#[test]
fn extreme_values_do_not_saturate() {
    for k in [1, 2, 3, 4, 7, 8, 64, 65] {
        for w in [-128i8, -127, -1, 1, 127] {
            for x in [0u8, 1, 127, 128, 129, 255] {
                for zero in [0u8, 1, 128, 254] {
                    let sum = k as i64 * (i64::from(x) - i64::from(zero)) * i64::from(w);
                    if sum != 0 {
                        assert_sum(&vec![x; k], zero, &vec![w; k], 0, sum);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_quantizes_to_zero() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::MIN_POSITIVE];
    for isa in Isa::available() {
        let mut q = [0u8; 6];
        quantize(isa, &x, 0.5, 7u8, &mut q);
        assert_eq!(q, [7, 255, 0, 7, 255, 7], "{isa}");
        let mut q = [0i8; 6];
        quantize(isa, &x, 0.5, -7i8, &mut q);
        assert_eq!(q, [-7, 127, -128, -7, 127, -7], "{isa}");
    }
}
