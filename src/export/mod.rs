//! graph -> models of other kinds, so that nobody is locked in.

mod onnx;
mod ops;

use crate::graph::Graph;
use std::fmt;

/// One node that the other format has no form for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node '{node}' ({op}) can't be written: {reason}")]
pub struct ExportError {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// What stands in the way.
    pub reason: String,
}

/// Why a node stops the export; [`ExportError`] without the node.
#[derive(Debug)]
struct Stop(String);

impl Stop {
    fn because(reason: impl fmt::Display) -> Stop {
        Stop(reason.to_string())
    }
}

/// The graph as an ONNX model (operator set 20). Integer nodes become `DequantizeLinear`, the operator on floats and
/// `QuantizeLinear` (QDQ), which runtimes make integer nodes of again; float nodes stay as they are. Convolutions and
/// pooling are written channels first, with `Transpose` where that meets what is channels last. Inputs and outputs keep
/// names, element types and shapes.
///
/// # Errors
/// The first node that has no form in ONNX.
pub fn to_onnx(graph: &Graph) -> Result<Vec<u8>, ExportError> {
    let mut graph = graph.clone();
    crate::optimize::widen(&mut graph);
    onnx::write(&graph)
}
