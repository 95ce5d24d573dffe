//! Reductions over any axes, and the index of the greatest value.

use crate::Output;
use crate::multiversion::multiversion;
use crate::pool::Extremum;
use crate::round::Requant;

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceFn {
    /// Arithmetic mean.
    Mean,
    /// Sum.
    Sum,
    /// Greatest.
    Max,
    /// Least.
    Min,
    /// Product.
    Prod,
}

/// Most values that one quantized sum may take in without overflow.
pub const MAX_QUANTIZED_TERMS: usize = 1 << 23;

/// Which dimensions go, walked so that the innermost dimension is read contiguously.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// Length and stride of the dimensions that stay, without the innermost one of the input.
    kept: Vec<(usize, usize)>,
    /// Length and stride of the dimensions that go, without the innermost one of the input.
    gone: Vec<(usize, usize)>,
    inner: usize,
    inner_stays: bool,
}

impl Reduction {
    /// Reduces a dense tensor over `axes`. `None` if an axis is out of range or the number of elements overflows.
    pub fn new(dims: &[usize], axes: &[usize]) -> Option<Reduction> {
        dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        if axes.iter().any(|&a| a >= dims.len()) {
            return None;
        }
        // Neighbours with the same fate are one dimension.
        let mut merged: Vec<(usize, bool)> = Vec::new();
        for (axis, &dim) in dims.iter().enumerate().filter(|&(_, &d)| d != 1) {
            let goes = axes.contains(&axis);
            match merged.last_mut() {
                Some((len, fate)) if *fate == goes => *len *= dim,
                _ => merged.push((dim, goes)),
            }
        }
        let (inner, inner_goes) = merged.pop().unwrap_or((1, false));
        let mut reduction = Reduction { kept: vec![], gone: vec![], inner, inner_stays: !inner_goes };
        let mut stride = inner;
        for (len, goes) in merged.into_iter().rev() {
            if goes { &mut reduction.gone } else { &mut reduction.kept }.push((len, stride));
            stride *= len;
        }
        reduction.kept.reverse();
        reduction.gone.reverse();
        Some(reduction)
    }

    /// Elements of the output.
    pub fn y_len(&self) -> usize {
        let outer: usize = self.kept.iter().map(|d| d.0).product();
        outer * if self.inner_stays { self.inner } else { 1 }
    }

    /// Values that go into one output.
    pub fn terms(&self) -> usize {
        let outer: usize = self.gone.iter().map(|d| d.0).product();
        outer * if self.inner_stays { 1 } else { self.inner }
    }
}

/// Offset of the `i`-th position of dimensions in row-major order; there is such a position.
#[inline(always)]
fn offset(dims: &[(usize, usize)], mut i: usize) -> usize {
    // What is left for the outermost dimension needs no division, and mostly it is the only one.
    let Some((&(_, outermost), inner)) = dims.split_first() else { return 0 };
    let mut at = 0;
    for &(len, stride) in inner.iter().rev() {
        at += i % len * stride;
        i /= len;
    }
    at + i * outermost
}

/// How values become one: `start`, then `take` each, `join` partial results.
pub(crate) trait Fold<T: Copy>: Copy {
    type Sum: Copy;
    fn start(self) -> Self::Sum;
    fn take(self, sum: Self::Sum, x: T) -> Self::Sum;
    fn join(self, a: Self::Sum, b: Self::Sum) -> Self::Sum;
    fn finish(self, sum: Self::Sum) -> T;
}

/// Lanes that fold a contiguous run side by side, and channels folded at a time.
const LANES: usize = 16;
const BLOCK: usize = 64;

/// The first `N` outputs of the channels from `at` on: as many sums as stay in registers over all `runs`.
#[inline(always)]
fn fold_channels<T: Copy, F: Fold<T>, const N: usize>(
    f: F,
    r: &Reduction,
    runs: usize,
    x: &[T],
    at: usize,
    y: &mut [T],
) {
    let mut sums = [f.start(); N];
    for run in 0..runs {
        let at = at + offset(&r.gone, run);
        for (sum, &x) in sums.iter_mut().zip(&x[at..at + N]) {
            *sum = f.take(*sum, x);
        }
    }
    for (y, &sum) in y[..N].iter_mut().zip(&sums) {
        *y = f.finish(sum);
    }
}

