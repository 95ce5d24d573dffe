//! Quantization with a scale that is found in the data.
//!
//! ```text
//! lo = min(0, least x)    hi = max(0, greatest x)            (what is not a number is left out)
//! scale      = (hi - lo) / 255, or 1 if hi = lo
//! zero_point = round_half_even(clamp(0 - lo / scale, 0, 255))
//! q          = quantize(x, scale, zero_point)
//! ```
//!
//! That is ONNX's `DynamicQuantizeLinear`, as ONNX Runtime computes it. TensorFlow Lite has two ways of its own for rows
//! that meet i8 weights ([`RowQuant`]), whose integers are signed:
//!
//! ```text
//! symmetric:  r = max(-lo, hi)    scale = r / 127    zero_point = 0    q = round_half_even(clamp(x * (127 / r), -127, 127))
//! asymmetric: scale = f32((hi - lo) / 255)           zero_point = round(clamp(z, -128, 127))           in f64
//!             z = -128 - lo / scale, or 127 - hi / scale where |hi| < |lo|
//!             q = round_half_even(clamp(x * (1 / scale) + zero_point, -128, 127))
//! ```
//!
//! with scale 1 and zero point 0 where lo = hi. Here they are 128 more, as all bytes of activations.

use crate::multiversion::multiversion;
use crate::quantize::quantize;
use crate::round::{clamp_f32, round_to_i32};
use crate::{Isa, Source};

/// How rows of floats become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowQuant {
    /// Each row with a scale and zero point of its own, as ONNX does it.
    Each,
    /// All rows of a product together, as ONNX does it.
    Shared,
    /// Each row in steps that lie around 0, as TensorFlow Lite does it.
    Symmetric,
    /// Each row with a scale and zero point of its own, as TensorFlow Lite does it.
    Asymmetric,
}

const LANES: usize = 32;

/// The least and the greatest of some values and 0; what is not a number is left out.
pub fn extremes(isa: Isa, x: &[f32]) -> [f32; 2] {
    let mut found = [0.0; 2];
    find_extremes(isa, x, &mut found);
    found
}

/// The extremes of two parts together.
pub fn join([least, greatest]: [f32; 2], other: [f32; 2]) -> [f32; 2] {
    [if other[0] < least { other[0] } else { least }, if other[1] > greatest { other[1] } else { greatest }]
}

multiversion! {
    fn find_extremes(x: &[f32], found: &mut [f32; 2]) => extremes_body
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn extremes_body(x: &[f32], found: &mut [f32; 2]) {
    let (mut least, mut greatest) = ([0f32; LANES], [0f32; LANES]);
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            least[i] = if chunk[i] < least[i] { chunk[i] } else { least[i] };
            greatest[i] = if chunk[i] > greatest[i] { chunk[i] } else { greatest[i] };
        }
    }
    // By halves: one lane after the other would be a chain as long as all the rest.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            least[i] = if least[i + width] < least[i] { least[i + width] } else { least[i] };
            greatest[i] = if greatest[i + width] > greatest[i] { greatest[i + width] } else { greatest[i] };
        }
        width /= 2;
    }
    *found = [least[0], greatest[0]];
    for &v in rest {
        found[0] = if v < found[0] { v } else { found[0] };
        found[1] = if v > found[1] { v } else { found[1] };
    }
}

/// Scale and zero point for values between these, of which the first is at most and the second at least 0.
pub fn source([least, greatest]: [f32; 2]) -> Source {
    let scale = if greatest == least { 1.0 } else { (greatest - least) / 255.0 };
    let zero = 0.0 - least / scale;
    // What is not a number (a scale of 0) becomes the upper bound.
    let zero = if zero < 255.0 { zero } else { 255.0 };
    let zero = if zero > 0.0 { zero } else { 0.0 };
    Source { scale, zero_point: zero.round_ties_even() as u8 }
}

