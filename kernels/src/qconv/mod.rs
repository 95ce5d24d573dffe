//! Integer convolution and matrix product: u8 activations, i8 weights, i32 accumulators, u8 out.
//!
//! Every convolution is a matrix product whose rows are found through pointers (`indirection`) and whose
//! weights lie in panels (`layout`); a micro-kernel (`tile`, or `stream`, `defer` and `slide` where they are faster)
//! computes it, written once and compiled for each instruction set (`ladder`). `scalar` says what the result is.

pub(crate) mod defer;
mod driver;
pub(crate) mod dynamic;
pub(crate) mod geometry;
mod indirection;
pub(crate) mod ladder;
pub(crate) mod layout;
mod lines;
pub(crate) mod requantize;
pub(crate) mod row_sums;
pub(crate) mod slide;
pub(crate) mod stream;
pub(crate) mod tile;
mod transpose;
mod walk;

pub(crate) use driver::Correlation;
pub use dynamic::{DynamicQConv, Source};
pub use transpose::QConvTranspose;

use crate::team::Team;
use crate::{ConvShape, Filter, Isa, Output};
use geometry::Geometry;
use ladder::Operation;
use requantize::{Bounds, Epilogue, Requantize};
use std::cell::Cell;
use std::ops::Range;
use walk::Target;

/// What a convolution of this geometry is called.
fn operation(g: &Geometry) -> Operation {
    match () {
        () if g.groups > 1 => Operation::ConvGrouped,
        () if g.is_dense() && g.rows() == 1 => Operation::Gemv,
        () if g.is_dense() => Operation::Pointwise,
        () if g.tap_columns() > 1 => Operation::ConvRows,
        () => Operation::Conv,
    }
}

/// An integer convolution (grouped or not, not depthwise) or matrix product, with everything decided but the
/// data.
#[derive(Clone, Debug)]
pub struct QConv {
    correlation: Correlation,
    y_stride: usize,
}

impl QConv {
    /// `x_zero_point` fills the border. `y_stride` >= `shape.oc`: bytes between output rows (a
    /// concatenation's part is written in place).
    ///
    /// Panics if the shape is impossible: groups that do not divide the channels, strides or dilations of 0,
    /// more bytes than there can be, `y_stride` too small, an empty output range.
    pub fn new(isa: Isa, shape: ConvShape, x_zero_point: u8, out: Output, y_stride: usize) -> QConv {
        QConv::with_epilogue(isa, shape, x_zero_point, Epilogue::Bytes(Requantize::new(out)), y_stride)
    }

    /// The same sums as f32: `clamp(acc as f32 * multiplier)`, an offset added where there are any, each step one IEEE
    /// f32 operation; `clamp` = lowest and highest result. Outputs are dense; `run` takes them as bytes.
    ///
    /// Panics as [`new`](Self::new).
    pub fn to_f32(isa: Isa, shape: ConvShape, x_zero_point: u8, clamp: [f32; 2]) -> QConv {
        QConv::with_epilogue(isa, shape, x_zero_point, Epilogue::Reals(Bounds::new(clamp)), 4 * shape.oc)
    }

    /// For filters with [offsets](Filter::offset), which must have them then. Those of f32 outputs are reals.
    pub fn with_offsets(mut self) -> QConv {
        self.correlation.layout = self.correlation.layout.with_offsets();
        self
    }

    fn with_epilogue(isa: Isa, shape: ConvShape, x_zero_point: u8, out: Epilogue, y_stride: usize) -> QConv {
        assert!(y_stride >= shape.oc * out.size(), "output rows do not overlap");
        let geometry = Geometry::new(&shape);
        assert!(
            geometry.rows().checked_mul(y_stride).is_some_and(|l| l <= isize::MAX as usize),
            "output too large"
        );
        QConv { correlation: Correlation::new(isa, geometry, x_zero_point, out), y_stride }
    }

    /// Bytes of one output: 1, or 4 for f32.
    pub fn output_size(&self) -> usize {
        self.correlation.out.size()
    }

    /// What runs, for people: operation, tile, instruction set (`conv 6x64 avx512vnni`).
    pub fn kernel(&self) -> &'static str {
        self.correlation.kernel(operation(&self.correlation.geometry))
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        self.correlation.layout.id()
    }

    /// Bytes of the packed weights (a multiple of 64).
    pub fn packed_len(&self) -> usize {
        self.correlation.layout.packed_len()
    }

    /// True if `packed` was packed for this layout, shape and zero point: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        self.correlation.layout.accepts(packed)
    }

    /// Packs weights `[oc][kh][kw][c/groups]`. The share of the input's zero point is folded into the bias here,
    /// with wrapping arithmetic.
    ///
    /// Panics if a slice has another length.
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        self.correlation.layout.pack(filter, packed);
    }

    /// Parts of the output that are computed apart best start at rows that are multiples of this.
    pub fn grain(&self) -> usize {
        self.correlation.grain()
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        self.correlation.scratch_len()
    }

    /// True if threads better share out output channels than rows.
    pub fn by_columns(&self) -> bool {
        self.correlation.by_columns()
    }

    /// Computes all output rows; the threads of a team share out the output channels, in at most so many units.
    /// `scratch`: what [`run`](Self::run) needs, rounded up to 64, for every thread. Panics as that, and if it is not
    /// better [by columns](Self::by_columns).
    pub fn share_columns(
        &self,
        team: (&Team, usize),
        packed: &[u8],
        x: &[u8],
        y: &mut [u8],
        scratch: &mut [u8],
    ) {
        self.correlation.share_columns(team, packed, x, (y, self.y_stride), scratch);
    }

    /// Computes output rows `rows` of `shape.rows()`. `x`: the whole input and [`SLACK`](crate::SLACK) bytes
    /// behind it. `y` starts at the first of these rows. Panics if a slice is too short or `packed` is not
    /// [accepted](Self::accepts).
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]) {
        let [oh, ow] = self.correlation.geometry.out;
        let line = ow * self.y_stride;
        let start = -((rows.start * self.y_stride) as isize);
        let y = Cell::from_mut(y).as_slice_of_cells();
        let target = Target { y, strides: [oh * line, line, self.y_stride], start };
        self.correlation.run(packed, x, &target, rows, scratch);
    }
}
