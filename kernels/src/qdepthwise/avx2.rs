//! Blocks of 32 channels, two kernel rows to a word, `vpmaddwd` on widened bytes: exact for all weights,
//! those of 9 bits among them.

use super::QDepthwise;
use super::blocked::{self, Vectors};
use crate::Output;
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) struct Avx2;

#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Above it a float would not fit the conversion; far above any result.
    ceiling: __m256,
    zero_point: __m256i,
    min: __m256i,
    max: __m256i,
}

// SAFETY of every function: the trait's contract, the caller has AVX2, and pointers are good for the access that is
// made.
impl Vectors for Avx2 {
    type Word = __m256i;
    type Bounds = Bounds;
    const BYTES: usize = 32;
    const TAPS: usize = 2;
    const PIXELS: usize = 2;
    const WIDE_WEIGHTS: bool = true;
    const STREAMS: bool = false;

    fn weights([a, b, ..]: [i16; 4]) -> [u8; 4] {
        let ([a0, a1], [b0, b1]) = (a.to_le_bytes(), b.to_le_bytes());
        [a0, a1, b0, b1]
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(word: __m256i, to: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_si256(to.cast(), word) }
    }

    #[inline(always)]
    unsafe fn store_part(word: __m256i, to: *mut u8, n: usize) {
        let mut bytes = [0u8; 32];
        // SAFETY: the trait's contract: `to` has `n` bytes, at most a vector.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), word);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, _, _]: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: the trait's contract.
        unsafe {
            let zero = _mm256_setzero_si256();
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            [
                _mm256_unpacklo_epi8(low, zero),
                _mm256_unpackhi_epi8(low, zero),
                _mm256_unpacklo_epi8(high, zero),
                _mm256_unpackhi_epi8(high, zero),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)) }
    }

    #[inline(always)]
    unsafe fn bounds(out: Output) -> Bounds {
        // SAFETY: the trait's contract.
        unsafe {
            Bounds {
                ceiling: _mm256_set1_ps(65536.0),
                zero_point: _mm256_set1_epi16(i16::from(out.zero_point)),
                min: _mm256_set1_epi8(out.min as i8),
                max: _mm256_set1_epi8(out.max as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sum: __m256i, multiplier: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let real = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(multiplier));
            _mm256_castps_si256(real)
        }
    }

    #[inline(always)]
    unsafe fn add_reals(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b))) }
    }

    /// The zero point and the clamp come after the conversion, on narrow integers with saturation: what is far
    /// below converts to a large negative number, what is far above is cut to the ceiling first.
    #[inline(always)]
    unsafe fn narrow(reals: [__m256i; 4], bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let [a, b, c, d] = reals;
            let (a, b) = (rounded(a, bounds.ceiling), rounded(b, bounds.ceiling));
            let (c, d) = (rounded(c, bounds.ceiling), rounded(d, bounds.ceiling));
            let low = _mm256_adds_epi16(_mm256_packs_epi32(a, b), bounds.zero_point);
            let high = _mm256_adds_epi16(_mm256_packs_epi32(c, d), bounds.zero_point);
            let bytes = _mm256_packus_epi16(low, high);
            _mm256_min_epu8(_mm256_max_epu8(bytes, bounds.min), bounds.max)
        }
    }
}

/// Reals to integers, at most the ceiling.
///
/// Safety: the processor has the instruction set.
#[inline(always)]
unsafe fn rounded(real: __m256i, ceiling: __m256) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtps_epi32(_mm256_min_ps(_mm256_castsi256_ps(real), ceiling)) }
}

/// Safety: the processor has the instruction set; the slices are as [`QDepthwise::run`] has checked them.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn run(
    conv: &QDepthwise,
    packed: &[u8],
    x: &[u8],
    y: &mut [u8],
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    // SAFETY: the caller's promise.
    unsafe { blocked::run::<Avx2>(conv, packed, x, y, rows, scratch) }
}
