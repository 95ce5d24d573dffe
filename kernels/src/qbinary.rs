//! Functions of two quantized tensors.
//!
//! Sums and products have the rules of ONNX Runtime's kernels, to the bit; every other function is computed as it is
//! written: dequantize, compute in f32, quantize.

use crate::Output;
use crate::binary::{self, BinaryFn};
use crate::broadcast::{Broadcast, Pairwise, zip};
use crate::multiversion::multiversion;
use crate::round::Requant;

/// Scale and zero point of an operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// What a step stands for.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
}

/// `y = clamp(round_half_even(fma(a, ma, fma(b, mb, bias))))`. The zero points are in the bias, so that an element
/// costs two fused multiply-adds, each rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QAdd {
    a_multiplier: f32,
    b_multiplier: f32,
    bias: f32,
    out: Output,
}

impl QAdd {
    /// The sum of operands with these scales and zero points, for an output of scale `y_scale`:
    /// `m = scale / y_scale` and `bias = zy - fma(ma, za, mb * zb)`.
    pub fn new(a: Operand, b: Operand, y_scale: f32, out: Output) -> QAdd {
        let (a_multiplier, b_multiplier) = (a.scale / y_scale, b.scale / y_scale);
        let zeros = a_multiplier.mul_add(f32::from(a.zero_point), b_multiplier * f32::from(b.zero_point));
        QAdd { a_multiplier, b_multiplier, bias: f32::from(out.zero_point) - zeros, out }
    }
}

/// `y = clamp(round_half_even(f32((a - za) * (b - zb)) * m + zy))`, the product, the sum and the rounding being
/// three roundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QMul {
    a_zero_point: u8,
    b_zero_point: u8,
    multiplier: f32,
    out: Output,
}

impl QMul {
    /// The product of operands with these scales and zero points, for an output of scale `y_scale`:
    /// `m = sa * sb / y_scale`.
    pub fn new(a: Operand, b: Operand, y_scale: f32, out: Output) -> QMul {
        let multiplier = a.scale * b.scale / y_scale;
        QMul { a_zero_point: a.zero_point, b_zero_point: b.zero_point, multiplier, out }
    }
}

/// `y = clamp(round_half_even(f((a - za) * sa, (b - zb) * sb) / sy) + zy)`, every step one f32 operation. What is not
/// a number becomes zy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QReal {
    /// f
    pub function: BinaryFn,
    /// sa, za
    pub a: Operand,
    /// sb, zb
    pub b: Operand,
    /// sy
    pub y_scale: f32,
    /// zy and the clamp.
    pub out: Output,
}

/// Bounds and rounding of a value that the zero point is in already.
fn rounding(out: Output) -> Requant {
    Requant::new(Output { zero_point: 0, ..out })
}

#[derive(Clone, Copy)]
struct AddElement(QAdd, Requant);

impl Pairwise<u8, u8, u8> for AddElement {
    #[inline(always)]
    fn eval(&self, a: u8, b: u8) -> u8 {
        let QAdd { a_multiplier, b_multiplier, bias, .. } = self.0;
        let b = f32::from(b).mul_add(b_multiplier, bias);
        self.1.apply(f32::from(a).mul_add(a_multiplier, b))
    }
}

#[derive(Clone, Copy)]
struct MulElement(QMul, Requant);

impl Pairwise<u8, u8, u8> for MulElement {
    #[inline(always)]
    fn eval(&self, a: u8, b: u8) -> u8 {
        let a = i32::from(a) - i32::from(self.0.a_zero_point);
        let b = i32::from(b) - i32::from(self.0.b_zero_point);
        self.1.apply((a * b) as f32 * self.0.multiplier + f32::from(self.0.out.zero_point))
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
    zip(AddElement(*op, rounding(op.out)), walk, a, b, y);
}

multiversion! {
    /// Quantized product along a walk. `y` is the part of the output that the walk writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn qmul(op: &QMul, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) => qmul_body
}

#[inline(always)]
fn qmul_body(op: &QMul, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) {
    zip(MulElement(*op, rounding(op.out)), walk, a, b, y);
}

struct RealElement<F> {
    function: F,
    op: QReal,
    out: Requant,
}

impl<F: Pairwise<f32, f32, f32>> Pairwise<u8, u8, u8> for RealElement<F> {
    #[inline(always)]
    fn eval(&self, a: u8, b: u8) -> u8 {
        let QReal { a: qa, b: qb, y_scale, .. } = self.op;
        let a = (i32::from(a) - i32::from(qa.zero_point)) as f32 * qa.scale;
        let b = (i32::from(b) - i32::from(qb.zero_point)) as f32 * qb.scale;
        let v = self.function.eval(a, b) / y_scale;
        self.out.apply(if v.is_nan() { 0.0 } else { v })
    }
}

multiversion! {
    /// Any function of dequantized operands, quantized, along a walk. `y` is the part of the output that the walk
    /// writes; `a` and `b` are whole.
    ///
    /// Panics if a slice is too short.
    pub fn qreal(op: &QReal, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) => qreal_body
}

#[inline(always)]
fn qreal_body(op: &QReal, walk: &Broadcast<2>, a: &[u8], b: &[u8], y: &mut [u8]) {
    macro_rules! zip_real {
        ($function:expr) => {
            zip(RealElement { function: $function, op: *op, out: Requant::new(op.out) }, walk, a, b, y)
        };
    }
    match op.function {
        BinaryFn::Add => zip_real!(binary::Add),
        BinaryFn::Sub => zip_real!(binary::Sub),
        BinaryFn::Mul => zip_real!(binary::Mul),
        BinaryFn::Div => zip_real!(binary::Div),
        BinaryFn::Pow => zip_real!(binary::Pow),
        BinaryFn::Min => zip_real!(binary::Min),
        BinaryFn::Max => zip_real!(binary::Max),
        BinaryFn::PRelu => zip_real!(binary::PRelu),
        BinaryFn::Mod => zip_real!(binary::Mod),
        BinaryFn::Fmod => zip_real!(binary::Fmod),
        bits => panic!("reals have no {bits:?}"),
    }
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
        v.round_ties_even().clamp(f32::from(out.min), f32::from(out.max)) as u8
    }

