//! Joining and picking.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{Concat, Gather, TensorId};

pub(super) fn concat(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int("axis")?.ok_or_else(|| Stop::because("attribute 'axis' is missing"))?;
    attrs.finish()?;
    let inputs = cx.inputs()?;
    let axis = axis(given, cx.rank(inputs[0]))?;
    let inputs: Vec<Option<TensorId>> = inputs.into_iter().map(Some).collect();
    cx.emit(Concat { axis }, &inputs)
}

pub(super) fn gather(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let given = attrs.int_or("axis", 0)?;
    attrs.finish()?;
    let (data, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = axis(given, cx.rank(data))?;
    if let (Some(indices), Some(len)) = (cx.const_ints(indices), cx.extent(data, axis)) {
        let inside = |i: &i64| u64::try_from(if *i < 0 { !*i } else { *i }).is_ok_and(|i| i < len as u64);
        if let Some(bad) = indices.iter().find(|i| !inside(i)) {
            return Err(Stop::because(format!("index {bad} is out of range for {len} elements")));
        }
    }
    cx.emit(Gather { axis }, &[Some(data), Some(indices)])
}
