//! The tables of a TensorFlow Lite file, as far as they are needed: fields in the order of the schema.

use super::super::ImportError;
use super::flatbuffer::{Buffer, Table, Tables};
use crate::graph::DType;

type Read<T> = Result<T, ImportError>;

/// `Model`: version, operator_codes, subgraphs, description, buffers, ...
#[derive(Clone, Copy)]
pub(super) struct Model<'a, 'b> {
    file: &'b Buffer<'a>,
    /// Kinds of operators, which operators refer to.
    pub codes: Tables<'a, 'b>,
    /// The main graph comes first.
    pub subgraphs: Tables<'a, 'b>,
    /// For people.
    pub description: &'a str,
    /// Data of constants.
    buffers: Tables<'a, 'b>,
}

/// The only version of the schema that was ever used for files with the identifier TFL3.
const VERSION: u32 = 3;

impl<'a, 'b> Model<'a, 'b> {
    pub fn read(file: &'b Buffer<'a>) -> Read<Model<'a, 'b>> {
        let root = file.root()?;
        let version = root.scalar::<u32>(0, 0)?;
        if version != VERSION {
            let what =
                format!("it has version {version} of TensorFlow Lite's schema, only {VERSION} is known");
            return Err(ImportError::damaged(what));
        }
        Ok(Model {
            file,
            codes: root.tables(1)?,
            subgraphs: root.tables(2)?,
            description: root.text(3)?,
            buffers: root.tables(4)?,
        })
    }

    /// The bytes of buffer `i`; `None` if it is empty, as those of computed tensors are.
    ///
    /// `Buffer`: data, offset, size. The last two are for files of over 2 GB, whose data is behind the tables.
    pub fn buffer(&self, i: u32) -> Read<Option<&'a [u8]>> {
        let missing = || ImportError::damaged(format!("buffer {i} is not one of its {}", self.buffers.len()));
        let table = self.buffers.get(i as usize)?.ok_or_else(missing)?;
        let (offset, size) = (table.scalar::<u64>(1, 0)?, table.scalar::<u64>(2, 0)?);
        let data = if offset > 1 {
            let range = usize::try_from(offset).ok().zip(offset.checked_add(size).map(|e| e as usize));
            let data = range.and_then(|(start, end)| self.file.bytes().get(start..end));
            Some(data.ok_or_else(|| ImportError::damaged(format!("buffer {i} reaches beyond the file")))?)
        } else {
            table.bytes(0)?
        };
        Ok(data.filter(|d| !d.is_empty()))
    }
}

/// `OperatorCode`: deprecated_builtin_code, custom_code, version, builtin_code.
pub(super) struct OperatorCode<'a> {
    /// Number of a built-in operator.
    pub builtin: i32,
    /// Name of an operator of somebody's own.
    pub custom: &'a str,
}

impl<'a> OperatorCode<'a> {
    pub fn read(table: Table<'a, '_>) -> Read<OperatorCode<'a>> {
        // Old files have only the first field, which ends at 127; new ones repeat small codes in it.
        let old = i32::from(table.scalar::<i8>(0, 0)?);
        Ok(OperatorCode { builtin: old.max(table.scalar::<i32>(3, 0)?), custom: table.text(1)? })
    }
}

/// `SubGraph`: tensors, inputs, outputs, operators, name.
pub(super) struct SubGraph<'a, 'b> {
    pub tensors: Tables<'a, 'b>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub operators: Tables<'a, 'b>,
    pub name: &'a str,
}

impl<'a, 'b> SubGraph<'a, 'b> {
    pub fn read(table: Table<'a, 'b>) -> Read<SubGraph<'a, 'b>> {
        Ok(SubGraph {
            tensors: table.tables(0)?,
            inputs: table.numbers(1)?.unwrap_or_default(),
            outputs: table.numbers(2)?.unwrap_or_default(),
            operators: table.tables(3)?,
            name: table.text(4)?,
        })
    }
}

/// `Operator`: opcode_index, inputs, outputs, builtin_options_type, builtin_options, custom_options,
/// custom_options_format, mutating_variable_inputs, intermediates, ...
pub(super) struct Operator<'a, 'b> {
    /// Index of its kind.
    pub code: u32,
    /// Indices of tensors, -1 where an optional one is left out.
    pub inputs: Vec<i32>,
    /// Indices of tensors.
    pub outputs: Vec<i32>,
    /// Number of the table that `options` is.
    pub options_type: u8,
    /// Parameters of a built-in operator.
    pub options: Option<Table<'a, 'b>>,
    /// Parameters of an operator of somebody's own.
    pub custom_options: &'a [u8],
    /// Tensors that only tell scales of what is computed on the way.
    pub intermediates: Vec<i32>,
}

impl<'a, 'b> Operator<'a, 'b> {
    pub fn read(table: Table<'a, 'b>) -> Read<Operator<'a, 'b>> {
        Ok(Operator {
            code: table.scalar(0, 0)?,
            inputs: table.numbers(1)?.unwrap_or_default(),
            outputs: table.numbers(2)?.unwrap_or_default(),
            options_type: table.scalar(3, 0)?,
            options: table.table(4)?,
            custom_options: table.bytes(5)?.unwrap_or_default(),
            intermediates: table.numbers(8)?.unwrap_or_default(),
        })
    }
}

/// `TensorType`, by number.
const TYPES: &[(&str, Option<DType>)] = &[
    ("FLOAT32", Some(DType::F32)),
    ("FLOAT16", Some(DType::F16)),
    ("INT32", Some(DType::I32)),
    ("UINT8", Some(DType::U8)),
    ("INT64", Some(DType::I64)),
    ("STRING", None),
    ("BOOL", Some(DType::Bool)),
    ("INT16", Some(DType::I16)),
    ("COMPLEX64", None),
    ("INT8", Some(DType::I8)),
    ("FLOAT64", None),
    ("COMPLEX128", None),
    ("UINT64", None),
    ("RESOURCE", None),
    ("VARIANT", None),
    ("UINT32", None),
    ("UINT16", None),
    ("INT4", None),
];

/// The element type with this number.
pub(super) fn element_type(code: i8) -> Result<DType, String> {
    match usize::try_from(code).ok().and_then(|i| TYPES.get(i)) {
        Some((_, Some(dtype))) => Ok(*dtype),
        Some((name, None)) => Err(format!("its element type {name} can't be imported")),
        None => Err(format!("its element type has the number {code}, which is not known")),
    }
}
