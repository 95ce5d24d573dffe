//! Windows: kernel, strides, padding and dilations of convolutions and pools, one to three dimensions wide.

use super::super::padding::same_total;
use super::attrs::Attrs;
use super::context::Stop;
use crate::graph::Dim;

/// How padding is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// It is given.
    Explicit,
    /// Output as large as input / stride, an odd row at the end.
    SameUpper,
    /// Output as large as input / stride, an odd row at the beginning.
    SameLower,
    /// None.
    Valid,
}

/// The attributes as the file gives them.
#[derive(Clone)]
pub(super) struct RawWindow<'a> {
    kernel: Option<&'a [i64]>,
    strides: Option<&'a [i64]>,
    dilations: Option<&'a [i64]>,
    pads: Option<&'a [i64]>,
    auto_pad: AutoPad,
}

/// A window over height and width. A window over one dimension has height 1, one over depth has width 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Top, left, bottom, right; meant if `auto_pad` says so.
    pub pads: [usize; 4],
    pub auto_pad: AutoPad,
}

impl<'a> RawWindow<'a> {
    /// Reads the attributes that all windows have. `dilations` is read only where the operator has them.
    pub fn read(attrs: &mut Attrs<'a>, has_dilations: bool) -> Result<RawWindow<'a>, Stop> {
        let auto_pad = match attrs.text_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => AutoPad::Explicit,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            other => {
                return Err(Stop::because(format!(
                    "attribute 'auto_pad' is '{other}', it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID"
                )));
            }
        };
        let raw = RawWindow {
            kernel: attrs.ints("kernel_shape")?,
            strides: attrs.ints("strides")?,
            dilations: if has_dilations { attrs.ints("dilations")? } else { None },
            pads: attrs.ints("pads")?,
            auto_pad,
        };
        if auto_pad != AutoPad::Explicit && raw.pads.is_some_and(|p| p.iter().any(|&p| p != 0)) {
            return Err(Stop::because("has both 'auto_pad' and 'pads': leave one out"));
        }
        Ok(raw)
    }

    /// How many elements are under the window.
    pub fn kernel_size(&self) -> Result<f32, Stop> {
        let kernel = self.kernel.ok_or_else(|| Stop::because("attribute 'kernel_shape' is missing"))?;
        Ok(kernel.iter().map(|&n| n as f32).product())
    }

    /// The window over a tensor of this rank. `weights` are the kernel's extents where weights tell them.
    pub fn over(self, rank: usize, weights: Option<&[usize]>) -> Result<Window, Stop> {
        let auto_pad = self.auto_pad;
        match self.spans(spatial_dims(rank)?, weights)?[..] {
            [height, width] => Ok(Window::new([height, width], auto_pad)),
            ref spans => Ok(Window::new([Span::ONE, spans[0]], auto_pad)),
        }
    }

    /// The windows over depth, as a height, and over height and width, of a tensor of rank 5.
    pub fn over_volume(self, weights: Option<&[usize]>) -> Result<[Window; 2], Stop> {
        let auto_pad = self.auto_pad;
        let spans = self.spans(3, weights)?;
        Ok([Window::new([spans[0], Span::ONE], auto_pad), Window::new([spans[1], spans[2]], auto_pad)])
    }

    /// One span for each of `spatial` dimensions.
    fn spans(self, spatial: usize, weights: Option<&[usize]>) -> Result<Vec<Span>, Stop> {
        let kernel = match (self.kernel, weights) {
            (Some(kernel), _) => positive("kernel_shape", kernel, spatial)?,
            (None, Some(weights)) => {
                let weights: Vec<i64> =
                    weights.iter().map(|&w| i64::try_from(w).unwrap_or(i64::MAX)).collect();
                positive("kernel_shape", &weights, spatial)?
            }
            (None, None) => return Err(Stop::because("attribute 'kernel_shape' is missing")),
        };
        if weights.is_some_and(|w| w != kernel) {
            let weights = weights.unwrap_or_default();
            return Err(Stop::because(format!(
                "attribute 'kernel_shape' is {kernel:?}, but the weights are {weights:?}"
            )));
        }
        let ones = vec![1; spatial];
        let or_ones = |name, given: Option<&[i64]>| match given {
            Some(given) => positive(name, given, spatial),
            None => Ok(ones.clone()),
        };
        let strides = or_ones("strides", self.strides)?;
        let dilations = or_ones("dilations", self.dilations)?;
        let pads = match self.pads {
            Some(pads) => sizes("pads", pads, 2 * spatial, 0)?,
            None => vec![0; 2 * spatial],
        };
        let span = |i: usize| Span {
            kernel: kernel[i],
            stride: strides[i],
            dilation: dilations[i],
            pads: [pads[i], pads[spatial + i]],
        };
        Ok((0..spatial).map(span).collect())
    }
}