/// Quantizes `x` into `y` of the same length and says with what.
///
/// Panics if the lengths differ.
pub(crate) fn quantize_dynamically(isa: Isa, rows: RowQuant, x: &[f32], y: &mut [u8]) -> Source {
    let found = extremes(isa, x);
    let signed = match rows {
        RowQuant::Each | RowQuant::Shared => {
            let source = source(found);
            quantize::<u8>(isa, x, source.scale, source.zero_point, y);
            return source;
        }
        RowQuant::Symmetric => symmetric(found),
        RowQuant::Asymmetric => asymmetric(found),
    };
    assert_eq!(x.len(), y.len(), "there is a byte for every value");
    signed_bytes(isa, x, &signed, y);
    Source { scale: signed.scale, zero_point: (signed.zero_point as i32 + 128) as u8 }
}

/// How TensorFlow Lite makes signed integers of a row.
struct Signed {
    scale: f32,
    /// What values are multiplied with.
    factor: f32,
    /// A whole number.
    zero_point: f32,
    least: f32,
}

fn symmetric([least, greatest]: [f32; 2]) -> Signed {
    let range = if -least > greatest { -least } else { greatest };
    match range == 0.0 {
        true => Signed { scale: 1.0, factor: 0.0, zero_point: 0.0, least: -127.0 },
        false => Signed { scale: range / 127.0, factor: 127.0 / range, zero_point: 0.0, least: -127.0 },
    }
}

fn asymmetric([least, greatest]: [f32; 2]) -> Signed {
    if least == greatest {
        return Signed { scale: 1.0, factor: 0.0, zero_point: 0.0, least: -128.0 };
    }
    let (low, high) = (f64::from(least), f64::from(greatest));
    let step = (high - low) / 255.0;
    // The same real in two ways, of which the one with the smaller terms is rounded less.
    let (below, above) = (low / step, high / step);
    let zero = if 128.0 + below.abs() < 127.0 + above.abs() { -128.0 - below } else { 127.0 - above };
    let scale = step as f32;
    Signed { scale, factor: 1.0 / scale, zero_point: f32::from(zero.round() as i8), least: -128.0 }
}

multiversion! {
    /// Signed integers, 128 more; what is not a number gives the zero point.
    fn signed_bytes(x: &[f32], signed: &Signed, y: &mut [u8]) => signed_bytes_body
}

