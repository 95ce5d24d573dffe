//! AVX-512 VNNI: 16 columns are one register.

use crate::qconv::dynamic::{Dynamic, Form};
use crate::qconv::ladder::ladder;
use crate::qconv::layout::{MULTIPLIERS, SUMS, ZEROS};
use crate::qconv::requantize::{Bounds, Requantize};
use crate::qconv::tile::{Columns16, Scales};
use std::arch::x86_64::*;

pub(crate) struct Avx512Vnni;

/// What the outputs of 16 columns of an input that came with its quantization have in common in all rows.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The bits of the bias, and what the input's zero point adds to a sum.
    offset: __m512i,
    /// One step of a sum.
    scale: __m512,
    bias: __m512,
}

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl Columns16 for Avx512Vnni {
    type Acc = __m512i;
    type Total = __m512i;
    type Scaled = __m512i;
    type Line = __m512i;
    type Quad = __m512i;
    type Terms = Terms;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn start(bias: *const u8, _sums: *const u8) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_loadu_si512(bias.cast()) }
    }

    #[inline(always)]
    unsafe fn zeros(zeros: *const u8, sum: i32) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_mullo_epi32(_mm512_loadu_si512(zeros.cast()), _mm512_set1_epi32(sum)) }
    }

    #[inline(always)]
    unsafe fn line(p: *const u8) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }

    #[inline(always)]
    unsafe fn quad(p: *const u8) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot(acc: __m512i, quad: __m512i, line: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_dpbusd_epi32(acc, quad, line) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn total(acc: __m512i) -> __m512i {
        acc
    }

    #[inline(always)]
    unsafe fn scale(total: __m512i, scales: Scales, out: &Requantize) -> __m512i {
        // SAFETY: as above. What is too low for an i32 becomes the lowest i32.
        unsafe { _mm512_cvtps_epi32(reals(total, scales, out.high)) }
    }

    #[inline(always)]
    unsafe fn write_reals(total: __m512i, scales: Scales, out: &Bounds, y: *mut f32, columns: usize) {
        // SAFETY: as above.
        unsafe {
            let real = _mm512_max_ps(reals(total, scales, out.max), _mm512_set1_ps(out.min));
            _mm512_mask_storeu_ps(y, u16::MAX >> (16 - columns), real);
        }
    }

    #[inline(always)]
    unsafe fn terms(panel: *const u8, out: &Dynamic) -> Terms {
        // SAFETY: as above.
        unsafe {
            let [bits, sums] = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(SUMS).cast())];
            let zeros = _mm512_loadu_si512(panel.add(ZEROS).cast());
            let multiplier = _mm512_loadu_ps(panel.add(MULTIPLIERS).cast());
            let sums = _mm512_add_epi32(sums, _mm512_mullo_epi32(zeros, _mm512_set1_epi32(out.products)));
            let zero_point = _mm512_set1_epi32(out.source.zero_point.into());
            Terms {
                offset: _mm512_add_epi32(bits, _mm512_mullo_epi32(zero_point, sums)),
                scale: _mm512_mul_ps(_mm512_set1_ps(out.source.scale), multiplier),
                bias: _mm512_castsi512_ps(bits),
            }
        }
    }

    #[inline(always)]
    unsafe fn write_dynamic(total: __m512i, terms: &Terms, out: &Dynamic, y: *mut u8, columns: usize) {
        // SAFETY: as above. The operand order lets what is not a number through.
        unsafe {
            let mut outputs = _mm512_sub_epi32(total, terms.offset);
            if let Form::Reals([min, max]) = out.form {
                let real = _mm512_mul_ps(_mm512_cvtepi32_ps(outputs), terms.scale);
                let real = _mm512_min_ps(_mm512_set1_ps(max), _mm512_add_ps(real, terms.bias));
                outputs = _mm512_castps_si512(_mm512_max_ps(_mm512_set1_ps(min), real));
            }
            _mm512_mask_storeu_epi32(y.cast(), u16::MAX >> (16 - columns), outputs);
        }
    }

    #[inline(always)]
    unsafe fn write_rows(rows: [__m512i; 4], out: &Requantize, y: *mut u8, y_step: usize, columns: usize) {
        // SAFETY: as above.
        unsafe {
            let bytes = narrow(rows, out);
            if y_step == 16 && columns == 16 {
                return _mm512_storeu_si512(y.cast(), bytes);
            }
            let mask = u16::MAX >> (16 - columns);
            _mm_mask_storeu_epi8(y.cast(), mask, _mm512_castsi512_si128(bytes));
            _mm_mask_storeu_epi8(y.add(y_step).cast(), mask, _mm512_extracti32x4_epi32::<1>(bytes));
            _mm_mask_storeu_epi8(y.add(2 * y_step).cast(), mask, _mm512_extracti32x4_epi32::<2>(bytes));
            _mm_mask_storeu_epi8(y.add(3 * y_step).cast(), mask, _mm512_extracti32x4_epi32::<3>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn write_pair(
        rows: [[__m512i; 2]; 2],
        out: &Requantize,
        y: *mut u8,
        y_step: usize,
        columns: usize,
    ) {
        // SAFETY: as above.
        unsafe {
            let [[a, b], [c, d]] = rows;
            let bytes = narrow([a, b, c, d], out);
            let [low, high] = [_mm512_castsi512_si256(bytes), _mm512_extracti64x4_epi64::<1>(bytes)];
            if columns == 32 {
                _mm256_storeu_si256(y.cast(), low);
                _mm256_storeu_si256(y.add(y_step).cast(), high);
            } else {
                let mask = u32::MAX >> (32 - columns);
                _mm256_mask_storeu_epi8(y.cast(), mask, low);
                _mm256_mask_storeu_epi8(y.add(y_step).cast(), mask, high);
            }
        }
    }

    #[inline(always)]
    unsafe fn write<const NV: usize>(row: [__m512i; NV], out: &Requantize, y: *mut u8, columns: usize) {
        // SAFETY: as above.
        unsafe {
            let mut q = [_mm512_setzero_si512(); 4];
            q[..NV].copy_from_slice(&row);
            let bytes = narrow(q, out);
            match NV {
                4 if columns == 64 => _mm512_storeu_si512(y.cast(), bytes),
                2 if columns == 32 => _mm256_storeu_si256(y.cast(), _mm512_castsi512_si256(bytes)),
                1 if columns == 16 => _mm_storeu_si128(y.cast(), _mm512_castsi512_si128(bytes)),
                _ => _mm512_mask_storeu_epi8(y.cast(), u64::MAX >> (64 - columns), bytes),
            }
        }
    }
}

/// 4 x 16 rounded results as bytes, in order: the zero point added, at least the lower bound.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn narrow(q: [__m512i; 4], out: &Requantize) -> __m512i {
    // SAFETY: the caller's promise. Packing works within 128-bit lanes, quads of bytes come out as `[lane][panel]`.
    unsafe {
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_permutexvar_epi32(order, pack(q, out))
    }
}

/// The same in the order in which packing leaves them: four of each, lane by lane.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn pack(q: [__m512i; 4], out: &Requantize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let zero_point = _mm512_set1_epi16(out.zero_point.into());
        let low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero_point);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero_point);
        _mm512_max_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(out.min as i8))
    }
}