/// A window along one dimension.
#[derive(Clone, Copy)]
struct Span {
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Before and behind.
    pads: [usize; 2],
}

impl Span {
    /// Covers one element.
    const ONE: Span = Span { kernel: 1, stride: 1, dilation: 1, pads: [0, 0] };
}

impl Window {
    fn new(spans: [Span; 2], auto_pad: AutoPad) -> Window {
        let [height, width] = spans;
        Window {
            kernel: spans.map(|s| s.kernel),
            strides: spans.map(|s| s.stride),
            dilations: spans.map(|s| s.dilation),
            pads: [height.pads[0], width.pads[0], height.pads[1], width.pads[1]],
            auto_pad,
        }
    }

    /// True if each output is the input at its place.
    pub fn is_trivial(&self) -> bool {
        self.kernel == [1, 1] && self.strides == [1, 1] && self.pads == [0; 4]
    }

    /// Elements from the first to the last under the window, along height or width.
    pub fn reach(&self, axis: usize) -> usize {
        // Both are at most LARGEST, so this fits.
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// The padding of a convolution or pool over an input of this height and width.
    pub fn padding(&self, input: [Dim; 2]) -> Result<[usize; 4], Stop> {
        let mut pads = [0; 4];
        for axis in 0..2 {
            let [before, after] = match self.auto_pad {
                AutoPad::Explicit => [self.pads[axis], self.pads[axis + 2]],
                AutoPad::Valid => [0, 0],
                _ => distribute(self.same_total(axis, input[axis])?, self.auto_pad),
            };
            (pads[axis], pads[axis + 2]) = (before, after);
        }
        Ok(pads)
    }

    /// What has to be added so that the output has input / stride elements, rounded up.
    fn same_total(&self, axis: usize, input: Dim) -> Result<usize, Stop> {
        let free = "the padding of 'auto_pad' depends on a dimension that is free: export the model with fixed height \
                    and width";
        same_total(input, self.strides[axis], self.reach(axis), free)
    }
}

/// Splits padding between both ends as `auto_pad` says; the larger half is at the end for SAME_UPPER.
pub(super) fn distribute(total: usize, auto_pad: AutoPad) -> [usize; 2] {
    let (less, more) = (total / 2, total - total / 2);
    match auto_pad {
        AutoPad::SameUpper => [less, more],
        _ => [more, less],
    }
}

/// Spatial dimensions of a tensor `[N, C, ...]` of this rank, if they can be dealt with.
pub(super) fn spatial_dims(rank: usize) -> Result<usize, Stop> {
    match rank {
        3 | 4 => Ok(rank - 2),
        5 => Err(Stop::because("three spatial dimensions are not supported")),
        other => Err(Stop::because(format!("the input has rank {other}, it must be 3 to 5: [N, C, ...]"))),
    }
}

/// One value per spatial dimension as height and width.
pub(super) fn height_width(values: &[usize], missing: usize) -> [usize; 2] {
    match values[..] {
        [height, width] => [height, width],
        _ => [missing, values[0]],
    }
}

/// No window, stride, dilation or padding is larger: products of two of them stay in range everywhere.
const LARGEST: i64 = 1 << 15;

pub(super) fn positive(name: &str, values: &[i64], count: usize) -> Result<Vec<usize>, Stop> {
    sizes(name, values, count, 1)
}

/// `count` values from `least` on.
pub(super) fn sizes(name: &str, values: &[i64], count: usize, least: i64) -> Result<Vec<usize>, Stop> {
    if values.len() != count {
        return Err(Stop::because(format!("attribute '{name}' is {values:?}, it must have {count} values")));
    }
    if let Some(v) = values.iter().find(|v| !(least..=LARGEST).contains(*v)) {
        return Err(Stop::because(format!(
            "attribute '{name}' has the value {v}, outside of {least}..={LARGEST}"
        )));
    }
    Ok(values.iter().map(|&v| v as usize).collect())
}
