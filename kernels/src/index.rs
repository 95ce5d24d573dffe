//! Elements picked and placed by index tensors, order, and running sums. Rarely used: one plain loop each.
//!
//! Indices are i64; negative ones count from the end of their axis. What is out of an axis is an error.

use crate::copy::IndexError;
use std::cmp::Ordering;

/// The most dimensions that an indexed tensor may have.
pub const MAX_RANK: usize = 8;

/// A position that may count from the end.
fn position(index: i64, len: usize) -> Result<usize, IndexError> {
    let from_end = if index < 0 { index.checked_add_unsigned(len as u64) } else { Some(index) };
    let found = from_end.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < len);
    found.ok_or(IndexError { index, len })
}

/// A walk over the elements of an index tensor beside a data tensor of the same rank: `at` is the offset in the data
/// of the element with the same coordinates, without its coordinate along the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Along {
    dims: Vec<usize>,
    strides: Vec<usize>,
    len: usize,
    step: usize,
}

impl Along {
    /// `None` if the ranks differ or exceed [`MAX_RANK`], the axis is not one of them, an index dimension but that
    /// of the axis is longer than the data's, or the number of elements overflows.
    pub fn new(data: &[usize], index: &[usize], axis: usize) -> Option<Along> {
        data.iter().chain([&1]).try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let rank = data.len();
        let fits = |i: usize| i == axis || index[i] <= data[i];
        if rank != index.len() || rank > MAX_RANK || axis >= rank || !(0..rank).all(fits) {
            return None;
        }
        let mut strides = vec![1; rank];
        for i in (1..rank).rev() {
            strides[i - 1] = strides[i] * data[i];
        }
        let step = strides[axis];
        strides[axis] = 0;
        Some(Along { dims: index.to_vec(), strides, len: data[axis], step })
    }

    /// Offsets in the data for each index in turn.
    fn each(&self, index: &[i64], mut see: impl FnMut(usize, usize)) -> Result<(), IndexError> {
        let mut place = [0usize; MAX_RANK];
        let mut at = 0;
        for (i, &index) in index.iter().enumerate() {
            see(i, at + position(index, self.len)? * self.step);
            for axis in (0..self.dims.len()).rev() {
                place[axis] += 1;
                at += self.strides[axis];
                if place[axis] < self.dims[axis] {
                    break;
                }
                at -= self.strides[axis] * self.dims[axis];
                place[axis] = 0;
            }
        }
        Ok(())
    }
}

/// `y[i] = x[i, but index[i] along the axis]`.
///
/// Panics if a slice is too short.
pub fn gather_elements<T: Copy>(
    along: &Along,
    x: &[T],
    index: &[i64],
    y: &mut [T],
) -> Result<(), IndexError> {
    along.each(index, |i, at| y[i] = x[at])
}

/// `y[i, but index[i] along the axis] = f(that, updates[i])`, in the order of the indices; `y` holds the data.
///
/// Panics if a slice is too short.
pub fn scatter_elements<T: Copy>(
    along: &Along,
    f: impl Fn(T, T) -> T,
    index: &[i64],
    updates: &[T],
    y: &mut [T],
) -> Result<(), IndexError> {
    along.each(index, |i, at| y[at] = f(y[at], updates[i]))
}

/// Tuples of indices that name rows of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Batches that data and indices share.
    batches: usize,
    /// Tuples per batch.
    tuples: usize,
    /// Data dimensions that a tuple names.
    dims: Vec<usize>,
    /// Elements of a row.
    inner: usize,
}

impl Rows {
    /// Data `[batch.., dims.., inner..]` and indices `[batch.., .., dims.len()]`. `None` if they don't go together
    /// or the number of elements overflows.
    pub fn new(data: &[usize], index: &[usize], batch_dims: usize) -> Option<Rows> {
        data.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        index.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let (&width, outer) = index.split_last()?;
        if batch_dims > outer.len() || batch_dims > data.len() || outer[..batch_dims] != data[..batch_dims] {
            return None;
        }
        let (batch, rest) = data.split_at(batch_dims);
        if width > rest.len() {
            return None;
        }
        let (dims, inner) = rest.split_at(width);
        Some(Rows {
            batches: batch.iter().product(),
            tuples: outer[batch_dims..].iter().product(),
            dims: dims.to_vec(),
            inner: inner.iter().product(),
        })
    }

