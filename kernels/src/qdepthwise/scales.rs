//! How the accumulators of a block of channels become bytes.

#![allow(clippy::needless_range_loop)]

use super::blocked::{Call, Vectors, load_four};

/// How accumulators of a block become bytes.
pub(super) struct Scales<'a, V: Vectors> {
    /// Four vectors.
    multipliers: *const u8,
    /// Four vectors; null: none.
    offsets: *const u8,
    bounds: &'a V::Bounds,
}

impl<'a, V: Vectors> Scales<'a, V> {
    /// Of a block whose `packed` bytes start with its biases. Panics if it has no room for them.
    #[inline(always)]
    pub fn new(call: &'a Call<'_, V>, packed: &[u8]) -> Scales<'a, V> {
        assert!(packed.len() >= call.layout.weights);
        let multipliers = packed[4 * V::BYTES..].as_ptr();
        let offsets = match call.conv.offsets {
            true => multipliers.wrapping_add(4 * V::BYTES),
            false => std::ptr::null(),
        };
        Scales { multipliers, offsets, bounds: &call.bounds }
    }

    /// Accumulators to bytes in channel order.
    ///
    /// Safety: the processor has `V`'s instruction set, and the block is still there.
    #[inline(always)]
    pub unsafe fn requantize(&self, sums: [V::Word; 4]) -> V::Word {
        // SAFETY: there are multipliers, and offsets unless null, as `new` has seen; the rest is the caller's promise.
        unsafe {
            let multipliers = load_four::<V>(self.multipliers);
            let mut reals = sums;
            for v in 0..4 {
                reals[v] = V::scale(sums[v], multipliers[v]);
            }
            if !self.offsets.is_null() {
                let offsets = load_four::<V>(self.offsets);
                for v in 0..4 {
                    reals[v] = V::add_reals(reals[v], offsets[v]);
                }
            }
            V::narrow(reals, *self.bounds)
        }
    }
}
