//! Functions of two floats or two integers, comparisons and selection, with broadcasting.

use crate::broadcast::{Broadcast, Pairwise, zip};
use crate::math;
use crate::multiversion::multiversion;

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryFn {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b; integers truncate toward zero, and division by zero is 0
    Div,
    /// a to the power of b
    Pow,
    /// The lesser; of floats: b if either is not a number
    Min,
    /// The greater; of floats: b if either is not a number
    Max,
    /// a if a >= 0 else a * b
    PRelu,
    /// a - floor(a / b) * b: the sign of b; of integers 0 where b is 0
    Mod,
    /// a - trunc(a / b) * b: the sign of a; of integers 0 where b is 0
    Fmod,
    /// Bits of both; for integers and truth values
    And,
    /// Bits of either; for integers and truth values
    Or,
    /// Bits of one of both; for integers and truth values
    Xor,
    /// a * 2^b, for integers; 0 where all bits are shifted out
    ShiftLeft,
    /// a / 2^b rounded down, for integers; 0 where all bits are shifted out
    ShiftRight,
}

impl BinaryFn {
    /// True for functions of bits, which floats don't have.
    pub fn of_bits(self) -> bool {
        use BinaryFn::*;
        matches!(self, And | Or | Xor | ShiftLeft | ShiftRight)
    }
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareFn {
    /// a == b
    Equal,
    /// a < b
    Less,
    /// a > b
    Greater,
    /// a <= b
    LessEqual,
    /// a >= b
    GreaterEqual,
}

/// Declares types that stand for one function each: `Name(a, b) = expression`.
macro_rules! pairwise {
    ($t:ty; $($name:ident($a:ident, $b:ident) = $e:expr;)*) => {$(
        pub(crate) struct $name;
        impl Pairwise<$t, $t, $t> for $name {
            #[inline(always)]
            fn eval(&self, $a: $t, $b: $t) -> $t {
                $e
            }
        }
    )*};
}

pairwise! { f32;
    Add(a, b) = a + b;
    Sub(a, b) = a - b;
    Mul(a, b) = a * b;
    Div(a, b) = a / b;
    Pow(a, b) = math::powf(a, b);
    Min(a, b) = if a < b { a } else { b };
    Max(a, b) = if a > b { a } else { b };
    PRelu(a, b) = if a >= 0.0 { a } else { a * b };
    Mod(a, b) = floor_mod(a, b);
    Fmod(a, b) = a % b;
}

/// The remainder with the sign of `b`, also where it is 0.
fn floor_mod(a: f32, b: f32) -> f32 {
    let rest = a % b;
    match rest {
        0.0 => rest.copysign(b),
        _ if (rest < 0.0) != (b < 0.0) => rest + b,
        _ => rest,
    }
}

/// A float function and the bounds that its result is clamped to.
struct Clamped<F>(F, f32, f32);

impl<F: Pairwise<f32, f32, f32>> Pairwise<f32, f32, f32> for Clamped<F> {
    #[inline(always)]
    fn eval(&self, a: f32, b: f32) -> f32 {
        math::clip(self.0.eval(a, b), self.1, self.2)
    }
}

multiversion! {
    /// `y = clamp(f(a, b))` along a walk, `clamp` = lowest and highest result. `y` is the part of the output that
    /// the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn binary_f32(
        f: BinaryFn, clamp: [f32; 2], walk: &Broadcast<2>, a: &[f32], b: &[f32], y: &mut [f32],
    ) => binary_f32_body
}

