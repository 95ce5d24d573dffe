//! AVX-VNNI: 16 columns are two registers of 256 bits.

use super::epilogue::{self, Halves, Terms};
use crate::qconv::dynamic::Dynamic;
use crate::qconv::ladder::ladder;
use crate::qconv::requantize::{Bounds, Requantize};
use crate::qconv::tile::{Columns16, Scales};
use std::arch::x86_64::*;

pub(crate) struct AvxVnni;

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl Columns16 for AvxVnni {
    type Acc = Halves;
    type Total = Halves;
    type Scaled = Halves;
    type Line = Halves;
    type Quad = __m256i;
    type Terms = Terms;

    #[inline(always)]
    unsafe fn zero() -> Halves {
        // SAFETY: as above.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn start(bias: *const u8, _sums: *const u8) -> Halves {
        // SAFETY: as above.
        unsafe { epilogue::load(bias) }
    }

    #[inline(always)]
    unsafe fn zeros(zeros: *const u8, sum: i32) -> Halves {
        // SAFETY: as above.
        unsafe { epilogue::zeros(zeros, sum) }
    }

    #[inline(always)]
    unsafe fn line(p: *const u8) -> Halves {
        // SAFETY: as above.
        unsafe { epilogue::load(p) }
    }

    #[inline(always)]
    unsafe fn quad(p: *const u8) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot(acc: Halves, quad: __m256i, line: Halves) -> Halves {
        // SAFETY: as above.
        unsafe {
            [_mm256_dpbusd_avx_epi32(acc[0], quad, line[0]), _mm256_dpbusd_avx_epi32(acc[1], quad, line[1])]
        }
    }

    #[inline(always)]
    unsafe fn add(a: Halves, b: Halves) -> Halves {
        // SAFETY: as above.
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn total(acc: Halves) -> Halves {
        acc
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

// 12 accumulators, two halves of a line and the activations: wider tiles would not fit 16 registers.
ladder!(AvxVnni, "avxvnni", "avx2,fma,avxvnni", 4, row 4 x 4,
    [1: "6" x "16" = 1 2 3 4 5 6]
);
