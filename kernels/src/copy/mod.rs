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
    if blocks > 0 && x_stride >= len && y_stride >= len {
        // Of a few channels, in vectors: a length that is known leaves nothing to find out about each block.
        match len {
            8 => return copy_short::<T, 8>(x, y, blocks, x_stride, y_stride),
            16 => return copy_short::<T, 16>(x, y, blocks, x_stride, y_stride),
            32 => return copy_short::<T, 32>(x, y, blocks, x_stride, y_stride),
            64 => return copy_short::<T, 64>(x, y, blocks, x_stride, y_stride),
            _ => {}
        }
    }
    for i in 0..blocks {
        copy_block(&x[i * x_stride..][..len], &mut y[i * y_stride..][..len]);
    }
}

/// Copies `blocks` (not 0) blocks of `N` elements, which don't overlap.
fn copy_short<T: Copy, const N: usize>(
    x: &[T],
    y: &mut [T],
    blocks: usize,
    x_stride: usize,
    y_stride: usize,
) {
    // The last block need not have room behind it.
    let (x, x_last) = x.split_at((blocks - 1) * x_stride);
    let (y, y_last) = y.split_at_mut((blocks - 1) * y_stride);
    for (x, y) in x.chunks_exact(x_stride).zip(y.chunks_exact_mut(y_stride)) {
        y[..N].copy_from_slice(&x[..N]);
    }
    y_last[..N].copy_from_slice(&x_last[..N]);
}

/// Copies a block. A call of `memcpy` costs more than a short one takes.
#[inline(always)]
fn copy_block<T: Copy>(from: &[T], to: &mut [T]) {
    const PIECE: usize = 16;
    if from.len() > 8 * PIECE {
        to.copy_from_slice(from);
        return;
    }
    for (to, from) in to.as_chunks_mut::<PIECE>().0.iter_mut().zip(from.as_chunks::<PIECE>().0) {
        *to = *from;
    }
    // What is left is the end of a whole piece, if there is one.
    match (to.last_chunk_mut::<PIECE>(), from.last_chunk::<PIECE>()) {
        (Some(to), Some(from)) => *to = *from,
        _ => to.copy_from_slice(from),
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
