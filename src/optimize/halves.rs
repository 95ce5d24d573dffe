//! Weights that floats of 16 bits, f16 or bf16, hold exactly are kept in them.
//!
//! Matches f32 constants that only convolutions, `Linear` and recurrent layers over f32 read, as weights. Networks that
//! were trained or exported in one of them have such weights; their files are half as large for it. Kernels widen weights
//! when they pack them, which is exact too, so no answer changes. [`widen`] is the way back, for passes that look at
//! weights.

use crate::graph::{DType, Data, Graph, Node, Op, TensorId};
use half::{bf16, f16};

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

/// Stores weights in f16 or bf16 where that changes none of them.
pub fn narrow(graph: &mut Graph) {
    for id in constants(graph, DType::F32) {
        let tensor = graph.tensor_mut(id);
        let Some(values) = tensor.data.as_ref().map(Data::to_vec::<f32>) else { continue };
        if values.len() < MIN_ELEMENTS {
            continue;
        }
        if let Some(halves) = exactly(&values, f16::from_f32, f16::to_f32) {
            (tensor.dtype, tensor.data) = (DType::F16, Some(Data::from_slice(&halves)));
        } else if let Some(halves) = exactly(&values, bf16::from_f32, bf16::to_f32) {
            (tensor.dtype, tensor.data) = (DType::BF16, Some(Data::from_slice(&halves)));
        }
    }
}

/// The values in a narrower type, if it holds all of them.
fn exactly<T: Copy>(values: &[f32], narrow: fn(f32) -> T, widen: fn(T) -> f32) -> Option<Vec<T>> {
    let exact = |&v: &f32| Some(narrow(v)).filter(|half| widen(*half).to_bits() == v.to_bits());
    values.iter().map(exact).collect()
}

/// Makes weights in f16 and bf16 f32 again.
pub fn widen(graph: &mut Graph) {
    for dtype in [DType::F16, DType::BF16] {
        for id in constants(graph, dtype) {
            let tensor = graph.tensor_mut(id);
            let Some(data) = &tensor.data else { continue };
            let values: Vec<f32> = match dtype {
                DType::F16 => data.to_vec().into_iter().map(f16::to_f32).collect(),
                _ => data.to_vec().into_iter().map(bf16::to_f32).collect(),
            };
            (tensor.dtype, tensor.data) = (DType::F32, Some(Data::from_slice(&values)));
        }
    }
}
