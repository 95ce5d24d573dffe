//! Elements of constants: the ways in which ONNX stores them, and what they become.

use super::narrow::Narrow;
use super::proto::{TensorProto, data_type};
use crate::graph::{DType, Data};
use half::{bf16, f16};

/// How one element is stored.
#[derive(Clone, Copy)]
pub(super) struct Element {
    onnx: i32,
}

/// Elements that were read, and how many there are.
pub(super) struct Decoded {
    pub data: Data,
    pub count: usize,
}

impl Element {
    /// `onnx` is one of [`data_type`]'s.
    pub fn new(onnx: i32) -> Element {
        Element { onnx }
    }

    /// Bytes of so many elements in raw data; `None` where that overflows.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        if let Some(narrow) = Narrow::of(self.onnx) {
            return narrow.bytes(elements);
        }
        elements.checked_mul(match self.onnx {
            data_type::UINT8 | data_type::INT8 | data_type::BOOL => 1,
            data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 2,
            data_type::INT64 | data_type::DOUBLE => 8,
            _ => 4,
        })
    }

    /// From little-endian bytes, as many as the elements need.
    pub fn raw(self, raw: &[u8], elements: usize) -> Result<Data, String> {
        if let Some(narrow) = Narrow::of(self.onnx) {
            return Ok(narrow.unpacked(raw, elements));
        }
        match self.onnx {
            data_type::FLOAT16 => Ok(converted(raw, |b: [u8; 2]| f16::from_le_bytes(b).to_f32())),
            data_type::BFLOAT16 => Ok(converted(raw, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32())),
            data_type::DOUBLE => Ok(converted(raw, |b: [u8; 8]| f64::from_le_bytes(b) as f32)),
            data_type::BOOL => match raw.iter().find(|&&b| b > 1) {
                Some(b) => Err(format!("it holds the byte {b}, which is no truth value")),
                None => Ok(Data::from_bytes(raw)),
            },
            _ => Ok(Data::from_bytes(raw)),
        }
    }

    /// From the field that is meant for the element type.
    pub fn fields(self, t: &TensorProto, elements: usize) -> Result<Decoded, String> {
        let small = &t.int32_data;
        if let Some(narrow) = Narrow::of(self.onnx) {
            return packed(narrow, small, elements);
        }
        match self.onnx {
            data_type::FLOAT => Ok(decoded(&t.float_data)),
            data_type::INT32 => Ok(decoded(small)),
            data_type::INT64 => Ok(decoded(&t.int64_data)),
            data_type::DOUBLE => Ok(decoded(&t.double_data.iter().map(|&v| v as f32).collect::<Vec<_>>())),
            data_type::INT16 => narrowed::<i16>(small),
            data_type::INT8 => narrowed::<i8>(small),
            data_type::UINT8 => narrowed::<u8>(small),
            data_type::BOOL => match small.iter().find(|v| !(0..=1).contains(*v)) {
                Some(v) => Err(format!("it holds {v}, which is no truth value")),
                None => narrowed::<u8>(small),
            },
            data_type::FLOAT16 => bits(small, |b| f16::from_bits(b).to_f32()),
            data_type::BFLOAT16 => bits(small, |b| bf16::from_bits(b).to_f32()),
            other => Err(format!("its element type {} can't be imported", super::tensor::type_name(other))),
        }
    }
}

/// Integers of 16 bits, or bytes in which several elements are packed.
fn packed(narrow: Narrow, values: &[i32], elements: usize) -> Result<Decoded, String> {
    let wide = narrow.dtype == DType::I16;
    let mut bytes = Vec::with_capacity(values.len().saturating_mul(2));
    for &v in values {
        match u16::try_from(v).ok().filter(|&v| wide || v <= 255) {
            Some(v) => bytes.extend_from_slice(&v.to_le_bytes()[..if wide { 2 } else { 1 }]),
            None => return Err(format!("it holds {v}, too large for its type")),
        }
    }
    if narrow.bytes(elements) != Some(bytes.len()) {
        return Err(format!("it has {} values, which don't hold {elements} elements", values.len()));
    }
    Ok(Decoded { data: narrow.unpacked(&bytes, elements), count: elements })
}

fn decoded<T: bytemuck::NoUninit>(values: &[T]) -> Decoded {
    Decoded { data: Data::from_slice(values), count: values.len() }
}

fn narrowed<T: TryFrom<i32> + bytemuck::NoUninit>(values: &[i32]) -> Result<Decoded, String> {
    let narrow = |&v: &i32| T::try_from(v).map_err(|_| format!("it holds {v}, too large for its type"));
    Ok(decoded(&values.iter().map(narrow).collect::<Result<Vec<T>, _>>()?))
}

fn bits(values: &[i32], float: impl Fn(u16) -> f32) -> Result<Decoded, String> {
    let value = |&v: &i32| {
        u16::try_from(v).map(&float).map_err(|_| format!("it holds {v}, which is no pattern of 16 bits"))
    };
    Ok(decoded(&values.iter().map(value).collect::<Result<Vec<f32>, _>>()?))
}

fn converted<const N: usize>(raw: &[u8], float: impl Fn([u8; N]) -> f32) -> Data {
    let (elements, _) = raw.as_chunks::<N>();
    Data::from_slice(&elements.iter().map(|e| float(*e)).collect::<Vec<f32>>())
}
