//! Tensors as plain numbers.

use crate::graph::{DType, Quant};

/// The reals that a tensor's bytes stand for: `(q - zero_point) * scale` where it is quantized, the values
/// themselves elsewhere (64-bit integers rounded). `dims` is the tensor's shape, which matters for scales per
/// channel only.
pub fn to_f32(dtype: DType, quant: Option<&Quant>, dims: &[usize], bytes: &[u8]) -> Vec<f32> {
    fn all<const N: usize>(bytes: &[u8], get: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|b| get(*b)).collect()
    }
    let mut values = match dtype {
        DType::F32 => all(bytes, f32::from_le_bytes),
        DType::F16 => all(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        DType::BF16 => all(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        DType::I8 => all(bytes, |b| i8::from_le_bytes(b).into()),
        DType::U8 | DType::Bool => all(bytes, |b| u8::from_le_bytes(b).into()),
        DType::I16 => all(bytes, |b| i16::from_le_bytes(b).into()),
        DType::I32 => all(bytes, |b| i32::from_le_bytes(b) as f32),
        DType::I64 => all(bytes, |b| i64::from_le_bytes(b) as f32),
        DType::F64 => all(bytes, |b| f64::from_le_bytes(b) as f32),
    };
    if let Some(quant) = quant {
        // Elements that share an index of the channel axis lie next to each other in runs of this length.
        let run = quant.axis.map_or(1, |a| dims.iter().skip(a + 1).product::<usize>()).max(1);
        let channels = quant.scale.len().min(quant.zero_point.len()).max(1);
        for (i, v) in values.iter_mut().enumerate() {
            let c = (i / run) % channels;
            if let (Some(scale), Some(zero)) = (quant.scale.get(c), quant.zero_point.get(c)) {
                *v = (*v - *zero as f32) * scale;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_tensors_become_reals() {
        let quant = Quant::per_tensor(0.5, 128);
        assert_eq!(to_f32(DType::U8, Some(&quant), &[3], &[128, 130, 0]), [0.0, 1.0, -64.0]);
        let quant = Quant::per_channel(0, vec![1.0, 10.0]);
        assert_eq!(to_f32(DType::I8, Some(&quant), &[2, 2], &[1, 255, 1, 2]), [1.0, -1.0, 10.0, 20.0]);
        let quant = Quant::per_channel(1, vec![1.0, 10.0]);
        assert_eq!(to_f32(DType::I8, Some(&quant), &[2, 2], &[1, 255, 1, 2]), [1.0, -10.0, 1.0, 20.0]);
    }

    #[test]
    fn plain_tensors_are_what_they_are() {
        assert_eq!(to_f32(DType::F32, None, &[1], &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(to_f32(DType::F16, None, &[1], &half::f16::from_f32(-2.0).to_le_bytes()), [-2.0]);
        assert_eq!(to_f32(DType::I64, None, &[1], &(-7i64).to_le_bytes()), [-7.0]);
        assert_eq!(to_f32(DType::Bool, None, &[2], &[1, 0]), [1.0, 0.0]);
    }
}
