//! Functions of one byte as tables of 256 entries: activations, requantization.

use crate::Isa;

/// `y[i] = table[x[i]]`, of the same length.
pub fn table(isa: Isa, table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    assert_eq!(x.len(), y.len());
    #[cfg(target_arch = "x86_64")]
    if avx512::has_permute(isa) {
        // SAFETY: the instructions are there; both pointers are good for `x.len()` bytes.
        return unsafe { avx512::lookup(table, x.as_ptr(), y.as_mut_ptr(), x.len()) };
    }
    let _ = isa;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[usize::from(x)];
    }
}

/// `x[i] = table[x[i]]`.
pub fn table_inplace(isa: Isa, table: &[u8; 256], x: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if avx512::has_permute(isa) {
        let bytes = x.as_mut_ptr();
        // SAFETY: the instructions are there; the pointer is good for `x.len()` bytes, and every vector is read
        // before it is written.
        return unsafe { avx512::lookup(table, bytes, bytes, x.len()) };
    }
    let _ = isa;
    for x in x {
        *x = table[usize::from(*x)];
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use crate::Isa;
    use crate::isa::Level;
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::*;

    /// True if bytes can be looked up in registers: AVX-512 allowed, and VBMI there.
    pub(super) fn has_permute(isa: Isa) -> bool {
        isa.level() == Level::Avx512Vnni && is_x86_feature_detected!("avx512vbmi")
    }

    /// Safety: the processor has AVX-512 F, BW and VBMI; `x` can be read and `y` written for `len` bytes; they are
    /// the same or don't overlap.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) unsafe fn lookup(table: &[u8; 256], x: *const u8, y: *mut u8, len: usize) {
        // SAFETY: the table has four vectors.
        let [a, b, c, d] =
            [0, 64, 128, 192].map(|at| unsafe { _mm512_loadu_si512(table.as_ptr().add(at).cast()) });
        let mut at = 0;
        while at < len {
            let left = len - at;
            let mask = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            // SAFETY: the mask keeps both accesses within `len`.
            unsafe {
                let i = _mm512_maskz_loadu_epi8(mask, x.add(at).cast());
                // Seven bits choose within a half of the table, the eighth chooses the half.
                let low = _mm512_permutex2var_epi8(a, i, b);
                let high = _mm512_permutex2var_epi8(c, i, d);
                let chosen = _mm512_mask_blend_epi8(_mm512_movepi8_mask(i), low, high);
                _mm512_mask_storeu_epi8(y.add(at).cast(), mask, chosen);
            }
            at += 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn looks_up() {
        let mut random = Random::new(1);
        let values: [u8; 256] = std::array::from_fn(|_| random.bits() as u8);
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let mut x: Vec<u8> = (0..len).map(|i| i as u8).collect();
            x.extend(random.bytes(len));
            let expected: Vec<u8> = x.iter().map(|&v| values[usize::from(v)]).collect();
            on_every_isa(|isa| {
                let mut y = vec![0; x.len()];
                table(isa, &values, &x, &mut y);
                assert_eq!(y, expected, "{isa}");
                y.copy_from_slice(&x);
                table_inplace(isa, &values, &mut y);
                assert_eq!(y, expected, "{isa}");
            });
        }
    }
}
