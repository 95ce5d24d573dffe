//! Vectors of eight floats in plain Rust.

use super::{Depthwise, Floats, windows};
use std::ops::Range;

pub(crate) struct Plain;

// SAFETY of every function: the trait's contract, pointers are good for the access that is made.
impl Floats for Plain {
    type Word = [f32; 8];
    type Mask = [bool; 8];
    const LANES: usize = 8;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 8] {
        // SAFETY: the trait's contract.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> [f32; 8] {
        let mut word = [0.0; 8];
        // SAFETY: the trait's contract: `from` has `n` elements, at most a vector.
        unsafe { std::ptr::copy_nonoverlapping(from, word.as_mut_ptr(), n) };
        word
    }

    #[inline(always)]
    unsafe fn mask(lanes: Range<usize>) -> [bool; 8] {
        let mut mask = [false; 8];
        mask[lanes].fill(true);
        mask
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, lanes: [bool; 8]) -> [f32; 8] {
        let mut word = [0.0; 8];
        for (i, word) in word.iter_mut().enumerate().filter(|(i, _)| lanes[*i]) {
            // SAFETY: the trait's contract: `from` is good for this lane.
            *word = unsafe { *from.wrapping_add(i) };
        }
        word
    }

    #[inline(always)]
    unsafe fn store(word: [f32; 8], to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(word) }
    }

    #[inline(always)]
    unsafe fn store_part(word: [f32; 8], to: *mut f32, n: usize) {
        // SAFETY: the trait's contract.
        unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), to, n) }
    }

    #[inline(always)]
    unsafe fn splat(v: f32) -> [f32; 8] {
        [v; 8]
    }

    #[inline(always)]
    unsafe fn multiply_add(a: [f32; 8], b: [f32; 8], mut sum: [f32; 8]) -> [f32; 8] {
        for i in 0..8 {
            sum[i] += a[i] * b[i];
        }
        sum
    }

    #[inline(always)]
    unsafe fn clamp(mut v: [f32; 8], min: [f32; 8], max: [f32; 8]) -> [f32; 8] {
        for i in 0..8 {
            v[i] = crate::math::clip(v[i], min[i], max[i]);
        }
        v
    }
}

/// Safety: none is needed; it is one of a table whose others need an instruction set.
pub(crate) unsafe fn windows_plain<const K: usize, const S: usize, const M: usize>(
    call: &Depthwise<'_>,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
    rows: Range<usize>,
) {
    // SAFETY: plain code needs no instruction set.
    unsafe { windows::run::<Plain, K, S, M>(call, packed, x, y, rows) }
}
