//! Windows of convolutions and pools: strides and padding as TensorFlow Lite says them.

use super::super::node::Stop;
use super::super::padding::same_total;
use super::context::Options;
use crate::graph::Dim;

/// A window that slides over height and width.
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// The output has as many positions as input / stride, rounded up.
    pub same: bool,
}

/// No window, stride or dilation is larger: products of two of them stay in range everywhere.
const LARGEST: i32 = 1 << 15;

/// A length that an option gives.
pub(super) fn length(what: &str, value: i32) -> Result<usize, Stop> {
    match value {
        1..=LARGEST => Ok(value as usize),
        _ => Err(Stop::because(format!("its {what} is {value}, outside of 1..={LARGEST}"))),
    }
}

/// `Padding`: SAME, VALID.
pub(super) fn is_same(options: &Options, slot: usize) -> Result<bool, Stop> {
    match options.scalar::<i8>(slot, 0)? {
        0 => Ok(true),
        1 => Ok(false),
        other => Err(Stop::because(format!("its padding has the number {other}, it must be SAME or VALID"))),
    }
}

/// Height and width of an option that is given as width in `slot` and height in the next one.
pub(super) fn pair(options: &Options, what: &str, slot: usize, default: i32) -> Result<[usize; 2], Stop> {
    let [right, down] = [options.scalar(slot, default)?, options.scalar(slot + 1, default)?];
    Ok([length(what, down)?, length(what, right)?])
}

impl Window {
    /// Top, left, bottom and right padding over an input of this height and width. What is uneven is more at the
    /// bottom and right.
    pub fn padding(&self, input: [Dim; 2]) -> Result<[usize; 4], Stop> {
        let mut pads = [0; 4];
        for axis in (0..2).filter(|_| self.same) {
            let total = self.same_total(axis, input[axis])?;
            (pads[axis], pads[axis + 2]) = (total / 2, total - total / 2);
        }
        Ok(pads)
    }

    fn same_total(&self, axis: usize, input: Dim) -> Result<usize, Stop> {
        // All are at most LARGEST, so this fits.
        let reach = (self.kernel[axis].max(1) - 1) * self.dilations[axis] + 1;
        let free = "its padding SAME depends on a dimension that is free: convert the model with a fixed height and \
                    width";
        same_total(input, self.strides[axis], reach, free)
    }
}
