//! Blocks of 32 channels, four kernel rows to a word, `vpdpbusd` on 256 bits. All but the products is as on AVX2.

use super::QDepthwise;
use super::avx2::{Avx2, Bounds};
use super::blocked;
use super::vectors::{Vectors, window_functions};
use crate::Output;
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) struct AvxVnni;

// SAFETY of every function: the trait's contract, the caller has AVX2 and AVX-VNNI, and pointers are good for the
// access that is made.
impl Vectors for AvxVnni {
    type Word = __m256i;
    type Bounds = Bounds;
    const BYTES: usize = 32;
    const TAPS: usize = 4;
    const PIXELS: usize = 2;
    const WIDE_WEIGHTS: bool = false;
    const STREAMS: bool = false;

    fn weights(taps: [i16; 4]) -> [u8; 4] {
        taps.map(|w| w as u8)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::load(from) }
    }

    #[inline(always)]
    unsafe fn store(word: __m256i, to: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { Avx2::store(word, to) }
    }

    #[inline(always)]
    unsafe fn store_part(word: __m256i, to: *mut u8, n: usize) {
        // SAFETY: the trait's contract.
        unsafe { Avx2::store_part(word, to, n) }
    }

    #[inline(always)]
    unsafe fn gather<const PIECES: usize>(from: [*const u8; PIECES], offset: usize) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::gather::<PIECES>(from, offset) }
    }

    #[inline(always)]
    unsafe fn scatter(word: __m256i, pieces: usize, to: *mut u8, step: usize, count: usize, n: usize) {
        // SAFETY: the trait's contract.
        unsafe { Avx2::scatter(word, pieces, to, step, count, n) }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: the trait's contract.
        unsafe {
            let (ab_low, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
            [
                _mm256_unpacklo_epi16(ab_low, cd_low),
                _mm256_unpackhi_epi16(ab_low, cd_low),
                _mm256_unpacklo_epi16(ab_high, cd_high),
                _mm256_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_dpbusd_avx_epi32(sum, x, w) }
    }

    #[inline(always)]
    unsafe fn bounds(out: Output) -> Bounds {
        // SAFETY: the trait's contract.
        unsafe { Avx2::bounds(out) }
    }

    #[inline(always)]
    unsafe fn scale(sum: __m256i, multiplier: __m256i, large: bool, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::scale(sum, multiplier, large, bounds) }
    }

    #[inline(always)]
    unsafe fn scale_and_add(sum: __m256i, multiplier: __m256i, offset: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::scale_and_add(sum, multiplier, offset, bounds) }
    }

    #[inline(always)]
    unsafe fn half(a: __m256i, b: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::half(a, b, bounds) }
    }

    #[inline(always)]
    unsafe fn whole(low: __m256i, high: __m256i, bounds: Bounds) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { Avx2::whole(low, high, bounds) }
    }

    window_functions!("avx2,fma,avxvnni");
}

/// Safety: the processor has the instruction set; the slices are as [`QDepthwise::run`] has checked them.
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) unsafe fn run(
    conv: &QDepthwise,
    packed: &[u8],
    x: &[u8],
    y: &mut [u8],
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    // SAFETY: the caller's promise.
    unsafe { blocked::run::<AvxVnni>(conv, packed, x, y, rows, scratch) }
}
