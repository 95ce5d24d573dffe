//! Spatial operators in an NCHW graph: the tensors around them are turned to NHWC and back.

use super::super::context::{Context, Stop};
use crate::graph::{Dim, Op, Squeeze, TensorId, Transpose, Unsqueeze};

/// NCHW to NHWC.
pub(super) const TO_NHWC: [usize; 4] = [0, 2, 3, 1];
/// NHWC to NCHW.
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

/// Adds `op` over `x`, `[N, C, H, W]` or `[N, C, W]`, with the other inputs as they are.
pub(super) fn in_nhwc(
    cx: &mut Context,
    op: impl Into<Op>,
    x: TensorId,
    others: &[Option<TensorId>],
) -> Result<Vec<TensorId>, Stop> {
    let flat = cx.rank(x) == 3;
    let x = match flat {
        true => cx.inner("height", Unsqueeze { axes: vec![2] }, &[Some(x)])?,
        false => x,
    };
    let x = cx.inner("nhwc", Transpose { perm: TO_NHWC.to_vec() }, &[Some(x)])?;
    let inputs: Vec<Option<TensorId>> = std::iter::once(Some(x)).chain(others.iter().copied()).collect();
    let y = cx.core("result", op, &inputs)?;
    let to_nchw = Transpose { perm: TO_NCHW.to_vec() };
    if flat {
        let y = cx.inner("nchw", to_nchw, &[Some(y)])?;
        return cx.last("ncw", Squeeze { axes: vec![2] }, &[Some(y)]);
    }
    cx.last("nchw", to_nchw, &[Some(y)])
}

/// Height and width of `[N, C, H, W]`; the height of `[N, C, W]` is 1.
pub(super) fn height_width(cx: &Context, x: TensorId) -> Result<[Dim; 2], Stop> {
    match cx.shape(x)[..] {
        [_, _, width] => Ok([Dim::Fixed(1), width]),
        [_, _, height, width] => Ok([height, width]),
        ref other => {
            let rank = other.len();
            Err(Stop::because(format!("the input has rank {rank}, it must be 3 or 4: [N, C, ...]")))
        }
    }
}
