//! Arrays: elements, shape, and where the bytes are.

use super::{DataError, NamedArray};
use crate::graph::DType;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The type of an array's elements: little-endian, or one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// One that tensors have.
    Tensor(DType),
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
}

impl Element {
    /// NumPy's spelling and what it stands for.
    const TABLE: [(&'static str, Element); 12] = [
        ("<f4", Element::Tensor(DType::F32)),
        ("<f2", Element::Tensor(DType::F16)),
        ("|i1", Element::Tensor(DType::I8)),
        ("|u1", Element::Tensor(DType::U8)),
        ("<i2", Element::Tensor(DType::I16)),
        ("<i4", Element::Tensor(DType::I32)),
        ("<i8", Element::Tensor(DType::I64)),
        ("|b1", Element::Tensor(DType::Bool)),
        ("<f8", Element::Tensor(DType::F64)),
        ("<u2", Element::U16),
        ("<u4", Element::U32),
        ("<u8", Element::U64),
    ];

    /// From NumPy's spelling (`<f4`).
    pub(super) fn from_descr(descr: &str) -> Option<Element> {
        Element::TABLE.iter().find(|(d, _)| *d == descr).map(|(_, e)| *e)
    }

    /// NumPy's spelling.
    pub(super) fn descr(self) -> &'static str {
        Element::TABLE.iter().find(|(_, e)| *e == self).map_or("|V1", |(d, _)| d)
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Element::Tensor(dtype) => dtype.size(),
            Element::U16 => 2,
            Element::U32 => 4,
            Element::U64 => 8,
        }
    }

    /// As people write it: `f32`, `u16`.
    pub const fn name(self) -> &'static str {
        match self {
            Element::Tensor(dtype) => dtype.name(),
            Element::U16 => "u16",
            Element::U32 => "u32",
            Element::U64 => "u64",
        }
    }

    /// True for integers and booleans.
    pub const fn is_integer(self) -> bool {
        match self {
            Element::Tensor(dtype) => !dtype.is_float(),
            _ => true,
        }
    }

    /// The values of these bytes; 64-bit integers are rounded to f64. Trailing bytes that make no element are
    /// left out.
    pub(super) fn values(self, bytes: &[u8]) -> Vec<f64> {
        fn all<const N: usize>(bytes: &[u8], get: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            let (elements, _) = bytes.as_chunks::<N>();
            elements.iter().map(|b| get(*b)).collect()
        }
        match self {
            Element::Tensor(DType::F32) => all(bytes, |b| f32::from_le_bytes(b).into()),
            Element::Tensor(DType::F16) => all(bytes, |b| half::f16::from_le_bytes(b).to_f64()),
            Element::Tensor(DType::BF16) => all(bytes, |b| half::bf16::from_le_bytes(b).to_f64()),
            Element::Tensor(DType::I8) => all(bytes, |b| i8::from_le_bytes(b).into()),
            Element::Tensor(DType::U8 | DType::Bool) => all(bytes, |b| u8::from_le_bytes(b).into()),
            Element::Tensor(DType::I16) => all(bytes, |b| i16::from_le_bytes(b).into()),
            Element::Tensor(DType::I32) => all(bytes, |b| i32::from_le_bytes(b).into()),
            Element::Tensor(DType::I64) => all(bytes, |b| i64::from_le_bytes(b) as f64),
            Element::Tensor(DType::F64) => all(bytes, f64::from_le_bytes),
            Element::U16 => all(bytes, |b| u16::from_le_bytes(b).into()),
            Element::U32 => all(bytes, |b| u32::from_le_bytes(b).into()),
            Element::U64 => all(bytes, |b| u64::from_le_bytes(b) as f64),
        }
    }
}

/// Where an array's bytes are.
#[derive(Debug)]
pub(super) enum Storage {
    /// Here.
    Memory(Vec<u8>),
    /// In a file, from this offset on: data sets may be larger than memory.
    File(File, u64),
}

/// An array in C order whose bytes are known to be there.
#[derive(Debug)]
pub struct Array {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    pub(super) storage: Storage,
}

impl Array {
    /// Its name in its archive; the file's stem for `.npy`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Length of the first axis; 0 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Bytes of one index of the first axis.
    pub fn row_bytes(&self) -> usize {
        // The whole array's size was checked when it was opened; an empty first axis may hide an overflow.
        self.shape.iter().skip(1).fold(self.element.size(), |n, d| n.saturating_mul(*d))
    }

    /// Reads index `row` of the first axis into `out`, which must be [`Array::row_bytes`] long.
    pub fn read_row(&mut self, row: usize, out: &mut [u8]) -> Result<(), DataError> {
        let start = row.saturating_mul(out.len());
        let missing = |found: usize| DataError::Length {
            path: self.path.clone(),
            array: self.name.clone(),
            wanted: start.saturating_add(out.len()) as u64,
            found: found as u64,
        };
        match &mut self.storage {
            Storage::Memory(bytes) => {
                let row = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
                out.copy_from_slice(row.ok_or_else(|| missing(bytes.len()))?);
                Ok(())
            }
            Storage::File(file, offset) => file
                .seek(SeekFrom::Start(offset.saturating_add(start as u64)))
                .and_then(|_| file.read_exact(out))
                .map_err(|e| DataError::io(&self.path, e)),
        }
    }

    /// All bytes, read into memory.
    pub fn into_bytes(self) -> Result<Vec<u8>, DataError> {
        match self.storage {
            Storage::Memory(bytes) => Ok(bytes),
            Storage::File(mut file, offset) => {
                let mut bytes = Vec::new();
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_to_end(&mut bytes))
                    .map_err(|e| DataError::io(&self.path, e))?;
                Ok(bytes)
            }
        }
    }
}

impl TryFrom<NamedArray> for Array {
    type Error = DataError;
    /// An array in memory. Refused if it has not exactly the bytes that its shape asks for.
    fn try_from(array: NamedArray) -> Result<Array, DataError> {
        let NamedArray { name, dtype, shape, bytes } = array;
        let wanted = shape.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d));
        if wanted != Some(bytes.len()) {
            return Err(DataError::Length {
                path: name.clone().into(),
                array: name,
                wanted: wanted.map_or(u64::MAX, |n| n as u64),
                found: bytes.len() as u64,
            });
        }
        let (path, element) = (name.clone().into(), Element::Tensor(dtype));
        Ok(Array { path, name, element, shape, storage: Storage::Memory(bytes) })
    }
}
