//! Pooling.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::window::{Window, is_same, pair};
use crate::graph::{Pool, PoolKind, TensorId};

/// `Pool2DOptions`: padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function. Averages
/// do not count the padding in.
pub(in super::super) fn pool(cx: &mut Context, kind: PoolKind) -> Result<Vec<TensorId>, Stop> {
    let window = Window {
        kernel: pair(&cx.options, "window", 3, 0)?,
        strides: pair(&cx.options, "stride", 1, 1)?,
        dilations: [1, 1],
        same: is_same(&cx.options, 0)?,
    };
    let clamp = cx.options.activation(5)?;
    let x = cx.input(0)?;
    let [_, h, w, _] = cx.image(x)?;
    let pads = window.padding([h, w])?;
    let Window { kernel, strides, dilations, .. } = window;
    let pool = Pool { kind, kernel, strides, pads, dilations, ceil: false, count_include_pad: false };
    cx.emit_with(pool, &[x], clamp)
}
