//! Products of integers with their zero points, and quantization at run time.

use super::super::context::{Context, Stop};
use super::super::window::{RawWindow, spatial_dims};
use super::{conv, linear, spatial};
use crate::graph::{DynamicQuantize, IntegerConv, IntegerMatMul, TensorId, Transpose, Unsqueeze};

pub(super) fn dynamic_quantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let x = cx.input(0)?;
    cx.need_float(x)?;
    cx.emit_three(DynamicQuantize {}, &[Some(x)])
}

/// Refuses factors that are not bytes, and zero points of another type or of more than `columns` of the second factor.
pub(super) fn check(cx: &Context, factors: [TensorId; 2], zeros: [Option<TensorId>; 2]) -> Result<(), Stop> {
    for (factor, zero) in factors.into_iter().zip(zeros) {
        let dtype = cx.dtype(factor);
        if !dtype.is_8bit() {
            let name = &cx.tensor(factor).name;
            return Err(Stop::because(format!("'{name}' is {dtype}: only u8 and i8 can be multiplied")));
        }
        if let Some(zero) = zero.filter(|&zero| cx.dtype(zero) != dtype) {
            let zero = cx.dtype(zero);
            return Err(Stop::because(format!("a zero point is {zero}, its factor {dtype}")));
        }
    }
    match zeros[0] {
        Some(zero) if cx.shape(zero).elements() != Some(1) => {
            Err(Stop::because("zero points per row of the first factor are not supported"))
        }
        _ => Ok(()),
    }
}

pub(super) fn matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    cx.attrs().finish()?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let zeros = [cx.optional(2)?, cx.optional(3)?];
    check(cx, [a, b], zeros)?;
    if cx.rank(a) == 0 || cx.rank(b) == 0 {
        return Err(Stop::because("a factor has no dimensions"));
    }
    linear::matrices(cx, a, b, IntegerMatMul {}, &zeros)
}

pub(super) fn conv(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, true)?;
    let groups = conv::groups(attrs.int_or("group", 1)?)?;
    attrs.finish()?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let zeros = [cx.optional(2)?, cx.optional(3)?];
    check(cx, [x, w], zeros)?;
    spatial_dims(cx.rank(x))?;
    let dims = cx.shape(w).dims().filter(|dims| dims.len() == cx.rank(x));
    let Some([o, c, kernel @ ..]) = dims.as_deref() else {
        return Err(Stop::because("its weights must have a fixed shape of the input's rank"));
    };
    let window = raw.over(cx.rank(x), Some(kernel))?;
    conv::check_channels(cx, x, c.checked_mul(groups).filter(|_| o % groups == 0))?;
    let [h, k] = window.kernel;
    let ohwi = match cx.is_constant(w) {
        true => cx.reordered_weights(w, "ohwi", &[*o, *c, h, k], &spatial::TO_NHWC, &[*o, h, k, *c])?,
        false => {
            let square = match kernel.len() {
                1 => cx.inner("w_height", Unsqueeze { axes: vec![2] }, &[Some(w)])?,
                _ => w,
            };
            cx.inner("w_ohwi", Transpose { perm: spatial::TO_NHWC.to_vec() }, &[Some(square)])?
        }
    };
    let op = IntegerConv {
        strides: window.strides,
        pads: window.padding(spatial::height_width(cx, x)?)?,
        dilations: window.dilations,
        groups,
    };
    spatial::in_nhwc(cx, op, x, &[Some(ohwi), zeros[0], zeros[1]])
}
