//! Constants between reals and the integers that stand for them.

use super::{DType, Data, Quant, Tensor};

impl Quant {
    /// For element `i` of a row-major tensor of these dimensions, which scale and zero point it has.
    pub fn group(&self, dims: &[usize], i: usize) -> usize {
        match self.axis {
            Some(axis) => i / dims[axis + 1..].iter().product::<usize>().max(1) % dims[axis],
            None => 0,
        }
    }
}

impl Tensor {
    /// The reals of a constant of 8- or 32-bit integers: `(q - zero_point) * scale` in f32.
    pub fn dequantized(&self) -> Option<Vec<f32>> {
        let (quant, dims) = (self.quant.as_ref()?, self.shape.dims()?);
        let real = |(i, q): (usize, i32)| {
            let group = quant.group(&dims, i);
            (q.wrapping_sub(quant.zero_point[group])) as f32 * quant.scale[group]
        };
        Some(self.codes()?.into_iter().enumerate().map(real).collect())
    }

    /// The integers of a constant of 8- or 32-bit integers.
    pub fn codes(&self) -> Option<Vec<i32>> {
        let data = self.data.as_ref()?;
        Some(match self.dtype {
            DType::U8 => data.bytes().iter().map(|&q| i32::from(q)).collect(),
            DType::I8 => data.to_vec::<i8>().into_iter().map(i32::from).collect(),
            DType::I32 => data.to_vec(),
            _ => return None,
        })
    }

    /// The 8-bit integers that stand for the reals of an f32 constant, rounded as `Quantize` rounds.
    pub fn quantized(&self, dtype: DType, quant: &Quant) -> Option<Data> {
        let dims = self.shape.dims()?;
        let (low, high) = match dtype {
            DType::U8 => (0.0, 255.0),
            DType::I8 => (-128.0, 127.0),
            _ => return None,
        };
        let values: Vec<f32> = match self.dtype {
            DType::F32 => self.data.as_ref()?.to_vec(),
            _ => return None,
        };
        let code = |(i, v): (usize, f32)| {
            let group = quant.group(&dims, i);
            let zero = quant.zero_point[group] as f32;
            // NaN becomes 0, the zero point's real.
            let steps = (v / quant.scale[group]).clamp(low - zero, high - zero).round_ties_even() as i32;
            (steps + quant.zero_point[group]) as u8
        };
        let codes: Vec<u8> = values.into_iter().enumerate().map(code).collect();
        Some(Data::from_bytes(&codes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizing_undoes_dequantizing() {
        let quant = Quant { axis: Some(1), scale: vec![0.5, 2.0], zero_point: vec![3, -7] };
        let codes = Tensor::constant("w", DType::I8, &[2, 2, 1], Data::from_slice(&[-128i8, 127, 3, -7]))
            .with_quant(quant.clone());
        let reals = codes.dequantized().unwrap();
        assert_eq!(reals, [-65.5, 268.0, 0.0, 0.0]);
        let reals = Tensor::constant("w", DType::F32, &[2, 2, 1], Data::from_slice(&reals));
        assert_eq!(reals.quantized(DType::I8, &quant), codes.data);
    }

    #[test]
    fn halves_go_to_even_and_the_rest_saturates() {
        let reals = [0.5f32, 1.5, -1e9, f32::INFINITY, f32::NAN];
        let reals = Tensor::constant("x", DType::F32, &[5], Data::from_slice(&reals));
        let codes = reals.quantized(DType::U8, &Quant::per_tensor(1.0, 10)).unwrap();
        assert_eq!(codes.bytes(), [10, 12, 0, 255, 10]);
    }
}
