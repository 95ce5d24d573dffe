//! TensorFlow Lite -> graph: float networks and networks quantized to 8 bits, or to 8 with 16-bit activations.
//!
//! TensorFlow Lite is NHWC with weights `[O,H,W,I]`, as the graph is; only depthwise weights are reordered. An i8
//! activation becomes the u8 one with codes and zero point moved by 128, which changes no real; graph inputs and
//! outputs keep the file's names, element types and quantization, so i8 ones get a `Requantize` at the border.
//!
//! # States
//! Variable tensors (the states of recurrent layers) and resource variables are states of the graph: as in TensorFlow
//! Lite's interpreter they go on from run to run until they are reset. Variable tensors start from 0.0, resource
//! variables from what the graph that `CALL_ONCE` names assigns; it is run when the network is imported.
//!
//! # Where answers differ
//! TensorFlow Lite's reference kernels requantize with a 32-bit multiplier and a shift and round twice, this crate
//! once (`docs/arithmetic.md`, sections 3 and 10): near ties an output is one step away. So are sums (20-bit fixed
//! point there), softmax and the other functions (tables of fixed-point approximations there), and `QUANTIZE`
//! (halves away from zero there). A step that differs early may move later ones. Weights of 8 bits under float
//! activations, which TensorFlow Lite multiplies with activations quantized on the way, are brought to floats here;
//! those of LSTM and RNN layers stay, and inputs and states are quantized on the way as they are there (section 8).
//! Integers of 16 bits have TensorFlow Lite's own arithmetic, and its answers (section 14), but for `ADD` and `SUB` with
//! the option `pot_scale_int16` and scales that are powers of two, where it rounds once more.

mod border;
mod codes;
mod context;
mod flatbuffer;
mod graph;
mod ops;
mod schema;
mod tensor;
mod variables;
mod weights;
mod window;

use super::{ImportError, ImportOptions};
use crate::graph::Graph;

/// The names of all operators that can be taken in.
pub fn operators() -> Vec<&'static str> {
    let taken = |name: &&str| ops::find(name).is_some() || variables::OPERATORS.contains(name);
    codes::NAMES.iter().copied().filter(taken).collect()
}

/// Takes a TensorFlow Lite model that is in memory.
///
/// # Errors
/// The bytes are no TensorFlow Lite model, exceed `options.limits`, are not well formed, or need something that
/// can't be imported; in the last case the error lists all such operators.
pub fn from_bytes(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let (found, limit) = (bytes.len() as u64, options.limits.file_bytes);
    if found > limit {
        return Err(ImportError::Limit { what: "bytes", found, limit });
    }
    graph::import(bytes, options).map_err(|e| match e {
        ImportError::Damaged { what } => ImportError::damaged(format!("read as TensorFlow Lite, {what}")),
        other => other,
    })
}