#[inline(always)]
fn binary_f32_body(f: BinaryFn, clamp: [f32; 2], walk: &Broadcast<2>, a: &[f32], b: &[f32], y: &mut [f32]) {
    let [lo, hi] = clamp;
    match f {
        BinaryFn::Add => zip(Clamped(Add, lo, hi), walk, a, b, y),
        BinaryFn::Sub => zip(Clamped(Sub, lo, hi), walk, a, b, y),
        BinaryFn::Mul => zip(Clamped(Mul, lo, hi), walk, a, b, y),
        BinaryFn::Div => zip(Clamped(Div, lo, hi), walk, a, b, y),
        BinaryFn::Pow => zip(Clamped(Pow, lo, hi), walk, a, b, y),
        BinaryFn::Min => zip(Clamped(Min, lo, hi), walk, a, b, y),
        BinaryFn::Max => zip(Clamped(Max, lo, hi), walk, a, b, y),
        BinaryFn::PRelu => zip(Clamped(PRelu, lo, hi), walk, a, b, y),
        BinaryFn::Mod => zip(Clamped(Mod, lo, hi), walk, a, b, y),
        BinaryFn::Fmod => zip(Clamped(Fmod, lo, hi), walk, a, b, y),
        bits => panic!("floats have no {bits:?}"),
    }
}

/// Integers that are not quantized. Arithmetic wraps, division by zero gives 0.
pub trait Integer: Copy + PartialOrd {
    /// `f(a, b)`; powers with a negative exponent are what integer division makes of them (0, 1 or -1).
    fn binary(f: BinaryFn, a: Self, b: Self) -> Self;
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Integer for $t {
            fn binary(f: BinaryFn, a: $t, b: $t) -> $t {
                match f {
                    BinaryFn::Add => a.wrapping_add(b),
                    BinaryFn::Sub => a.wrapping_sub(b),
                    BinaryFn::Mul => a.wrapping_mul(b),
                    BinaryFn::Div if b == 0 => 0,
                    BinaryFn::Div => a.wrapping_div(b),
                    BinaryFn::Pow => power(a as i64, b as i64) as $t,
                    BinaryFn::Min => a.min(b),
                    BinaryFn::Max => a.max(b),
                    BinaryFn::PRelu if is_negative(a as i64) => a.wrapping_mul(b),
                    BinaryFn::PRelu => a,
                    BinaryFn::Mod | BinaryFn::Fmod if b == 0 => 0,
                    BinaryFn::Mod => {
                        let rest = a.wrapping_rem(b);
                        let other = rest != 0 && is_negative(rest as i64) != is_negative(b as i64);
                        if other { rest.wrapping_add(b) } else { rest }
                    }
                    BinaryFn::Fmod => a.wrapping_rem(b),
                    BinaryFn::And => a & b,
                    BinaryFn::Or => a | b,
                    BinaryFn::Xor => a ^ b,
                    BinaryFn::ShiftLeft => u32::try_from(b as i64).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0),
                    BinaryFn::ShiftRight => u32::try_from(b as i64).ok().and_then(|b| a.checked_shr(b)).unwrap_or(0),
                }
            }
        }
    )*};
}
integer!(i8, u8, i16, i32, i64);

fn is_negative(v: i64) -> bool {
    v < 0
}

/// `base^exponent`, wrapping.
fn power(base: i64, exponent: i64) -> i64 {
    let Ok(mut left) = u64::try_from(exponent) else {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    };
    let (mut result, mut square) = (1i64, base);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}

struct IntegerFn(BinaryFn);

impl<T: Integer> Pairwise<T, T, T> for IntegerFn {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> T {
        T::binary(self.0, a, b)
    }
}

/// `y = f(a, b)` of integers along a walk: one plain loop.
///
/// Panics if a slice is too short.
pub fn binary_int<T: Integer>(f: BinaryFn, walk: &Broadcast<2>, a: &[T], b: &[T], y: &mut [T]) {
    zip(IntegerFn(f), walk, a, b, y);
}

struct Equal;
struct Less;
struct Greater;
struct LessEqual;
struct GreaterEqual;

impl<T: PartialOrd> Pairwise<T, T, u8> for LessEqual {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> u8 {
        u8::from(a <= b)
    }
}

impl<T: PartialOrd> Pairwise<T, T, u8> for GreaterEqual {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> u8 {
        u8::from(a >= b)
    }
}

