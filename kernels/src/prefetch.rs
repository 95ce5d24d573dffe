//! Asking the processor for bytes that will be read soon.

/// Which of a core's caches bytes are to be brought to.
#[derive(Clone, Copy)]
pub(crate) enum Cache {
    First,
    Second,
}

/// Asks for the line of cache that this byte is in. Whatever the address, nothing happens but that: it may lie behind what
/// is there.
#[inline(always)]
pub(crate) fn prefetch(byte: *const u8, cache: Cache) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and whatever the address, it is a hint.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match cache {
            Cache::First => _mm_prefetch::<_MM_HINT_T0>(byte.cast()),
            Cache::Second => _mm_prefetch::<_MM_HINT_T1>(byte.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (byte, cache);
}
