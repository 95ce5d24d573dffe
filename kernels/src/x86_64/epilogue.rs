//! Requantization on 256 bits, shared by the instruction sets without AVX-512.

use crate::qconv::layout::MULTIPLIERS;
use crate::qconv::requantize::Requantize;
use std::arch::x86_64::*;

/// Two halves of 16 columns.
pub(super) type Halves = [__m256i; 2];

/// Reads one row of a panel's header.
///
/// # Safety
/// 64 bytes can be read; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn load(p: *const u8) -> Halves {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())] }
}

/// Adds the bias of `panel`, requantizes with its multipliers and writes `columns` (1 to 16) bytes.
///
/// # Safety
/// The header of `panel` can be read and `columns` bytes at `y` written; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn store(acc: Halves, panel: *const u8, out: &Requantize, y: *mut u8, columns: usize) {
    // SAFETY: the caller's promise; a short row goes through a buffer of its own.
    unsafe {
        let [low, high] = [requantize(acc[0], panel, out), requantize(acc[1], panel.add(32), out)];
        // Packing works within 128-bit lanes: put the quarters back in order.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        if columns == 16 {
            _mm_storeu_si128(y.cast(), bytes);
        } else {
            let mut row = [0u8; 16];
            _mm_storeu_si128(row.as_mut_ptr().cast(), bytes);
            std::ptr::copy_nonoverlapping(row.as_ptr(), y, columns);
        }
    }
}

/// # Safety
/// The half of a panel's header at `panel` can be read; the processor has AVX2.
#[inline(always)]
unsafe fn requantize(acc: __m256i, panel: *const u8, out: &Requantize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let acc = _mm256_add_epi32(acc, _mm256_loadu_si256(panel.cast()));
        let real = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(panel.add(MULTIPLIERS).cast()));
        // The operand order makes a NaN the bound, as the scalar definition has it.
        let real = _mm256_min_ps(_mm256_max_ps(real, _mm256_set1_ps(out.low)), _mm256_set1_ps(out.high));
        _mm256_add_epi32(_mm256_cvtps_epi32(real), _mm256_set1_epi32(out.zero_point))
    }
}