    /// Elements that all named rows have together.
    pub fn picked(&self) -> usize {
        self.batches * self.tuples * self.inner
    }

    /// For each tuple in turn the first element of the row in the data.
    fn each(&self, index: &[i64], mut see: impl FnMut(usize, usize)) -> Result<(), IndexError> {
        let width = self.dims.len();
        let batch: usize = self.dims.iter().product::<usize>() * self.inner;
        for i in 0..self.batches * self.tuples {
            let mut row = 0;
            for (&index, &len) in index[i * width..][..width].iter().zip(&self.dims) {
                row = row * len + position(index, len)?;
            }
            see(i, i / self.tuples.max(1) * batch + row * self.inner);
        }
        Ok(())
    }
}

/// The named rows, one after the other.
///
/// Panics if a slice is too short.
pub fn gather_rows<T: Copy>(rows: &Rows, x: &[T], index: &[i64], y: &mut [T]) -> Result<(), IndexError> {
    let inner = rows.inner;
    rows.each(index, |i, at| y[i * inner..][..inner].copy_from_slice(&x[at..][..inner]))
}

/// `f(row, updates)` at each named row in turn; `y` holds the data.
///
/// Panics if a slice is too short.
pub fn scatter_rows<T: Copy>(
    rows: &Rows,
    f: impl Fn(T, T) -> T,
    index: &[i64],
    updates: &[T],
    y: &mut [T],
) -> Result<(), IndexError> {
    let inner = rows.inner;
    rows.each(index, |i, at| {
        for (y, &u) in y[at..][..inner].iter_mut().zip(&updates[i * inner..][..inner]) {
            *y = f(*y, u);
        }
    })
}

/// Running sums along the middle dimension of `x[outer][len][inner]`, by `add` from `zero` on. `exclusive`: each
/// without its own element; `reverse`: from the end.
///
/// Panics if a slice is too short.
pub fn running_sum<T: Copy>(
    [outer, len, inner]: [usize; 3],
    [exclusive, reverse]: [bool; 2],
    zero: T,
    add: impl Fn(T, T) -> T,
    x: &[T],
    y: &mut [T],
) {
    for column in 0..outer * inner {
        let from = column / inner * len * inner + column % inner;
        let mut sum = zero;
        for i in 0..len {
            let at = from + if reverse { len - 1 - i } else { i } * inner;
            let next = add(sum, x[at]);
            y[at] = if exclusive { sum } else { next };
            sum = next;
        }
    }
}

