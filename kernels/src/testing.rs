//! What the tests of kernels share.

use crate::isa::Level;
use crate::{Filter, Isa};

/// A small deterministic generator: the same cases in every run and on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.bits() as u8).collect()
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        self.bits() as f32 / 2f32.powi(31) - 1.0
    }

    pub(crate) fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| self.float() * size).collect()
    }
}

/// What an integer convolution or product computes with.
pub(crate) struct Operands {
    pub weights: Vec<i8>,
    pub zero_points: Vec<i16>,
    pub bias: Vec<i32>,
    pub multiplier: Vec<f32>,
    pub offset: Vec<f32>,
    /// The input, slack behind it.
    pub x: Vec<u8>,
}

impl Operands {
    pub(crate) fn filter(&self) -> Filter<'_> {
        Filter {
            weights: &self.weights,
            zero_points: &self.zero_points,
            bias: &self.bias,
            multiplier: &self.multiplier,
            offset: &self.offset,
        }
    }
}

/// Runs `test` with every instruction set that this machine has, and fails if one that it reports was left out.
pub(crate) fn on_every_isa(mut test: impl FnMut(Isa)) {
    let mut seen = Vec::new();
    for isa in Isa::available() {
        test(isa);
        seen.push(isa.level());
    }
    assert!(seen.contains(&Level::Scalar));
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        assert_eq!(seen.contains(&Level::Avx2), has!("avx2") && has!("fma"));
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
        assert_eq!(seen.contains(&Level::Avx512Vnni), avx512 && has!("avx512vnni"));
    }
}
