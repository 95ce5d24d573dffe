//! Sum and product of two quantized tensors.

use crate::Output;
use crate::broadcast::{Broadcast, Pairwise, zip};
use crate::multiversion::multiversion;
use crate::round::Requant;

/// `y = clamp(round_half_even((a - za) * ma + (b - zb) * mb) + zy)`, every step one f32 operation. The
/// multipliers are `scale / output scale`; a negative one subtracts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QAdd {
    /// za
    pub a_zero_point: u8,
    /// zb
    pub b_zero_point: u8,
    /// ma
    pub a_multiplier: f32,
    /// mb
    pub b_multiplier: f32,
    /// zy and the clamp.
    pub out: Output,
}

/// `y = clamp(round_half_even((a - za) * (b - zb) as f32 * multiplier) + zy)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QMul {
    /// za
    pub a_zero_point: u8,
    /// zb
    pub b_zero_point: u8,
    /// Product of the inputs' scales over the output's scale.
    pub multiplier: f32,
    /// zy and the clamp.
    pub out: Output,
}

#[derive(Clone, Copy)]
struct AddElement(QAdd, Requant);

impl Pairwise<u8, u8, u8> for AddElement {
    #[inline(always)]
    fn eval(&self, a: u8, b: u8) -> u8 {
        let a = (i32::from(a) - i32::from(self.0.a_zero_point)) as f32 * self.0.a_multiplier;
        let b = (i32::from(b) - i32::from(self.0.b_zero_point)) as f32 * self.0.b_multiplier;
        self.1.apply(a + b)
    }
}

#[derive(Clone, Copy)]
struct MulElement(QMul, Requant);

impl Pairwise<u8, u8, u8> for MulElement {
    #[inline(always)]
    fn eval(&self, a: u8, b: u8) -> u8 {
        let a = i32::from(a) - i32::from(self.0.a_zero_point);
        let b = i32::from(b) - i32::from(self.0.b_zero_point);
        self.1.scale(a * b, self.0.multiplier)
    }
}

multiversion! {
    /// Quantized sum along a walk. `y` is the part of the output that the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn qadd(op: &QAdd, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) => qadd_body
}

#[inline(always)]
fn qadd_body(op: &QAdd, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) {
    zip(AddElement(*op, Requant::new(op.out)), walk, a, b, y);
}

multiversion! {
    /// Quantized product along a walk. `y` is the part of the output that the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn qmul(op: &QMul, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) => qmul_body
}

#[inline(always)]
fn qmul_body(op: &QMul, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) {
    zip(MulElement(*op, Requant::new(op.out)), walk, a, b, y);
}
