//! ONNX -> graph: operator sets 1 to 28, float networks and quantized ones (QDQ and QOperator).
//!
//! ONNX is NCHW, the graph is NHWC: every spatial operator gets a `Transpose` in front and behind, which the
//! optimizer cancels or moves; weights of convolutions are reordered here, once. Graph inputs and outputs keep
//! the file's names, element types and NCHW shapes. All floats are computed in f32; an f16 or f64 input or output
//! stays so through a `Cast` at the border.

mod attrs;
mod constants;
mod context;
mod element;
mod external;
mod fused;
mod graph;
mod lengths;
mod narrow;
mod ops;
mod outputs;
pub mod proto;
mod qoperator;
mod scan;
mod sort;
mod tensor;
mod window;

use super::{ImportError, ImportOptions};
use crate::graph::Graph;
use prost::Message;
use prost::bytes::Bytes;
use std::ops::RangeInclusive;

/// Versions of ONNX's operator set that can be taken in.
pub const OPSETS: RangeInclusive<i64> = 1..=28;

/// An operator that can be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supported {
    /// Empty: ONNX's own.
    pub domain: &'static str,
    /// Its name in the domain.
    pub name: &'static str,
    /// The first version of ONNX's operator set that has it in a form that can be taken in.
    pub since: i64,
    /// The last one that has it.
    pub until: Option<i64>,
}

/// All operators of ONNX's own domain and of ONNX Runtime's that nodes can have; more are made of these when they are
/// read (the ones on quantized tensors, `QLinear...`).
pub fn operators() -> Vec<Supported> {
    let own = ops::NAMES.iter().filter_map(|name| Some(ops::find(name)?.supported("", name)));
    let contrib = ops::contrib::NAMES.iter();
    let contrib =
        contrib.filter_map(|name| Some(ops::contrib::find(name)?.supported(ops::contrib::DOMAIN, name)));
    let expanded = qoperator::NAMES.iter().chain(fused::NAMES);
    let expanded = expanded.map(|(domain, name)| Supported { domain, name, since: 1, until: None });
    own.chain(contrib).chain(expanded).collect()
}

/// Takes an ONNX model that is in memory.
///
/// # Errors
/// The bytes are no ONNX model, exceed `options.limits`, are not well formed, or need something that can't be
/// imported; in the last case the error lists all such nodes.
pub fn from_bytes(bytes: impl Into<Vec<u8>>, options: &ImportOptions) -> Result<Graph, ImportError> {
    let bytes = Bytes::from(bytes.into());
    let found = bytes.len() as u64;
    let limit = options.limits.file_bytes;
    if found > limit {
        return Err(ImportError::Limit { what: "bytes", found, limit });
    }
    scan::check(&bytes, &options.limits).map_err(|e| better(e, &bytes))?;
    let model = proto::ModelProto::decode(bytes.clone()).map_err(|e| better(undecodable(e), &bytes))?;
    graph::import(&model, found, options).map_err(|e| better(e, &bytes))
}

/// What can't be decoded may be of another kind, which says more than where decoding failed.
fn better(error: ImportError, bytes: &[u8]) -> ImportError {
    match (&error, super::sniff::kind(bytes)) {
        (ImportError::Damaged { .. }, super::sniff::Kind::Other { looks_like, advice }) => {
            ImportError::Kind { looks_like, advice }
        }
        _ => error,
    }
}

fn undecodable(error: prost::DecodeError) -> ImportError {
    ImportError::damaged(format!("it can't be decoded ({error}): it is cut off, damaged or of another kind"))
}
