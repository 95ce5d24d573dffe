//! Sums and means.

use crate::Isa;
use crate::fixed::Multiplier;
use crate::multiversion::multiversion;
use crate::reduce::{Fold, Reduction, fold};

/// Most terms of a sum: it stays within an i32.
pub const MAX_TERMS: usize = 1 << 16;

/// From a sum to the output's scale.
#[derive(Clone, Copy, Debug)]
pub enum Factor {
    /// Of means.
    Fixed(Multiplier),
    /// Of sums: the product in f32 is rounded, halves away from 0.
    Real(f32),
}

multiversion! {
    fn sums(factor: Factor, r: &Reduction, x: &[i16], y: &mut [i16]) => sums_body
}

#[inline(always)]
fn sums_body(factor: Factor, r: &Reduction, x: &[i16], y: &mut [i16]) {
    fold(Sum(factor), r, x, y);
}

/// `y = clamp(factor(sum of x))`.
///
/// Panics if a sum has more than [`MAX_TERMS`] terms or a slice is too short.
pub fn reduce_sum(isa: Isa, factor: Factor, r: &Reduction, x: &[i16], y: &mut [i16]) {
    assert!(r.terms() <= MAX_TERMS, "terms of a sum");
    sums(isa, factor, r, x, y);
}

#[derive(Clone, Copy)]
struct Sum(Factor);

impl Fold<i16> for Sum {
    type Sum = i32;
    #[inline(always)]
    fn start(self) -> i32 {
        0
    }
    #[inline(always)]
    fn take(self, sum: i32, x: i16) -> i32 {
        sum + i32::from(x)
    }
    #[inline(always)]
    fn join(self, a: i32, b: i32) -> i32 {
        a + b
    }
    #[inline(always)]
    fn finish(self, sum: i32) -> i16 {
        let scaled = match self.0 {
            Factor::Fixed(factor) => factor.apply(sum),
            // From floats to integers saturates.
            Factor::Real(factor) => (sum as f32 * factor).round() as i32,
        };
        scaled.clamp(-32768, 32767) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn sums_over_either_side() {
        let x = tests::values(&mut Random::new(4), 7 * 90);
        let fixed = Multiplier::new(0.01).unwrap();
        for (axes, terms) in [(&[0][..], 7), (&[1], 90), (&[0, 1], 630)] {
            let r = Reduction::new(&[7, 90], axes).unwrap();
            assert_eq!(r.terms(), terms);
            let term = |o: usize, t: usize| match axes {
                [0] => x[t * 90 + o],
                [1] => x[o * 90 + t],
                _ => x[t],
            };
            let sum = |o: usize| (0..terms).map(|t| i32::from(term(o, t))).sum::<i32>();
            let outputs = 0..630 / terms;
            let want: Vec<i16> = outputs.clone().map(|o| fixed.apply(sum(o)) as i16).collect();
            let reals: Vec<i16> = outputs.map(|o| (sum(o) as f32 * 0.25).round() as i16).collect();
            on_every_isa(|isa| {
                let mut y = vec![0; want.len()];
                reduce_sum(isa, Factor::Fixed(fixed), &r, &x, &mut y);
                assert_eq!(y, want, "{isa} {axes:?}");
                reduce_sum(isa, Factor::Real(0.25), &r, &x, &mut y);
                assert_eq!(y, reals, "{isa} {axes:?}");
            });
        }
    }

    #[test]
    fn the_longest_sum_fits() {
        let r = Reduction::new(&[MAX_TERMS], &[0]).unwrap();
        let mut y = [0];
        let factor = Factor::Fixed(Multiplier::new(1.0 / MAX_TERMS as f64).unwrap());
        reduce_sum(Isa::SCALAR, factor, &r, &vec![i16::MIN; MAX_TERMS], &mut y);
        assert_eq!(y, [i16::MIN]);
    }
}
