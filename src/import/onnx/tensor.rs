//! Constants: `TensorProto` -> a constant of the graph.

use super::super::ImportError;
use super::element::{Decoded, Element};
use super::external::ExternalData;
use super::narrow::Narrow;
use super::proto::{TensorProto, data_type};
use crate::graph::{DType, Data, MAX_RANK, Tensor};

/// The element type that computes for an ONNX one: all floats are computed in f32.
pub(super) fn computed_dtype(onnx: i32) -> Option<DType> {
    Some(match onnx {
        data_type::FLOAT | data_type::FLOAT16 | data_type::BFLOAT16 | data_type::DOUBLE => DType::F32,
        data_type::UINT8 => DType::U8,
        data_type::INT8 => DType::I8,
        data_type::INT16 => DType::I16,
        data_type::INT32 => DType::I32,
        data_type::INT64 => DType::I64,
        data_type::BOOL => DType::Bool,
        _ => return None,
    })
}

/// The element type as ONNX writes it.
pub(super) fn type_name(onnx: i32) -> String {
    const NAMES: [&str; 27] = [
        "UNDEFINED",
        "FLOAT",
        "UINT8",
        "INT8",
        "UINT16",
        "INT16",
        "INT32",
        "INT64",
        "STRING",
        "BOOL",
        "FLOAT16",
        "DOUBLE",
        "UINT32",
        "UINT64",
        "COMPLEX64",
        "COMPLEX128",
        "BFLOAT16",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
        "UINT4",
        "INT4",
        "FLOAT4E2M1",
        "FLOAT8E8M0",
        "UINT2",
        "INT2",
    ];
    let name = usize::try_from(onnx).ok().and_then(|i| NAMES.get(i));
    name.map_or_else(|| format!("number {onnx}"), |n| n.to_string())
}

/// The constant that `proto` is, under the name `name`. Floats of every width become f32. Fails if the type
/// can't be taken in, or if there are not exactly as many elements as the dimensions ask for.
pub(super) fn constant(
    name: &str,
    proto: &TensorProto,
    external: &ExternalData,
) -> Result<Tensor, ImportError> {
    let fault = |what: String| ImportError::tensor(name, what);
    let dtype = Narrow::of(proto.data_type).map(|n| n.dtype).or(computed_dtype(proto.data_type));
    let dtype = dtype
        .ok_or_else(|| fault(format!("its element type {} can't be imported", type_name(proto.data_type))))?;
    if proto.segment.is_some() {
        return Err(fault("it is one segment of several: store it as one tensor".into()));
    }
    let dims = dims(&proto.dims).map_err(fault)?;
    let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let elements =
        elements.ok_or_else(|| fault(format!("its dimensions {dims:?} overflow when multiplied")))?;
    let data = data(name, proto, external, elements)?;
    Ok(Tensor::constant(name, dtype, &dims, data))
}

fn dims(dims: &[i64]) -> Result<Vec<usize>, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("its rank is {}, more than {MAX_RANK}", dims.len()));
    }
    let dim = |&d: &i64| usize::try_from(d).map_err(|_| format!("it has the dimension {d}"));
    dims.iter().map(dim).collect()
}

fn data(
    name: &str,
    proto: &TensorProto,
    external: &ExternalData,
    elements: usize,
) -> Result<Data, ImportError> {
    /// The value of `proto.data_location` for elements in another file.
    const EXTERNAL: i32 = 1;
    let fault = |what: String| ImportError::tensor(name, what);
    let element = Element::new(proto.data_type);
    let wanted = element.bytes(elements);
    let wanted = wanted.ok_or_else(|| fault("its size in bytes overflows".into()))?;
    if proto.data_location == EXTERNAL {
        let bytes = external.read(&proto.external_data, wanted).map_err(fault)?;
        return element.raw(&bytes, elements).map_err(fault);
    }
    if !proto.external_data.is_empty() {
        return Err(fault("it names another file, but is not marked as stored there".into()));
    }
    match &proto.raw_data {
        Some(raw) if !raw.is_empty() => {
            if raw.len() != wanted {
                let found = raw.len();
                return Err(fault(format!("it has {found} bytes of data, its shape asks for {wanted}")));
            }
            element.raw(raw, elements).map_err(fault)
        }
        _ => {
            let Decoded { data, count } = element.fields(proto, elements).map_err(fault)?;
            if count != elements {
                return Err(fault(format!("it has {count} elements, its shape asks for {elements}")));
            }
            Ok(data)
        }
    }
}
