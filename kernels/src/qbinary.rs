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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    fn outputs() -> [Output; 3] {
        [
            Output { zero_point: 0, min: 0, max: 255 },
            Output { zero_point: 255, min: 10, max: 255 },
            Output { zero_point: 128, min: 128, max: 200 },
        ]
    }

    /// The way out of every operation, by the standard library.
    fn leave(v: f32, out: Output) -> u8 {
        let q = v.round_ties_even() + f32::from(out.zero_point);
        q.clamp(f32::from(out.min), f32::from(out.max)) as u8
    }

    #[test]
    fn every_pair_of_bytes() {
        let a: Vec<u8> = (0..1 << 16).map(|i| (i >> 8) as u8).collect();
        let b: Vec<u8> = (0..1 << 16).map(|i| i as u8).collect();
        let walk = Broadcast::new(&[a.len()], [&[a.len()], &[a.len()]]).unwrap();
        for out in outputs() {
            for (za, zb) in [(0, 0), (255, 0), (7, 200)] {
                for (ma, mb) in [(0.5, 0.5), (1.0, -1.0), (0.013, 3.7), (1e-20, 1e4)] {
                    let add =
                        QAdd { a_zero_point: za, b_zero_point: zb, a_multiplier: ma, b_multiplier: mb, out };
                    let mul = QMul { a_zero_point: za, b_zero_point: zb, multiplier: ma * mb, out };
                    on_every_isa(|isa| {
                        let (mut sum, mut product) = (vec![0; a.len()], vec![0; a.len()]);
                        qadd(isa, &add, &walk, &a, &b, &mut sum);
                        qmul(isa, &mul, &walk, &a, &b, &mut product);
                        for i in 0..a.len() {
                            let (x, y) = (f32::from(a[i]) - f32::from(za), f32::from(b[i]) - f32::from(zb));
                            assert_eq!(sum[i], leave(x * ma + y * mb, out), "{isa} {add:?} {x} {y}");
                            assert_eq!(product[i], leave(x * y * (ma * mb), out), "{isa} {mul:?} {x} {y}");
                        }
                    });
                }
            }
        }
    }

    #[test]
    fn broadcasts() {
        let out = Output { zero_point: 3, min: 0, max: 255 };
        let mul = QMul { a_zero_point: 5, b_zero_point: 9, multiplier: 0.01, out };
        let y_dims = [2, 3, 70];
        let shapes: [[&[usize]; 2]; 6] = [
            [&[2, 3, 70], &[70]],
            [&[2, 3, 70], &[]],
            [&[1], &[2, 3, 70]],
            [&[2, 1, 70], &[3, 1]],
            [&[2, 3, 70], &[2, 1, 70]],
            [&[3, 1], &[2, 1, 1]],
        ];
        for dims in shapes {
            let len = |d: &[usize]| d.iter().product::<usize>();
            let mut random = Random::new(len(dims[1]) as u64);
            let (a, b) = (random.bytes(len(dims[0])), random.bytes(len(dims[1])));
            // Where the operand's element for output (i, j, k) is.
            let at = |d: &[usize], place: [usize; 3]| {
                d.iter()
                    .zip(&place[3 - d.len()..])
                    .fold(0, |at, (&d, &i)| at * d + if d == 1 { 0 } else { i })
            };
            let walk = Broadcast::new(&y_dims, dims).unwrap();
            on_every_isa(|isa| {
                let mut y = vec![0; 420];
                for part in walk.split(3) {
                    qmul(isa, &mul, &part, &a, &b, &mut y[part.y_range()]);
                }
                for (i, &y) in y.iter().enumerate() {
                    let place = [i / 210, i / 70 % 3, i % 70];
                    let (a, b) = (a[at(dims[0], place)], b[at(dims[1], place)]);
                    let product = (f32::from(a) - 5.0) * (f32::from(b) - 9.0);
                    assert_eq!(y, leave(product * 0.01, out), "{isa} {dims:?} {place:?}");
                }
            });
        }
    }
}
