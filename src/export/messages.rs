//! Pieces of ONNX's messages: element types, constants, attributes.

use crate::graph::{DType, Data};
use crate::import::onnx::proto::*;
use prost::bytes::Bytes;

/// ONNX's number of an element type.
pub(super) fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => data_type::FLOAT,
        DType::F16 => data_type::FLOAT16,
        DType::F64 => data_type::DOUBLE,
        DType::BF16 => data_type::BFLOAT16,
        DType::U8 => data_type::UINT8,
        DType::I8 => data_type::INT8,
        DType::I16 => data_type::INT16,
        DType::I32 => data_type::INT32,
        DType::I64 => data_type::INT64,
        DType::Bool => data_type::BOOL,
    }
}

/// A constant.
pub(super) fn constant(name: &str, data_type: i32, dims: &[usize], data: &Data) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        data_type,
        dims: dims.iter().map(|&d| d as i64).collect(),
        raw_data: Some(Bytes::copy_from_slice(data.bytes())),
        ..TensorProto::default()
    }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: attribute_type::INT, i, ..AttributeProto::default() }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: attribute_type::FLOAT, f, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    let s = Bytes::copy_from_slice(s.as_bytes());
    AttributeProto { name: name.into(), r#type: attribute_type::STRING, s, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    let ints = values.into_iter().collect();
    AttributeProto { name: name.into(), r#type: attribute_type::INTS, ints, ..AttributeProto::default() }
}

pub(super) fn floats(name: &str, values: impl IntoIterator<Item = f32>) -> AttributeProto {
    let floats = values.into_iter().collect();
    AttributeProto { name: name.into(), r#type: attribute_type::FLOATS, floats, ..AttributeProto::default() }
}

pub(super) fn texts(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect();
    AttributeProto {
        name: name.into(),
        r#type: attribute_type::STRINGS,
        strings,
        ..AttributeProto::default()
    }
}

pub(super) fn body(name: &str, graph: GraphProto) -> AttributeProto {
    let g = Some(Box::new(graph));
    AttributeProto { name: name.into(), r#type: attribute_type::GRAPH, g, ..AttributeProto::default() }
}

/// A value that a graph takes or gives, its type left to whoever reads it: bodies of branches and loops.
pub(super) fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.to_string(), r#type: None }
}
