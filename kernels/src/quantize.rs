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

/// Layout of a batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Height * width.
    pub pixels: usize,
}

multiversion! {
    /// Quantizes NCHW floats to NHWC integers.
    pub fn quantize_nchw<T: Code>(
        shape: Planes, x: &[f32], scale: f32, zero_point: T, y: &mut [T],
    ) => quantize_nchw_body
}

/// Pixels that are worked on at a time, in buffers that stay in registers or nearly so.
const STRIP: usize = 64;

#[inline(always)]
fn quantize_nchw_body<T: Code>(shape: Planes, x: &[f32], scale: f32, zero_point: T, y: &mut [T]) {
    let Planes { n, c, pixels } = shape;
    let image = c * pixels;
    assert!(x.len() == n * image && y.len() == n * image);
    if image == 0 {
        return;
    }
    let q = Quantizer::new(scale, zero_point);
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(image)) {
        match c {
            1 => quantize_planes::<T, 1>(q, zero_point, x, y),
            3 => quantize_planes::<T, 3>(q, zero_point, x, y),
            4 => quantize_planes::<T, 4>(q, zero_point, x, y),
            _ => quantize_many_planes(q, zero_point, c, x, y),
        }
    }
}

/// One image of `C` channels, as cameras have them: strips of all planes are quantized, then interleaved at once.
#[inline(always)]
fn quantize_planes<T: Code, const C: usize>(q: Quantizer, zero_point: T, x: &[f32], y: &mut [T]) {
    let pixels = x.len() / C;
    for (strip, y) in y.chunks_mut(STRIP * C).enumerate() {
        let count = y.len() / C;
        let mut quantized = [[zero_point; STRIP]; C];
        for (channel, quantized) in quantized.iter_mut().enumerate() {
            for (to, &v) in quantized.iter_mut().zip(&x[channel * pixels + strip * STRIP..][..count]) {
                *to = q.apply(v);
            }
        }
        for (i, pixel) in y.as_chunks_mut::<C>().0.iter_mut().enumerate().take(STRIP) {
            for channel in 0..C {
                pixel[channel] = quantized[channel][i];
            }
        }
    }
}

/// One image of any number of channels, a plane at a time.
#[inline(always)]
fn quantize_many_planes<T: Code>(q: Quantizer, zero_point: T, c: usize, x: &[f32], y: &mut [T]) {
    let pixels = x.len() / c;
    for (strip, y) in y.chunks_mut(STRIP * c).enumerate() {
        let count = y.len() / c;
        for (channel, plane) in x.chunks_exact(pixels).enumerate() {
            let mut quantized = [zero_point; STRIP];
            for (to, &v) in quantized.iter_mut().zip(&plane[strip * STRIP..][..count]) {
                *to = q.apply(v);
            }
            for (pixel, &v) in y.chunks_exact_mut(c).zip(&quantized) {
                pixel[channel] = v;
            }
        }
    }
}

multiversion! {
    /// NHWC integers to NCHW floats.
    pub fn dequantize_nchw<T: Code>(
        shape: Planes, x: &[T], scale: f32, zero_point: T, y: &mut [f32],
    ) => dequantize_nchw_body
}

#[inline(always)]
fn dequantize_nchw_body<T: Code>(shape: Planes, x: &[T], scale: f32, zero_point: T, y: &mut [f32]) {
    let Planes { n, c, pixels } = shape;
    let image = c * pixels;
    assert!(x.len() == n * image && y.len() == n * image);
    if image == 0 {
        return;
    }
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(image)) {
        for (strip, x) in x.chunks(STRIP * c).enumerate() {
            let count = x.len() / c;
            for (channel, plane) in y.chunks_exact_mut(pixels).enumerate() {
                let mut gathered = [zero_point; STRIP];
                deinterleave(x, channel, c, &mut gathered[..count]);
                for (to, v) in plane[strip * STRIP..][..count].iter_mut().zip(gathered) {
                    *to = (v.widen() - zero_point.widen()) as f32 * scale;
                }
            }
        }
    }
}

/// `y[i] = x[i * c + channel]`
#[inline(always)]
fn deinterleave<T: Copy>(x: &[T], channel: usize, c: usize, y: &mut [T]) {
    #[inline(always)]
    fn strided<T: Copy>(x: &[T], channel: usize, c: usize, y: &mut [T]) {
        for (y, pixel) in y.iter_mut().zip(x.chunks_exact(c)) {
            *y = pixel[channel];
        }
    }
    match c {
        1 => y.copy_from_slice(x),
        3 => strided(x, channel, 3, y),
        4 => strided(x, channel, 4, y),
        _ => strided(x, channel, c, y),
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

    #[test]
    fn planes_equal_elements() {
        for n in [1, 2] {
            for c in [1, 2, 3, 4, 5, 17] {
                for pixels in [0, 1, 63, 64, 65, 200] {
                    let shape = Planes { n, c, pixels };
                    let x = Random::new(c as u64).floats(n * c * pixels, 20.0);
                    on_every_isa(|isa| {
                        let mut flat = vec![0u8; x.len()];
                        quantize(isa, &x, 0.1, 99, &mut flat);
                        let mut y = vec![0u8; x.len()];
                        quantize_nchw(isa, shape, &x, 0.1, 99u8, &mut y);
                        let mut back = vec![0.0; x.len()];
                        dequantize_nchw(isa, shape, &y, 0.1, 99u8, &mut back);
                        for i in 0..x.len() {
                            let (image, channel, pixel) = (i / (c * pixels), i / pixels % c, i % pixels);
                            assert_eq!(y[(image * pixels + pixel) * c + channel], flat[i], "{isa} {shape:?}");
                            assert_eq!(back[i], (f32::from(flat[i]) - 99.0) * 0.1, "{isa} {shape:?}");
                        }
                    });
                }
            }
        }
    }
}
