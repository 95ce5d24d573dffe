//! Weights that floats of 16 bits hold exactly are kept in them.
//!
//! Matches f32 constants that only convolutions, `Linear` and recurrent layers over f32 read, as weights. Networks that
//! were trained or exported in f16 have such weights; their files are half as large for it. Kernels widen weights when
//! they pack them, which is exact too, so no answer changes. [`widen`] is the way back, for passes that look at weights.

use crate::graph::{DType, Data, Graph, Node, Op, TensorId};
use half::f16;

/// Elements below which nothing is worth it.
const MIN_ELEMENTS: usize = 1024;

/// Which inputs of a node are weights.
fn weights(graph: &Graph, node: &Node) -> &'static [usize] {
    let float = node.input(0).is_some_and(|x| graph.tensor(x).dtype == DType::F32);
    match node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_) if float => &[1],
        Op::Recurrent(_) if float => &[1, 2],
        _ => &[],
    }
}

/// Constants of this type that are read as weights only.
fn constants(graph: &Graph, dtype: DType) -> Vec<TensorId> {
    let mut only = vec![None; graph.tensors.len()];
    graph.outputs.iter().for_each(|id| only[id.index()] = Some(false));
    for node in &graph.nodes {
        let weights = weights(graph, node);
        for (slot, id) in node.inputs.iter().enumerate() {
            let Some(id) = id else { continue };
            let is = &mut only[id.index()];
            *is = Some(is.unwrap_or(true) && weights.contains(&slot));
        }
    }
    let ids = (0..graph.tensors.len() as u32).map(TensorId);
    let wanted = |id: &TensorId| graph.tensor(*id).dtype == dtype && graph.tensor(*id).data.is_some();
    ids.filter(|id| only[id.index()] == Some(true) && wanted(id)).collect()
}

/// Stores weights in f16 where that changes none of them.
pub fn narrow(graph: &mut Graph) {
    for id in constants(graph, DType::F32) {
        let tensor = graph.tensor_mut(id);
        let Some(values) = tensor.data.as_ref().map(Data::to_vec::<f32>) else { continue };
        if values.len() < MIN_ELEMENTS {
            continue;
        }
        let exact = |&v: &f32| Some(f16::from_f32(v)).filter(|half| half.to_f32().to_bits() == v.to_bits());
        if let Some(halves) = values.iter().map(exact).collect::<Option<Vec<f16>>>() {
            tensor.dtype = DType::F16;
            tensor.data = Some(Data::from_slice(&halves));
        }
    }
}

/// Makes weights in f16 f32 again.
pub fn widen(graph: &mut Graph) {
    for id in constants(graph, DType::F16) {
        let tensor = graph.tensor_mut(id);
        let Some(halves) = tensor.data.as_ref().map(Data::to_vec::<f16>) else { continue };
        tensor.dtype = DType::F32;
        tensor.data = Some(Data::from_slice(&halves.iter().map(|h| h.to_f32()).collect::<Vec<f32>>()));
    }
}
