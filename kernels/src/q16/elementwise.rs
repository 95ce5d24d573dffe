//! Sums, differences and products of two tensors, and changes of scale, with clamps and slopes.

use crate::broadcast::{Broadcast, Pairwise, zip};
use crate::fixed::Multiplier;
use crate::multiversion::multiversion;

/// `y = clamp(out(left(a * 2^15) + sign * right(b * 2^15)))`: both operands are brought to half of the larger one's step,
/// where they are summed exactly.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    left: Multiplier,
    right: Multiplier,
    out: Multiplier,
    sign: i32,
    range: [i32; 2],
}

impl Add {
    /// Of operands with these scales, for an output of scale `y`; `minus`: the difference. `None` if the scales are too
    /// far apart.
    pub fn new(a: f32, b: f32, y: f32, minus: bool, range: [i16; 2]) -> Option<Add> {
        let twice = f64::from(2.0 * a.max(b));
        Some(Add {
            left: Multiplier::new(f64::from(a) / twice)?,
            right: Multiplier::new(f64::from(b) / twice)?,
            out: Multiplier::new(twice / f64::from(32768.0 * y))?,
            sign: if minus { -1 } else { 1 },
            range: range.map(i32::from),
        })
    }
}

impl Pairwise<i16, i16, i16> for Add {
    #[inline(always)]
    fn eval(&self, a: i16, b: i16) -> i16 {
        let (a, b) = (self.left.apply(i32::from(a) << 15), self.right.apply(i32::from(b) << 15));
        // Each is within 2^29.
        let sum = self.out.apply(a + self.sign * b);
        sum.clamp(self.range[0], self.range[1]) as i16
    }
}

/// `y = clamp(factor(a * b))`.
#[derive(Clone, Copy, Debug)]
pub struct Mul {
    factor: Multiplier,
    range: [i32; 2],
}

impl Mul {
    /// Of operands with these scales, for an output of scale `y`. `None` if their factor is out of range.
    pub fn new(a: f32, b: f32, y: f32, range: [i16; 2]) -> Option<Mul> {
        Some(Mul { factor: Multiplier::new(f64::from(a * b / y))?, range: range.map(i32::from) })
    }
}

impl Pairwise<i16, i16, i16> for Mul {
    #[inline(always)]
    fn eval(&self, a: i16, b: i16) -> i16 {
        self.factor.apply(i32::from(a) * i32::from(b)).clamp(self.range[0], self.range[1]) as i16
    }
}

multiversion! {
    /// Sum or difference along a walk. `y` is the part of the output that the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn add(op: Add, walk: &Broadcast<2>, a: &[i16], b: &[i16], y: &mut [i16]) => zip
}

multiversion! {
    /// Product along a walk. `y` is the part of the output that the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn mul(op: Mul, walk: &Broadcast<2>, a: &[i16], b: &[i16], y: &mut [i16]) => zip
}

/// `y = clamp(positive(x - zx) + zy)`, or, where x is below zx, `clamp(sign * negative(x - zx) + zy)`.
#[derive(Clone, Copy, Debug)]
pub struct Rescale {
    positive: Multiplier,
    negative: Multiplier,
    sign: i32,
    zero_points: [i32; 2],
    range: [i32; 2],
}

impl Rescale {
    /// From one scale and zero point to another. `None` if the factor is out of range.
    pub fn new(x: (f32, i32), y: (f32, i32), range: [i32; 2]) -> Option<Rescale> {
        let positive = Multiplier::new(f64::from(x.0) / f64::from(y.0))?;
        Some(Rescale { positive, negative: positive, sign: 1, zero_points: [x.1, y.1], range })
    }

    /// The same with `alpha` times what is below 0. `None` if the factor is out of range.
    pub fn leaky(x: (f32, i32), y: (f32, i32), alpha: f32, range: [i32; 2]) -> Option<Rescale> {
        let positive = Multiplier::new(f64::from(x.0 / y.0))?;
        let negative = Multiplier::new(f64::from((x.0 * alpha / y.0).abs()))?;
        let sign = if alpha < 0.0 { -1 } else { 1 };
        Some(Rescale { positive, negative, sign, zero_points: [x.1, y.1], range })
    }

    /// What a value becomes.
    #[inline(always)]
    pub fn eval(&self, x: i32) -> i32 {
        let x = x.wrapping_sub(self.zero_points[0]);
        let positive = self.positive.apply(x);
        let negative = self.sign * self.negative.apply(x);
        let y = if x >= 0 { positive } else { negative };
        y.saturating_add(self.zero_points[1]).clamp(self.range[0], self.range[1])
    }
}

