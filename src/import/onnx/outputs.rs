//! The outputs of a graph: what they are declared to be, and tensors of their own with the file's names.

use super::super::ImportError;
use super::context::State;
use super::graph::border_dtype;
use super::proto::{GraphProto, ValueInfoProto};
use crate::graph::{Cast, DType, Dim, Graph, GraphBuilder, Shape, Tensor, TensorId, Transpose};
use std::collections::{HashMap, HashSet};

/// Gives the graph outputs their names and element types.
pub(super) fn take(mut state: State, graph: &GraphProto) -> Result<Graph, ImportError> {
    if graph.output.is_empty() {
        return Err(ImportError::model("the graph has no output"));
    }
    let mut ids: Vec<TensorId> = vec![];
    let mut taken: HashSet<TensorId> = state.build.graph().inputs.iter().copied().collect();
    let mut names: HashSet<String> =
        taken.iter().map(|&id| state.build.graph().tensor(id).name.clone()).collect();
    for output in &graph.output {
        if !names.insert(output.name.clone()) {
            return Err(ImportError::tensor(
                &output.name,
                "it is a graph output, and an input or output already",
            ));
        }
        let id = match state.values.get(&output.name) {
            Some(Some(id)) => *id,
            _ => {
                return Err(ImportError::tensor(
                    &output.name,
                    "it is a graph output, but nothing computes it",
                ));
            }
        };
        check_output(state.build.graph(), output, id)?;
        let id = own_tensor(&mut state.build, output, id, &taken)?;
        taken.insert(id);
        ids.push(id);
    }
    let mut done = state.build.finish(&ids)?;
    rename(&mut done, graph);
    Ok(done)
}

/// Holds the declared type and shape of an output against what came out.
fn check_output(graph: &Graph, output: &ValueInfoProto, id: TensorId) -> Result<(), ImportError> {
    let found = graph.tensor(id);
    let declared = match border_dtype(output)? {
        DType::F16 | DType::F64 => DType::F32,
        other => other,
    };
    if declared != found.dtype {
        let what = format!("it is declared to be {declared}, but {} is computed", found.dtype);
        return Err(ImportError::tensor(&output.name, what));
    }
    let shape = output.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
    // Some exporters declare a shape without dimensions where they know nothing.
    let Some(shape) = shape.filter(|s| !s.dim.is_empty()) else {
        return Ok(());
    };
    let agrees = |(declared, found): (&Option<i64>, &Dim)| match (declared, found) {
        (Some(d @ 0..), Dim::Fixed(f)) => u64::try_from(*d) == Ok(*f as u64),
        _ => true,
    };
    let declared: Vec<Option<i64>> = shape.dim.iter().map(|d| d.dim_value).collect();
    if declared.len() != found.shape.rank() || !declared.iter().zip(found.shape.iter()).all(agrees) {
        let show = |d: &Option<i64>| d.map_or("?".to_string(), |d| d.to_string());
        let declared: Vec<String> = declared.iter().map(show).collect();
        let what = format!(
            "it is declared to have the shape [{}], but {} is computed",
            declared.join(", "),
            graph.show_shape(&found.shape)
        );
        return Err(ImportError::tensor(&output.name, what));
    }
    Ok(())
}

/// A tensor that is only this output: not an input, a constant or another output at the same time.
fn own_tensor(
    build: &mut GraphBuilder,
    output: &ValueInfoProto,
    id: TensorId,
    taken: &HashSet<TensorId>,
) -> Result<TensorId, ImportError> {
    let name = &output.name;
    let dtype = border_dtype(output)?;
    if matches!(dtype, DType::F16 | DType::F64) {
        let own = Tensor::value(name.as_str(), dtype, Shape::default());
        return Ok(build.node_as(&format!("{name}/{dtype}"), Cast {}, &[id], own)?);
    }
    let tensor = build.graph().tensor(id);
    if tensor.data.is_none() && !taken.contains(&id) {
        return Ok(id);
    }
    let perm = (0..tensor.shape.rank()).collect();
    Ok(build.node(&format!("{name}/copy"), Transpose { perm }, &[id])?)
}

/// Names the outputs as the file does. Whatever else got that name inside gives way.
fn rename(done: &mut Graph, graph: &GraphProto) {
    let mut holders: HashMap<String, TensorId> =
        done.tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), TensorId(i as u32))).collect();
    for (id, output) in done.outputs.clone().into_iter().zip(&graph.output) {
        let name = &output.name;
        let holder = holders.get(name).copied();
        if holder == Some(id) {
            continue;
        }
        let old = std::mem::replace(&mut done.tensor_mut(id).name, name.clone());
        // The two swap names: both stay unique.
        if let Some(other) = holder {
            done.tensor_mut(other).name = old.clone();
            holders.insert(old, other);
        } else {
            holders.remove(&old);
        }
        holders.insert(name.clone(), id);
    }
}
