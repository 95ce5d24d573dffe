//! Between f32 and integers of 8 or 16 bits: `q = saturate(round_half_even(x / scale) + zero_point)` and back.
//!
//! The quotient is a true division, as ONNX has it. Not-a-number becomes the zero point.

use crate::multiversion::multiversion;
use crate::round::{clamp_f32, round_to_i32};

/// The integers that stand for reals: of 8 bits and of 16.
pub trait Code: Copy + private::Sealed {
    /// Least value.
    const LOWEST: i32;
    /// Greatest value.
    const HIGHEST: i32;
    /// The value itself.
    fn widen(self) -> i32;
    /// The low bits.
    fn narrow(v: i32) -> Self;
}

/// Those of 8 bits, which integer products take.
pub trait Int8: Code {}
impl Int8 for u8 {}
impl Int8 for i8 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
    impl Sealed for i16 {}
}

macro_rules! code {
    ($($t:ty),*) => {$(
        impl Code for $t {
            const LOWEST: i32 = <$t>::MIN as i32;
            const HIGHEST: i32 = <$t>::MAX as i32;
            #[inline(always)]
            fn widen(self) -> i32 {
                i32::from(self)
            }
            #[inline(always)]
            fn narrow(v: i32) -> $t {
                v as $t
            }
        }
    )*};
}
code!(u8, i8, i16);

/// The quantization of one tensor, ready for elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantizer {
    scale: f32,
    zero_point: i32,
    lo: f32,
    hi: f32,
}

impl Quantizer {
    #[inline(always)]
    pub(crate) fn new<T: Code>(scale: f32, zero_point: T) -> Quantizer {
        let zero_point = zero_point.widen();
        let (lo, hi) = ((T::LOWEST - zero_point) as f32, (T::HIGHEST - zero_point) as f32);
        Quantizer { scale, zero_point, lo, hi }
    }

    #[inline(always)]
    pub(crate) fn apply<T: Code>(self, x: f32) -> T {
        let v = x / self.scale;
        let v = if v.is_nan() { 0.0 } else { v };
        T::narrow(round_to_i32(clamp_f32(v, self.lo, self.hi)) + self.zero_point)
    }
}

multiversion! {
    /// Quantizes `x` into `y` of the same length.
    pub fn quantize<T: Code>(x: &[f32], scale: f32, zero_point: T, y: &mut [T]) => quantize_body
}

#[inline(always)]
fn quantize_body<T: Code>(x: &[f32], scale: f32, zero_point: T, y: &mut [T]) {
    assert_eq!(x.len(), y.len());
    let q = Quantizer::new(scale, zero_point);
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(x);
    }
}

multiversion! {
    /// `y = (x - zero_point) * scale`, of the same length.
    pub fn dequantize<T: Code>(x: &[T], scale: f32, zero_point: T, y: &mut [f32]) => dequantize_body
}

#[inline(always)]
fn dequantize_body<T: Code>(x: &[T], scale: f32, zero_point: T, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x.widen() - zero_point.widen()) as f32 * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    /// The definition, with the standard library's rounding.
    fn reference(x: f32, scale: f32, zero_point: i32, lowest: i32, highest: i32) -> i32 {
        let rounded = f64::from((x / scale).round_ties_even());
        if rounded.is_nan() {
            zero_point
        } else {
            (rounded + f64::from(zero_point)).clamp(f64::from(lowest), f64::from(highest)) as i32
        }
    }

    fn values() -> Vec<f32> {
        let mut x: Vec<f32> = (-1200..1200).map(|i| i as f32 * 0.25).collect();
        x.extend([
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            -0.0,
            1e-40,
            127.49999,
            -128.50001,
        ]);
        x.extend(Random::new(1).floats(1000, 300.0));
        x
    }

    #[test]
    fn quantizes_by_the_definition() {
        let x = values();
        for scale in [0.5, 1.0, 0.1, 1e-30, 3e38] {
            for zero_point in [0u8, 1, 100, 255] {
                on_every_isa(|isa| {
                    let mut y = vec![0; x.len()];
                    quantize(isa, &x, scale, zero_point, &mut y);
                    for (&x, &y) in x.iter().zip(&y) {
                        assert_eq!(
                            i32::from(y),
                            reference(x, scale, i32::from(zero_point), 0, 255),
                            "{isa} {x} / {scale}"
                        );
                    }
                });
            }
            for zero_point in [-128i8, -1, 0, 127] {
                on_every_isa(|isa| {
                    let mut y = vec![0; x.len()];
                    quantize(isa, &x, scale, zero_point, &mut y);
                    for (&x, &y) in x.iter().zip(&y) {
                        assert_eq!(
                            i32::from(y),
                            reference(x, scale, i32::from(zero_point), -128, 127),
                            "{isa} {x} / {scale}"
                        );
                    }
                });
            }
            for zero_point in [-32768i16, -1, 0, 32767] {
                on_every_isa(|isa| {
                    let mut y = vec![0; x.len()];
                    quantize(isa, &x, scale, zero_point, &mut y);
                    for (&x, &y) in x.iter().zip(&y) {
                        let want = reference(x, scale, i32::from(zero_point), -32768, 32767);
                        assert_eq!(i32::from(y), want, "{isa} {x} / {scale}");
                    }
                });
            }
        }
    }

    #[test]
    fn dequantizes_every_value() {
        let x: Vec<u8> = (0..=255).collect();
        on_every_isa(|isa| {
            for zero_point in [0, 3, 255] {
                let mut y = vec![0.0; 256];
                dequantize(isa, &x, 0.3, zero_point, &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    assert_eq!(y, (f32::from(x) - f32::from(zero_point)) * 0.3);
                }
            }
            let mut y = [0.0; 3];
            dequantize(isa, &[-128i8, 0, 127], 0.5, -1, &mut y);
            assert_eq!(y, [-63.5, 0.5, 64.0]);
            dequantize(isa, &[-32768i16, 0, 32767], 0.5, -32768, &mut y);
            assert_eq!(y, [0.0, 16384.0, 32767.5]);
        });
    }
}
