//! AVX-512 VNNI: 16 columns are one register.

use crate::qconv::layout::MULTIPLIERS;
use crate::qconv::requantize::Requantize;
use crate::qconv::tile::{Columns16, ladder};
use std::arch::x86_64::*;

pub(crate) struct Avx512Vnni;

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl Columns16 for Avx512Vnni {
    type Acc = __m512i;
    type Line = __m512i;
    type Quad = __m512i;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_setzero_si512() }
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
    unsafe fn store(acc: __m512i, panel: *const u8, out: &Requantize, y: *mut u8, columns: usize) {
        // SAFETY: as above.
        unsafe {
            let acc = _mm512_add_epi32(acc, _mm512_loadu_si512(panel.cast()));
            let real = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(panel.add(MULTIPLIERS).cast()));
            // The operand order makes a NaN the bound, as the scalar definition has it.
            let real = _mm512_min_ps(_mm512_max_ps(real, _mm512_set1_ps(out.low)), _mm512_set1_ps(out.high));
            let q = _mm512_add_epi32(_mm512_cvtps_epi32(real), _mm512_set1_epi32(out.zero_point));
            let bytes = _mm512_cvtepi32_epi8(q);
            if columns == 16 {
                _mm_storeu_si128(y.cast(), bytes);
            } else {
                _mm_mask_storeu_epi8(y.cast(), (1 << columns) - 1, bytes);
            }
        }
    }
}

// 24 accumulators leave room for the lines of weights and the activations; 8 hide the latency of 4 cycles twice.
ladder!(Avx512Vnni, "avx512vnni", "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", 8,
    [1: "16" x "16" = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]
    [2: "12" x "32" = 1 2 3 4 5 6 7 8 9 10 11 12]
    [3: "8" x "48" = 1 2 3 4 5 6 7 8]
    [4: "6" x "64" = 1 2 3 4 5 6]
);
