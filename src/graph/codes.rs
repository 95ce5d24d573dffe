//! Constants between reals and the integers that stand for them.

use super::{DType, Data, Quant, Tensor, Unpack};

impl Quant {
    /// For element `i` of a row-major tensor of these dimensions, which scale and zero point it has.
    pub fn group(&self, dims: &[usize], i: usize) -> usize {
        match self.axis {
            Some(axis) => i / dims[axis + 1..].iter().product::<usize>().max(1) % dims[axis],
            None => 0,
        }
    }
}

impl Unpack {
    /// Integer `i` of those that lie packed in `bytes`: of 1 to 8 bits, the lowest first.
    pub(crate) fn code(&self, bytes: &[u8], i: usize) -> i8 {
        let (byte, shift) = (i * self.bits / 8, i * self.bits % 8);
        let pair = [byte, byte + 1].map(|at| bytes.get(at).copied().unwrap_or(0));
        // To the top and back: the highest bit is the sign.
        (((u16::from_le_bytes(pair) >> shift) << (8 - self.bits)) as u8 as i8) >> (8 - self.bits)
    }
}

impl Tensor {
    /// The reals of a constant of 8-, 16- or 32-bit integers: `(q - zero_point) * scale` in f32.
    pub fn dequantized(&self) -> Option<Vec<f32>> {
        let (quant, dims) = (self.quant.as_ref()?, self.shape.dims()?);
        let real = |(i, q): (usize, i32)| {
            let group = quant.group(&dims, i);
            (q.wrapping_sub(quant.zero_point[group])) as f32 * quant.scale[group]
        };
        Some(self.codes()?.into_iter().enumerate().map(real).collect())
    }

    /// The integers of a constant of 8-, 16- or 32-bit integers.
    pub fn codes(&self) -> Option<Vec<i32>> {
        let data = self.data.as_ref()?;
        Some(match self.dtype {
            DType::U8 => data.bytes().iter().map(|&q| i32::from(q)).collect(),
            DType::I8 => data.to_vec::<i8>().into_iter().map(i32::from).collect(),
            DType::I16 => data.to_vec::<i16>().into_iter().map(i32::from).collect(),
            DType::I32 => data.to_vec(),
            _ => return None,
        })
    }

    /// The integers of 8 or 16 bits that stand for the reals of an f32 constant, rounded as `Quantize` rounds.
    pub fn quantized(&self, dtype: DType, quant: &Quant) -> Option<Data> {
        let dims = self.shape.dims()?;
        let (low, high) = match dtype {
            DType::U8 => (0.0, 255.0),
            DType::I8 => (-128.0, 127.0),
            DType::I16 => (-32768.0, 32767.0),
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
            steps + quant.zero_point[group]
        };
        let codes = values.into_iter().enumerate().map(code);
        Some(match dtype {
            DType::I16 => Data::from_slice(&codes.map(|q| q as i16).collect::<Vec<i16>>()),
            _ => Data::from_bytes(&codes.map(|q| q as u8).collect::<Vec<u8>>()),
        })
    }
}

/// Weights that lie up to 255 away from 0, as 8-bit integers around one zero point per output channel.
#[derive(Debug, PartialEq)]
pub(crate) struct Rows {
    /// `value + zero_point`, in the order of the values.
    pub codes: Vec<i8>,
    /// One per row, as near to 0 as its values allow.
    pub zero_points: Vec<i32>,
}

impl Rows {
    /// Rows of `len` values. `None` where values are more than 255 away from 0, or from others of their row.
    pub fn new(values: &[i32], len: usize) -> Option<Rows> {
        let mut rows = Rows { codes: Vec::with_capacity(values.len()), zero_points: Vec::new() };
        for row in values.chunks(len.max(1)) {
            let low = row.iter().copied().min()?;
            let high = row.iter().copied().max()?;
            let zero = match () {
                () if low < -255 || high > 255 || high - low > 255 => return None,
                () if high > 127 => 127 - high,
                // -128 is left out where it can be: its negation is no i8, which costs some kernels dear.
                () if low < -128 => (-127 - low).min(127 - high).min(127),
                () => 0,
            };
            rows.codes.extend(row.iter().map(|v| (v + zero) as i8));
            rows.zero_points.push(zero);
        }
        Some(rows)
    }

    /// The quantization of the codes: `scale` has one value, or one per row.
    pub fn quant(&self, scale: &[f32]) -> Quant {
        match *scale {
            [scale] if self.zero_points.iter().all(|&z| z == 0) => Quant::per_tensor(scale, 0),
            _ => {
                let scale = scale.iter().copied().cycle().take(self.zero_points.len()).collect();
                Quant { axis: Some(0), scale, zero_point: self.zero_points.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_values_and_need_few_zero_points() {
        let values =
            [[-128, 127], [-255, 0], [0, 255], [-254, -255], [1, 128], [-129, 126], [-129, 3], [5, -6]];
        let rows = Rows::new(values.as_flattened(), 2).unwrap();
        let back = |i: usize| i32::from(rows.codes[i]) - rows.zero_points[i / 2];
        assert_eq!((0..16).map(back).collect::<Vec<_>>(), values.as_flattened());
        assert_eq!(rows.zero_points, [0, 127, -128, 127, -1, 1, 2, 0]);
        assert_eq!(rows.quant(&[0.5]).zero_point, rows.zero_points);
        for refused in [[-256, -200], [200, 256], [-128, 128]] {
            assert_eq!(Rows::new(&refused, 2), None);
        }
        let plain = Rows::new(&[1, 2, 3], 1).unwrap();
        assert_eq!(plain.quant(&[0.5]), Quant::per_tensor(0.5, 0));
        assert_eq!(plain.quant(&[0.5, 0.25, 2.0]), Quant::per_channel(0, vec![0.5, 0.25, 2.0]));
    }

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
