//! Blocks of 32 channels, two kernel rows to a word, `vpmaddwd` on widened bytes: exact for all weights,
//! those of 9 bits among them.

use super::QDepthwise;
use super::blocked;
use super::vectors::{Vectors, window_functions};
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
    unsafe fn gather<const PIECES: usize>(from: [*const u8; PIECES], offset: usize) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            match PIECES {
                1 => _mm256_loadu_si256(from[0].add(offset).cast()),
                _ => _mm256_loadu2_m128i(from[1].add(offset).cast(), from[0].add(offset).cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter(word: __m256i, _pieces: usize, to: *mut u8, step: usize, count: usize, n: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            Self::store_part(word, to, n);
            if count > 1 {
                Self::store_part(_mm256_permute2x128_si256(word, word, 1), to.add(step), n);
            }
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
    unsafe fn scale(sum: __m256i, multiplier: __m256i, large: bool, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let mut v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(multiplier));
            if large {
                v = _mm256_min_ps(v, bounds.ceiling);
            }
            _mm256_cvtps_epi32(v)
        }
    }

    #[inline(always)]
    unsafe fn scale_and_add(sum: __m256i, multiplier: __m256i, offset: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(multiplier));
            let v = _mm256_add_ps(v, _mm256_castsi256_ps(offset));
            _mm256_cvtps_epi32(_mm256_min_ps(v, bounds.ceiling))
        }
    }

    #[inline(always)]
    unsafe fn half(a: __m256i, b: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_adds_epi16(_mm256_packs_epi32(a, b), bounds.zero_point) }
    }

    #[inline(always)]
    unsafe fn whole(low: __m256i, high: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let bytes = _mm256_packus_epi16(low, high);
            _mm256_min_epu8(_mm256_max_epu8(bytes, bounds.min), bounds.max)
        }
    }

    window_functions!("avx2");
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
