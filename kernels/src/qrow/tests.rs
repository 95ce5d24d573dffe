use super::sparse::QSparseRow;
use super::*;
use crate::testing::{Operands, Random, on_every_isa};
use crate::{ConvShape, QConv};

/// A product with all that its filter may have.
struct Case {
    k: usize,
    n: usize,
    x_zero_point: u8,
    operands: Operands,
}

impl Case {
    /// `kind`: bit 0: some weights are -128; bit 1: weights have zero points; bit 2: there are offsets.
    fn new([k, n]: [usize; 2], kind: u8, random: &mut Random) -> Case {
        // Extremes are as likely as anything else.
        let mut bytes = |len: usize| -> Vec<u8> {
            let one = |_| [random.bits() as u8, 0x80, 0x7f, 0xff][random.bits() as usize % 4];
            (0..len).map(one).collect()
        };
        let lowest = if kind & 1 == 0 { -127 } else { -128 };
        let weights = bytes(n * k).into_iter().map(|b| (b as i8).max(lowest)).collect();
        // What lies behind the row means nothing.
        let x = bytes(k + SLACK);
        let zero_points = if kind & 2 != 0 { bytes(n) } else { vec![] };
        let operands = Operands {
            weights,
            zero_points: zero_points.into_iter().map(|b| i16::from(b as i8)).collect(),
            bias: (0..n).map(|_| random.bits() as i32 >> 8).collect(),
            multiplier: random.floats(n, 2e-4),
            offset: if kind & 4 != 0 { random.floats(n, 3.0) } else { vec![] },
            x,
        };
        Case { k, n, x_zero_point: [0, 1, 127, 128, 255][random.bits() as usize % 5], operands }
    }

    /// What plain loops over a convolution's weights say.
    fn expected(&self, out: Option<Output>) -> Vec<u8> {
        let shape = ConvShape::linear(1, self.k, self.n);
        let conv = match out {
            Some(out) => QConv::new(Isa::SCALAR, shape, self.x_zero_point, out, self.n),
            None => QConv::to_f32(Isa::SCALAR, shape, self.x_zero_point, CLAMP),
        };
        let conv = if self.operands.offset.is_empty() { conv } else { conv.with_offsets() };
        let mut packed = vec![0; conv.packed_len()];
        conv.pack(&self.operands.filter(), &mut packed);
        let mut y = vec![0; self.n * conv.output_size()];
        conv.run(&packed, &self.operands.x, &mut y, 0..1, &mut vec![0; conv.scratch_len()]);
        y
    }

    fn row(&self, isa: Isa, out: Option<Output>) -> (QRow, Vec<u8>) {
        let row = match out {
            Some(out) => QRow::new(isa, self.k, self.n, self.x_zero_point, out),
            None => QRow::to_f32(isa, self.k, self.n, self.x_zero_point, CLAMP),
        };
        let row = if self.operands.offset.is_empty() { row } else { row.with_offsets() };
        let row = if self.operands.zero_points.is_empty() { row } else { row.with_zero_points() };
        let mut packed = vec![0xaa; row.packed_len()];
        row.pack(&self.operands.filter(), &mut packed);
        (row, packed)
    }
}

const CLAMP: [f32; 2] = [-900.0, 1000.0];
const OUT: Output = Output { zero_point: 7, min: 3, max: 250 };

#[test]
fn rows_are_what_convolutions_are() {
    let mut random = Random::new(1);
    for n in
        [0, 1, 7, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 97, 112, 127, 128, 129, 160, 176, 300]
    {
        for k in [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 29, 32, 33, 63, 64, 65, 130] {
            for kind in 0..8 {
                let case = Case::new([k, n], kind, &mut random);
                for out in [Some(OUT), None] {
                    let expected = case.expected(out);
                    on_every_isa(|isa| {
                        let (row, packed) = case.row(isa, out);
                        let mut y = vec![0x55; expected.len() + 3];
                        row.run(&packed, &case.operands.x, &mut y, 0..row.units(), &mut []);
                        assert!(y[..expected.len()] == expected, "{isa} {k} x {n}, kind {kind}, {out:?}");
                        assert_eq!(
                            y[expected.len()..],
                            [0x55; 3],
                            "{isa}: nothing behind the outputs is written"
                        );
                    });
                }
            }
        }
    }
}

