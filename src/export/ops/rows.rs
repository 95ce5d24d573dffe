//! Rows of floats that become bytes as they come: `docs/arithmetic.md`, section 8.

use super::super::onnx::Writer;
use crate::graph::*;

/// Bytes (u8), scale (f32) and zero point (i32) of each row, or of all rows together.
pub(super) fn quantized(w: &mut Writer, rows: RowQuant, x: &str) -> [String; 3] {
    match rows {
        RowQuant::Shared => together(w, x),
        RowQuant::Each => each(w, x),
        RowQuant::Symmetric => symmetric(w, x),
        RowQuant::Asymmetric => asymmetric(w, x),
    }
}

fn together(w: &mut Writer, x: &str) -> [String; 3] {
    let [codes, scale, zero] = ["codes", "scale", "zero"].map(|tag| w.fresh_local(tag));
    let outputs = vec![codes.clone(), scale.clone(), zero.clone()];
    w.push_many(("", "DynamicQuantizeLinear"), &[x.to_string()], outputs, vec![]);
    [codes, scale, w.cast(&zero, DType::I32)]
}

/// The least and the greatest value of each row and 0.
fn extremes(w: &mut Writer, x: &str) -> [String; 2] {
    let (last, zero) = (w.int_vector(&[-1]), w.float_value(0.0));
    [("ReduceMin", "Min"), ("ReduceMax", "Max")].map(|(over_row, with_zero)| {
        let found = w.calc(over_row, &[x, &last], vec![]);
        w.calc(with_zero, &[&found, &zero], vec![])
    })
}

fn each(w: &mut Writer, x: &str) -> [String; 3] {
    let [zero, one, most] = [0.0, 1.0, 255.0].map(|v| w.float_value(v));
    let [low, high] = extremes(w, x);
    let range = w.calc("Sub", &[&high, &low], vec![]);
    let none = w.calc("Equal", &[&range, &zero], vec![]);
    let step = w.calc("Div", &[&range, &most], vec![]);
    let scale = w.calc("Where", &[&none, &one, &step], vec![]);
    let below = w.calc("Div", &[&low, &scale], vec![]);
    let below = w.calc("Sub", &[&zero, &below], vec![]);
    let below = w.calc("Clip", &[&below, &zero, &most], vec![]);
    let point = w.calc("Round", &[&below], vec![]);
    let steps = w.calc("Div", &[x, &scale], vec![]);
    let steps = w.calc("Round", &[&steps], vec![]);
    let codes = w.calc("Add", &[&steps, &point], vec![]);
    let codes = w.calc("Clip", &[&codes, &zero, &most], vec![]);
    [w.cast(&codes, DType::U8), scale, w.cast(&point, DType::I32)]
}

fn symmetric(w: &mut Writer, x: &str) -> [String; 3] {
    let [zero, one, most] = [0.0, 1.0, 127.0].map(|v| w.float_value(v));
    let [low, high] = extremes(w, x);
    let low = w.calc("Neg", &[&low], vec![]);
    let range = w.calc("Max", &[&low, &high], vec![]);
    let none = w.calc("Equal", &[&range, &zero], vec![]);
    let step = w.calc("Div", &[&range, &most], vec![]);
    let scale = w.calc("Where", &[&none, &one, &step], vec![]);
    let factor = w.calc("Div", &[&most, &range], vec![]);
    let factor = w.calc("Where", &[&none, &zero, &factor], vec![]);
    let codes = w.calc("Mul", &[x, &factor], vec![]);
    let codes = signed_bytes(w, &codes, -127.0);
    let zero = w.initializer("zero_point", DType::I32, &[], &Data::from_slice(&[128i32]));
    [codes, scale, zero]
}

fn asymmetric(w: &mut Writer, x: &str) -> [String; 3] {
    let [zero, one] = [0.0, 1.0].map(|v| w.float_value(v));
    let [low, high] = extremes(w, x);
    let none = w.calc("Equal", &[&low, &high], vec![]);
    let [low, high] = [low, high].map(|v| w.cast(&v, DType::F64));
    let range = w.calc("Sub", &[&high, &low], vec![]);
    let [steps, least, most, half] = [255.0, -128.0, 127.0, 0.5].map(|v| double(w, v));
    let step = w.calc("Div", &[&range, &steps], vec![]);
    let below = w.calc("Div", &[&low, &step], vec![]);
    let above = w.calc("Div", &[&high, &step], vec![]);
    // The same real in two ways, of which the one with the smaller terms is rounded less.
    let size = |w: &mut Writer, v: &str, from: f64| {
        let from = double(w, from);
        let size = w.calc("Abs", &[v], vec![]);
        w.calc("Add", &[&size, &from], vec![])
    };
    let sizes = [size(w, &below, 128.0), size(w, &above, 127.0)];
    let first = w.calc("Less", &[&sizes[0], &sizes[1]], vec![]);
    let below = w.calc("Sub", &[&least, &below], vec![]);
    let above = w.calc("Sub", &[&most, &above], vec![]);
    let point = w.calc("Where", &[&first, &below, &above], vec![]);
    // Halves go away from 0.
    let sign = w.calc("Sign", &[&point], vec![]);
    let point = w.calc("Abs", &[&point], vec![]);
    let point = w.calc("Add", &[&point, &half], vec![]);
    let point = w.calc("Floor", &[&point], vec![]);
    let point = w.calc("Mul", &[&sign, &point], vec![]);
    let point = w.calc("Clip", &[&point, &least, &most], vec![]);
    let point = w.cast(&point, DType::F32);
    let point = w.calc("Where", &[&none, &zero, &point], vec![]);
    let scale = w.cast(&step, DType::F32);
    let scale = w.calc("Where", &[&none, &one, &scale], vec![]);
    let factor = w.calc("Div", &[&one, &scale], vec![]);
    let factor = w.calc("Where", &[&none, &zero, &factor], vec![]);
    let codes = w.calc("Mul", &[x, &factor], vec![]);
    let codes = w.calc("Add", &[&codes, &point], vec![]);
    let codes = signed_bytes(w, &codes, -128.0);
    let up = w.float_value(128.0);
    let point = w.calc("Add", &[&point, &up], vec![]);
    [codes, scale, w.cast(&point, DType::I32)]
}

/// From signed integers that are not rounded yet to bytes, 128 more.
fn signed_bytes(w: &mut Writer, x: &str, least: f32) -> String {
    let [least, most, up] = [least, 127.0, 128.0].map(|v| w.float_value(v));
    let codes = w.calc("Clip", &[x, &least, &most], vec![]);
    let codes = w.calc("Round", &[&codes], vec![]);
    let codes = w.calc("Add", &[&codes, &up], vec![]);
    w.cast(&codes, DType::U8)
}

fn double(w: &mut Writer, value: f64) -> String {
    let base = format!("{}/double", w.scope);
    w.initializer(&base, DType::F64, &[], &Data::from_slice(&[value]))
}
