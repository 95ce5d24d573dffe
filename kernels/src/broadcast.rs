//! Walking over operands of different shapes as NumPy does.

use std::ops::Range;

/// Most dimensions that a walk may have (tiling splits each dimension of a tensor in two).
pub const MAX_WALK_RANK: usize = 16;

/// How `N` dense operands are read while a dense output is written in order: dimensions that can be walked as one
/// are merged, so that the innermost stride of every operand is 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast<const N: usize> {
    rank: usize,
    dims: [usize; MAX_WALK_RANK],
    strides: [[usize; MAX_WALK_RANK]; N],
    base: [usize; N],
}

impl<const N: usize> Broadcast<N> {
    /// Each operand (dimensions outermost first, aligned at the innermost) is broadcast to `out`. `None` if a
    /// dimension is neither 1 nor the output's, a rank exceeds the output's or [`MAX_WALK_RANK`], or the number
    /// of elements overflows.
    pub fn new(out: &[usize], operands: [&[usize]; N]) -> Option<Broadcast<N>> {
        out.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        if out.len() > MAX_WALK_RANK {
            return None;
        }
        let mut strides = [[0; MAX_WALK_RANK]; N];
        for (dims, strides) in operands.iter().zip(&mut strides) {
            let skipped = out.len().checked_sub(dims.len())?;
            let mut stride = 1usize;
            for axis in (skipped..out.len()).rev() {
                let d = dims[axis - skipped];
                if d != 1 {
                    if d != out[axis] {
                        return None;
                    }
                    strides[axis] = stride;
                }
                stride = stride.checked_mul(d)?;
            }
        }
        if out.contains(&0) {
            return Some(Broadcast::merged(&[0], &strides));
        }
        Some(Broadcast::merged(out, &strides))
    }

    /// Merges every dimension into the one inside it where all operands step through both alike.
    fn merged(out: &[usize], strides: &[[usize; MAX_WALK_RANK]; N]) -> Broadcast<N> {
        let mut walk =
            Broadcast { rank: 0, dims: [1; MAX_WALK_RANK], strides: [[0; MAX_WALK_RANK]; N], base: [0; N] };
        for (axis, &dim) in out.iter().enumerate().filter(|&(_, &d)| d != 1) {
            let last = walk.rank.wrapping_sub(1);
            let merges = walk.rank > 0 && (0..N).all(|i| walk.strides[i][last] == strides[i][axis] * dim);
            let to = if merges { last } else { walk.rank };
            walk.rank = to + 1;
            walk.dims[to] *= dim;
            for (to_strides, strides) in walk.strides.iter_mut().zip(strides) {
                to_strides[to] = strides[axis];
            }
        }
        walk
    }

    /// Elements of the output that this walk writes.
    pub fn len(&self) -> usize {
        self.dims[..self.rank].iter().product()
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Steps of the outermost dimension, and elements that each writes.
    pub fn rows(&self) -> [usize; 2] {
        [self.dims[0], self.dims[1..self.rank.max(1)].iter().product()]
    }

    /// The walk that writes these [`rows`](Self::rows) of the output only; the slices `y` that kernels take are that
    /// part.
    ///
    /// Panics if there are not so many.
    pub fn part(&self, rows: Range<usize>) -> Broadcast<N> {
        assert!(rows.start <= rows.end && rows.end <= self.dims[0], "a part is inside");
        let mut part = self.clone();
        (part.rank, part.dims[0]) = (self.rank.max(1), rows.len());
        for i in 0..N {
            part.base[i] += rows.start * self.strides[i][0];
        }
        part
    }

    /// Length of the innermost dimension.
    #[inline(always)]
    pub(crate) fn inner(&self) -> usize {
        if self.rank == 0 { 1 } else { self.dims[self.rank - 1] }
    }

    /// True if operand `i` steps along the innermost dimension; otherwise one value serves it all.
    #[inline(always)]
    pub(crate) fn steps(&self, i: usize) -> bool {
        self.rank > 0 && self.strides[i][self.rank - 1] != 0
    }

    /// The runs along the innermost dimension, in the output's order.
    #[inline(always)]
    pub(crate) fn runs(&self) -> Runs<'_, N> {
        Runs { walk: self, index: [0; MAX_WALK_RANK], at: self.base, left: !self.is_empty() }
    }
}

/// Offsets of the operands, run by run. An iterator and not a function that takes a closure: the loops over a run
/// then stay in the caller, which is where the vector features are.
pub(crate) struct Runs<'a, const N: usize> {
    walk: &'a Broadcast<N>,
    index: [usize; MAX_WALK_RANK],
    at: [usize; N],
    left: bool,
}

impl<const N: usize> Iterator for Runs<'_, N> {
    type Item = [usize; N];

    #[inline(always)]
    fn next(&mut self) -> Option<[usize; N]> {
        if !self.left {
            return None;
        }
        let at = self.at;
        self.step();
        Some(at)
    }
}

impl<const N: usize> Runs<'_, N> {
    #[inline]
    fn step(&mut self) {
        let walk = self.walk;
        for axis in (0..walk.rank.saturating_sub(1)).rev() {
            self.index[axis] += 1;
            if self.index[axis] < walk.dims[axis] {
                for i in 0..N {
                    self.at[i] += walk.strides[i][axis];
                }
                return;
            }
            for i in 0..N {
                self.at[i] -= walk.strides[i][axis] * (walk.dims[axis] - 1);
            }
            self.index[axis] = 0;
        }
        self.left = false;
    }
}