#[test]
fn units_can_be_computed_apart() {
    let mut random = Random::new(2);
    for n in [1, 64, 65, 130, 200, 330] {
        let case = Case::new([37, n], 7, &mut random);
        for out in [Some(OUT), None] {
            let expected = case.expected(out);
            on_every_isa(|isa| {
                let (row, packed) = case.row(isa, out);
                for at_once in 1..=row.units() {
                    let mut y = vec![0; expected.len()];
                    for from in (0..row.units()).step_by(at_once) {
                        let to = row.units().min(from + at_once);
                        let start = from * row.width() * row.output_size();
                        row.run(&packed, &case.operands.x, &mut y[start..], from..to, &mut []);
                    }
                    assert!(y == expected, "{isa} {n} columns, {at_once} units at once");
                }
            });
        }
    }
}

#[test]
fn sparse_rows_are_what_convolutions_are() {
    let mut random = Random::new(4);
    for n in [0, 1, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193, 300] {
        for k in [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 64, 100, 130] {
            // From no inputs that are 0 to all.
            for rare in 0..4 {
                let mut case = Case::new([k, n], rare & 1, &mut random);
                case.x_zero_point = 0;
                for x in &mut case.operands.x[..k] {
                    *x = if random.bits() % 3 < u32::from(rare) { 0 } else { *x };
                }
                let expected = case.expected(Some(OUT));
                on_every_isa(|isa| {
                    let row = QSparseRow::new(isa, k, n, OUT);
                    let mut packed = vec![0xaa; row.packed_len()];
                    row.pack(&case.operands.filter(), &mut packed);
                    for at_once in 1..=row.units().max(1) {
                        let (mut y, mut scratch) = (vec![0x55; n + 3], vec![0xaa; row.scratch_len()]);
                        for from in (0..row.units()).step_by(at_once) {
                            let to = row.units().min(from + at_once);
                            row.run(
                                &packed,
                                &case.operands.x,
                                &mut y[from * row.width()..],
                                from..to,
                                &mut scratch,
                            );
                        }
                        assert!(y[..n] == expected, "{isa} {k} x {n}, {at_once} units at once");
                        assert_eq!(y[n..], [0x55; 3], "{isa}: nothing behind the outputs is written");
                    }
                });
            }
        }
    }
}

#[test]
fn packed_sparse_weights_fit_no_other_product() {
    let case = Case::new([10, 70], 0, &mut Random::new(5));
    on_every_isa(|isa| {
        let row = QSparseRow::new(isa, 10, 70, OUT);
        let mut packed = vec![0; row.packed_len()];
        row.pack(&case.operands.filter(), &mut packed);
        assert!(row.accepts(&packed) && !row.accepts(&packed[..packed.len() - 1]), "{isa}");
        assert!(!QSparseRow::new(isa, 11, 70, OUT).accepts(&packed), "{isa}");
        assert!(!QSparseRow::new(isa, 10, 71, OUT).accepts(&packed), "{isa}");
        assert!(!QRow::new(isa, 10, 70, 0, OUT).accepts(&packed), "{isa}");
        packed[12] = 1;
        assert!(!row.accepts(&packed), "{isa}: a flag that there is not");
        assert_eq!(row.kernel().contains("avx512vnni"), isa.level() == Level::Avx512Vnni);
    });
}

#[test]
fn packed_weights_fit_no_other_product() {
    let case = Case::new([10, 70], 6, &mut Random::new(3));
    on_every_isa(|isa| {
        let (row, packed) = case.row(isa, None);
        assert!(row.accepts(&packed) && case.row(isa, Some(OUT)).0.accepts(&packed), "{isa}");
        let zero = case.x_zero_point;
        let same = || QRow::new(isa, 10, 70, zero, OUT);
        let other = |k, n, zero| QRow::new(isa, k, n, zero, OUT).with_offsets().with_zero_points();
        assert!(other(10, 70, zero).accepts(&packed), "{isa}");
        for other in [
            same(),
            same().with_offsets(),
            same().with_zero_points(),
            other(10, 70, zero ^ 1),
            other(11, 70, zero),
            other(10, 71, zero),
        ] {
            assert!(!other.accepts(&packed), "{isa}: {other:?}");
        }
        assert!(!row.accepts(&packed[..packed.len() - 1]), "{isa}");
        assert!(!row.accepts(&[]), "{isa}");
        for (at, value) in [(0, b'9'), (8, 0xff), (12, 4), (15, 1), (40, 1)] {
            let mut damaged = packed.clone();
            damaged[at] = value;
            assert!(!row.accepts(&damaged), "{isa}: byte {at}");
        }
        assert_eq!(isa.level() == Level::Scalar, row.kernel().ends_with("scalar"));
    });
}
