//! What one core can do at most: the roofs that kernels are measured against.
//!
//! Loops of each instruction set's own instruction mix on registers alone, nothing loaded and nothing waiting, and a
//! loop that only reads. A kernel's share of these is what it makes of the processor, on whatever clock it runs now.

use crate::Isa;
use crate::isa::Level;
use crate::multiversion::multiversion;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of a loop between two looks at the clock.
const ROUNDS: usize = 2000;

/// Multiply-adds per second of one core, in registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// u8 x i8 into i32, exact: `vpdpbusd`, or on plain AVX2 the four instructions of the sign route.
    pub int8: f64,
    /// f32, fused.
    pub float: f64,
}

impl Limit {
    /// Measures for about `time`; the best of many short loops counts, since others may use the machine. `None` where
    /// plain loops run: their limit is the compiler's.
    pub fn measure(isa: Isa, time: Duration) -> Option<Limit> {
        // SAFETY: these are the loops of `isa`, and one is made only where the processor has its features.
        let rates = loops(isa)?.map(|work| best(time / 2, || unsafe { work() }));
        Some(Limit { int8: rates[0], float: rates[1] })
    }
}

/// Multiply-adds per second of the int8 loop over a whole `time`, whatever comes between: what to hold a kernel against
/// that is timed so. `None` as [`Limit::measure`].
pub fn sustained(isa: Isa, time: Duration) -> Option<f64> {
    let [int8, _] = loops(isa)?;
    let (start, mut done) = (Instant::now(), 0f64);
    while start.elapsed() < time {
        // SAFETY: this is a loop of `isa`, and one is made only where the processor has its features.
        done += unsafe { int8() };
    }
    Some(done / start.elapsed().as_secs_f64())
}

/// Bytes per second that one core reads out of `bytes` (not empty) over and over: with few bytes those of a cache.
/// Measures for about `time`.
pub fn read_bandwidth(isa: Isa, bytes: &[u64], time: Duration) -> f64 {
    let passes = (1usize << 20).div_ceil(size_of_val(bytes).max(1));
    best(time, || {
        let mut sum = 0;
        for _ in 0..passes {
            read(isa, black_box(bytes), &mut sum);
        }
        black_box(sum);
        (passes * size_of_val(bytes)) as f64
    })
}

/// The highest rate of `work`, which returns how much it did, within `time`; at least one call.
fn best(time: Duration, work: impl Fn() -> f64) -> f64 {
    let (start, mut best) = (Instant::now(), 0f64);
    loop {
        let one = Instant::now();
        let done = work();
        best = best.max(done / one.elapsed().as_secs_f64().max(1e-9));
        if start.elapsed() >= time {
            return best;
        }
    }
}

#[inline(always)]
fn sum_all(bytes: &[u64], sum: &mut u64) {
    // Eight vectors of 512 bits: enough sums that none waits for the one before.
    let mut sums = [0u64; 64];
    let (chunks, rest) = bytes.as_chunks::<64>();
    for chunk in chunks {
        for i in 0..64 {
            sums[i] = sums[i].wrapping_add(chunk[i]);
        }
    }
    for value in sums.iter().chain(rest) {
        *sum = sum.wrapping_add(*value);
    }
}

multiversion! {
    /// Adds all of `bytes` to `sum`.
    fn read(bytes: &[u64], sum: &mut u64) => sum_all
}

/// The loops on registers, int8 and float; each call returns its multiply-adds, and needs the features of its level.
type Loops = [unsafe fn() -> f64; 2];

#[cfg(not(target_arch = "x86_64"))]
fn loops(_: Isa) -> Option<Loops> {
    None
}

#[cfg(target_arch = "x86_64")]
fn loops(isa: Isa) -> Option<Loops> {
    match isa.level() {
        Level::Avx512Vnni => Some([x86_64::vnni512, x86_64::fma512]),
        Level::AvxVnni => Some([x86_64::vnni256, x86_64::fma256]),
        Level::Avx2 => Some([x86_64::sign256, x86_64::fma256]),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{ROUNDS, black_box};
    use std::arch::x86_64::*;

    /// One loop: `$sums` independent sums, each takes `$step` once a round, which does `$macs` multiply-adds.
    macro_rules! register_loop {
        ($(#[$meta:meta])* $name:ident, $features:literal, $sums:literal, $macs:literal, $zero:expr,
         $ones:expr, |$sum:ident, $one:ident| $step:expr) => {
            $(#[$meta])*
            #[target_feature(enable = $features)]
            pub(super) fn $name() -> f64 {
                let $one = $ones;
                let mut sums = [$zero; $sums];
                for _ in 0..ROUNDS {
                    for $sum in &mut sums {
                        *$sum = $step;
                    }
                    // Keeps the compiler from computing the sums at once.
                    black_box(());
                }
                black_box(sums);
                (ROUNDS * $sums * $macs) as f64
            }
        };
    }

    register_loop!(
        /// 64 multiply-adds an instruction.
        vnni512, "avx512f,avx512vnni", 16, 64, _mm512_setzero_si512(),
        _mm512_set1_epi8(black_box(1)), |sum, one| _mm512_dpbusd_epi32(*sum, one, one)
    );
    register_loop!(
        /// 32 multiply-adds an instruction.
        vnni256, "avx2,avxvnni", 12, 32, _mm256_setzero_si256(),
        _mm256_set1_epi8(black_box(1)), |sum, one| _mm256_dpbusd_avx_epi32(*sum, one, one)
    );
    /// 32 multiply-adds in four instructions: sign, multiply, widen, add. Four lines of weights meet two of values,
    /// which are new in every round as far as the compiler knows: no sign is shared or moved out of the loop.
    #[target_feature(enable = "avx2")]
    pub(super) fn sign256() -> f64 {
        let (weights, one) = (black_box([_mm256_set1_epi8(1); 4]), _mm256_set1_epi16(1));
        let mut sums = [[_mm256_setzero_si256(); 4]; 2];
        for _ in 0..ROUNDS {
            let values = black_box([_mm256_set1_epi8(1); 2]);
            for (sums, value) in sums.iter_mut().zip(values) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    let pairs = _mm256_maddubs_epi16(value, _mm256_sign_epi8(weight, value));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, one));
                }
            }
        }
        black_box(sums);
        (ROUNDS * 8 * 32) as f64
    }

    register_loop!(
        /// 16 multiply-adds an instruction.
        fma512, "avx512f", 16, 16, _mm512_setzero_ps(),
        _mm512_set1_ps(black_box(0.5)), |sum, one| _mm512_fmadd_ps(one, one, *sum)
    );
    register_loop!(
        /// 8 multiply-adds an instruction.
        fma256, "avx2,fma", 12, 8, _mm256_setzero_ps(),
        _mm256_set1_ps(black_box(0.5)), |sum, one| _mm256_fmadd_ps(one, one, *sum)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_limits_and_plain_loops_none() {
        for isa in Isa::available() {
            let limit = Limit::measure(isa, Duration::from_millis(2));
            assert_eq!(limit.is_some(), isa != Isa::SCALAR, "{isa}");
            assert!(limit.is_none_or(|l| l.int8 > 1e8 && l.float > 1e8), "{isa} {limit:?}");
            assert!(read_bandwidth(isa, &[1; 1000], Duration::from_millis(1)) > 1e7, "{isa}");
        }
    }

    #[test]
    fn reading_reads_everything() {
        let bytes: Vec<u64> = (0..1000).collect();
        for isa in Isa::available() {
            let mut sum = 5;
            read(isa, &bytes, &mut sum);
            assert_eq!(sum, 5 + 999 * 500, "{isa}");
        }
    }
}