/// A function of one element of each of two operands.
pub(crate) trait Pairwise<A, B, Y> {
    /// The function; always inlined, so that it is compiled for its caller's vector features.
    fn eval(&self, a: A, b: B) -> Y;
}

/// Writes `f` of every pair: straight loops where an operand steps, one value where it does not.
#[inline(always)]
pub(crate) fn zip<A: Copy, B: Copy, Y: Copy>(
    f: impl Pairwise<A, B, Y>,
    walk: &Broadcast<2>,
    a: &[A],
    b: &[B],
    y: &mut [Y],
) {
    let inner = walk.inner();
    let runs = y[..walk.len()].chunks_exact_mut(inner.max(1));
    for (y, [i, j]) in runs.zip(walk.runs()) {
        match (walk.steps(0), walk.steps(1)) {
            (true, true) => {
                for ((y, &a), &b) in y.iter_mut().zip(&a[i..i + inner]).zip(&b[j..j + inner]) {
                    *y = f.eval(a, b);
                }
            }
            (true, false) => {
                let b = b[j];
                for (y, &a) in y.iter_mut().zip(&a[i..i + inner]) {
                    *y = f.eval(a, b);
                }
            }
            (false, true) => {
                let a = a[i];
                for (y, &b) in y.iter_mut().zip(&b[j..j + inner]) {
                    *y = f.eval(a, b);
                }
            }
            (false, false) => y.fill(f.eval(a[i], b[j])),
        }
    }
}

impl Broadcast<1> {
    /// The walk that repeats each dimension of `dims` as often as `repeats` says. `None` if the lengths differ,
    /// the rank is above [`MAX_WALK_RANK`]` / 2` or the number of elements overflows.
    pub fn tile(dims: &[usize], repeats: &[usize]) -> Option<Broadcast<1>> {
        if dims.len() != repeats.len() || dims.len() * 2 > MAX_WALK_RANK {
            return None;
        }
        let out: Vec<usize> = repeats.iter().zip(dims).flat_map(|(&r, &d)| [r, d]).collect();
        let x: Vec<usize> = dims.iter().flat_map(|&d| [1, d]).collect();
        Broadcast::new(&out, [&x])
    }
}

/// Copies `x` along a walk: expand, tile.
///
/// Panics if a slice is too short.
pub fn expand<T: Copy>(walk: &Broadcast<1>, x: &[T], y: &mut [T]) {
    let inner = walk.inner();
    let runs = y[..walk.len()].chunks_exact_mut(inner.max(1));
    for (y, [at]) in runs.zip(walk.runs()) {
        if walk.steps(0) {
            y.copy_from_slice(&x[at..at + inner]);
        } else {
            y.fill(x[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_what_is_contiguous() {
        let same = Broadcast::new(&[2, 3, 4], [&[2, 3, 4], &[2, 3, 4]]).unwrap();
        assert_eq!((same.rank, same.inner()), (1, 24));
        let channel = Broadcast::new(&[2, 3, 4], [&[2, 3, 4], &[4]]).unwrap();
        assert_eq!((channel.rank, channel.dims[0], channel.inner()), (2, 6, 4));
        let scalar = Broadcast::new(&[2, 3, 4], [&[2, 3, 4], &[]]).unwrap();
        assert_eq!((scalar.rank, scalar.inner(), scalar.steps(1)), (1, 24, false));
        assert!(Broadcast::new(&[2, 3], [&[2, 2]]).is_none());
        assert!(Broadcast::new(&[usize::MAX, 2], [&[1]]).is_none());
    }

    #[test]
    fn parts_make_the_whole() {
        let x: Vec<u32> = (0..12).collect();
        let walk = Broadcast::new(&[5, 3, 2, 4], [&[3, 1, 4]]).unwrap();
        let mut whole = vec![0; walk.len()];
        expand(&walk, &x, &mut whole);
        for (i, &v) in whole.iter().enumerate() {
            assert_eq!(v as usize, i / 8 % 3 * 4 + i % 4);
        }
        let [rows, row_len] = walk.rows();
        assert_eq!((rows, row_len), (5, 24));
        for cut in 0..=rows {
            let mut y = vec![99; walk.len()];
            let (a, b) = y.split_at_mut(cut * row_len);
            expand(&walk.part(0..cut), &x, a);
            expand(&walk.part(cut..rows), &x, b);
            assert_eq!(y, whole, "{cut}");
        }
    }

    #[test]
    fn tiles() {
        let walk = Broadcast::tile(&[2, 2], &[2, 3]).unwrap();
        let mut y = [0; 24];
        expand(&walk, &[1, 2, 3, 4], &mut y);
        assert_eq!(y[..12], [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]);
        assert_eq!(y[12..], y[..12]);
    }

    #[test]
    fn empty_and_scalar() {
        assert!(Broadcast::new(&[0, 3], [&[1, 3]]).unwrap().is_empty());
        let one = Broadcast::new(&[], [&[]]).unwrap();
        let mut y = [0];
        expand(&one, &[7], &mut y);
        assert_eq!(y, [7]);
    }
}