/// Indices of the `k` greatest (or least) values along the middle dimension of `x[outer][len][inner]`, in order;
/// of equals the one with the lower index comes first. What is not a number is greater than all others. `room` holds
/// `len` indices.
///
/// Panics if `k` exceeds `len` or a slice is too short.
pub fn top_k<T: Copy + PartialOrd>(
    [outer, len, inner]: [usize; 3],
    k: usize,
    largest: bool,
    x: &[T],
    room: &mut [i64],
    y: &mut [i64],
) {
    let room = &mut room[..len];
    for column in 0..outer * inner {
        let value = |i: i64| x[(column / inner * len + i as usize) * inner + column % inner];
        let ascending = |a: T, b: T| {
            let number = |v: T| v.partial_cmp(&v).is_some();
            a.partial_cmp(&b).unwrap_or_else(|| number(b).cmp(&number(a)))
        };
        let order = |a: &i64, b: &i64| -> Ordering {
            let values = ascending(value(*a), value(*b));
            (if largest { values.reverse() } else { values }).then(a.cmp(b))
        };
        for (i, slot) in room.iter_mut().enumerate() {
            *slot = i as i64;
        }
        room.sort_unstable_by(order);
        for (i, &index) in room[..k].iter().enumerate() {
            y[(column / inner * k + i) * inner + column % inner] = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_along_an_axis() {
        let along = Along::new(&[3, 2], &[2, 2], 0).unwrap();
        let x = [1, 2, 3, 4, 5, 6];
        let mut y = [0; 4];
        gather_elements(&along, &x, &[2, 0, -3, 1], &mut y).unwrap();
        assert_eq!(y, [5, 2, 1, 4]);
        let error = gather_elements(&along, &x, &[2, 0, 3, 1], &mut y).unwrap_err();
        assert_eq!((error.index, error.len), (3, 3));
        let mut z = x;
        scatter_elements(&along, |a, b| a + b, &[2, 0, 2, -1], &[10, 20, 30, 40], &mut z).unwrap();
        assert_eq!(z, [1, 22, 3, 4, 45, 46]);
        assert!(Along::new(&[3, 2], &[2, 3], 0).is_none());
        assert!(Along::new(&[3, 2], &[2], 0).is_none());
        assert!(Along::new(&[3], &[2], 1).is_none());
        assert!(Along::new(&[usize::MAX, 2], &[1, 1], 0).is_none());
    }

    #[test]
    fn rows_named_by_tuples() {
        let x = [0, 1, 2, 3, 4, 5, 6, 7];
        let rows = Rows::new(&[2, 2, 2], &[2, 1], 1).unwrap();
        assert_eq!(rows.picked(), 4);
        let mut y = [0; 4];
        gather_rows(&rows, &x, &[1, 0], &mut y).unwrap();
        assert_eq!(y, [2, 3, 4, 5]);
        let rows = Rows::new(&[2, 2, 2], &[2, 2], 0).unwrap();
        gather_rows(&rows, &x, &[0, 1, -1, 0], &mut y).unwrap();
        assert_eq!(y, [2, 3, 4, 5]);
        assert_eq!(gather_rows(&rows, &x, &[0, 1, 0, 2], &mut y).unwrap_err().index, 2);
        let mut z = x;
        scatter_rows(&rows, |_, b| b, &[1, 1, 0, 0], &[10, 11, 12, 13], &mut z).unwrap();
        assert_eq!(z, [12, 13, 2, 3, 4, 5, 10, 11]);
        assert!(Rows::new(&[2, 2], &[2, 3], 0).is_none());
        assert!(Rows::new(&[2, 2], &[3, 1], 1).is_none());
        assert!(Rows::new(&[2, 2], &[], 0).is_none());
    }

    #[test]
    fn sums_run_both_ways() {
        let x = [1, 2, 3, 4, 5, 6];
        let run = |dims, how| {
            let mut y = [0; 6];
            running_sum(dims, how, 0, |a, b| a + b, &x, &mut y);
            y
        };
        assert_eq!(run([2, 3, 1], [false, false]), [1, 3, 6, 4, 9, 15]);
        assert_eq!(run([1, 2, 3], [false, false]), [1, 2, 3, 5, 7, 9]);
        assert_eq!(run([1, 6, 1], [true, false]), [0, 1, 3, 6, 10, 15]);
        assert_eq!(run([2, 3, 1], [false, true]), [6, 5, 3, 15, 11, 6]);
        assert_eq!(run([2, 3, 1], [true, true]), [5, 3, 0, 11, 6, 0]);
    }

    #[test]
    fn the_greatest_come_in_order() {
        let x = [1.0, 5.0, f32::NAN, 5.0, -1.0, 0.0];
        let (mut room, mut y) = ([0; 6], [0; 4]);
        top_k([1, 6, 1], 4, true, &x, &mut room, &mut y);
        assert_eq!(y, [2, 1, 3, 0]);
        top_k([1, 6, 1], 4, false, &x, &mut room, &mut y);
        assert_eq!(y, [4, 5, 0, 1]);
        let mut y = [0; 3];
        top_k([1, 2, 3], 1, true, &[1, 9, 3, 4, 2, 3], &mut room, &mut y);
        assert_eq!(y, [1, 0, 0]);
    }
}
