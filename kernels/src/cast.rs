//! Between element types.

use crate::multiversion::multiversion;

/// Conversion of one element: float to integer truncates and saturates (not-a-number becomes 0), integer to
/// narrower integer keeps the low bits.
pub trait CastFrom<T>: Copy {
    /// Converts.
    fn cast_from(x: T) -> Self;
}

macro_rules! casts {
    ($($from:ty => $($to:ty),*;)*) => {$($(
        impl CastFrom<$from> for $to {
            #[inline(always)]
            fn cast_from(x: $from) -> $to {
                x as $to
            }
        }
    )*)*};
}

casts! {
    f32 => f32, f64, i8, u8, i16, i32, i64;
    i8 => f32, f64, i8, u8, i16, i32, i64;
    u8 => f32, f64, i8, u8, i16, i32, i64;
    i16 => f32, f64, i8, u8, i16, i32, i64;
    i32 => f32, f64, i8, u8, i16, i32, i64;
    f64 => f32, f64, i8, u8, i16, i32, i64;
    i64 => f32, f64, i8, u8, i16, i32, i64;
}

multiversion! {
    /// Converts `x` into `y` of the same length. Truth values are bytes of 0 and 1: as a source they are u8, as a
    /// target see [`is_nonzero`].
    pub fn cast<A: Copy, B: CastFrom<A>>(x: &[A], y: &mut [B]) => cast_body
}

#[inline(always)]
fn cast_body<A: Copy, B: CastFrom<A>>(x: &[A], y: &mut [B]) {
    assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = B::cast_from(x);
    }
}

/// A number that has a zero.
pub trait Zero: Copy + PartialEq + Default {}
impl<T: Copy + PartialEq + Default> Zero for T {}

multiversion! {
    /// `y = 0` where `x` is 0, else 1 (not-a-number is not 0). Same length.
    pub fn is_nonzero<T: Zero>(x: &[T], y: &mut [u8]) => is_nonzero_body
}

#[inline(always)]
fn is_nonzero_body<T: Zero>(x: &[T], y: &mut [u8]) {
    assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = u8::from(x != T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_every_isa;

    #[test]
    fn saturates_floats_and_wraps_integers() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3.99, -3.99, 300.0, -0.0];
        on_every_isa(|isa| {
            let mut y = [9u8; 7];
            cast(isa, &x, &mut y);
            assert_eq!(y, [0, 255, 0, 3, 0, 255, 0]);
            let mut y = [9i64; 7];
            cast(isa, &x, &mut y);
            assert_eq!(y, [0, i64::MAX, i64::MIN, 3, -3, 300, 0]);
            let mut y = [9i8; 3];
            cast(isa, &[128i32, -129, 5], &mut y);
            assert_eq!(y, [-128, 127, 5]);
            let mut y = [9.0f32; 2];
            cast(isa, &[i64::MAX, -2], &mut y);
            assert_eq!(y, [9_223_372_036_854_775_807i64 as f32, -2.0]);
            let mut y = [9; 4];
            is_nonzero(isa, &[0.0, -0.0, f32::NAN, 1e-40], &mut y);
            assert_eq!(y, [0, 0, 1, 1]);
        });
    }
}
