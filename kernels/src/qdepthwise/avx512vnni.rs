//! Blocks of 64 channels, four kernel rows to a word, `vpdpbusd`.

use super::QDepthwise;
use super::blocked;
use super::vectors::{Vectors, window_functions};
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
    unsafe fn gather<const PIECES: usize>(from: [*const u8; PIECES], offset: usize) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            match PIECES {
                1 => _mm512_loadu_si512(from[0].add(offset).cast()),
                2 => joined(
                    _mm256_loadu_si256(from[0].add(offset).cast()),
                    _mm256_loadu_si256(from[1].add(offset).cast()),
                ),
                _ => joined(
                    _mm256_loadu2_m128i(from[1].add(offset).cast(), from[0].add(offset).cast()),
                    _mm256_loadu2_m128i(from[3].add(offset).cast(), from[2].add(offset).cast()),
                ),
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter(word: __m512i, pieces: usize, to: *mut u8, step: usize, count: usize, n: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            Self::store_part(word, to, n);
            if pieces == 2 {
                if count > 1 {
                    Self::store_part(_mm512_alignr_epi64(word, word, 4), to.add(step), n);
                }
                return;
            }
            let rest = [
                _mm512_alignr_epi64(word, word, 2),
                _mm512_alignr_epi64(word, word, 4),
                _mm512_alignr_epi64(word, word, 6),
            ];
            for piece in 1..4 {
                if piece < count {
                    Self::store_part(rest[piece - 1], to.add(piece * step), n);
                }
            }
        }
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
    unsafe fn scale(sum: __m512i, multiplier: __m512i, large: bool, bounds: Bounds) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            let mut v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_castsi512_ps(multiplier));
            if large {
                v = _mm512_min_ps(v, bounds.ceiling);
            }
            _mm512_cvtps_epi32(v)
        }
    }

    #[inline(always)]
    unsafe fn scale_and_add(sum: __m512i, multiplier: __m512i, offset: __m512i, bounds: Bounds) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            let v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_castsi512_ps(multiplier));
            let v = _mm512_add_ps(v, _mm512_castsi512_ps(offset));
            _mm512_cvtps_epi32(_mm512_min_ps(v, bounds.ceiling))
        }
    }

    #[inline(always)]
    unsafe fn half(a: __m512i, b: __m512i, bounds: Bounds) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe { _mm512_adds_epi16(_mm512_packs_epi32(a, b), bounds.zero_point) }
    }

    #[inline(always)]
    unsafe fn whole(low: __m512i, high: __m512i, bounds: Bounds) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe {
            let bytes = _mm512_packus_epi16(low, high);
            _mm512_min_epu8(_mm512_max_epu8(bytes, bounds.min), bounds.max)
        }
    }

    window_functions!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni");
}

/// Safety: the processor has the instruction set.
#[inline(always)]
unsafe fn joined(low: __m256i, high: __m256i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1) }
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