/// Folds along a reduction. The order is part of the definition: where the innermost dimension stays, terms are
/// taken in memory order; where it goes, lane `j` of 16 takes elements `j, j + 16, ...` of each run in memory
/// order, and the lanes are joined in halves at the end.
#[inline(always)]
pub(crate) fn fold<T: Copy, F: Fold<T>>(f: F, r: &Reduction, x: &[T], y: &mut [T]) {
    let runs: usize = r.gone.iter().map(|d| d.0).product();
    if r.inner_stays {
        for (o, y) in y.chunks_exact_mut(r.inner.max(1)).enumerate() {
            let from = offset(&r.kept, o);
            let mut channel = 0;
            while channel + BLOCK <= r.inner {
                fold_channels::<T, F, BLOCK>(f, r, runs, x, from + channel, &mut y[channel..]);
                channel += BLOCK;
            }
            while channel + LANES <= r.inner {
                fold_channels::<T, F, LANES>(f, r, runs, x, from + channel, &mut y[channel..]);
                channel += LANES;
            }
            while channel < r.inner {
                fold_channels::<T, F, 1>(f, r, runs, x, from + channel, &mut y[channel..]);
                channel += 1;
            }
        }
    } else {
        for (o, y) in y.iter_mut().enumerate() {
            let from = offset(&r.kept, o);
            let mut sums = [f.start(); LANES];
            for run in 0..runs {
                let at = from + offset(&r.gone, run);
                for chunk in x[at..at + r.inner].chunks(LANES) {
                    for (sum, &x) in sums.iter_mut().zip(chunk) {
                        *sum = f.take(*sum, x);
                    }
                }
            }
            let mut width = LANES / 2;
            while width > 0 {
                for i in 0..width {
                    sums[i] = f.join(sums[i], sums[i + width]);
                }
                width /= 2;
            }
            *y = f.finish(sums[0]);
        }
    }
}

#[derive(Clone, Copy)]
struct SumF32 {
    divisor: f32,
}

impl Fold<f32> for SumF32 {
    type Sum = f32;
    #[inline(always)]
    fn start(self) -> f32 {
        0.0
    }
    #[inline(always)]
    fn take(self, sum: f32, x: f32) -> f32 {
        sum + x
    }
    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        sum / self.divisor
    }
}

#[derive(Clone, Copy)]
struct ProductF32;

impl Fold<f32> for ProductF32 {
    type Sum = f32;
    #[inline(always)]
    fn start(self) -> f32 {
        1.0
    }
    #[inline(always)]
    fn take(self, product: f32, x: f32) -> f32 {
        product * x
    }
    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn finish(self, product: f32) -> f32 {
        product
    }
}

#[derive(Clone, Copy)]
struct ProductI64;

impl Fold<i64> for ProductI64 {
    type Sum = i64;
    #[inline(always)]
    fn start(self) -> i64 {
        1
    }
    #[inline(always)]
    fn take(self, product: i64, x: i64) -> i64 {
        product.wrapping_mul(x)
    }
    #[inline(always)]
    fn join(self, a: i64, b: i64) -> i64 {
        a.wrapping_mul(b)
    }
    #[inline(always)]
    fn finish(self, product: i64) -> i64 {
        product
    }
}

#[derive(Clone, Copy)]
struct SumI64 {
    divisor: i64,
}

