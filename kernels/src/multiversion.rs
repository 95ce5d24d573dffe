//! One body, compiled once per instruction set.

/// Makes `fn name(isa, args..)` out of an `#[inline(always)]` body: the body is compiled plainly and under the
/// vector features of each level, and the [`Isa`](crate::Isa) chooses. Rust never contracts `a * b + c`, so every
/// version computes the same bits.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($g:ident : $bound:path),+>)?
     ($($arg:ident : $ty:ty),* $(,)?) => $body:path) => {
        $(#[$meta])*
        $vis fn $name $(<$($g: $bound),+>)? (isa: $crate::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($g: $bound),+>)? ($($arg: $ty),*) {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512 $(<$($g: $bound),+>)? ($($arg: $ty),*) {
                    $body($($arg),*)
                }
                match isa.level() {
                    // SAFETY: an `Isa` of this level is made only where the processor has these features.
                    $crate::isa::Level::Avx512Vnni => return unsafe { avx512($($arg),*) },
                    $crate::isa::Level::Avx2 | $crate::isa::Level::AvxVnni => {
                        // SAFETY: as above; both levels include AVX2 and FMA.
                        return unsafe { avx2($($arg),*) };
                    }
                    _ => {}
                }
            }
            // Elsewhere the plain build already has all that the levels of a body could use (NEON is baseline).
            let _ = isa;
            $body($($arg),*)
        }
    };
}
pub(crate) use multiversion;
