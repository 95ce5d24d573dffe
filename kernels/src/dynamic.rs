//! Quantization with a scale that is found in the data.
//!
//! ```text
//! lo = min(0, least x)    hi = max(0, greatest x)            (what is not a number is left out)
//! scale      = (hi - lo) / 255, or 1 if hi = lo
//! zero_point = round_half_even(clamp(0 - lo / scale, 0, 255))
//! q          = quantize(x, scale, zero_point)
//! ```
//!
//! That is ONNX's `DynamicQuantizeLinear`, as ONNX Runtime computes it.

use crate::multiversion::multiversion;
use crate::quantize::quantize;
use crate::{Isa, Source};

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
pub(crate) fn quantize_dynamically(isa: Isa, x: &[f32], y: &mut [u8]) -> Source {
    let source = source(extremes(isa, x));
    quantize::<u8>(isa, x, source.scale, source.zero_point, y);
    source
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
                    let s = quantize_dynamically(isa, &x, &mut q);
                    assert_eq!((s, &q), (expected.0, &expected.1), "{isa} {len} {size} {shift}");
                });
            }
        }
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
                quantize_dynamically(isa, &x, &mut [0; 2]);
            });
        }
    }
}
