//! Products with the weights of a recurrent layer.

use crate::bytes::{bytes_mut, floats, floats_mut};
use crate::dynamic::{RowQuant, quantize_dynamically};
use crate::fconv::FConv;
use crate::multiversion::multiversion;
use crate::qconv::{DynamicQConv, Source};
use crate::{ConvShape, Filter, Isa, SLACK};
use std::ops::Range;

/// What products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32.
    Float,
    /// Weights are i8, rows of inputs are quantized to u8 as they come.
    Dynamic {
        /// In which way; unless rows are [shared](RowQuant::Shared), what comes out of a row does not depend on the
        /// others.
        rows: RowQuant,
    },
}

/// Rows of weights.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// f32.
    Float(&'a [f32]),
    /// i8.
    Bytes {
        /// The weights.
        values: &'a [i8],
        /// Of each row.
        scales: &'a [f32],
        /// Of each row, all -255..=255 away from its weights. Empty: all 0.
        zero_points: &'a [i16],
    },
}

impl<'a> Rows<'a> {
    /// Those from row `first` on; `k` is the length of a row.
    pub fn from(self, first: usize, k: usize) -> Rows<'a> {
        match self {
            Rows::Float(values) => Rows::Float(&values[first * k..]),
            Rows::Bytes { values, scales, zero_points } => Rows::Bytes {
                values: &values[first * k..],
                scales: &scales[first..],
                zero_points: zero_points.get(first..).unwrap_or_default(),
            },
        }
    }
}

/// `y[m][n] = x[m][k] w[n][k] + bias[n]`
#[derive(Clone, Debug)]
pub struct Product {
    kind: Kind,
    rows: usize,
    k: usize,
    n: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Float(FConv),
    /// All rows, or the only one, have one scale and zero point: reals come out of the product.
    Together {
        product: Box<DynamicQConv>,
        quant: RowQuant,
    },
    /// Sums of `block` rows at a time, which become reals with the scale and zero point of each.
    Apart {
        sums: Box<DynamicQConv>,
        block: usize,
        quant: RowQuant,
    },
}

/// Rows that are quantized one after the other before they are multiplied together.
const BLOCK: usize = 16;

impl Product {
    /// A product of `rows` rows of `k` with `n` rows of weights.
    pub fn new(isa: Isa, arithmetic: Arithmetic, rows: usize, k: usize, n: usize) -> Product {
        let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
        let kind = match arithmetic {
            Arithmetic::Float => Kind::Float(FConv::new(isa, ConvShape::linear(rows, k, n), unbounded, n)),
            Arithmetic::Dynamic { rows: quant } if quant == RowQuant::Shared || rows == 1 => {
                let product = DynamicQConv::reals(isa, ConvShape::linear(rows, k, n), unbounded);
                Kind::Together { product: Box::new(product), quant }
            }
            Arithmetic::Dynamic { rows: quant } => {
                let block = rows.min(BLOCK);
                let sums = DynamicQConv::sums(isa, ConvShape::linear(block, k, n));
                Kind::Apart { sums: Box::new(sums), block, quant }
            }
        };
        Product { kind, rows, k, n }
    }

    /// What runs, for people.
    pub fn kernel(&self) -> String {
        match &self.kind {
            Kind::Float(product) => product.kernel().to_string(),
            Kind::Together { product, .. } => format!("dynamic {}", product.kernel()),
            Kind::Apart { sums, .. } => format!("dynamic {}", sums.kernel()),
        }
    }

    /// Elements of a row of the result.
    pub fn width(&self) -> usize {
        self.n
    }

    /// Bytes of the packed weights: a multiple of 64.
    pub fn packed_len(&self) -> usize {
        match &self.kind {
            Kind::Float(product) => (product.packed_len() * 4).next_multiple_of(64),
            Kind::Together { product, .. } => product.packed_len(),
            Kind::Apart { sums, .. } => sums.packed_len() + 3 * self.column_bytes(),
        }
    }

    /// Bytes of a value per column.
    fn column_bytes(&self) -> usize {
        (self.n * 4).next_multiple_of(64)
    }

    /// Packs weights `[n][k]` and biases `[n]`.
    ///
    /// Panics if a slice is too short, or the weights are of the other kind.
    pub fn pack(&self, weights: Rows<'_>, bias: &[f32], packed: &mut [u8]) {
        let (n, len) = (self.n, self.n * self.k);
        match (&self.kind, weights) {
            (Kind::Float(product), Rows::Float(values)) => {
                let packed = &mut floats_mut(packed)[..product.packed_len()];
                product.pack(&values[..len], &bias[..n], packed);
            }
            (Kind::Together { product, .. }, Rows::Bytes { values, scales, zero_points }) => {
                let filter = filter(&values[..len], &scales[..n], zero_points);
                product.pack(&filter, &bias[..n], &mut packed[..product.packed_len()]);
            }
            (Kind::Apart { sums, .. }, Rows::Bytes { values, scales, zero_points }) => {
                let filter = filter(&values[..len], &scales[..n], zero_points);
                let (to, rest) = packed.split_at_mut(sums.packed_len());
                sums.pack(&filter, &[], to);
                let column = self.column_bytes() / 4;
                let rest = floats_mut(rest);
                for (i, row) in filter.weights.chunks_exact(self.k.max(1)).enumerate() {
                    let zero = i32::from(filter.zero_point(i));
                    let sum: i32 = row.iter().map(|&w| i32::from(w) - zero).sum();
                    rest[i] = f32::from_bits(sum as u32);
                }
                rest[column..][..n].copy_from_slice(filter.multiplier);
                rest[2 * column..][..n].copy_from_slice(&bias[..n]);
            }
            _ => panic!("weights are of the kind that the product was made for"),
        }
    }