/// What a rescaled value is stored as: i32, i16, u8.
pub trait Code: Copy {
    /// Of a value in range.
    fn of(value: i32) -> Self;
}

impl Code for i32 {
    #[inline(always)]
    fn of(value: i32) -> i32 {
        value
    }
}

impl Code for i16 {
    #[inline(always)]
    fn of(value: i32) -> i16 {
        value as i16
    }
}

impl Code for u8 {
    #[inline(always)]
    fn of(value: i32) -> u8 {
        value as u8
    }
}

multiversion! {
    /// Rescales every element.
    pub fn rescale<X: Integer, Y: Code>(op: Rescale, x: &[X], y: &mut [Y]) => rescale_body
}

#[inline(always)]
fn rescale_body<X: Integer, Y: Code>(op: Rescale, x: &[X], y: &mut [Y]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = Y::of(op.eval(x.into()));
    }
}

/// What is rescaled: i32, i16, u8.
pub trait Integer: Copy + Into<i32> {}
impl Integer for i32 {}
impl Integer for i16 {}
impl Integer for u8 {}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;
    use crate::testing::{Random, on_every_isa};

    const FULL: [i16; 2] = [i16::MIN, i16::MAX];

    /// Two roundings away from the exact result, by less than an output's step.
    #[test]
    fn results_are_within_a_step() {
        let mut random = Random::new(3);
        let (a, b) = (tests::values(&mut random, 3000), tests::values(&mut random, 3000));
        let walk = Broadcast::new(&[3000], [&[3000], &[3000]]).unwrap();
        for (sa, sb, sy) in [(1e-3f32, 1e-3f32, 2e-3f32), (0.01, 1e-5, 0.003), (1e-6, 7e-4, 5e-4)] {
            let (sum, difference) = (
                Add::new(sa, sb, sy, false, FULL).unwrap(),
                Add::new(sa, sb, sy, true, [-20000, 100]).unwrap(),
            );
            let product = Mul::new(sa, sb, 20.0 * sa * sb, FULL).unwrap();
            let mut scalar: Option<[Vec<i16>; 3]> = None;
            on_every_isa(|isa| {
                let mut y = [vec![0; 3000], vec![0; 3000], vec![0; 3000]];
                add(isa, sum, &walk, &a, &b, &mut y[0]);
                add(isa, difference, &walk, &a, &b, &mut y[1]);
                mul(isa, product, &walk, &a, &b, &mut y[2]);
                for i in 0..a.len() {
                    let (x, z) = (f64::from(a[i]) * f64::from(sa), f64::from(b[i]) * f64::from(sb));
                    let near = |got: i16, real: f64, lo: f64, hi: f64| {
                        assert!((f64::from(got) - real.clamp(lo, hi)).abs() <= 0.501, "{isa} {got} {real}");
                    };
                    near(y[0][i], (x + z) / f64::from(sy), -32768.0, 32767.0);
                    near(y[1][i], (x - z) / f64::from(sy), -20000.0, 100.0);
                    near(y[2][i], f64::from(a[i]) * f64::from(b[i]) / 20.0, -32768.0, 32767.0);
                }
                match &scalar {
                    None => scalar = Some(y),
                    Some(scalar) => assert_eq!(&y, scalar, "{isa}"),
                }
            });
        }
        assert!(Add::new(1e30, 1.0, 1e-30, false, FULL).is_none());
    }

    #[test]
    fn every_value_is_rescaled() {
        let x: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        for (sx, (sy, zy), alpha, range) in [
            (1e-3f32, (1e-3f32, 0), 0.1f32, [-32768, 32767]),
            (2e-4, (1e-3, 0), -0.3, [-32768, 32767]),
            (1e-3, (0.25, 131), 1.0, [0, 255]),
        ] {
            let op = Rescale::leaky((sx, 0), (sy, zy), alpha, range).unwrap();
            on_every_isa(|isa| {
                let mut y = vec![0i16; x.len()];
                rescale(isa, op, &x, &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    let slope = if x < 0 { f64::from(alpha) } else { 1.0 };
                    let real = f64::from(x) * slope * f64::from(sx) / f64::from(sy) + f64::from(zy);
                    let real = real.clamp(range[0].into(), range[1].into());
                    // Half a step, and half of one half as wide where the first rounding is coarsest.
                    assert!((f64::from(y) - real).abs() < 0.75, "{isa} {x}: {y} {real}");
                }
            });
        }
    }
}
