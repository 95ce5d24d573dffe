//! Integers that only quantized tensors are made of: 2, 4 and unsigned 16 bits.
//!
//! The graph has no such element types. They are held in others that have room for them, and only operators that
//! quantize, dequantize or move elements may read them: all others would compute in the wrong range.

use super::context::Stop;
use super::proto::data_type;
use super::tensor::type_name;
use crate::graph::{DType, Data};

/// One of these element types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Narrow {
    onnx: i32,
    /// What holds it.
    pub dtype: DType,
    bits: usize,
    /// By how much the integers that are held are less than those that are meant.
    pub offset: i32,
    /// The least and the greatest integer, as they are held.
    pub range: [i32; 2],
}

/// Operators that move elements without looking at them.
const MOVERS: [&str; 11] = [
    "Identity",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Gather",
    "Expand",
    "Concat",
];

impl Narrow {
    /// The element type with this number; `None` for those that the graph has, and those that can't be taken in.
    pub fn of(onnx: i32) -> Option<Narrow> {
        let narrow = |dtype, bits, offset, range| Some(Narrow { onnx, dtype, bits, offset, range });
        match onnx {
            // There are kernels for i16: these integers are 32768 less, and so are their zero points.
            data_type::UINT16 => narrow(DType::I16, 16, 1 << 15, [-32768, 32767]),
            data_type::UINT4 => narrow(DType::U8, 4, 0, [0, 15]),
            data_type::INT4 => narrow(DType::I8, 4, 0, [-8, 7]),
            data_type::UINT2 => narrow(DType::U8, 2, 0, [0, 3]),
            data_type::INT2 => narrow(DType::I8, 2, 0, [-2, 1]),
            _ => None,
        }
    }

    /// Bytes of so many elements; `None` where that overflows.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        Some(elements.checked_mul(self.bits)?.div_ceil(8))
    }

    /// From packed bytes as ONNX stores them, the first element in the lowest bits.
    pub fn unpacked(self, raw: &[u8], elements: usize) -> Data {
        if self.bits == 16 {
            let shifted = |pair: &[u8; 2]| (u16::from_le_bytes(*pair) ^ 0x8000) as i16;
            return Data::from_slice(&raw.as_chunks().0.iter().map(shifted).collect::<Vec<i16>>());
        }
        let per_byte = 8 / self.bits;
        let top = 8 - self.bits;
        let code = |i: usize| {
            // To the top and back: that extends the sign.
            let high = (raw[i / per_byte] >> (i % per_byte * self.bits)) << top;
            if self.dtype == DType::I8 { (high as i8 >> top) as u8 } else { high >> top }
        };
        let held = raw.len().saturating_mul(per_byte).min(elements);
        Data::from_bytes(&(0..held).map(code).collect::<Vec<u8>>())
    }

    /// Whether a node of ONNX's operator `op`, whose tensors in front are `inputs`, may read this; `true`: what it
    /// gives is of the same type.
    pub fn read_by(self, op: &str, inputs: &[Option<Narrow>]) -> Result<bool, Stop> {
        let quantizes = matches!(op, "QuantizeLinear" | "DequantizeLinear");
        let moves = MOVERS.contains(&op) && (op != "Concat" || inputs.iter().all(|i| *i == Some(self)));
        match quantizes || moves {
            true => Ok(moves),
            false => Err(Stop::because(format!(
                "it reads {}: tensors of this type can only be quantized, dequantized and moved",
                type_name(self.onnx)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_unpacked_from_the_lowest_bits() {
        let of = |onnx| Narrow::of(onnx).unwrap();
        let bytes = [0x8f, 0x21];
        assert_eq!(of(data_type::INT4).unpacked(&bytes, 3).to_vec::<i8>(), [-1, -8, 1]);
        assert_eq!(of(data_type::UINT4).unpacked(&bytes, 4).bytes(), [15, 8, 1, 2]);
        assert_eq!(of(data_type::INT2).unpacked(&bytes, 5).to_vec::<i8>(), [-1, -1, 0, -2, 1]);
        assert_eq!(of(data_type::UINT2).unpacked(&bytes, 4).bytes(), [3, 3, 0, 2]);
        assert_eq!(of(data_type::UINT16).unpacked(&[0, 0, 0xff, 0xff], 2).to_vec::<i16>(), [-32768, 32767]);
        assert_eq!(of(data_type::INT4).bytes(3), Some(2));
        assert_eq!(of(data_type::UINT16).bytes(usize::MAX), None);
    }

    #[test]
    fn arithmetic_is_refused() {
        let wide = Narrow::of(data_type::UINT16).unwrap();
        assert!(wide.read_by("DequantizeLinear", &[Some(wide)]).is_ok_and(|same| !same));
        assert!(wide.read_by("Reshape", &[Some(wide), None]).is_ok_and(|same| same));
        assert!(wide.read_by("Concat", &[Some(wide), None]).is_err());
        assert!(wide.read_by("Add", &[Some(wide), Some(wide)]).is_err());
    }
}
