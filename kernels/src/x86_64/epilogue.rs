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

/// Adds the bias of `panel` and multiplies: rounded, at most the upper bound, the zero point not yet added.
///
/// # Safety
/// The header of `panel` can be read; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn scale(acc: Halves, panel: *const u8, out: &Requantize) -> Halves {
    // SAFETY: the caller's promise.
    unsafe {
        let (bias, multiplier) = (load(panel), load(panel.add(MULTIPLIERS)));
        let mut scaled = acc;
        for (half, acc) in scaled.iter_mut().enumerate() {
            let sum = _mm256_add_epi32(*acc, bias[half]);
            let real = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(multiplier[half]));
            // The operand order makes a NaN the bound. What is too low for an i32 becomes the lowest i32.
            *acc = _mm256_cvtps_epi32(_mm256_min_ps(real, _mm256_set1_ps(out.high)));
        }
        scaled
    }
}

/// Adds the zero point and writes `columns` bytes of one row, more than `16 * (NV - 1)` and at most `16 *
/// NV`.
///
/// # Safety
/// `columns` bytes at `y` can be written; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn write<const NV: usize>(row: [Halves; NV], out: &Requantize, y: *mut u8, columns: usize) {
    // SAFETY: the caller's promise; a short row goes through a buffer of its own.
    unsafe {
        for (v, [low, high]) in row.into_iter().enumerate() {
            let y = y.add(16 * v);
            let words = _mm256_packs_epi32(low, high);
            let words = _mm256_adds_epi16(words, _mm256_set1_epi16(out.zero_point.into()));
            // Packing works within 128-bit lanes: put the quarters back in order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(out.min as i8));
            if v + 1 < NV || columns == 16 * NV {
                _mm_storeu_si128(y.cast(), bytes);
            } else {
                let mut short = [0u8; 16];
                _mm_storeu_si128(short.as_mut_ptr().cast(), bytes);
                std::ptr::copy_nonoverlapping(short.as_ptr(), y, columns - 16 * (NV - 1));
            }
        }
    }
}
