//! What depthwise kernels need of an instruction set.

use super::windows::{Ahead, Call, Span};
use crate::Output;

/// The vectors of one instruction set.
///
/// Safety: all functions need the instruction set; those that take pointers read or write one whole vector there
/// (`store_part`: `n` bytes; `gather`, `scatter`: as they say).
pub(crate) trait Vectors: Sized {
    /// A vector register.
    type Word: Copy;
    /// [`Output`], broadcast.
    type Bounds: Copy;
    /// Bytes of a vector: channels of a block.
    const BYTES: usize;
    /// Kernel rows that share a word.
    const TAPS: usize;
    /// Output pixels computed together: 4 or 2.
    const PIXELS: usize;
    /// Words of weights have 16 bits for each: they need no parts.
    const WIDE_WEIGHTS: bool;
    /// There are registers for a [stream](super::windows::stream).
    const STREAMS: bool;
    /// The weights of one word; each fits i8 unless there is more room for it.
    fn weights(taps: [i16; 4]) -> [u8; 4];
    unsafe fn load(from: *const u8) -> Self::Word;
    unsafe fn store(word: Self::Word, to: *mut u8);
    unsafe fn store_part(word: Self::Word, to: *mut u8, n: usize);
    /// A vector of `PIECES` (1, 2 or 4) pieces of equal size, of at least 16 bytes, `offset` bytes from each place.
    unsafe fn gather<const PIECES: usize>(from: [*const u8; PIECES], offset: usize) -> Self::Word;
    /// Writes the first `n` bytes of each of the first `count` of `pieces` (2 or 4) pieces, `step` bytes apart.
    unsafe fn scatter(word: Self::Word, pieces: usize, to: *mut u8, step: usize, count: usize, n: usize);
    /// Bytes of up to four kernel rows (the first `TAPS` count) as words.
    unsafe fn interleave(rows: [Self::Word; 4]) -> [Self::Word; 4];
    /// `sum + dot(x, w)` in every 32-bit word.
    unsafe fn dot(sum: Self::Word, x: Self::Word, w: Self::Word) -> Self::Word;
    unsafe fn bounds(out: Output) -> Self::Bounds;
    /// [`stream`](super::windows::stream), a function for itself: in one with all other loops it would lack registers.
    unsafe fn stream<const S: usize, const PIECES: usize, const SUMS: u8>(
        call: &Call<'_, Self>,
        span: &Span<'_>,
        y: *mut u8,
    );
    /// [`tiles`](super::windows::tiles), a function for itself.
    unsafe fn tiles<const K: usize, const S: usize>(
        call: &Call<'_, Self>,
        span: &Span<'_>,
        ahead: &mut Ahead<'_>,
        y: *mut u8,
    );
    /// Accumulators times multipliers, rounded to integers. `large`: some multiplier is 1 or more (or -1 or less), so
    /// that products may be beyond what converts.
    unsafe fn scale(sum: Self::Word, multiplier: Self::Word, large: bool, bounds: Self::Bounds)
    -> Self::Word;
    /// Accumulators times multipliers plus offsets, rounded to integers.
    unsafe fn scale_and_add(
        sum: Self::Word,
        multiplier: Self::Word,
        offset: Self::Word,
        bounds: Self::Bounds,
    ) -> Self::Word;
    /// Scaled words of half a block to 16 bits, around the zero point.
    ///
    /// The zero point comes on narrow integers with saturation: what is far below converts to a large negative number,
    /// what is far above is cut by `scale`.
    unsafe fn half(a: Self::Word, b: Self::Word, bounds: Self::Bounds) -> Self::Word;
    /// Both halves of a block to bytes in channel order, clamped.
    unsafe fn whole(low: Self::Word, high: Self::Word, bounds: Self::Bounds) -> Self::Word;
}

/// [`Vectors::stream`] and [`Vectors::tiles`], compiled for some features.
macro_rules! window_functions {
    ($features:literal) => {
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn stream<const S: usize, const PIECES: usize, const SUMS: u8>(
            call: &$crate::qdepthwise::windows::Call<'_, Self>,
            span: &$crate::qdepthwise::windows::Span<'_>,
            y: *mut u8,
        ) {
            // SAFETY: the trait's contract.
            unsafe { $crate::qdepthwise::windows::stream::<Self, S, PIECES, SUMS>(call, span, y) }
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn tiles<const K: usize, const S: usize>(
            call: &$crate::qdepthwise::windows::Call<'_, Self>,
            span: &$crate::qdepthwise::windows::Span<'_>,
            ahead: &mut $crate::qdepthwise::windows::Ahead<'_>,
            y: *mut u8,
        ) {
            // SAFETY: the trait's contract.
            unsafe { $crate::qdepthwise::windows::tiles::<Self, K, S>(call, span, ahead, y) }
        }
    };
}
pub(super) use window_functions;

/// Safety: `from` is followed by four vectors.
#[inline(always)]
pub(super) unsafe fn load_four<V: Vectors>(from: *const u8) -> [V::Word; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        [
            V::load(from),
            V::load(from.add(V::BYTES)),
            V::load(from.add(2 * V::BYTES)),
            V::load(from.add(3 * V::BYTES)),
        ]
    }
}

/// Safety: `to` has room for four vectors.
#[inline(always)]
pub(super) unsafe fn store_four<V: Vectors>(words: [V::Word; 4], to: *mut u8) {
    let [a, b, c, d] = words;
    // SAFETY: the caller's promise.
    unsafe {
        V::store(a, to);
        V::store(b, to.add(V::BYTES));
        V::store(c, to.add(2 * V::BYTES));
        V::store(d, to.add(3 * V::BYTES));
    }
}

/// The channel (within a block) of word `i` of four vectors in packed order: interleaving inside 128-bit lanes puts
/// channel `16 l + 4 v + j` in word `j` of lane `l` of vector `v`, and packing results back to bytes inside lanes
/// undoes it.
pub(super) fn channel_of_word<V: Vectors>(i: usize) -> usize {
    let words = V::BYTES / 4;
    let (v, lane, j) = (i / words, i % words / 4, i % 4);
    16 * lane + 4 * v + j
}

/// A weight's word as words of its parts, which make it as a sum.
pub(super) fn part_of<V: Vectors>(left: &mut [i16; 4]) -> [i16; 4] {
    let taps = if V::WIDE_WEIGHTS { *left } else { left.map(|w| w.clamp(-128, 127)) };
    *left = [0, 1, 2, 3].map(|t| left[t] - taps[t]);
    taps
}
