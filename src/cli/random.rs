//! Random inputs: the same on every machine.

use crate::graph::DType;
use std::f64::consts::TAU;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Random(u64);

impl Random {
    /// The sequence with this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box, Muller 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Fills an input with normal floats, integers of 0..100 or booleans.
    pub fn fill(&mut self, dtype: DType, out: &mut [u8]) {
        for element in out.chunks_exact_mut(dtype.size()) {
            let value = match dtype {
                DType::F32 | DType::F16 | DType::BF16 | DType::F64 => self.normal(),
                DType::Bool => (self.next() % 2) as f64,
                _ => (self.next() % 100) as f64,
            };
            write(dtype, value, element);
        }
    }
}

/// Fills an input with one value. `None` if the type does not hold it.
pub(super) fn constant(dtype: DType, value: f64, out: &mut [u8]) -> Option<()> {
    let (low, high) = match dtype {
        DType::F32 | DType::BF16 => (f64::from(f32::MIN), f64::from(f32::MAX)),
        DType::F64 => (f64::MIN, f64::MAX),
        DType::F16 => (-65504.0, 65504.0),
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        // All integers up to here are exact.
        DType::I64 => (-(2f64.powi(53)), 2f64.powi(53)),
        DType::Bool => (0.0, 1.0),
    };
    let held = (low..=high).contains(&value) && (dtype.is_float() || value.fract() == 0.0);
    held.then(|| out.chunks_exact_mut(dtype.size()).for_each(|e| write(dtype, value, e)))
}

/// Writes a value that the type holds.
fn write(dtype: DType, value: f64, element: &mut [u8]) {
    match dtype {
        DType::F32 => element.copy_from_slice(&(value as f32).to_le_bytes()),
        DType::F64 => element.copy_from_slice(&value.to_le_bytes()),
        DType::F16 => element.copy_from_slice(&half::f16::from_f64(value).to_le_bytes()),
        DType::BF16 => element.copy_from_slice(&half::bf16::from_f64(value).to_le_bytes()),
        _ => element.copy_from_slice(&(value as i64).to_le_bytes()[..dtype.size()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_normal() {
        let mut bytes = vec![0; 40_000];
        Random::new(0).fill(DType::F32, &mut bytes);
        let values: Vec<f64> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn integers_are_below_a_hundred() {
        let mut bytes = vec![0; 8000];
        Random::new(0).fill(DType::I64, &mut bytes);
        let values: Vec<i64> = bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
        assert!(values.iter().all(|v| (0..100).contains(v)));
        assert!((0..100).all(|v| values.contains(&v)), "all of them turn up in 1000");
    }

    #[test]
    fn constants_must_be_held() {
        let mut two = [0; 4];
        assert!(constant(DType::I16, -2.0, &mut two).is_some());
        assert_eq!(two, [254, 255, 254, 255]);
        assert!(constant(DType::F32, 1.5, &mut two).is_some());
        assert_eq!(two, 1.5f32.to_le_bytes());
        for (dtype, value) in
            [(DType::U8, 256.0), (DType::U8, 0.5), (DType::Bool, 2.0), (DType::F32, f64::NAN)]
        {
            assert!(constant(dtype, value, &mut two).is_none(), "{dtype} {value}");
        }
    }
}
