//! Reordering dimensions.

use crate::Isa;
use crate::multiversion::multiversion;
use std::ops::Range;

/// A permutation of the dimensions of a dense tensor: output dimension `i` is input dimension `perm[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Output dimensions, outermost first: length and input stride. Never empty.
    dims: Vec<(usize, usize)>,
}

/// Side of the square that is transposed at a time.
const TILE: usize = 16;

impl Transpose {
    /// `None` if `perm` is no permutation of the dimensions or the number of elements overflows.
    pub fn new(dims: &[usize], perm: &[usize]) -> Option<Transpose> {
        dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let mut seen = perm.to_vec();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..dims.len()) {
            return None;
        }
        if dims.contains(&0) {
            return Some(Transpose { dims: vec![(0, 1)] });
        }
        let strides: Vec<usize> = (0..dims.len()).map(|i| dims[i + 1..].iter().product()).collect();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (len, stride) in perm.iter().map(|&p| (dims[p], strides[p])).filter(|d| d.0 != 1) {
            match merged.last_mut() {
                // One step of the outer dimension is a whole walk along the inner one.
                Some((outer, at)) if *at == stride * len => (*outer, *at) = (*outer * len, stride),
                _ => merged.push((len, stride)),
            }
        }
        if merged.is_empty() {
            merged.push((1, 1));
        }
        Some(Transpose { dims: merged })
    }

    /// True if the elements keep their order.
    pub fn is_copy(&self) -> bool {
        self.dims.len() == 1
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.dims.iter().map(|d| d.0).product()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Steps of the outermost dimension of the output, and elements of one.
    pub fn rows(&self) -> [usize; 2] {
        [self.dims[0].0, self.dims[1..].iter().map(|d| d.0).product()]
    }

    /// Moves the elements of some [`rows`](Self::rows) of the output; `x` is whole, `y` is these rows.
    ///
    /// Panics if a slice is too short or there are not so many rows.
    pub fn run<T: Copy>(&self, isa: Isa, x: &[T], y: &mut [T], rows: Range<usize>) {
        transpose(isa, &self.dims, x, y, rows);
    }
}

multiversion! {
    fn transpose<T: Copy>(
        dims: &[(usize, usize)], x: &[T], y: &mut [T], rows: Range<usize>,
    ) => transpose_body
}

#[inline(always)]
fn transpose_body<T: Copy>(dims: &[(usize, usize)], x: &[T], y: &mut [T], rows: Range<usize>) {
    let Some((&(count, step), rest)) = dims.split_first() else { return };
    assert!(rows.start <= rows.end && rows.end <= count, "no such rows");
    let row_len: usize = rest.iter().map(|d| d.0).product();
    let (x, y) = (&x[..count * row_len], &mut y[..rows.len() * row_len]);
    let x = &x[(rows.start * step).min(x.len())..];
    let Some((&(inner, stride), outer)) = dims.split_last() else { return };
    if stride == 1 {
        let inner = if outer.is_empty() { rows.len() } else { inner };
        for (i, y) in y.chunks_exact_mut(inner.max(1)).enumerate() {
            y.copy_from_slice(&x[offset(outer, i)..][..inner]);
        }
        return;
    }
    let Some((&(lines, line_stride), outer)) = outer.split_last() else { return };
    let lines = if outer.is_empty() { rows.len() } else { lines };
    for (i, y) in y.chunks_exact_mut((lines * inner).max(1)).enumerate() {
        matrix(&x[offset(outer, i)..], [lines, inner], [line_stride, stride], y);
    }
}

/// Input offset of the `i`-th position of dimensions in row-major order.
#[inline(always)]
fn offset(dims: &[(usize, usize)], mut i: usize) -> usize {
    let mut at = 0;
    for &(len, stride) in dims.iter().rev() {
        at += i % len * stride;
        i /= len;
    }
    at
}

/// `y[r][c] = x[r * strides[0] + c * strides[1]]`, tile by tile.
#[inline(always)]
fn matrix<T: Copy>(x: &[T], [rows, columns]: [usize; 2], strides: [usize; 2], y: &mut [T]) {
    match columns {
        // Images of a few planes become pixels.
        2 if strides[0] == 1 => return pixels::<T, 2>(x, strides[1], rows, y),
        3 if strides[0] == 1 => return pixels::<T, 3>(x, strides[1], rows, y),
        4 if strides[0] == 1 => return pixels::<T, 4>(x, strides[1], rows, y),
        _ => {}
    }
    for top in (0..rows).step_by(TILE) {
        let bottom = rows.min(top + TILE);
        for left in (0..columns).step_by(TILE) {
            let right = columns.min(left + TILE);
            if strides[0] == 1 && bottom - top == TILE && right - left == TILE {
                let x = &x[top + left * strides[1]..];
                square(x, strides[1], &mut y[top * columns + left..], columns);
                continue;
            }
            for r in top..bottom {
                let x = x[r * strides[0] + left * strides[1]..].iter().step_by(strides[1]);
                for (y, x) in y[r * columns + left..r * columns + right].iter_mut().zip(x) {
                    *y = *x;
                }
            }
        }
    }
}

/// `y[r][c] = x[c][r]` of `N` columns, `stride` apart. By index into slices of known lengths: this the compiler makes
/// loads, shuffles and whole stores of, twelve times as fast for three planes as elements one by one.
#[inline(always)]
fn pixels<T: Copy, const N: usize>(x: &[T], stride: usize, rows: usize, y: &mut [T]) {
    let mut planes: [&[T]; N] = [&[]; N];
    for (c, plane) in planes.iter_mut().enumerate() {
        *plane = &x[c * stride..][..rows];
    }
    let y = &mut y.as_chunks_mut::<N>().0[..rows];
    for r in 0..rows {
        for c in 0..N {
            y[r][c] = planes[c][r];
        }
    }
}

/// `y[r][c] = x[c][r]` for a whole tile, rows being `x_stride` and `y_stride` apart: no bounds to check inside, so
/// that it becomes loads, shuffles and whole stores.
#[inline(always)]
fn square<T: Copy>(x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
    let mut rows = [[x[0]; TILE]; TILE];
    for (i, row) in rows.iter_mut().enumerate() {
        row.copy_from_slice(&x[i * x_stride..][..TILE]);
    }
    for r in 0..TILE {
        let column: [T; TILE] = std::array::from_fn(|c| rows[c][r]);
        y[r * y_stride..][..TILE].copy_from_slice(&column);
    }
}
