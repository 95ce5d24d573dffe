//! Vectors of eight and sixteen floats with fused multiply-add.

use super::{Depthwise, Floats, Row, Tile, depthwise, row, tile, windows};
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) struct Avx2;

// SAFETY of every function: the trait's contract, the caller has AVX2 and FMA, and pointers are good for the access
// that is made.
impl Floats for Avx2 {
    type Word = __m256;
    type Mask = __m256i;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m256 {
        let mut all = [0f32; 8];
        // SAFETY: the trait's contract: `from` has `n` elements, at most a vector.
        unsafe {
            std::ptr::copy_nonoverlapping(from, all.as_mut_ptr(), n);
            _mm256_loadu_ps(all.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn mask(lanes: Range<usize>) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let below = |end: usize| _mm256_cmpgt_epi32(_mm256_set1_epi32(end as i32), lane);
            _mm256_andnot_si256(below(lanes.start), below(lanes.end))
        }
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, lanes: __m256i) -> __m256 {
        // SAFETY: the trait's contract; the mask keeps the load within these lanes.
        unsafe { _mm256_maskload_ps(from, lanes) }
    }

    #[inline(always)]
    unsafe fn store(word: __m256, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_ps(to, word) }
    }

    #[inline(always)]
    unsafe fn store_part(word: __m256, to: *mut f32, n: usize) {
        let mut all = [0f32; 8];
        // SAFETY: the trait's contract: `to` has `n` elements, at most a vector.
        unsafe {
            _mm256_storeu_ps(all.as_mut_ptr(), word);
            std::ptr::copy_nonoverlapping(all.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn splat(v: f32) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_set1_ps(v) }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn clamp(v: __m256, min: __m256, max: __m256) -> __m256 {
        // The second operand is the result where the value is not a number: it stays so.
        // SAFETY: the trait's contract.
        unsafe { _mm256_min_ps(max, _mm256_max_ps(min, v)) }
    }
}

pub(crate) struct Avx512;

// SAFETY of every function: the trait's contract, the caller has AVX-512 F, and pointers are good for the access
// that is made.
impl Floats for Avx512 {
    type Word = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    const ROWS: usize = 14;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the trait's contract.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m512 {
        // SAFETY: the trait's contract; the mask keeps the load within `n` elements.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, from) }
    }

    #[inline(always)]
    unsafe fn mask(lanes: Range<usize>) -> __mmask16 {
        ((1u32 << lanes.end) - (1u32 << lanes.start)) as u16
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, lanes: __mmask16) -> __m512 {
        // SAFETY: the trait's contract; the mask keeps the load within these lanes.
        unsafe { _mm512_maskz_loadu_ps(lanes, from) }
    }

    #[inline(always)]
    unsafe fn store(word: __m512, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { _mm512_storeu_ps(to, word) }
    }

    #[inline(always)]
    unsafe fn store_part(word: __m512, to: *mut f32, n: usize) {
        // SAFETY: the trait's contract; the mask keeps the store within `n` elements.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as u16, word) }
    }

    #[inline(always)]
    unsafe fn splat(v: f32) -> __m512 {
        // SAFETY: the trait's contract.
        unsafe { _mm512_set1_ps(v) }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the trait's contract.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn clamp(v: __m512, min: __m512, max: __m512) -> __m512 {
        // The second operand is the result where the value is not a number: it stays so.
        // SAFETY: the trait's contract.
        unsafe { _mm512_min_ps(max, _mm512_max_ps(min, v)) }
    }
}

/// The drivers, compiled for an instruction set.
///
/// Safety of all: the processor has these features.
macro_rules! compiled {
    ($vectors:ty, $features:literal: $tile:ident, $row:ident, $depthwise:ident, $windows:ident) => {
        /// Safety: see the macro.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $tile(tile: &Tile<'_>, panel: &[f32], channels: usize, y: &mut [f32]) {
            // SAFETY: the caller's promise.
            unsafe { tile::run::<$vectors>(tile, panel, channels, y) }
        }

        /// Safety: see the macro.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $row(row: &Row<'_>, packed: &[f32], panels: Range<usize>, y: &mut [f32]) {
            // SAFETY: the caller's promise.
            unsafe { row::run::<$vectors>(row, packed, panels, y) }
        }

        /// Safety: see the macro.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $depthwise(
            call: &Depthwise<'_>,
            packed: &[f32],
            x: &[f32],
            y: &mut [f32],
            rows: Range<usize>,
        ) {
            // SAFETY: the caller's promise.
            unsafe { depthwise::run::<$vectors>(call, packed, x, y, rows) }
        }

        /// Safety: see the macro.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $windows<const K: usize, const S: usize, const M: usize>(
            call: &Depthwise<'_>,
            packed: &[f32],
            x: &[f32],
            y: &mut [f32],
            rows: Range<usize>,
        ) {
            // SAFETY: the caller's promise.
            unsafe { windows::run::<$vectors, K, S, M>(call, packed, x, y, rows) }
        }
    };
}
compiled!(Avx2, "avx2,fma": tile_avx2, row_avx2, depthwise_avx2, windows_avx2);
compiled!(Avx512, "avx512f": tile_avx512, row_avx512, depthwise_avx512, windows_avx512);
