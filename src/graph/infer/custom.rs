//! What operators of the application say of their output.

use super::super::*;
use super::dims::Extent;
use super::site::{Rule, Site};
use crate::custom::{self, Input, MAX_INPUTS, Parameters};

/// Element type and extents.
pub(super) fn output(site: &Site, op: &Custom) -> Rule<(DType, Vec<Extent>)> {
    let found = custom::find(&op.name)?;
    let count = site.node.inputs.len();
    if !(1..=MAX_INPUTS).contains(&count) {
        return Err(format!("has {count} inputs, an operator of the application takes 1 to {MAX_INPUTS}"));
    }
    let tensors = (0..count).map(|i| site.tensor(i)).collect::<Rule<Vec<_>>>()?;
    let inputs: Vec<Input> = tensors.iter().map(|t| Input { dtype: t.dtype, shape: &t.shape }).collect();
    let (dtype, shape) = found.output(&inputs, &Parameters::parse(&op.parameters))?;
    let known = |d: &Dim| match d {
        Dim::Fixed(_) => true,
        Dim::Free(i) => (*i as usize) < site.graph.dims.len(),
    };
    if shape.rank() > MAX_RANK || !shape.iter().all(known) {
        return Err(format!("gets an output from '{}' whose shape is not possible", op.name));
    }
    Ok((dtype, shape.iter().map(|&d| Some(d)).collect()))
}
