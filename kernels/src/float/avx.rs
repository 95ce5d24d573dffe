//! Vectors of eight and sixteen floats with fused multiply-add.

use super::{Depthwise, Floats, Tile, depthwise, tile};
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) struct Avx2;

// SAFETY of every function: the trait's contract, the caller has AVX2 and FMA, and pointers are good for the access
// that is made.
impl Floats for Avx2 {
    type Word = __m256;
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
    const LANES: usize = 16;
    const ROWS: usize = 12;

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

/// Safety: the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run_avx2(tile: &Tile<'_>, panel: &[f32], channels: usize, y: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { tile::run::<Avx2>(tile, panel, channels, y) }
}

/// Safety: the processor has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn run_avx512(tile: &Tile<'_>, panel: &[f32], channels: usize, y: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { tile::run::<Avx512>(tile, panel, channels, y) }
}

/// Safety: the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn depthwise_avx2(
    call: &Depthwise<'_>,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
    rows: Range<usize>,
) {
    // SAFETY: the caller's promise.
    unsafe { depthwise::run::<Avx2>(call, packed, x, y, rows) }
}

/// Safety: the processor has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn depthwise_avx512(
    call: &Depthwise<'_>,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
    rows: Range<usize>,
) {
    // SAFETY: the caller's promise.
    unsafe { depthwise::run::<Avx512>(call, packed, x, y, rows) }
}