/// Sums as reals times the multipliers plus `offsets` if there are any, at most `high`. The operand order
/// makes a NaN the bound.
///
/// # Safety
/// The multipliers and the offsets, unless null, can be read; the processor has AVX-512.
#[inline(always)]
unsafe fn reals(total: __m512i, (multipliers, offsets): Scales, high: f32) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe {
        let multiplier = _mm512_loadu_ps(multipliers.cast());
        let real = _mm512_mul_ps(_mm512_cvtepi32_ps(total), multiplier);
        let real = match offsets.is_null() {
            true => real,
            false => _mm512_add_ps(real, _mm512_loadu_ps(offsets)),
        };
        _mm512_min_ps(real, _mm512_set1_ps(high))
    }
}

// 24 accumulators leave room for the lines of weights and the activations; 8 hide the latency of 4 cycles
// twice. A stream holds the sums of two tiles at a time.
ladder!(Avx512Vnni, "avx512vnni", "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", 8, row 4 x 16,
    [1: "16" x "16" = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]
    [2: "12" x "32" = 1 2 3 4 5 6 7 8 9 10 11 12]
    [3: "8" x "48" = 1 2 3 4 5 6 7 8]
    [4: "6" x "64" = 1 2 3 4 5 6]
    stream stream "6" x "32" = 1 2 3 streamed 4 5 6
    defer defer "12" x "32" = 1 2 3 deferred 4 5 6 7 8 9 10 11 12
    slide slide "16" x "16" = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
);
