//! AVX2: exact products of u8 and i8 with `vpmaddubsw`, without its saturation.
//!
//! `a - 128` is split into magnitude and sign, the sign goes over to the weight: `|a - 128| * (sign * w)`.
//! Two such products reach at most `2 * 128 * 127 = 32512`. What is missing, `128 * sum(w)`, is there from
//! the start. A weight of -128 cannot change its sign: such weights go through [`avx2_wide`](super::avx2_wide).
//!
//! 32 multiply-adds take four operations (`vpsignb`, `vpmaddubsw`, `vpmaddwd`, `vpaddd`), four activations two more
//! (`vpxor`, `vpabsb`) for all columns of a tile: 4.25 where it is 1x64, 4.5 where it is 2x32. Widening both sides to 16
//! bits as others do takes four (two `vpmaddwd`, two `vpaddd`) and the conversions.

use super::epilogue::{self, Halves, Terms};
use crate::qconv::dynamic::Dynamic;
use crate::qconv::ladder::ladder;
use crate::qconv::requantize::{Bounds, Requantize};
use crate::qconv::tile::{Columns16, Scales};
use std::arch::x86_64::*;

pub(crate) struct Avx2;

/// `a - 128` and its magnitude.
#[derive(Clone, Copy)]
pub(crate) struct Signed {
    value: __m256i,
    magnitude: __m256i,
}

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl Columns16 for Avx2 {
    type Acc = Halves;
    type Total = Halves;
    type Scaled = Halves;
    type Line = Halves;
    type Quad = Signed;
    type Terms = Terms;

    #[inline(always)]
    unsafe fn zero() -> Halves {
        // SAFETY: as above.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn start(bias: *const u8, sums: *const u8) -> Halves {
        // SAFETY: as above.
        unsafe {
            let sums = epilogue::load(sums);
            let missing = [_mm256_slli_epi32::<7>(sums[0]), _mm256_slli_epi32::<7>(sums[1])];
            Self::add(epilogue::load(bias), missing)
        }
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
    unsafe fn quad(p: *const u8) -> Signed {
        // SAFETY: as above.
        unsafe {
            let value = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
            let value = _mm256_xor_si256(value, _mm256_set1_epi8(i8::MIN));
            Signed { value, magnitude: _mm256_abs_epi8(value) }
        }
    }

    #[inline(always)]
    unsafe fn dot(acc: Halves, quad: Signed, line: Halves) -> Halves {
        // SAFETY: as above.
        unsafe { [dot(acc[0], quad, line[0]), dot(acc[1], quad, line[1])] }
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

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn dot(acc: __m256i, quad: Signed, line: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let pairs = _mm256_maddubs_epi16(quad.magnitude, _mm256_sign_epi8(line, quad.value));
        _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

// 8 accumulators: constants and what `dot` is in the middle of take the rest of 16 registers. Its chain is
// one addition of one cycle, which needs no more sums at once.
ladder!(Avx2, "avx2", "avx2,fma", 1, row 4 x 1,
    [1: "4" x "16" = 1 2 3 4]
    [2: "2" x "32" = 1 2]
    [3: "1" x "48" = 1]
    [4: "1" x "64" = 1]
);
