//! Padding that follows from the size of the input: SAME, in both kinds of models.

use super::node::Stop;
use crate::graph::Dim;

/// What has to be added to an input so that windows of `reach` elements, `stride` apart, give as many outputs as
/// input / stride, rounded up. `free` is what to say where that depends on a dimension that is not known yet.
pub(super) fn same_total(input: Dim, stride: usize, reach: usize, free: &str) -> Result<usize, Stop> {
    match input {
        Dim::Fixed(n) => {
            let steps = n.div_ceil(stride).saturating_sub(1);
            let covered = steps.checked_mul(stride).and_then(|c| c.checked_add(reach));
            let covered = covered.ok_or_else(|| Stop::because("its padding overflows"))?;
            Ok(covered.saturating_sub(n))
        }
        Dim::Free(_) if stride == 1 => Ok(reach - 1),
        Dim::Free(_) => Err(Stop::because(free)),
    }
}