    #[test]
    fn every_pair_of_bytes() {
        let a: Vec<u8> = (0..1 << 16).map(|i| (i >> 8) as u8).collect();
        let b: Vec<u8> = (0..1 << 16).map(|i| i as u8).collect();
        let walk = Broadcast::new(&[a.len()], [&[a.len()], &[a.len()]]).unwrap();
        let run = |kernel: &dyn Fn(&mut [u8])| {
            let mut y = vec![0; a.len()];
            kernel(&mut y);
            y
        };
        for out in outputs() {
            let z = f32::from(out.zero_point);
            for (za, zb) in [(0, 0), (255, 0), (7, 200)] {
                for (sa, sb, sy) in
                    [(0.5, 0.5, 1.0), (0.03, 0.02, 0.03), (0.013, 3.7, 0.9), (1e-20, 1e4, 1.0)]
                {
                    let qa = Operand { scale: sa, zero_point: za };
                    let qb = Operand { scale: sb, zero_point: zb };
                    let (add, mul) = (QAdd::new(qa, qb, sy, out), QMul::new(qa, qb, sy, out));
                    let div = QReal { function: BinaryFn::Div, a: qa, b: qb, y_scale: sy, out };
                    on_every_isa(|isa| {
                        let sum = run(&|y| qadd(isa, &add, &walk, &a, &b, y));
                        let product = run(&|y| qmul(isa, &mul, &walk, &a, &b, y));
                        let quotient = run(&|y| qreal(isa, &div, &walk, &a, &b, y));
                        let (ma, mb, m): (f32, f32, f32) = (sa / sy, sb / sy, sa * sb / sy);
                        let bias = z - ma.mul_add(f32::from(za), mb * f32::from(zb));
                        for i in 0..a.len() {
                            let (fa, fb) = (f32::from(a[i]), f32::from(b[i]));
                            let (x, y) = (fa - f32::from(za), fb - f32::from(zb));
                            let v = fa.mul_add(ma, fb.mul_add(mb, bias));
                            assert_eq!(sum[i], leave(v, out), "{isa} {add:?} {x} {y}");
                            assert_eq!(product[i], leave(x * y * m + z, out), "{isa} {mul:?} {x} {y}");
                            let v = x * sa / (y * sb) / sy;
                            let v = if v.is_nan() { 0.0 } else { v.round_ties_even() };
                            assert_eq!(quotient[i], leave(v + z, out), "{isa} {div:?} {x} {y}");
                        }
                    });
                }
            }
        }
    }

    /// Each function is the one with its name.
    #[test]
    fn functions_of_reals() {
        let [a, b] = [Operand { scale: 0.5, zero_point: 10 }, Operand { scale: 0.25, zero_point: 20 }];
        let out = Output { zero_point: 100, min: 0, max: 255 };
        let walk = Broadcast::new(&[2], [&[2], &[2]]).unwrap();
        // 4 and 2, -3 and 2.
        let (x, y) = ([18, 4], [28, 28]);
        for (function, want) in [
            (BinaryFn::Add, [6.0, -1.0]),
            (BinaryFn::Sub, [2.0, -5.0]),
            (BinaryFn::Mul, [8.0, -6.0]),
            (BinaryFn::Div, [2.0, -1.5]),
            (BinaryFn::Pow, [16.0, 9.0]),
            (BinaryFn::Min, [2.0, -3.0]),
            (BinaryFn::Max, [4.0, 2.0]),
            (BinaryFn::PRelu, [4.0, -6.0]),
        ] {
            let op = QReal { function, a, b, y_scale: 0.5, out };
            on_every_isa(|isa| {
                let mut got = [0; 2];
                qreal(isa, &op, &walk, &x, &y, &mut got);
                assert_eq!(got, want.map(|v: f32| (v / 0.5 + 100.0) as u8), "{isa} {function:?}");
            });
        }
    }

    #[test]
    fn broadcasts() {
        let out = Output { zero_point: 3, min: 0, max: 255 };
        let [a, b] = [5, 9].map(|zero_point| Operand { scale: 0.1, zero_point });
        let mul = QMul::new(a, b, 1.0, out);
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
                let [rows, row_len] = walk.rows();
                for row in 0..rows {
                    let y = &mut y[row * row_len..][..row_len];
                    qmul(isa, &mul, &walk.part(row..row + 1), &a, &b, y);
                }
                for (i, &y) in y.iter().enumerate() {
                    let place = [i / 210, i / 70 % 3, i % 70];
                    let (a, b) = (a[at(dims[0], place)], b[at(dims[1], place)]);
                    let product = (f32::from(a) - 5.0) * (f32::from(b) - 9.0);
                    assert_eq!(y, leave(product * (0.1 * 0.1) + 3.0, out), "{isa} {dims:?} {place:?}");
                }
            });
        }
    }
}
