//! Inputs and outputs of the graph, which keep the file's names, element types and quantization.

use super::super::{ImportError, bounds};
use super::tensor::Info;
use crate::graph::{Cast, DType, Dim, GraphBuilder, Op, Requantize, Shape, Tensor, TensorId, Transpose};

/// True if a tensor has another form inside of the graph than at its border.
pub(super) fn changes(info: &Info) -> bool {
    converted(info).is_some()
}

/// The node that leads from the form outside to the one inside, or back; none where they are the same.
pub(super) fn converted(info: &Info) -> Option<Op> {
    match (info.dtype, &info.quant) {
        (DType::I8, Some(_)) => Some(Requantize {}.into()),
        (DType::F16, _) => Some(Cast {}.into()),
        _ => None,
    }
}

/// The name of a dimension that inputs share: all that are first and free are the batch.
const BATCH: &str = "batch";

/// Adds a graph input; returns its form inside.
pub(super) fn input(build: &mut GraphBuilder, info: &Info) -> Result<TensorId, ImportError> {
    let mut dims = Vec::with_capacity(info.dims.len());
    for (i, extent) in info.dims.iter().enumerate() {
        dims.push(match extent {
            Some(0) => return Err(ImportError::tensor(info.name, format!("dimension {i} is 0"))),
            Some(n) => Dim::Fixed(*n),
            None if i == 0 => build.free_dim(BATCH),
            None => build.free_dim(&format!("{}_d{i}", info.name)),
        });
    }
    if build.graph().dims.len() > bounds::FREE_DIMS {
        let what = format!("its inputs have more than {} free dimensions", bounds::FREE_DIMS);
        return Err(ImportError::model(what));
    }
    let outer = Tensor { quant: info.quant.clone(), ..Tensor::value(info.name, info.dtype, Shape(dims)) };
    let outer = build.input_as(outer);
    let Some(op) = converted(info) else { return Ok(outer) };
    let (dtype, quant) = info.internal();
    let name = format!("{}/inner", info.name);
    let inner = Tensor { quant, ..Tensor::value(name.as_str(), dtype, Shape::default()) };
    Ok(build.node_as(&name, op, &[outer], inner)?)
}

/// Gives a graph output its form outside, as a tensor that is only this output: not an input, a constant or
/// another output at the same time.
pub(super) fn output(
    build: &mut GraphBuilder,
    info: &Info,
    id: TensorId,
    taken: &[TensorId],
) -> Result<TensorId, ImportError> {
    let name = info.name;
    if let Some(op) = converted(info) {
        let outer = Tensor { quant: info.quant.clone(), ..Tensor::value(name, info.dtype, Shape::default()) };
        return Ok(build.node_as(&format!("{name}/outer"), op, &[id], outer)?);
    }
    if build.graph().tensor(id).name != name {
        return copy(build, id, name);
    }
    alone(build, id, taken)
}

/// A tensor that is none of `taken`, no input and no constant: `id`, or a copy of it.
pub(super) fn alone(
    build: &mut GraphBuilder,
    id: TensorId,
    taken: &[TensorId],
) -> Result<TensorId, ImportError> {
    let tensor = build.graph().tensor(id);
    if tensor.data.is_none() && !taken.contains(&id) && !build.graph().inputs.contains(&id) {
        return Ok(id);
    }
    let name = tensor.name.clone();
    copy(build, id, &name)
}

fn copy(build: &mut GraphBuilder, id: TensorId, name: &str) -> Result<TensorId, ImportError> {
    let tensor = build.graph().tensor(id);
    let copy = Tensor { name: name.to_string(), data: None, ..tensor.clone() };
    let perm = (0..tensor.shape.rank()).collect();
    Ok(build.node_as(&format!("{name}/copy"), Transpose { perm }, &[id], copy)?)
}
