//! Blocks of 64 channels, four kernel rows to a word, `vpdpbusd`.

use super::QDepthwise;
use super::blocked::{self, Vectors};
use crate::Output;
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) struct Avx512Vnni;

#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Above it a float would not fit the conversion; far above any result.
    ceiling: __m512,
    zero_point: __m512i,
    min: __m512i,
    max: __m512i,
}

// SAFETY of every function: the trait's contract, the caller has AVX-512 F, BW, VL, DQ and VNNI, and pointers are
// good for the access that is made.
impl Vectors for Avx512Vnni {
    type Word = __m512i;
    type Bounds = Bounds;
    const BYTES: usize = 64;
    const TAPS: usize = 4;
    const PIXELS: usize = 4;
    const WIDE_WEIGHTS: bool = false;
    const STREAMS: bool = true;

    fn weights(taps: [i16; 4]) -> [u8; 4] {
        taps.map(|w| w as u8)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(word: __m512i, to: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { _mm512_storeu_si512(to.cast(), word) }
    }

    #[inline(always)]
    unsafe fn store_part(word: __m512i, to: *mut u8, n: usize) {
        // SAFETY: the trait's contract; the mask keeps the store within `n` bytes.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), (1u64 << n) - 1, word) }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
        // SAFETY: the trait's contract.
        unsafe {
            let (ab_low, ab_high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab_low, cd_low),
                _mm512_unpackhi_epi16(ab_low, cd_low),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe { _mm512_dpbusd_epi32(sum, x, w) }
    }

    #[inline(always)]
    unsafe fn bounds(out: Output) -> Bounds {
        // SAFETY: the trait's contract.
        unsafe {
            Bounds {
                ceiling: _mm512_set1_ps(65536.0),
                zero_point: _mm512_set1_epi16(i16::from(out.zero_point)),
                min: _mm512_set1_epi8(out.min as i8),
                max: _mm512_set1_epi8(out.max as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sum: __m512i, multiplier: __m512i) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            let real = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_castsi512_ps(multiplier));
            _mm512_castps_si512(real)
        }
    }

    #[inline(always)]
    unsafe fn add_reals(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe { _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b))) }
    }

    /// The zero point and the clamp come after the conversion, on narrow integers with saturation: what is far
    /// below converts to a large negative number, what is far above is cut to the ceiling first.
    #[inline(always)]
    unsafe fn narrow(reals: [__m512i; 4], bounds: Bounds) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            let [a, b, c, d] = reals;
            let (a, b) = (rounded(a, bounds.ceiling), rounded(b, bounds.ceiling));
            let (c, d) = (rounded(c, bounds.ceiling), rounded(d, bounds.ceiling));
            let low = _mm512_adds_epi16(_mm512_packs_epi32(a, b), bounds.zero_point);
            let high = _mm512_adds_epi16(_mm512_packs_epi32(c, d), bounds.zero_point);
            let bytes = _mm512_packus_epi16(low, high);
            _mm512_min_epu8(_mm512_max_epu8(bytes, bounds.min), bounds.max)
        }
    }
}

/// Reals to integers, at most the ceiling.
///
/// Safety: the processor has the instruction set.
#[inline(always)]
unsafe fn rounded(real: __m512i, ceiling: __m512) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtps_epi32(_mm512_min_ps(_mm512_castsi512_ps(real), ceiling)) }
}

/// Safety: the processor has the instruction set; the slices are as [`QDepthwise::run`] has checked them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) unsafe fn run(
    conv: &QDepthwise,
    packed: &[u8],
    x: &[u8],
    y: &mut [u8],
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    // SAFETY: the caller's promise.
    unsafe { blocked::run::<Avx512Vnni>(conv, packed, x, y, rows, scratch) }
}