    /// Bytes of scratch that one call of `run` needs: a multiple of 64.
    pub fn scratch_len(&self) -> usize {
        match &self.kind {
            Kind::Float(product) => (product.scratch_len() * 4).next_multiple_of(64),
            Kind::Together { product, .. } => {
                self.block_bytes(self.rows) + product.scratch_len().next_multiple_of(64)
            }
            Kind::Apart { sums, block, .. } => {
                self.block_bytes(*block) + sums.scratch_len().next_multiple_of(64)
            }
        }
    }

    /// Bytes of quantized inputs.
    fn block_bytes(&self, block: usize) -> usize {
        (block * self.k + SLACK).next_multiple_of(64)
    }

    /// Computes `rows`; `x` holds all rows, `y` starts with the first of these.
    ///
    /// Panics if a slice is too short.
    pub fn run(
        &self,
        isa: Isa,
        packed: &[u8],
        x: &[f32],
        rows: Range<usize>,
        y: &mut [f32],
        scratch: &mut [u8],
    ) {
        let (n, k) = (self.n, self.k);
        let (sums, block, quant) = match &self.kind {
            Kind::Float(product) => {
                let packed = &floats(packed)[..product.packed_len()];
                return product.run(packed, x, y, rows, floats_mut(scratch));
            }
            Kind::Together { product, quant } => {
                let (bytes, scratch) = scratch.split_at_mut(self.block_bytes(self.rows));
                let x = &x[..self.rows * k];
                let source = quantize_dynamically(isa, *quant, x, &mut bytes[..self.rows * k]);
                let packed = &packed[..product.packed_len()];
                return product.run(packed, bytes, source, bytes_mut(y), rows, scratch);
            }
            Kind::Apart { sums, block, quant } => (sums, *block, *quant),
        };
        let (packed, columns) = packed.split_at(sums.packed_len());
        let columns = Columns::of(floats(columns), self.column_bytes() / 4, n);
        let (bytes, scratch) = scratch.split_at_mut(self.block_bytes(block));
        let raw = Source { scale: 1.0, zero_point: 0 };
        let mut sources = [raw; BLOCK];
        for first in rows.clone().step_by(block.max(1)) {
            let count = block.min(rows.end - first);
            for (i, source) in sources[..count].iter_mut().enumerate() {
                let x = &x[(first + i) * k..][..k];
                *source = quantize_dynamically(isa, quant, x, &mut bytes[i * k..][..k]);
            }
            let y = &mut y[(first - rows.start) * n..][..count * n];
            sums.run(packed, bytes, raw, bytes_mut(y), 0..count, scratch);
            for (y, &source) in y.chunks_exact_mut(n.max(1)).zip(&sources) {
                reals(isa, &columns, source, y);
            }
        }
    }
}

/// Rows of weights with their scales and zero points (of as many rows at least, or none).
fn filter<'a>(weights: &'a [i8], scales: &'a [f32], zero_points: &'a [i16]) -> Filter<'a> {
    let zero_points = if zero_points.is_empty() { zero_points } else { &zero_points[..scales.len()] };
    Filter { weights, zero_points, multiplier: scales, ..Filter::default() }
}

/// What makes reals of sums, per column.
struct Columns<'a> {
    /// The sum of the weights, as the bits of an i32.
    sums: &'a [f32],
    scales: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Columns<'a> {
    fn of(packed: &'a [f32], stride: usize, n: usize) -> Columns<'a> {
        Columns { sums: &packed[..n], scales: &packed[stride..][..n], bias: &packed[2 * stride..][..n] }
    }
}

multiversion! {
    /// Makes reals of sums, given as the bits of i32s: `(sum - zero_point * weights) as f32 * (scale * weight scale) +
    /// bias`, each step one IEEE operation.
    fn reals(columns: &Columns<'_>, source: Source, y: &mut [f32]) => reals_body
}

#[inline(always)]
fn reals_body(columns: &Columns<'_>, source: Source, y: &mut [f32]) {
    let Columns { sums, scales, bias } = *columns;
    let zero = i32::from(source.zero_point);
    for (((y, sum), &scale), &bias) in y.iter_mut().zip(sums).zip(scales).zip(bias) {
        let total = y.to_bits() as i32;
        let exact = total.wrapping_sub(zero.wrapping_mul(sum.to_bits() as i32));
        *y = exact as f32 * (source.scale * scale) + bias;
    }
}
