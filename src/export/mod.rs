//! graph -> models of other kinds, so that nobody is locked in.

mod branch;
mod messages;
mod onnx;
mod ops;

use crate::graph::{Graph, State, TensorId};
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

/// The graph as an ONNX model (operator set 21). Integer nodes become `DequantizeLinear`, the operator on floats and
/// `QuantizeLinear` (QDQ), which runtimes make integer nodes of again; float nodes stay as they are. Convolutions and
/// pooling are written channels first, with `Transpose` where that meets what is channels last. Inputs and outputs keep
/// names, element types and shapes.
///
/// What ONNX has no operator for is written as what it is made of: attention as products and a softmax, sums of what
/// was quantized at run time as `MatMulInteger` and `ConvInteger`, recurrent layers over integers as a `Scan` in the
/// same arithmetic. Branches become `If`. States become inputs and outputs ([`states`] tells which).
///
/// # Errors
/// The first node that has no form in ONNX.
pub fn to_onnx(graph: &Graph) -> Result<Vec<u8>, ExportError> {
    let mut graph = graph.clone();
    crate::optimize::widen(&mut graph);
    onnx::write(&graph)
}

/// What somebody who runs the ONNX model does for each state: ONNX has none, so they are inputs and outputs there.
pub fn states(graph: &Graph) -> Vec<String> {
    let name = |id: TensorId| graph.tensor(id).name.as_str();
    let note = |state: &State| {
        let first =
            if state.initial.is_some() { "left out in the first run" } else { "zeros in the first run" };
        let (input, output) = (name(graph.inputs[state.input]), name(graph.outputs[state.output]));
        format!("'{input}': what '{output}' was in the run before; {first}")
    };
    graph.states.iter().map(note).collect()
}
