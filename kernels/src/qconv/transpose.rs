//! Integer transposed convolution as one ordinary convolution per phase of the stride.
//!
//! Output row `q * stride + phase` gets a product from input row `i` and kernel row `k` where
//! `i * stride + k * dilation = q * stride + phase + top`. For one phase those `k` are equally far apart, and
//! going through them backwards walks the input forwards: an ordinary convolution of stride 1.

use super::driver::Correlation;
use super::geometry::{Geometry, assert_fits};
use super::ladder::Operation;
use super::requantize::{Epilogue, Requantize};
use super::walk::Target;
use crate::{ConvTransposeShape, Filter, Isa, Output};
use std::cell::Cell;
use std::ops::Range;

/// Output bytes that all phases compute before they go on: neighbouring pixels are of different phases, and a line of
/// cache that has left the caches between two of them is fetched again.
const BAND_BYTES: usize = 64 << 10;

/// An integer transposed convolution, with everything decided but the data.
#[derive(Clone, Debug)]
pub struct QConvTranspose {
    shape: ConvTransposeShape,
    phases: Vec<Phase>,
    y_stride: usize,
}

#[derive(Clone, Debug)]
struct Phase {
    /// Down, right.
    axes: [Axis; 2],
    correlation: Correlation,
}

/// One phase of one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// The first output of this phase.
    phase: usize,
    /// Outputs of this phase.
    len: usize,
    /// The last kernel position of this phase, which is its first tap.
    last: usize,
    /// Kernel positions from one tap back to the next.
    back: usize,
    /// Taps.
    taps: usize,
    /// Inputs from one tap to the next.
    dilation: usize,
    /// Input under the first tap of the first output.
    origin: isize,
}

impl Axis {
    fn new(shape: &ConvTransposeShape, axis: usize, phase: usize) -> Axis {
        let (stride, dilation) = (shape.strides[axis], shape.dilations[axis]);
        let len = [shape.oh, shape.ow][axis].saturating_sub(phase).div_ceil(stride);
        let shifted = phase + shape.pad[axis];
        let hits = || (0..shape.kernel[axis]).filter(|k| k * dilation % stride == shifted % stride);
        let last = hits().next_back().unwrap_or(0);
        let back = hits().nth(1).zip(hits().next()).map_or(1, |(second, first)| second - first);
        let origin = (shifted as isize - (last * dilation) as isize).div_euclid(stride as isize);
        Axis {
            phase,
            len,
            last,
            back,
            taps: hits().count(),
            dilation: (back * dilation).div_ceil(stride),
            origin,
        }
    }
}

impl QConvTranspose {
    /// `y_stride` >= `shape.oc`: bytes between output pixels.
    ///
    /// Panics if the shape is impossible: groups that do not divide the channels, strides or dilations of 0,
    /// more bytes than there can be, `y_stride` too small, an empty output range.
    pub fn new(
        isa: Isa,
        shape: ConvTransposeShape,
        x_zero_point: u8,
        out: Output,
        y_stride: usize,
    ) -> QConvTranspose {
        assert!(y_stride >= shape.oc, "output pixels do not overlap");
        assert!(shape.groups > 0 && shape.strides.iter().all(|&s| s > 0), "groups and strides are not 0");
        assert_fits(&[shape.n, shape.oh, shape.ow, y_stride]);
        assert_fits(&[shape.oc, shape.kernel[0], shape.kernel[1], shape.c]);
        for axis in 0..2 {
            assert_fits(&[shape.kernel[axis], shape.dilations[axis]]);
            assert_fits(&[shape.pad[axis]]);
        }
        let out = Epilogue::Bytes(Requantize::new(out));
        let phase = |down: usize, right: usize| {
            let axes = [Axis::new(&shape, 0, down), Axis::new(&shape, 1, right)];
            let geometry = Geometry {
                x: [shape.n, shape.h, shape.w, shape.c],
                oc: shape.oc,
                groups: shape.groups,
                kernel: axes.map(|a| a.taps),
                strides: [1, 1],
                dilations: axes.map(|a| a.dilation),
                origin: axes.map(|a| a.origin),
                out: axes.map(|a| a.len),
            };
            Phase { axes, correlation: Correlation::new(isa, geometry.checked(), x_zero_point, out) }
        };
        let (down, right) = (shape.strides[0].min(shape.oh), shape.strides[1].min(shape.ow));
        let phases =
            (0..down).flat_map(|d| (0..right).map(move |r| (d, r))).map(|(d, r)| phase(d, r)).collect();
        QConvTranspose { shape, phases, y_stride }
    }

