//! Moving elements without computing: transposition, padding, slices, blocks, rows by index. Elements are any
//! plain type; what counts is their size.

mod pad;
mod slice;
#[cfg(test)]
mod tests;
mod transpose;

pub use pad::{Pad, PadMode};
pub use slice::Slice;
pub use transpose::Transpose;

/// Copies `blocks` blocks of `len` elements; their starts are `x_stride` and `y_stride` elements apart. What
/// concatenation, splitting and gathering along an axis come down to.
///
/// Panics if a slice is too short.
pub fn copy_blocks<T: Copy>(
    x: &[T],
    y: &mut [T],
    blocks: usize,
    len: usize,
    x_stride: usize,
    y_stride: usize,
) {
    if len == x_stride && len == y_stride {
        y[..blocks * len].copy_from_slice(&x[..blocks * len]);
        return;
    }
    for i in 0..blocks {
        copy_block(&x[i * x_stride..][..len], &mut y[i * y_stride..][..len]);
    }
}

/// Copies a block. A call of `memcpy` costs more than a short one takes.
#[inline(always)]
fn copy_block<T: Copy>(from: &[T], to: &mut [T]) {
    const PIECE: usize = 16;
    if from.len() > 8 * PIECE {
        to.copy_from_slice(from);
        return;
    }
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<PIECE>(), to.as_chunks_mut::<PIECE>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    if !from_rest.is_empty() {
        to_rest.copy_from_slice(from_rest);
    }
}

/// An index that is out of its axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexError {
    /// The index as given.
    pub index: i64,
    /// The axis' length.
    pub len: usize,
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "index {} is out of an axis of length {}", self.index, self.len)
    }
}

impl std::error::Error for IndexError {}

/// `y[o][i] = x[o][indices[i]]` for rows of `inner` elements in `x[outer][len][inner]`; negative indices count
/// from the end.
///
/// Panics if a slice is too short.
pub fn gather<T: Copy>(
    [outer, len, inner]: [usize; 3],
    x: &[T],
    indices: &[i64],
    y: &mut [T],
) -> Result<(), IndexError> {
    for o in 0..outer {
        let x = &x[o * len * inner..][..len * inner];
        let y = &mut y[o * indices.len() * inner..][..indices.len() * inner];
        for (i, &index) in indices.iter().enumerate() {
            let from_end = if index < 0 { index.checked_add_unsigned(len as u64) } else { Some(index) };
            let row = from_end.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < len);
            let row = row.ok_or(IndexError { index, len })?;
            y[i * inner..][..inner].copy_from_slice(&x[row * inner..][..inner]);
        }
    }
    Ok(())
}