#[inline(always)]
fn signed_bytes_body(x: &[f32], signed: &Signed, y: &mut [u8]) {
    for (&x, y) in x.iter().zip(y) {
        let v = x * signed.factor + signed.zero_point;
        let v = if v.is_nan() { signed.zero_point } else { v };
        *y = (round_to_i32(clamp_f32(v, signed.least, 127.0)) + 128) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    /// The definition, one value after the other.
    fn definition(x: &[f32]) -> (Source, Vec<u8>) {
        let least = x.iter().copied().filter(|v| !v.is_nan()).fold(0f32, f32::min);
        let greatest = x.iter().copied().filter(|v| !v.is_nan()).fold(0f32, f32::max);
        let s = source([least, greatest]);
        let zero = f32::from(s.zero_point);
        let q = x.iter().map(|v| {
            let v = v / s.scale;
            let v = if v.is_nan() { 0.0 } else { v };
            (v.clamp(-zero, 255.0 - zero).round_ties_even() + zero) as u8
        });
        (s, q.collect())
    }

    #[test]
    fn every_instruction_set_finds_the_same() {
        let mut random = Random::new(5);
        for len in (0..70).chain([255, 256, 1000]) {
            for (size, shift) in [(1.0, 0.0), (3.0, 5.0), (2.0, -7.0), (1e-30, 0.0), (1e38, 0.0)] {
                let mut x: Vec<f32> = random.floats(len, size).iter().map(|v| v + shift).collect();
                if len > 40 {
                    x[len - 3] = f32::NAN;
                    x[7] = -0.0;
                }
                let expected = definition(&x);
                on_every_isa(|isa| {
                    let mut q = vec![0xEE; len];
                    let s = quantize_dynamically(isa, RowQuant::Each, &x, &mut q);
                    assert_eq!((s, &q), (expected.0, &expected.1), "{isa} {len} {size} {shift}");
                });
            }
        }
    }

    /// The definition of TensorFlow Lite's ways, one value after the other.
    fn signed_definition(rows: RowQuant, x: &[f32]) -> (Source, Vec<u8>) {
        let least = x.iter().copied().filter(|v| !v.is_nan()).fold(0f32, f32::min);
        let greatest = x.iter().copied().filter(|v| !v.is_nan()).fold(0f32, f32::max);
        let (low, high) = (f64::from(least), f64::from(greatest));
        let (scale, factor, zero, bound) = match rows {
            _ if low == high => (1.0, 0.0, 0, -128.0),
            RowQuant::Symmetric => {
                let range = greatest.max(-least);
                (range / 127.0, 127.0 / range, 0, -127.0)
            }
            _ => {
                let step = (high - low) / 255.0;
                let z = if -low < high { -128.0 - low / step } else { 127.0 - high / step };
                (step as f32, 1.0 / (step as f32), z.round().clamp(-128.0, 127.0) as i32, -128.0)
            }
        };
        let q = x.iter().map(|v| {
            let v = v * factor + zero as f32;
            let v = if v.is_nan() { zero as f32 } else { v };
            (v.round_ties_even().clamp(bound, 127.0) + 128.0) as u8
        });
        (Source { scale, zero_point: (zero + 128) as u8 }, q.collect())
    }

    #[test]
    fn signed_rows_are_alike_everywhere() {
        let mut random = Random::new(6);
        for len in (0..70).chain([255, 1000]) {
            for (size, shift) in [(1.0, 0.0), (3.0, 5.0), (2.0, -7.0), (1e-30, 0.0), (0.0, 0.0)] {
                let mut x: Vec<f32> = random.floats(len, size).iter().map(|v| v + shift).collect();
                if len > 40 {
                    x[len - 3] = f32::NAN;
                }
                for rows in [RowQuant::Symmetric, RowQuant::Asymmetric] {
                    let expected = signed_definition(rows, &x);
                    on_every_isa(|isa| {
                        let mut q = vec![0xEE; len];
                        let s = quantize_dynamically(isa, rows, &x, &mut q);
                        assert_eq!((s, &q), (expected.0, &expected.1), "{rows:?} {isa} {len} {size} {shift}");
                    });
                }
            }
        }
    }

    #[test]
    fn symmetric_rows_have_as_many_steps_on_both_sides() {
        let mut q = [0; 4];
        let s = quantize_dynamically(Isa::SCALAR, RowQuant::Symmetric, &[254.0, -1.0, -254.0, 3.0], &mut q);
        // Halves go to the even neighbour.
        assert_eq!((s, q), (Source { scale: 2.0, zero_point: 128 }, [255, 128, 1, 130]));
        let s = quantize_dynamically(Isa::SCALAR, RowQuant::Asymmetric, &[250.0, 0.0, -5.0, 2.6], &mut q);
        assert_eq!((s, q), (Source { scale: 1.0, zero_point: 5 }, [255, 5, 0, 8]));
    }

    #[test]
    fn zero_is_always_a_code() {
        assert_eq!(source([0.0, 0.0]), Source { scale: 1.0, zero_point: 0 });
        assert_eq!(source([-255.0, 0.0]), Source { scale: 1.0, zero_point: 255 });
        assert_eq!(source([0.0, 510.0]), Source { scale: 2.0, zero_point: 0 });
        assert_eq!(source([-127.5, 127.5]), Source { scale: 1.0, zero_point: 128 });
    }

    #[test]
    fn values_without_an_end_do_not_panic() {
        for x in
            [[f32::INFINITY, 1.0], [f32::NEG_INFINITY, f32::INFINITY], [f32::NAN, f32::NAN], [1e-45, 0.0]]
        {
            on_every_isa(|isa| {
                for rows in [RowQuant::Each, RowQuant::Shared, RowQuant::Symmetric, RowQuant::Asymmetric] {
                    quantize_dynamically(isa, rows, &x, &mut [0; 2]);
                }
            });
        }
    }
}
