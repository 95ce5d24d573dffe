//! Fourier transforms against their sums, windows, and attention against the products that it abbreviates.

use crate::build::*;
use crate::control::answer;
use ottava::import::onnx::proto::{AttributeProto, data_type};
use std::f64::consts::TAU;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) / 13 % 17) as f32 * 0.25 - 2.0).collect()
}

/// The transform of complex numbers to `count` frequencies.
fn transform(x: &[[f64; 2]], count: usize, sign: f64) -> Vec<[f64; 2]> {
    let at = |k: usize| {
        x.iter().take(count).enumerate().fold([0.0, 0.0], |[re, im], (n, &[a, b])| {
            let angle = sign * TAU * (k * n) as f64 / count as f64;
            let (sin, cos) = angle.sin_cos();
            [re + a * cos - b * sin, im + a * sin + b * cos]
        })
    };
    (0..count).map(at).collect()
}

fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() < 1e-4, "{what}, element {i}: {got}, not {want}");
    }
}

#[test]
fn frames_are_transformed() {
    let (len, count, step) = (23, 8, 3);
    let x = numbers(2 * len, 1);
    let window: Vec<f32> = (0..count).map(|i| 0.25 + i as f32 * 0.125).collect();
    for one_sided in [1, 0] {
        let model = Builder::new(17).input("x", &[2, len as i64, 1]);
        let model = model.constant(ints("step", &[step as i64])).constant(floats("w", &[8], &window));
        let model = model.node("STFT", "x step w", "y", &[int("onesided", one_sided)]).output("y");
        let (shape, y) = answer(&model, &[&x]);
        let (frames, bins) = ((len - count) / step + 1, if one_sided == 1 { 5 } else { 8 });
        assert_eq!(shape, [2, frames, bins, 2]);
        let mut want = vec![];
        for (n, f) in (0..2).flat_map(|n| (0..frames).map(move |f| (n, f))) {
            let from = n * len + f * step;
            let frame = x[from..from + count].iter().zip(&window).map(|(x, w)| [f64::from(x * w), 0.0]);
            let all = transform(&frame.collect::<Vec<_>>(), count, -1.0);
            want.extend(all[..bins].iter().flatten());
        }
        close(&y, &want, "frames");
    }
}

#[test]
fn dimensions_are_transformed() {
    // Operator set 17: the axis is an attribute. Real parts only, longer and shorter than the input.
    let x = numbers(2 * 6, 2);
    for count in [6, 4, 9] {
        let model = Builder::new(17).input("x", &[2, 6, 1]).constant(ints("n", &[count]));
        let attrs = [int("axis", 1), int("onesided", 1)];
        let (shape, y) = answer(&model.node("DFT", "x n", "y", &attrs).output("y"), &[&x]);
        let (count, bins) = (count as usize, count as usize / 2 + 1);
        assert_eq!(shape, [2, bins, 2]);
        let row =
            |x: &[f32]| transform(&x.iter().map(|&v| [f64::from(v), 0.0]).collect::<Vec<_>>(), count, -1.0);
        let want: Vec<f64> = x.chunks(6).flat_map(|x| row(x)[..bins].concat()).collect();
        close(&y, &want, "real");
    }
    // Operator set 20: it is an input; complex, along the first of two, and back.
    let x = numbers(3 * 4 * 2, 3);
    let model = Builder::new(20).input("x", &[1, 3, 4, 2]).constant(ints("a", &[1]));
    let forth = model.clone().node("DFT", "x - a", "y", &[]).output("y");
    let (shape, y) = answer(&forth, &[&x]);
    assert_eq!(shape, [1, 3, 4, 2]);
    let mut want = vec![0.0; x.len()];
    for column in 0..4 {
        let line: Vec<[f64; 2]> =
            (0..3).map(|n| [0, 1].map(|p| f64::from(x[(n * 4 + column) * 2 + p]))).collect();
        for (k, value) in transform(&line, 3, -1.0).iter().enumerate() {
            want[(k * 4 + column) * 2..][..2].copy_from_slice(value);
        }
    }
    close(&y, &want, "complex");
    let back =
        model.node("DFT", "x - a", "f", &[]).node("DFT", "f - a", "y", &[int("inverse", 1)]).output("y");
    close(&answer(&back, &[&x]).1, &x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), "there and back");
    let half = Builder::new(20).input("x", &[1, 5, 2]);
    let half = half.node("DFT", "x", "y", &[int("inverse", 1), int("onesided", 1)]).output("y");
    assert!(half.refusal().contains("one-sided inverse"));
}