impl Fold<i64> for SumI64 {
    type Sum = i64;
    #[inline(always)]
    fn start(self) -> i64 {
        0
    }
    #[inline(always)]
    fn take(self, sum: i64, x: i64) -> i64 {
        sum.wrapping_add(x)
    }
    #[inline(always)]
    fn join(self, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn finish(self, sum: i64) -> i64 {
        sum.checked_div(self.divisor).unwrap_or(0)
    }
}

#[derive(Clone, Copy)]
struct SumU8 {
    zero: i32,
    multiplier: f32,
    out: Requant,
}

impl Fold<u8> for SumU8 {
    type Sum = i32;
    #[inline(always)]
    fn start(self) -> i32 {
        0
    }
    #[inline(always)]
    fn take(self, sum: i32, x: u8) -> i32 {
        sum + i32::from(x)
    }
    #[inline(always)]
    fn join(self, a: i32, b: i32) -> i32 {
        a + b
    }
    #[inline(always)]
    fn finish(self, sum: i32) -> u8 {
        self.out.scale(sum - self.zero, self.multiplier)
    }
}

#[derive(Clone, Copy)]
struct Greatest;

impl<T: Extremum> Fold<T> for Greatest {
    type Sum = T;
    #[inline(always)]
    fn start(self) -> T {
        T::LOWEST
    }
    #[inline(always)]
    fn take(self, sum: T, x: T) -> T {
        if x > sum { x } else { sum }
    }
    #[inline(always)]
    fn join(self, a: T, b: T) -> T {
        self.take(a, b)
    }
    #[inline(always)]
    fn finish(self, sum: T) -> T {
        sum
    }
}

#[derive(Clone, Copy)]
struct Least;

impl<T: Extremum> Fold<T> for Least {
    type Sum = T;
    #[inline(always)]
    fn start(self) -> T {
        T::HIGHEST
    }
    #[inline(always)]
    fn take(self, sum: T, x: T) -> T {
        if x < sum { x } else { sum }
    }
    #[inline(always)]
    fn join(self, a: T, b: T) -> T {
        self.take(a, b)
    }
    #[inline(always)]
    fn finish(self, sum: T) -> T {
        sum
    }
}

multiversion! {
    /// Reduces floats. Maximum and minimum pass over what is not a number.
    ///
    /// Panics if a slice is too short.
    pub fn reduce_f32(f: ReduceFn, r: &Reduction, x: &[f32], y: &mut [f32]) => reduce_f32_body
}

#[inline(always)]
fn reduce_f32_body(f: ReduceFn, r: &Reduction, x: &[f32], y: &mut [f32]) {
    match f {
        ReduceFn::Mean => fold(SumF32 { divisor: r.terms() as f32 }, r, x, y),
        ReduceFn::Sum => fold(SumF32 { divisor: 1.0 }, r, x, y),
        ReduceFn::Max => fold(Greatest, r, x, y),
        ReduceFn::Min => fold(Least, r, x, y),
        ReduceFn::Prod => fold(ProductF32, r, x, y),
    }
}

/// Reduces integers; sums and products wrap, means truncate toward zero.
///
/// Panics if a slice is too short.
pub fn reduce_i64(f: ReduceFn, r: &Reduction, x: &[i64], y: &mut [i64]) {
    match f {
        ReduceFn::Mean => fold(SumI64 { divisor: r.terms() as i64 }, r, x, y),
        ReduceFn::Sum => fold(SumI64 { divisor: 1 }, r, x, y),
        ReduceFn::Max => fold(Greatest, r, x, y),
        ReduceFn::Min => fold(Least, r, x, y),
        ReduceFn::Prod => fold(ProductI64, r, x, y),
    }
}

/// How a quantized sum is requantized: `clamp(round_half_even(sum(x - x_zero_point) as f32 * multiplier) + zy)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QReduce {
    /// The input's.
    pub x_zero_point: u8,
    /// Input scale over output scale; for a mean, that over the number of terms.
    pub multiplier: f32,
    /// The output's zero point and the clamp.
    pub out: Output,
}

multiversion! {
    /// Sum or mean of quantized values.
    ///
    /// Panics if a slice is too short or one output takes more than [`MAX_QUANTIZED_TERMS`].
    pub fn reduce_sum_u8(r: &Reduction, op: &QReduce, x: &[u8], y: &mut [u8]) => reduce_sum_u8_body
}

#[inline(always)]
fn reduce_sum_u8_body(r: &Reduction, op: &QReduce, x: &[u8], y: &mut [u8]) {
    assert!(r.terms() <= MAX_QUANTIZED_TERMS, "a quantized sum takes too many terms");
    let zero = r.terms() as i32 * i32::from(op.x_zero_point);
    fold(SumU8 { zero, multiplier: op.multiplier, out: Requant::new(op.out) }, r, x, y);
}

multiversion! {
    /// Greatest values.
    ///
    /// Panics if a slice is too short.
    pub fn reduce_max<T: Extremum>(r: &Reduction, x: &[T], y: &mut [T]) => reduce_max_body
}

#[inline(always)]
fn reduce_max_body<T: Extremum>(r: &Reduction, x: &[T], y: &mut [T]) {
    fold(Greatest, r, x, y);
}

multiversion! {
    /// Least values.
    ///
    /// Panics if a slice is too short.
    pub fn reduce_min<T: Extremum>(r: &Reduction, x: &[T], y: &mut [T]) => reduce_min_body
}

#[inline(always)]
fn reduce_min_body<T: Extremum>(r: &Reduction, x: &[T], y: &mut [T]) {
    fold(Least, r, x, y);
}

/// Index of the greatest value along the middle dimension of `x[outer][len][inner]`; the first one of equals, or
/// the last. What is not a number is passed over; where nothing is left the index is 0.
///
/// Panics if `len` is 0 or a slice is too short.
pub fn argmax<T: Extremum>(dims: [usize; 3], select_last: bool, x: &[T], y: &mut [i64]) {
    let [outer, len, inner] = dims;
    assert!(len > 0, "argmax over nothing");
    for (o, y) in y[..outer * inner].chunks_exact_mut(inner.max(1)).enumerate() {
        for (i, y) in y.iter_mut().enumerate() {
            let values = x[o * len * inner + i..].iter().step_by(inner).take(len);
            let mut best = T::LOWEST;
            *y = 0;
            for (at, &v) in values.enumerate() {
                if v > best || (select_last && v == best) {
                    best = v;
                    *y = at as i64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