impl<T: PartialOrd> Pairwise<T, T, u8> for Equal {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> u8 {
        u8::from(a == b)
    }
}

impl<T: PartialOrd> Pairwise<T, T, u8> for Less {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> u8 {
        u8::from(a < b)
    }
}

impl<T: PartialOrd> Pairwise<T, T, u8> for Greater {
    #[inline(always)]
    fn eval(&self, a: T, b: T) -> u8 {
        u8::from(a > b)
    }
}

/// What [`compare`] takes: any plain number.
pub trait Number: Copy + PartialOrd {}
impl<T: Copy + PartialOrd> Number for T {}

multiversion! {
    /// `y = 1` where the comparison holds, else 0, along a walk.
    ///
    /// Panics if a slice is too short.
    pub fn compare<T: Number>(
        f: CompareFn, walk: &Broadcast<2>, a: &[T], b: &[T], y: &mut [u8],
    ) => compare_body
}

#[inline(always)]
fn compare_body<T: Number>(f: CompareFn, walk: &Broadcast<2>, a: &[T], b: &[T], y: &mut [u8]) {
    match f {
        CompareFn::Equal => zip(Equal, walk, a, b, y),
        CompareFn::Less => zip(Less, walk, a, b, y),
        CompareFn::Greater => zip(Greater, walk, a, b, y),
        CompareFn::LessEqual => zip(LessEqual, walk, a, b, y),
        CompareFn::GreaterEqual => zip(GreaterEqual, walk, a, b, y),
    }
}

