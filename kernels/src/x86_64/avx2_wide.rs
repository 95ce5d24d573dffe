//! AVX2, any weights: both sides are widened to 16 bits and multiplied with `vpmaddwd`. About a tenth slower
//! than [`avx2`](super::avx2) (Zen 5): each line takes four conversions that only two rows share.

use super::epilogue::{self, Halves, Terms};
use crate::qconv::dynamic::Dynamic;
use crate::qconv::ladder::ladder;
use crate::qconv::requantize::{Bounds, Requantize};
use crate::qconv::tile::{Columns16, Scales};
use std::arch::x86_64::*;

pub(crate) struct Avx2Wide;

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl Columns16 for Avx2Wide {
    /// Each register holds 4 columns, two partial sums of each.
    type Acc = [__m256i; 4];
    type Total = Halves;
    type Scaled = Halves;
    /// 4 columns each.
    type Line = [__m256i; 4];
    type Quad = __m256i;
    type Terms = Terms;

    #[inline(always)]
    unsafe fn zero() -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe { [_mm256_setzero_si256(); 4] }
    }

    #[inline(always)]
    unsafe fn start(bias: *const u8, _sums: *const u8) -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe { spread(epilogue::load(bias)) }
    }

    #[inline(always)]
    unsafe fn zeros(zeros: *const u8, sum: i32) -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe { spread(epilogue::zeros(zeros, sum)) }
    }

    #[inline(always)]
    unsafe fn line(p: *const u8) -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(16).cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(32).cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(48).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn quad(p: *const u8) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_cvtepu8_epi16(_mm_set1_epi32(p.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn dot(acc: [__m256i; 4], quad: __m256i, line: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe {
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(quad, line[0])),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(quad, line[1])),
                _mm256_add_epi32(acc[2], _mm256_madd_epi16(quad, line[2])),
                _mm256_add_epi32(acc[3], _mm256_madd_epi16(quad, line[3])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(a: [__m256i; 4], b: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: as above.
        unsafe {
            [
                _mm256_add_epi32(a[0], b[0]),
                _mm256_add_epi32(a[1], b[1]),
                _mm256_add_epi32(a[2], b[2]),
                _mm256_add_epi32(a[3], b[3]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn total(acc: [__m256i; 4]) -> Halves {
        // SAFETY: as above.
        unsafe {
            // Adding neighbours works within 128-bit lanes: put the quarters back in order.
            let low = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(acc[0], acc[1]));
            let high = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(acc[2], acc[3]));
            [low, high]
        }
    }

    #[inline(always)]
    unsafe fn scale(total: Halves, scales: Scales, out: &Requantize) -> Halves {
        // SAFETY: as above.
        unsafe { epilogue::scale(total, scales, out) }
    }

    #[inline(always)]
    unsafe fn write<const NV: usize>(row: [Halves; NV], out: &Requantize, y: *mut u8, columns: usize) {
        // SAFETY: as above.
        unsafe { epilogue::write(row, out, y, columns) }
    }

    #[inline(always)]
    unsafe fn write_reals(total: Halves, scales: Scales, out: &Bounds, y: *mut f32, columns: usize) {
        // SAFETY: as above.
        unsafe { epilogue::write_reals(total, scales, out, y, columns) }
    }

    #[inline(always)]
    unsafe fn terms(panel: *const u8, out: &Dynamic) -> Terms {
        // SAFETY: as above.
        unsafe { epilogue::terms(panel, out) }
    }

    #[inline(always)]
    unsafe fn write_dynamic(total: Halves, terms: &Terms, out: &Dynamic, y: *mut u8, columns: usize) {
        // SAFETY: as above.
        unsafe { epilogue::write_dynamic(total, terms, out, y, columns) }
    }
}

/// Sums as partial sums: the first of two takes all.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn spread([low, high]: Halves) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        [
            _mm256_cvtepu32_epi64(_mm256_castsi256_si128(low)),
            _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(low)),
            _mm256_cvtepu32_epi64(_mm256_castsi256_si128(high)),
            _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(high)),
        ]
    }
}

ladder!(Avx2Wide, "avx2", "avx2,fma", 1, row 2 x 1,
    [1: "2" x "16" = 1 2]
);
