//! AVX-512 VNNI: a row of which the inputs that are 0 are left out ([`qrow::sparse`](crate::qrow::sparse)).
//!
//! A tile is 1x128, two blocks. Four inputs take 8 loads, 16 shuffles and 8 products: with two shuffles a cycle a line takes
//! a cycle, as long as it takes to come from the second cache; a tile of 1x64 finds its lines as often for half as many.

use super::avx512vnni::{Avx512Vnni, pack};
use crate::SLACK;
use crate::qconv::requantize::Requantize;
use crate::qconv::tile::Columns16;
use crate::qrow::sparse::{BLOCK, BLOCK_NUMBERS, Blocks, PIECE};
use std::arch::x86_64::*;

/// The inputs that are not 0, filled up with zeros to fours.
struct Found {
    /// Where the weights of each lie in a block.
    lines: *const u32,
    /// What it is.
    values: *const u8,
    fours: usize,
}

/// Computes all outputs.
///
/// # Safety
/// The processor has AVX-512 VNNI; there are blocks for all outputs, of as many lines as `x` has inputs in front of its
/// slack.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) unsafe fn blocks(b: Blocks<'_>) {
    // SAFETY: the caller's promise: where more outputs are wanted there is a block, with a line for each input.
    unsafe {
        let found = find(b.x, b.scratch);
        let mut weights = b.weights;
        let lines = b.x.len() - SLACK;
        for y in b.y.chunks_mut(2 * BLOCK) {
            match y.len() > BLOCK {
                true => tile::<2>(&found, weights, [b.block_len, lines], y, &b.out),
                false => tile::<1>(&found, weights, [b.block_len, lines], y, &b.out),
            }
            // Behind a single block there may be nothing.
            weights = weights.wrapping_add(2 * b.block_len);
        }
    }
}

/// Finds the inputs of `x`, behind which slack is, that are not 0.
///
/// # Safety
/// The processor has AVX-512. `scratch` is as long as [`scratch_len`](crate::qrow::sparse::scratch_len) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn find(x: &[u8], scratch: &mut [u8]) -> Found {
    let k = x.len() - SLACK;
    assert!(scratch.len() >= crate::qrow::sparse::scratch_len(k));
    // SAFETY: what is read lies in the row and its slack; of both parts of the scratch no more than `k` and a piece are
    // written, at a place that is at most that of the input itself.
    unsafe {
        let start = scratch.as_mut_ptr();
        let (lines, values) = (start.cast::<u32>(), start.add(4 * (k.next_multiple_of(PIECE) + PIECE)));
        let mut count = 0;
        let first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut line = _mm512_slli_epi32::<6>(first);
        for at in (0..k).step_by(PIECE) {
            let piece = _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().add(at).cast()));
            let inside = if k - at < PIECE { (1 << (k - at)) - 1 } else { u16::MAX };
            let mask = _mm512_mask_test_epi32_mask(inside, piece, piece);
            _mm512_storeu_si512(lines.add(count).cast(), _mm512_maskz_compress_epi32(mask, line));
            let some = _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(mask, piece));
            _mm_storeu_si128(values.add(count).cast(), some);
            count += mask.count_ones() as usize;
            line = _mm512_add_epi32(line, _mm512_set1_epi32((PIECE * BLOCK) as i32));
        }
        _mm512_storeu_si512(lines.add(count).cast(), _mm512_setzero_si512());
        _mm_storeu_si128(values.add(count).cast(), _mm_setzero_si128());
        Found { lines, values, fours: count.div_ceil(4) }
    }
}

/// The outputs `y` of `NB` blocks that start `block_len` bytes apart and have so many lines.
///
/// # Safety
/// The processor has AVX-512 VNNI; there are the blocks, with all lines that were found; outputs are more than those of
/// `NB - 1` blocks and not more than those of `NB`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tile<const NB: usize>(
    found: &Found,
    weights: *const u8,
    [block_len, lines]: [usize; 2],
    y: &mut [u8],
    out: &Requantize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[_mm512_setzero_si512(); 4]; NB];
        for (b, acc) in acc.iter_mut().enumerate() {
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_loadu_si512(weights.add(b * block_len + 64 * j).cast());
            }
        }
        let first = weights.add(BLOCK_NUMBERS);
        for four in 0..found.fours {
            let quad = _mm512_set1_epi32(found.values.add(4 * four).cast::<i32>().read_unaligned());
            let mut rows = [first; 4];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = first.add(found.lines.add(4 * four + i).read_unaligned() as usize);
            }
            for (b, acc) in acc.iter_mut().enumerate() {
                let [r0, r1, r2, r3] = rows.map(|row| _mm512_loadu_si512(row.add(b * block_len).cast()));
                let [a, b] = [_mm512_unpacklo_epi8(r0, r1), _mm512_unpackhi_epi8(r0, r1)];
                let [c, d] = [_mm512_unpacklo_epi8(r2, r3), _mm512_unpackhi_epi8(r2, r3)];
                acc[0] = _mm512_dpbusd_epi32(acc[0], quad, _mm512_unpacklo_epi16(a, c));
                acc[1] = _mm512_dpbusd_epi32(acc[1], quad, _mm512_unpackhi_epi16(a, c));
                acc[2] = _mm512_dpbusd_epi32(acc[2], quad, _mm512_unpacklo_epi16(b, d));
                acc[3] = _mm512_dpbusd_epi32(acc[3], quad, _mm512_unpackhi_epi16(b, d));
            }
        }
        for (b, acc) in acc.iter().enumerate() {
            let multipliers = first.add(b * block_len + lines * BLOCK);
            let mut scaled = [_mm512_setzero_si512(); 4];
            for (j, (scaled, &acc)) in scaled.iter_mut().zip(acc).enumerate() {
                *scaled = Avx512Vnni::scale(acc, (multipliers.add(64 * j), std::ptr::null()), out);
            }
            // In the order of the columns: packing puts side by side what interleaving has taken apart.
            let bytes = pack(scaled, out);
            let columns = (y.len() - b * BLOCK).min(BLOCK);
            let y = y.as_mut_ptr().add(b * BLOCK);
            match columns {
                BLOCK => _mm512_storeu_si512(y.cast(), bytes),
                _ => _mm512_mask_storeu_epi8(y.cast(), u64::MAX >> (BLOCK - columns), bytes),
            }
        }
    }
}
