//! Between f32 and 8-bit integers: `q = saturate(round_half_even(x / scale) + zero_point)` and back.
//!
//! The quotient is a true division, as ONNX has it. Not-a-number becomes the zero point.

use crate::multiversion::multiversion;
use crate::round::{clamp_f32, round_to_i32};

/// The 8-bit integers that quantized activations come in.
pub trait Int8: Copy + private::Sealed {
    /// Least value.
    const LOWEST: i32;
    /// Greatest value.
    const HIGHEST: i32;
    /// The value itself.
    fn widen(self) -> i32;
    /// The low 8 bits.
    fn narrow(v: i32) -> Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

macro_rules! int8 {
    ($($t:ty),*) => {$(
        impl Int8 for $t {
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
int8!(u8, i8);

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
    pub(crate) fn new<T: Int8>(scale: f32, zero_point: T) -> Quantizer {
        let zero_point = zero_point.widen();
        let (lo, hi) = ((T::LOWEST - zero_point) as f32, (T::HIGHEST - zero_point) as f32);
        Quantizer { scale, zero_point, lo, hi }
    }

    #[inline(always)]
    pub(crate) fn apply<T: Int8>(self, x: f32) -> T {
        let v = x / self.scale;
        let v = if v.is_nan() { 0.0 } else { v };
        T::narrow(round_to_i32(clamp_f32(v, self.lo, self.hi)) + self.zero_point)
    }
}

multiversion! {
    /// Quantizes `x` into `y` of the same length.
    pub fn quantize<T: Int8>(x: &[f32], scale: f32, zero_point: T, y: &mut [T]) => quantize_body
}

#[inline(always)]
fn quantize_body<T: Int8>(x: &[f32], scale: f32, zero_point: T, y: &mut [T]) {
    assert_eq!(x.len(), y.len());
    let q = Quantizer::new(scale, zero_point);
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(x);
    }
}

multiversion! {
    /// `y = (x - zero_point) * scale`, of the same length.
    pub fn dequantize<T: Int8>(x: &[T], scale: f32, zero_point: T, y: &mut [f32]) => dequantize_body
}

#[inline(always)]
fn dequantize_body<T: Int8>(x: &[T], scale: f32, zero_point: T, y: &mut [f32]) {
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
    pub fn quantize_nchw<T: Int8>(
        shape: Planes, x: &[f32], scale: f32, zero_point: T, y: &mut [T],
    ) => quantize_nchw_body
}

#[inline(always)]
fn quantize_nchw_body<T: Int8>(shape: Planes, x: &[f32], scale: f32, zero_point: T, y: &mut [T]) {
    let Planes { n, c, pixels } = shape;
    let image = c * pixels;
    assert!(x.len() == n * image && y.len() == n * image);
    let q = Quantizer::new(scale, zero_point);
    for i in 0..n {
        let (x, y) = (&x[i * image..][..image], &mut y[i * image..][..image]);
        for (p, y) in y.chunks_exact_mut(c.max(1)).enumerate() {
            for (j, y) in y.iter_mut().enumerate() {
                *y = q.apply(x[j * pixels + p]);
            }
        }
    }
}

multiversion! {
    /// NHWC integers to NCHW floats.
    pub fn dequantize_nchw<T: Int8>(
        shape: Planes, x: &[T], scale: f32, zero_point: T, y: &mut [f32],
    ) => dequantize_nchw_body
}

#[inline(always)]
fn dequantize_nchw_body<T: Int8>(shape: Planes, x: &[T], scale: f32, zero_point: T, y: &mut [f32]) {
    let Planes { n, c, pixels } = shape;
    let image = c * pixels;
    assert!(x.len() == n * image && y.len() == n * image);
    for i in 0..n {
        let (x, y) = (&x[i * image..][..image], &mut y[i * image..][..image]);
        for (j, y) in y.chunks_exact_mut(pixels.max(1)).enumerate() {
            for (p, y) in y.iter_mut().enumerate() {
                *y = (x[p * c + j].widen() - zero_point.widen()) as f32 * scale;
            }
        }
    }
}
