//! Scaled dot-product attention over floats: `softmax(scale * q k^T + mask) v`, head by head.
//!
//! Operands are read where they lie, whatever the order of their dimensions; only the last one must be contiguous. The
//! scores of a few queries at a time stay in the first caches. Definition of the weights, along the keys:
//! `e = exp(s * scale + mask - max)`, sums by lanes (lane `j` of 16 takes keys `j, j + 16, ...`, the lanes are added in
//! halves), `e * (1 / sum)`; weights below the least normal number are 0, since products with denormal ones take a
//! hundred times as long. The two products are float products, whose order of additions the instruction set decides.

use crate::Isa;
use crate::float::{Panels, Taps, Tile, Variant, cover};
use crate::math::exp;
use crate::multiversion::multiversion;
use std::ops::Range;

const LANES: usize = 16;
/// Queries whose scores are computed together: a multiple of every tile's height.
const BLOCK: usize = 48;
const UNBOUND: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Elements from one batch, head and row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Between batches.
    pub batch: usize,
    /// Between heads.
    pub head: usize,
    /// Between rows (queries or keys).
    pub row: usize,
}

/// Sizes of an attention, and where its operands lie.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Independent attentions.
    pub batch: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`: neighbouring heads share them.
    pub kv_heads: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a query and of a key.
    pub depth: usize,
    /// Elements of a value.
    pub value_depth: usize,
    /// Where q lies.
    pub q: Strides,
    /// Where k lies.
    pub k: Strides,
    /// Where v lies.
    pub v: Strides,
    /// Where the mask lies, `[queries][keys]` per batch and head; strides of 0 broadcast. Without effect if none is given.
    pub mask: Strides,
    /// Query `i` sees the keys up to `i + offset` only.
    pub causal: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f32,
}

/// An attention with everything decided but the data.
#[derive(Clone, Debug)]
pub struct Attention {
    isa: Isa,
    variant: Variant,
    shape: AttentionShape,
}

/// What the weights of some queries are made with.
#[derive(Clone, Copy)]
struct Weighing<'a> {
    keys: usize,
    scale: f32,
    /// The mask from the first of these queries on, and the elements between queries.
    mask: Option<(&'a [f32], usize)>,
    /// Keys that the first of these queries sees; every next one sees one more.
    visible: Option<usize>,
}

multiversion! {
    /// Makes weights of the scores `[queries][keys]`.
    fn weigh(how: Weighing<'_>, scores: &mut [f32]) => weigh_body
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn weigh_body(how: Weighing<'_>, scores: &mut [f32]) {
    for (i, row) in scores.chunks_exact_mut(how.keys).enumerate() {
        match how.mask {
            Some((mask, stride)) => {
                for (s, &m) in row.iter_mut().zip(&mask[i * stride..][..how.keys]) {
                    *s = *s * how.scale + m;
                }
            }
            None => {
                for s in row.iter_mut() {
                    *s *= how.scale;
                }
            }
        }
        if let Some(first) = how.visible {
            let end = first.saturating_add(i).min(how.keys);
            row[end..].fill(f32::NEG_INFINITY);
        }
        softmax(row);
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn softmax(row: &mut [f32]) {
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    let mut max = [f32::NEG_INFINITY; LANES];
    for chunk in whole.iter() {
        for i in 0..LANES {
            max[i] = greater(max[i], chunk[i]);
        }
    }
    let mut greatest = f32::NEG_INFINITY;
    for &v in max.iter().chain(rest.iter()) {
        greatest = greater(greatest, v);
    }
    let mut sums = [0f32; LANES];
    for chunk in whole.iter_mut() {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - greatest);
            sums[i] += chunk[i];
        }
    }
    for i in 0..rest.len() {
        rest[i] = exp(rest[i] - greatest);
        sums[i] += rest[i];
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    let share = 1.0 / sums[0];
    for v in row {
        let weight = *v * share;
        *v = if weight < f32::MIN_POSITIVE { 0.0 } else { weight };
    }
}

impl Attention {
    /// Panics if `kv_heads` does not divide `heads`.
    pub fn new(isa: Isa, shape: AttentionShape) -> Attention {
        assert!(shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads), "heads share keys evenly");
        Attention { isa, variant: Variant::new(isa), shape }
    }

    /// What runs, for people: operation, vectors.
    pub fn kernel(&self) -> &'static str {
        match self.variant.name() {
            "avx512" => "float attention avx512",
            "avx2" => "float attention avx2",
            _ => "float attention scalar",
        }
    }

    /// Multiply-adds.
    pub fn macs(&self) -> u64 {
        let s = &self.shape;
        let each = (s.keys as u64).saturating_mul((s.depth + s.value_depth) as u64);
        [s.batch, s.heads, s.queries].iter().fold(each, |n, &d| n.saturating_mul(d as u64))
    }

    fn key_panels(&self) -> Panels {
        Panels { lanes: self.variant.lanes(), k: self.shape.depth, n: self.shape.keys }
    }

    fn value_panels(&self) -> Panels {
        Panels { lanes: self.variant.lanes(), k: self.shape.keys, n: self.shape.value_depth }
    }

    /// f32 elements of scratch that one call of `run` needs: keys and values of one head, and some scores.
    pub fn scratch_len(&self) -> usize {
        let scores = BLOCK.min(self.shape.queries).saturating_mul(self.shape.keys);
        self.key_panels().len().saturating_add(self.value_panels().len()).saturating_add(scores)
    }

    /// Where the outputs lie that are `[batch][queries][heads][value_depth]`.
    pub fn by_query(&self) -> Strides {
        let AttentionShape { heads, queries, value_depth, .. } = self.shape;
        Strides { batch: queries * heads * value_depth, head: value_depth, row: heads * value_depth }
    }

    /// Where the outputs lie that are `[batch][heads][queries][value_depth]`: of some heads, they lie together.
    pub fn by_head(&self) -> Strides {
        let AttentionShape { heads, queries, value_depth, .. } = self.shape;
        Strides { batch: heads * queries * value_depth, head: queries * value_depth, row: value_depth }
    }

    /// Computes the outputs `rows` of `[batch * heads * queries]`, which lie as `place` says, `y` starting at the first
    /// of them. Keys and values are packed once for every head that these queries belong to.
    ///
    /// Panics if a slice is too short.
    pub fn run(
        &self,
        [q, k, v]: [&[f32]; 3],
        mask: Option<&[f32]>,
        (y, place): (&mut [f32], Strides),
        rows: Range<usize>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert!(rows.end <= s.batch * s.heads * s.queries, "no such queries");
        if rows.is_empty() {
            return;
        }
        let start = self.offset(place, rows.start);
        let mut at = rows.start;
        while at < rows.end {
            let (batch, head) = (at / s.queries / s.heads, at / s.queries % s.heads);
            let first = at % s.queries;
            let queries = first..s.queries.min(first + rows.end - at);
            let y = &mut y[self.offset(place, at) - start..];
            at += queries.len();
            let kv_head = head / (s.heads / s.kv_heads);
            let (panels, scores) = scratch.split_at_mut(self.key_panels().len() + self.value_panels().len());
            let (keys, values) = panels.split_at_mut(self.key_panels().len());
            self.pack_keys(&k[batch * s.k.batch + kv_head * s.k.head..], keys);
            self.pack_values(&v[batch * s.v.batch + kv_head * s.v.head..], values);
            let q = &q[batch * s.q.batch + head * s.q.head..];
            let mask = mask.map(|m| &m[batch * s.mask.batch + head * s.mask.head..]);
            for from in queries.clone().step_by(BLOCK) {
                let count = BLOCK.min(queries.end - from);
                let scores = &mut scores[..count * s.keys];
                self.product(&q[from * s.q.row..], s.q.row, count, (self.key_panels(), keys), scores, s.keys);
                let how = Weighing {
                    keys: s.keys,
                    scale: s.scale,
                    mask: mask.map(|m| (&m[from * s.mask.row..], s.mask.row)),
                    visible: s.causal.map(|offset| offset.saturating_add(from + 1)),
                };
                if s.keys > 0 {
                    weigh(self.isa, how, scores);
                }
                let y = &mut y[(from - first) * place.row..];
                self.product(scores, s.keys, count, (self.value_panels(), values), y, place.row);
            }
        }
    }

    /// Where row `row` of `[batch * heads * queries]` lies.
    fn offset(&self, place: Strides, row: usize) -> usize {
        let (head, query) = (row / self.shape.queries, row % self.shape.queries);
        head / self.shape.heads * place.batch + head % self.shape.heads * place.head + query * place.row
    }

    /// Moves outputs that lie [`by_head`](Self::by_head): `rows` of `[batch * queries]`, `y` starting at the first of
    /// them.
    ///
    /// Panics if a slice is too short.
    pub fn gather(&self, by_head: &[f32], y: &mut [f32], rows: Range<usize>) {
        let AttentionShape { heads, queries, value_depth, .. } = self.shape;
        for (row, y) in rows.zip(y.chunks_exact_mut((heads * value_depth).max(1))) {
            let first = row / queries * heads * queries + row % queries;
            for (head, y) in y.chunks_exact_mut(value_depth.max(1)).enumerate() {
                y.copy_from_slice(&by_head[(first + head * queries) * value_depth..][..value_depth]);
            }
        }
    }

    /// `count` rows of `x` times packed panels.
    fn product(
        &self,
        x: &[f32],
        x_stride: usize,
        count: usize,
        (panels, packed): (Panels, &[f32]),
        y: &mut [f32],
        y_stride: usize,
    ) {
        let taps = Taps { rows: 1, row_stride: 0, columns: 1, column_stride: 0, run: panels.k };
        for (first, channels, range) in panels.iter() {
            for (rows, at) in cover(count, self.variant.rows()) {
                let tile = Tile { x: &x[at * x_stride..], taps, rows, x_stride, y_stride, clamp: UNBOUND };
                self.variant.run(&tile, &packed[range.clone()], channels, &mut y[at * y_stride + first..]);
            }
        }
    }

    /// Keys become columns.
    fn pack_keys(&self, k: &[f32], packed: &mut [f32]) {
        let lanes = self.variant.lanes();
        for (first, channels, range) in self.key_panels().iter() {
            let panel = &mut packed[range];
            let width = channels.next_multiple_of(lanes);
            panel[..width].fill(0.0);
            for column in 0..width {
                let rows = panel[width..].chunks_exact_mut(width);
                if column < channels {
                    let key = &k[(first + column) * self.shape.k.row..][..self.shape.depth];
                    for (row, &v) in rows.zip(key) {
                        row[column] = v;
                    }
                } else {
                    rows.for_each(|row| row[column] = 0.0);
                }
            }
        }
    }

    /// Values are rows already.
    fn pack_values(&self, v: &[f32], packed: &mut [f32]) {
        let lanes = self.variant.lanes();
        for (first, channels, range) in self.value_panels().iter() {
            let panel = &mut packed[range];
            let width = channels.next_multiple_of(lanes);
            panel[..width].fill(0.0);
            for (i, row) in panel[width..].chunks_exact_mut(width).enumerate() {
                row[..channels].copy_from_slice(&v[i * self.shape.v.row + first..][..channels]);
                row[channels..].fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    /// The definition, in f64.
    fn oracle(s: &AttentionShape, [q, k, v]: [&[f32]; 3], mask: Option<&[f32]>) -> Vec<f64> {
        let mut y = Vec::new();
        for (b, i, h) in (0..s.batch * s.queries * s.heads)
            .map(|n| (n / s.heads / s.queries, n / s.heads % s.queries, n % s.heads))
        {
            let g = h / (s.heads / s.kv_heads);
            let weights: Vec<f64> = (0..s.keys)
                .map(|j| {
                    let dot: f64 = (0..s.depth)
                        .map(|d| {
                            f64::from(q[b * s.q.batch + h * s.q.head + i * s.q.row + d])
                                * f64::from(k[b * s.k.batch + g * s.k.head + j * s.k.row + d])
                        })
                        .sum();
                    let m = mask.map_or(0.0, |m| m[b * s.mask.batch + h * s.mask.head + i * s.mask.row + j]);
                    let seen = s.causal.is_none_or(|offset| j <= i + offset);
                    if seen { (dot * f64::from(s.scale) + f64::from(m)).exp() } else { 0.0 }
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..s.value_depth {
                let value = |j: usize| f64::from(v[b * s.v.batch + g * s.v.head + j * s.v.row + d]);
                y.push(weights.iter().enumerate().map(|(j, w)| w * value(j)).sum::<f64>() / sum);
            }
        }
        y
    }

    #[test]
    fn equals_the_definition_in_every_layout_and_split() {
        let mut random = Random::new(9);
        for (batch, heads, kv_heads, queries, keys, depth, value_depth) in [
            (1usize, 1, 1, 1usize, 1usize, 1, 1),
            (2, 3, 3, 7, 5, 8, 4),
            (1, 4, 2, 50, 33, 32, 32),
            (2, 2, 1, 97, 64, 17, 40),
            (1, 2, 2, 12, 130, 64, 33),
        ] {
            for heads_first in [false, true] {
                for causal in [None, Some(0), Some(keys.saturating_sub(queries))] {
                    let strides = |heads: usize, rows: usize, depth: usize| match heads_first {
                        false => Strides { batch: heads * rows * depth, head: depth, row: heads * depth },
                        true => Strides { batch: heads * rows * depth, head: rows * depth, row: depth },
                    };
                    let s = AttentionShape {
                        batch,
                        heads,
                        kv_heads,
                        queries,
                        keys,
                        depth,
                        value_depth,
                        q: strides(heads, queries, depth),
                        k: strides(kv_heads, keys, depth),
                        v: strides(kv_heads, keys, value_depth),
                        mask: Strides { batch: keys, head: 0, row: 0 },
                        causal,
                        scale: 1.0 / (depth as f32).sqrt(),
                    };
                    let q = random.floats(batch * heads * queries * depth, 2.0);
                    let k = random.floats(batch * kv_heads * keys * depth, 2.0);
                    let v = random.floats(batch * kv_heads * keys * value_depth, 2.0);
                    let mask = random.floats(batch * keys, 3.0);
                    for mask in [None, Some(&mask[..])] {
                        let expected = oracle(&s, [&q, &k, &v], mask);
                        on_every_isa(|isa| {
                            let attention = Attention::new(isa, s);
                            let mut scratch = vec![f32::NAN; attention.scratch_len()];
                            let width = heads * value_depth;
                            let mut run = |y: &mut [f32], place, rows| {
                                attention.run([&q, &k, &v], mask, (y, place), rows, &mut scratch);
                            };
                            let mut whole = vec![f32::NAN; batch * queries * width];
                            run(&mut whole, attention.by_query(), 0..batch * heads * queries);
                            for part in [1, 13, queries, batch * heads * queries] {
                                let mut heads_first = vec![f32::NAN; batch * queries * width];
                                for from in (0..batch * heads * queries).step_by(part) {
                                    let to = (from + part).min(batch * heads * queries);
                                    let y = &mut heads_first[from * value_depth..to * value_depth];
                                    run(y, attention.by_head(), from..to);
                                }
                                let mut y = vec![f32::NAN; batch * queries * width];
                                let (a, b) = y.split_at_mut(batch * queries / 2 * width);
                                attention.gather(&heads_first, a, 0..batch * queries / 2);
                                attention.gather(&heads_first, b, batch * queries / 2..batch * queries);
                                assert_eq!(y, whole, "{isa} {s:?}");
                                for (y, e) in y.iter().zip(&expected) {
                                    assert!((f64::from(*y) - e).abs() < 1e-5, "{isa} {s:?}: {y} for {e}");
                                }
                            }
                        });
                    }
                }
            }
        }
    }
}
