//! Where two models part: tensors of the same name, sample by sample.

use super::compare::{CompareError, Contestant, feed, fit};
use super::error_norm::ErrorNorm;
use super::values::to_f32;
use crate::graph::{Graph, TensorId};
use crate::run::Session;
use serde::Serialize;
use std::collections::HashMap;

/// How far a tensor of one model is from the tensor of the same name in the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The tensor.
    pub name: String,
    /// The operator that computes it in the second model.
    pub op: &'static str,
    /// Signal to noise in dB; infinite if nothing differs.
    pub sqnr_db: f64,
    /// The largest difference.
    pub max_abs_error: f64,
}

/// Compares the first `samples` samples, in the order in which the second model computes. Tensors that only one
/// model has (operations are fused and split) are left out; errors of earlier layers are in what later ones show.
///
/// # Errors
/// The data don't fit or a model can't be run.
pub fn compare_layers(a: Contestant, b: Contestant, samples: usize) -> Result<Vec<Layer>, CompareError> {
    let mut norms: HashMap<TensorId, ErrorNorm> = HashMap::new();
    let ids: HashMap<String, TensorId> =
        computed(b.session.graph()).map(|(id, n)| (n.to_string(), id)).collect();
    let names_a: HashMap<TensorId, TensorId> =
        computed(a.session.graph()).filter_map(|(id, name)| Some((id, *ids.get(name)?))).collect();
    for sample in 0..samples.min(a.data.len()) {
        let mut reference: HashMap<TensorId, Vec<f32>> = HashMap::new();
        let bytes = fit(a.session, a.data, sample)?;
        observe(a.session, &bytes, &mut |id, values| {
            if let Some(twin) = names_a.get(&id) {
                reference.insert(*twin, values);
            }
        })?;
        let bytes = fit(b.session, b.data, sample)?;
        observe(b.session, &bytes, &mut |id, values| {
            if let Some(wanted) = reference.get(&id).filter(|r| r.len() == values.len()) {
                norms.entry(id).or_default().add(wanted, &values);
            }
        })?;
    }
    let graph = b.session.graph();
    let nodes = graph.nodes.iter().flat_map(|n| n.outputs.iter().map(|id| (n.op.name(), *id)));
    let layers = nodes.filter_map(|(op, id)| {
        let norm = norms.get(&id)?;
        let name = graph.tensor(id).name.clone();
        Some(Layer { name, op, sqnr_db: norm.sqnr_db(), max_abs_error: norm.max_abs() })
    });
    Ok(layers.collect())
}

/// The tensors that stand for reals and are computed, with their names.
fn computed(graph: &Graph) -> impl Iterator<Item = (TensorId, &str)> {
    let outputs = graph.nodes.iter().flat_map(|n| &n.outputs);
    let tensors = outputs.map(|id| (*id, graph.tensor(*id)));
    tensors.filter(|(_, t)| t.dtype.is_float() || t.quant.is_some()).map(|(id, t)| (id, t.name.as_str()))
}

fn observe(
    session: &mut Session,
    sample: &crate::data::Sample,
    see: &mut dyn FnMut(TensorId, Vec<f32>),
) -> crate::Result<()> {
    feed(session, sample)?;
    let graph = session.graph().clone();
    session.run_observed(&mut |id, bytes| {
        let tensor = graph.tensor(id);
        let dims = tensor.shape.dims().unwrap_or_default();
        see(id, to_f32(tensor.dtype, tensor.quant.as_ref(), &dims, bytes));
    })
}
