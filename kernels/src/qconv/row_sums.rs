//! Sums of the input bytes of rows of a tile: what zero points of weights are multiplied with.
//!
//! `sum a * (w - z) = sum a * w - z * sum a`: the second sum is the same for all output channels. It is made once
//! per tile of rows, before the tile goes over the panels, at about `1 / oc` of the cost of the products.

use super::tile::{Place, Rows};

/// Adds up the bytes under all taps of each of as many rows as there are sums; `taps` = how many, bytes of each.
///
/// # Safety
/// The processor has the instruction set it was compiled for; `rows` are good for as many rows and taps, and for as
/// many whole quads of bytes as a tap takes.
pub(crate) type RowSumsFn = unsafe fn(rows: (&Rows, &Place), taps: [usize; 2], sums: &mut [i32]);

/// An instruction set's sums of bytes.
///
/// # Safety
/// As for [`Columns16`](super::tile::Columns16).
pub(crate) trait ByteSums {
    /// Partial sums.
    type Sums: Copy;
    /// Nothing yet.
    unsafe fn none() -> Self::Sums;
    /// Adds `len` bytes from `p` on; as many whole quads as they take can be read.
    unsafe fn more(sums: Self::Sums, p: *const u8, len: usize) -> Self::Sums;
    /// All partial sums together.
    unsafe fn all(sums: Self::Sums) -> i32;
}

/// Computes the sums.
///
/// # Safety
/// As for [`RowSumsFn`].
#[inline(always)]
pub(crate) unsafe fn row_sums<S: ByteSums>(
    (rows, place): (&Rows, &Place),
    [taps, tap_len]: [usize; 2],
    sums: &mut [i32],
) {
    let mr = sums.len();
    for (i, to) in sums.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the instruction set and the pointers.
        unsafe {
            let mut sum = S::none();
            for tap in 0..taps {
                let start = match place.pointers.is_null() {
                    true => place.x.add(*rows.offsets.add(tap) + i * rows.step),
                    false => *place.pointers.add(tap * mr + i),
                };
                sum = S::more(sum, start, tap_len);
            }
            *to = S::all(sum);
        }
    }
}
