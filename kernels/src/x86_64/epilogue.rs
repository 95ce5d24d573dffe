//! Where accumulators on 256 bits start and what becomes of them, shared by the instruction sets without AVX-512.

use crate::qconv::dynamic::{Dynamic, Form};
use crate::qconv::layout::{MULTIPLIERS, SUMS, ZEROS};
use crate::qconv::requantize::{Bounds, Requantize};
use crate::qconv::tile::Scales;
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

/// What the weights' zero points (with the other sign) take from a row whose input bytes add up to `sum`.
///
/// # Safety
/// They can be read; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn zeros(zeros: *const u8, sum: i32) -> Halves {
    // SAFETY: the caller's promise.
    unsafe {
        let ([low, high], sum) = (load(zeros), _mm256_set1_epi32(sum));
        [_mm256_mullo_epi32(low, sum), _mm256_mullo_epi32(high, sum)]
    }
}

/// Sums as reals times the multipliers plus `offsets` if there are any, at most `high`. The operand order
/// makes a NaN the bound.
///
/// # Safety
/// The multipliers and the offsets, unless null, can be read; the processor has AVX2.
#[inline(always)]
unsafe fn reals(total: Halves, (multipliers, offsets): Scales, high: f32) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let multiplier = load(multipliers);
        let mut reals = [_mm256_setzero_ps(); 2];
        for (half, to) in reals.iter_mut().enumerate() {
            let real = _mm256_mul_ps(_mm256_cvtepi32_ps(total[half]), _mm256_castsi256_ps(multiplier[half]));
            let real = match offsets.is_null() {
                true => real,
                false => _mm256_add_ps(real, _mm256_loadu_ps(offsets.add(8 * half))),
            };
            *to = _mm256_min_ps(real, _mm256_set1_ps(high));
        }
        reals
    }
}

/// Scales: rounded, at most the upper bound, the zero point not yet added.
///
/// # Safety
/// The multipliers and the offsets, unless null, can be read; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn scale(total: Halves, scales: Scales, out: &Requantize) -> Halves {
    // SAFETY: the caller's promise. What is too low for an i32 becomes the lowest i32.
    unsafe {
        let [low, high] = reals(total, scales, out.high);
        [_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)]
    }
}

/// Scales, takes the bounds and writes `columns` reals.
///
/// # Safety
/// The multipliers and the offsets, unless null, can be read, `columns` reals at `y` can be written; the
/// processor has AVX2.
#[inline(always)]
pub(super) unsafe fn write_reals(total: Halves, scales: Scales, out: &Bounds, y: *mut f32, columns: usize) {
    // SAFETY: the caller's promise; a short row goes through a buffer of its own.
    unsafe {
        let [low, high] = reals(total, scales, out.max).map(|v| _mm256_max_ps(v, _mm256_set1_ps(out.min)));
        store([_mm256_castps_si256(low), _mm256_castps_si256(high)], y.cast(), columns);
    }
}

/// Writes the first `columns` of 16 numbers of 4 bytes.
///
/// # Safety
/// They can be written at `y`; the processor has AVX2.
#[inline(always)]
unsafe fn store([low, high]: Halves, y: *mut u8, columns: usize) {
    // SAFETY: the caller's promise; a short row goes through a buffer of its own.
    unsafe {
        if columns == 16 {
            _mm256_storeu_si256(y.cast(), low);
            _mm256_storeu_si256(y.add(32).cast(), high);
        } else {
            let mut short = [0u8; 64];
            _mm256_storeu_si256(short.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(short.as_mut_ptr().add(32).cast(), high);
            std::ptr::copy_nonoverlapping(short.as_ptr(), y, 4 * columns);
        }
    }
}

/// What the outputs of 16 columns of an input that came with its quantization have in common in all rows.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The bits of the bias, and what the input's zero point adds to a sum.
    offset: Halves,
    /// One step of a sum.
    scale: [__m256; 2],
    bias: [__m256; 2],
}

/// The terms of `panel`.
///
/// # Safety
/// The header of `panel` can be read; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn terms(panel: *const u8, out: &Dynamic) -> Terms {
    // SAFETY: the caller's promise.
    unsafe {
        let [bits, multiplier] = [load(panel), load(panel.add(MULTIPLIERS))];
        let [sums, zeros] = [load(panel.add(SUMS)), load(panel.add(ZEROS))];
        let products = _mm256_set1_epi32(out.products);
        let zero_point = _mm256_set1_epi32(out.source.zero_point.into());
        let step = _mm256_set1_ps(out.source.scale);
        let bias = [_mm256_castsi256_ps(bits[0]), _mm256_castsi256_ps(bits[1])];
        let mut terms = Terms { offset: bits, scale: [step; 2], bias };
        for half in 0..2 {
            let sum = _mm256_add_epi32(sums[half], _mm256_mullo_epi32(zeros[half], products));
            terms.offset[half] = _mm256_add_epi32(bits[half], _mm256_mullo_epi32(zero_point, sum));
            terms.scale[half] = _mm256_mul_ps(step, _mm256_castsi256_ps(multiplier[half]));
        }
        terms
    }
}

/// Writes `columns` outputs: [`Dynamic::apply`].
///
/// # Safety
/// `columns` numbers of 4 bytes at `y` can be written; the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn write_dynamic(total: Halves, terms: &Terms, out: &Dynamic, y: *mut u8, columns: usize) {
    // SAFETY: the caller's promise. The operand order lets what is not a number through.
    unsafe {
        let mut outputs = total;
        for half in 0..2 {
            outputs[half] = _mm256_sub_epi32(total[half], terms.offset[half]);
            if let Form::Reals([min, max]) = out.form {
                let real = _mm256_mul_ps(_mm256_cvtepi32_ps(outputs[half]), terms.scale[half]);
                let real = _mm256_add_ps(real, terms.bias[half]);
                let real = _mm256_max_ps(_mm256_set1_ps(min), _mm256_min_ps(_mm256_set1_ps(max), real));
                outputs[half] = _mm256_castps_si256(real);
            }
        }
        store(outputs, y, columns);
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