/// `y = a` where the condition is not 0, else `b`, along a walk.
///
/// Panics if a slice is too short.
pub fn select<T: Copy>(walk: &Broadcast<3>, condition: &[u8], a: &[T], b: &[T], y: &mut [T]) {
    let inner = walk.inner();
    let step = [0, 1, 2].map(|i| usize::from(walk.steps(i)));
    let runs = y[..walk.len()].chunks_exact_mut(inner.max(1));
    for (y, at) in runs.zip(walk.runs()) {
        for (i, y) in y.iter_mut().enumerate() {
            let [c, a_at, b_at] = [0, 1, 2].map(|o| at[o] + i * step[o]);
            *y = if condition[c] != 0 { a[a_at] } else { b[b_at] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    const FREE: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

    #[test]
    fn floats_by_definition() {
        let mut random = Random::new(1);
        let mut a = random.floats(203, 3.0);
        let mut b = random.floats(203, 3.0);
        (a[0], b[0]) = (0.0, 0.0);
        (a[1], b[1]) = (-1.0, 0.0);
        (a[2], b[2]) = (f32::INFINITY, -2.0);
        let walk = Broadcast::new(&[203], [&[203], &[203]]).unwrap();
        type Reference = fn(f32, f32) -> f32;
        let table: [(BinaryFn, Reference); 7] = [
            (BinaryFn::Add, |a, b| a + b),
            (BinaryFn::Sub, |a, b| a - b),
            (BinaryFn::Mul, |a, b| a * b),
            (BinaryFn::Div, |a, b| a / b),
            (BinaryFn::Min, f32::min),
            (BinaryFn::Max, f32::max),
            (BinaryFn::PRelu, |a, b| if a >= 0.0 { a } else { a * b }),
        ];
        on_every_isa(|isa| {
            let mut y = vec![0.0; 203];
            for (f, reference) in table {
                binary_f32(isa, f, FREE, &walk, &a, &b, &mut y);
                for i in 0..a.len() {
                    let expected = reference(a[i], b[i]);
                    assert!(
                        y[i] == expected || expected.is_nan() && y[i].is_nan(),
                        "{isa} {f:?} {} {}",
                        a[i],
                        b[i]
                    );
                }
            }
            binary_f32(isa, BinaryFn::Add, [-1.0, 1.5], &walk, &a, &b, &mut y);
            assert!(y.iter().zip(&a).zip(&b).all(|((y, a), b)| *y == (a + b).clamp(-1.0, 1.5)));
            for (f, floor) in [(BinaryFn::Mod, true), (BinaryFn::Fmod, false)] {
                binary_f32(isa, f, FREE, &walk, &a, &b, &mut y);
                for i in 3..a.len() {
                    let (a, b) = (f64::from(a[i]), f64::from(b[i]));
                    let exact = a - if floor { (a / b).floor() } else { (a / b).trunc() } * b;
                    assert!((f64::from(y[i]) - exact).abs() < 1e-5, "{isa} {f:?} {a} {b} {}", y[i]);
                }
            }
            binary_f32(isa, BinaryFn::Pow, FREE, &walk, &a, &b, &mut y);
            for i in 0..a.len() {
                let exact = f64::from(a[i]).powf(f64::from(b[i]));
                let same = (f64::from(y[i]) - exact).abs() <= 1e-7 * exact.abs();
                assert!(
                    same || f64::from(y[i]) == exact || exact.is_nan() && y[i].is_nan(),
                    "{} ^ {}",
                    a[i],
                    b[i]
                );
            }
        });
    }

    #[test]
    fn integers_never_panic() {
        let walk = Broadcast::new(&[4], [&[4], &[4]]).unwrap();
        let (a, b) = ([7i64, -7, i64::MIN, i64::MIN], [2i64, 2, -1, 0]);
        let mut y = [0; 4];
        let mut with = |f| {
            binary_int(f, &walk, &a, &b, &mut y);
            y
        };
        assert_eq!(with(BinaryFn::Div), [3, -3, i64::MIN, 0]);
        assert_eq!(with(BinaryFn::Add), [9, -5, i64::MAX, i64::MIN]);
        assert_eq!(with(BinaryFn::Sub), [5, -9, i64::MIN + 1, i64::MIN]);
        assert_eq!(with(BinaryFn::Mul), [14, -14, i64::MIN, 0]);
        assert_eq!(with(BinaryFn::Pow), [49, 49, 0, 1]);
        assert_eq!(with(BinaryFn::Min), [2, -7, i64::MIN, i64::MIN]);
        assert_eq!(with(BinaryFn::Max), [7, 2, -1, 0]);
        assert_eq!(with(BinaryFn::Mod), [1, 1, 0, 0]);
        assert_eq!(with(BinaryFn::Fmod), [1, -1, 0, 0]);
        assert_eq!(with(BinaryFn::And), [2, 0, i64::MIN, 0]);
        assert_eq!(with(BinaryFn::ShiftLeft), [28, -28, 0, i64::MIN]);
        assert_eq!(with(BinaryFn::ShiftRight), [1, -2, 0, i64::MIN]);
        assert_eq!(i32::binary(BinaryFn::Div, i32::MIN, -1), i32::MIN);
        assert_eq!(i32::binary(BinaryFn::Pow, -1, -3), -1);
    }

    #[test]
    fn comparisons_and_choice() {
        let walk = Broadcast::new(&[2, 3], [&[2, 3], &[3]]).unwrap();
        let (a, b) = ([1.0, 2.0, f32::NAN, 4.0, 2.0, 0.0], [2.0f32, 2.0, 2.0]);
        on_every_isa(|isa| {
            let mut y = [9; 6];
            compare(isa, CompareFn::Equal, &walk, &a, &b, &mut y);
            assert_eq!(y, [0, 1, 0, 0, 1, 0]);
            compare(isa, CompareFn::Less, &walk, &a, &b, &mut y);
            assert_eq!(y, [1, 0, 0, 0, 0, 1]);
            compare(isa, CompareFn::Greater, &walk, &a, &b, &mut y);
            assert_eq!(y, [0, 0, 0, 1, 0, 0]);
        });
        let walk = Broadcast::new(&[2, 3], [&[2, 1], &[3], &[]]).unwrap();
        let mut y = [0; 6];
        select(&walk, &[0, 1], &[10, 11, 12], &[5], &mut y);
        assert_eq!(y, [5, 5, 5, 10, 11, 12]);
    }
}
