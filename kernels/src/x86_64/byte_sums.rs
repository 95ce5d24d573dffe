//! Sums of bytes for weights with zero points, by `vpsadbw` against 0.

use super::avx2::Avx2;
use super::avx2_wide::Avx2Wide;
use super::avx512vnni::Avx512Vnni;
use super::avxvnni::AvxVnni;
use crate::qconv::row_sums::ByteSums;
use std::arch::x86_64::*;

// SAFETY of every block: the caller vouches for the instruction set and the pointers, as the trait asks.
impl ByteSums for Avx512Vnni {
    type Sums = __m512i;

    #[inline(always)]
    unsafe fn none() -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn more(mut sums: __m512i, mut p: *const u8, mut len: usize) -> __m512i {
        // SAFETY: as above; the mask keeps the last load within the bytes.
        unsafe {
            let zero = _mm512_setzero_si512();
            while len >= 64 {
                sums = _mm512_add_epi64(sums, _mm512_sad_epu8(_mm512_loadu_si512(p.cast()), zero));
                (p, len) = (p.add(64), len - 64);
            }
            let bytes = _mm512_maskz_loadu_epi8((1 << len) - 1, p.cast());
            _mm512_add_epi64(sums, _mm512_sad_epu8(bytes, zero))
        }
    }

    #[inline(always)]
    unsafe fn all(sums: __m512i) -> i32 {
        // SAFETY: as above.
        unsafe {
            let halves = _mm256_add_epi64(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
            all(halves)
        }
    }
}

macro_rules! on_256_bits {
    ($($isa:ty),+) => {$(
        // SAFETY of every block: as above.
        impl ByteSums for $isa {
            type Sums = __m256i;

            #[inline(always)]
            unsafe fn none() -> __m256i {
                // SAFETY: as above.
                unsafe { _mm256_setzero_si256() }
            }

            #[inline(always)]
            unsafe fn more(sums: __m256i, p: *const u8, len: usize) -> __m256i {
                // SAFETY: as above.
                unsafe { more(sums, p, len) }
            }

            #[inline(always)]
            unsafe fn all(sums: __m256i) -> i32 {
                // SAFETY: as above.
                unsafe { all(sums) }
            }
        }
    )+};
}
on_256_bits!(Avx2, Avx2Wide, AvxVnni);

/// Adds `len` bytes from `p` on.
///
/// # Safety
/// As many whole quads as `len` bytes take can be read; the processor has AVX2.
#[inline(always)]
unsafe fn more(mut sums: __m256i, mut p: *const u8, mut len: usize) -> __m256i {
    /// 32 bytes from `32 - n` on: the first n are all ones.
    static FIRST: [u8; 64] = {
        let mut bytes = [0; 64];
        let mut i = 0;
        while i < 32 {
            bytes[i] = 0xff;
            i += 1;
        }
        bytes
    };
    // SAFETY: the caller's promise; the last load takes whole quads, of which `len` bytes are kept.
    unsafe {
        let zero = _mm256_setzero_si256();
        while len >= 32 {
            sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_loadu_si256(p.cast()), zero));
            (p, len) = (p.add(32), len - 32);
        }
        if len == 0 {
            return sums;
        }
        let whole = _mm256_loadu_si256(FIRST.as_ptr().add(32 - len.next_multiple_of(4)).cast());
        let kept = _mm256_loadu_si256(FIRST.as_ptr().add(32 - len).cast());
        let bytes = _mm256_maskload_epi32(p.cast(), whole);
        _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_and_si256(bytes, kept), zero))
    }
}

/// All partial sums together.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn all(sums: __m256i) -> i32 {
    // SAFETY: the caller's promise. Sums modulo 2^32, as accumulators are.
    unsafe {
        let halves = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        _mm_cvtsi128_si32(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves)))
    }
}