    /// For filters with [offsets](Filter::offset), which must have them then.
    pub fn with_offsets(mut self) -> QConvTranspose {
        for phase in &mut self.phases {
            phase.correlation.layout = phase.correlation.layout.clone().with_offsets();
        }
        self
    }

    fn widest(&self) -> Option<&Phase> {
        self.phases.iter().max_by_key(|p| p.correlation.layout.packed_len())
    }

    /// What runs, for people: operation, tile, instruction set (`conv-transpose 6x64 avx512vnni`).
    pub fn kernel(&self) -> &'static str {
        self.widest().map_or("", |p| p.correlation.kernel(Operation::ConvTranspose))
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        self.widest().map_or(0, |p| p.correlation.layout.id())
    }

    /// Bytes of the packed weights (a multiple of 64): those of the phases, one after the other.
    pub fn packed_len(&self) -> usize {
        self.phases.iter().map(|p| p.correlation.layout.packed_len()).sum()
    }

    /// The phases and where in `packed` their weights are. Panics if `packed` is too short.
    fn packed_phases(&self) -> impl Iterator<Item = (&Phase, Range<usize>)> {
        self.phases.iter().scan(0, |start, phase| {
            let range = *start..*start + phase.correlation.layout.packed_len();
            *start = range.end;
            Some((phase, range))
        })
    }

    /// True if `packed` was packed for this layout, shape and zero point: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        let accepted = |(phase, range): (&Phase, Range<usize>)| {
            packed.get(range).is_some_and(|p| phase.correlation.layout.accepts(p))
        };
        self.packed_phases().all(accepted)
    }

    /// Packs weights `[oc][kh][kw][c/groups]`.
    ///
    /// Panics if a slice has another length.
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        let weights = filter.weights;
        let [kh, kw] = self.shape.kernel;
        let channels = self.shape.c / self.shape.groups;
        assert_eq!(weights.len(), self.shape.oc * kh * kw * channels, "weights are [oc][kh][kw][c/groups]");
        assert_eq!(packed.len(), self.packed_len(), "packed has room for the weights");
        for (phase, range) in self.packed_phases() {
            let [down, right] = phase.axes;
            let mut part = Vec::with_capacity(self.shape.oc * down.taps * right.taps * channels);
            for oc in 0..self.shape.oc {
                for ky in (0..down.taps).map(|t| down.last - t * down.back) {
                    for kx in (0..right.taps).map(|t| right.last - t * right.back) {
                        let start = ((oc * kh + ky) * kw + kx) * channels;
                        part.extend_from_slice(&weights[start..start + channels]);
                    }
                }
            }
            phase.correlation.layout.pack(&Filter { weights: &part, ..*filter }, &mut packed[range]);
        }
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        self.phases.iter().map(|p| p.correlation.scratch_len()).max().unwrap_or(0)
    }

    /// Computes output lines `lines` of `n * oh` (a line is `ow` pixels). `x`: the whole input and
    /// [`SLACK`](crate::SLACK) bytes behind it. `y` starts at the first of these lines. Panics if a slice is
    /// too short or `packed` is not [accepted](Self::accepts).
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], lines: Range<usize>, scratch: &mut [u8]) {
        let (oh, ow) = (self.shape.oh, self.shape.ow);
        assert!(lines.end <= self.shape.n * oh, "output lines are in range");
        if lines.is_empty() || ow == 0 {
            return;
        }
        let line = ow * self.y_stride;
        let band = (BAND_BYTES / line.max(1)).next_multiple_of(self.shape.strides[0]).max(1);
        let y = Cell::from_mut(y).as_slice_of_cells();
        for image in lines.start / oh..lines.end.div_ceil(oh) {
            let inside =
                lines.start.max(image * oh) - image * oh..lines.end.min((image + 1) * oh) - image * oh;
            for top in inside.clone().step_by(band) {
                let band = top..inside.end.min(top + band);
                for (phase, range) in self.packed_phases() {
                    let [down, right] = phase.axes;
                    let [stride_y, stride_x] = self.shape.strides;
                    // The outputs of this phase within the lines, and the position of its output 0.
                    let index = |line: usize| line.saturating_sub(down.phase).div_ceil(stride_y);
                    let [first, end] = [band.start, band.end].map(index);
                    let rows = (image * down.len + first) * right.len..(image * down.len + end) * right.len;
                    let origin = down.phase * line + right.phase * self.y_stride;
                    let target = Target {
                        y,
                        strides: [oh * line, stride_y * line, stride_x * self.y_stride],
                        start: origin as isize - (lines.start * line) as isize,
                    };
                    phase.correlation.run(&packed[range], x, &target, rows, scratch);
                }
            }
        }
    }
}