#[test]
fn windows_are_sums_of_cosines() {
    let window = |op: &str, periodic: i64| {
        let model = Builder::new(17).input("x", &[5]).constant(ints("n", &[5]));
        let model = model.node(op, "n", "w", &[int("periodic", periodic)]).node("Add", "x w", "y", &[]);
        answer(&model.output("y"), &[&[0.0; 5]]).1
    };
    close(&window("HannWindow", 0), &[0.0, 0.5, 1.0, 0.5, 0.0], "Hann");
    let cosine = |i: f64| (TAU * i / 5.0).cos();
    let hann: Vec<f64> = (0..5).map(|i| 0.5 - 0.5 * cosine(f64::from(i))).collect();
    close(&window("HannWindow", 1), &hann, "Hann, periodic");
    close(&window("BlackmanWindow", 0), &[0.0, 0.34, 1.0, 0.34, 0.0], "Blackman");
    let edge = 4.0 / 46.0;
    close(&window("HammingWindow", 0), &[edge, 25.0 / 46.0, 1.0, 25.0 / 46.0, edge], "Hamming");
}

/// `softmax(q k^T / sqrt(4) + mask) v` of two heads, taken apart.
fn apart(mask: &str) -> Builder {
    let model = Builder::new(23).constant(floats("scale", &[], &[0.5]));
    let perm = int_list("perm", &[0, 1, 3, 2]);
    let model = model.node("Transpose", "k", "kt", &[perm]).node("MatMul", "q kt", "s", &[]);
    let model = model.node("Mul", "s scale", "t", &[]).node("Add", &format!("t {mask}"), "m", &[]);
    model.node("Softmax", "m", "p", &[]).node("MatMul", "p v", "y", &[]).output("y")
}

fn with_inputs(mut model: Builder, keys: i64) -> Builder {
    for (name, len) in [("q", 3), ("k", keys), ("v", keys)] {
        model.graph().input.push(value(name, data_type::FLOAT, &[1, 2, len, 4]));
    }
    model
}

#[test]
fn attention_is_what_it_abbreviates() {
    let hidden = f32::NEG_INFINITY;
    for (keys, mask, attrs) in [
        (5usize, floats("mask", &[3, 5], &numbers(15, 9)), vec![]),
        (
            3,
            floats("mask", &[3, 3], &[0.0, hidden, hidden, 0.0, 0.0, hidden, 0.0, 0.0, 0.0]),
            vec![int("is_causal", 1)],
        ),
        (3, floats("mask", &[3, 3], &[0.0, hidden, 0.0, hidden, 0.0, 0.0, 0.0, 0.0, 0.0]), vec![]),
    ] {
        let inputs = [numbers(24, 1), numbers(8 * keys, 2), numbers(8 * keys, 3)];
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let want = answer(&with_inputs(apart("mask").constant(mask.clone()), keys as i64), &inputs);
        let whole = |model: Builder, names: &str, attrs: &[AttributeProto]| {
            with_inputs(model.node("Attention", names, "y", attrs).output("y"), keys as i64)
        };
        let got = match attrs.is_empty() {
            false => answer(&whole(Builder::new(23), "q k v", &attrs), &inputs),
            true => answer(&whole(Builder::new(23).constant(mask), "q k v mask", &attrs), &inputs),
        };
        assert_eq!(got.0, want.0);
        close(&got.1, &want.1.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), "attention");
    }
    // What is not seen may be said in truth values.
    let truth = bytes("mask", &[3, 3], data_type::BOOL, &[1, 0, 1, 0, 1, 1, 1, 1, 1]);
    let floats = floats("mask", &[3, 3], &[0.0, hidden, 0.0, hidden, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let inputs = [numbers(24, 1), numbers(24, 2), numbers(24, 3)];
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let model = |mask| {
        let model = Builder::new(23).constant(mask).node("Attention", "q k v mask", "y", &[]).output("y");
        answer(&with_inputs(model, 3), &inputs)
    };
    assert_eq!(model(truth), model(floats));
}

#[test]
fn heads_may_lie_in_the_channels() {
    let perm = || int_list("perm", &[0, 2, 1, 3]);
    let flat = Builder::new(23).input("x", &[1, 3, 8]).node(
        "Attention",
        "x x x",
        "y",
        &[int("q_num_heads", 2), int("kv_num_heads", 2)],
    );
    let model = Builder::new(23).input("x", &[1, 3, 8]).constant(ints("heads", &[1, 3, 2, 4]));
    let model = model.node("Reshape", "x heads", "h", &[]).node("Transpose", "h", "t", &[perm()]);
    let model = model.node("Attention", "t t t", "a", &[]).node("Transpose", "a", "b", &[perm()]);
    let model = model.constant(ints("flat", &[1, 3, 8])).node("Reshape", "b flat", "y", &[]);
    let x = numbers(24, 4);
    assert_eq!(answer(&flat.output("y"), &[&x]), answer(&model.output("y"), &[&x]));
    let causal = Builder::new(23).input("q", &[1, 2, 3, 4]).input("k", &[1, 2, 5, 4]);
    let causal = causal.node("Attention", "q k k", "y", &[int("is_causal", 1)]).output("y");
    assert!(causal.refusal().contains("as many queries as keys"));
}
