//! Products of an input whose scale and zero point come with its data.
//!
//! The sums are those of every integer convolution. Since the zero point is not known when weights are packed, its
//! share `zero_point * sum(w)` is taken off at the end, with the sums of weights that panels hold anyway.

use super::driver::Correlation;
use super::geometry::Geometry;
use super::requantize::Epilogue;
use super::{QConv, operation};
use crate::{ConvShape, Filter, Isa};
use std::ops::Range;

/// How the bytes of an input stand for reals: `scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// One step.
    pub scale: f32,
    /// The byte that stands for 0. It also fills the border.
    pub zero_point: u8,
}

/// What becomes of a sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dynamic {
    pub source: Source,
    pub form: Form,
    /// Weights of one output channel.
    pub products: i32,
}

/// What leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// The sums.
    Sums,
    /// `sum as f32 * (scale * weight scale) + bias`, within bounds.
    Reals([f32; 2]),
}

impl Dynamic {
    /// The definition. `total`: the sum of products with the bits of the bias added, as kernels have it. Each step is
    /// one IEEE operation; what is not a number stays so. `weight_sum`: of the weights less their zero point.
    #[inline(always)]
    pub fn apply(&self, total: i32, bias: i32, weight_scale: f32, weight_sum: i32) -> [u8; 4] {
        let zero = i32::from(self.source.zero_point).wrapping_mul(weight_sum);
        let sum = total.wrapping_sub(bias).wrapping_sub(zero);
        match self.form {
            Form::Sums => sum.to_ne_bytes(),
            Form::Reals([min, max]) => {
                let real = sum as f32 * (self.source.scale * weight_scale) + f32::from_bits(bias as u32);
                let real = if real > max { max } else { real };
                let real = if real < min { min } else { real };
                real.to_ne_bytes()
            }
        }
    }
}

/// An integer convolution or matrix product of an input that was quantized while the network ran. Outputs are dense,
/// 4 bytes each.
#[derive(Clone, Debug)]
pub struct DynamicQConv {
    correlation: Correlation,
    form: Form,
}

impl DynamicQConv {
    /// f32 out: `clamp(sum as f32 * (scale * weight scale) + bias)`.
    ///
    /// Panics as [`QConv::new`](super::QConv::new).
    pub fn reals(isa: Isa, shape: ConvShape, clamp: [f32; 2]) -> DynamicQConv {
        assert!(clamp[0] <= clamp[1], "the range of the output is not empty");
        DynamicQConv::new(isa, shape, Form::Reals(clamp))
    }

    /// i32 out: the sums, modulo 2^32.
    ///
    /// Panics as [`QConv::new`](super::QConv::new).
    pub fn sums(isa: Isa, shape: ConvShape) -> DynamicQConv {
        DynamicQConv::new(isa, shape, Form::Sums)
    }

    fn new(isa: Isa, shape: ConvShape, form: Form) -> DynamicQConv {
        let geometry = Geometry::new(&shape);
        let row = shape.oc.checked_mul(4);
        let bytes = row.and_then(|row| geometry.rows().checked_mul(row));
        assert!(bytes.is_some_and(|l| l <= isize::MAX as usize), "output too large");
        let source = Source { scale: 1.0, zero_point: 0 };
        let out = Epilogue::Dynamic(Dynamic { source, form, products: 0 });
        let mut correlation = Correlation::new(isa, geometry, 0, out);
        correlation.layout = correlation.layout.with_real_bias();
        DynamicQConv { correlation, form }
    }

    /// What runs, for people: operation, tile, instruction set.
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

    /// True if `packed` was packed for this layout and shape: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        self.correlation.layout.accepts(packed)
    }

    /// Packs weights, the multipliers being their scales, and `bias[oc]` (or none), which is not the filter's. Scales
    /// and bias do not matter to sums.
    ///
    /// Panics if a slice has another length.
    pub fn pack(&self, filter: &Filter<'_>, bias: &[f32], packed: &mut [u8]) {
        let bits: Vec<i32> = bias.iter().map(|b| b.to_bits() as i32).collect();
        self.correlation.layout.pack(&Filter { bias: &bits, ..*filter }, packed);
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        self.correlation.scratch_len()
    }

    /// The convolution of inputs that are quantized so, with outputs of 4 bytes. Allocates nothing.
    pub fn of(&self, source: Source) -> QConv {
        let products = self.correlation.layout.products();
        let mut correlation = self.correlation.clone();
        correlation.x_zero_point = source.zero_point;
        correlation.out = Epilogue::Dynamic(Dynamic { source, form: self.form, products });
        let y_stride = 4 * correlation.geometry.oc;
        QConv { correlation, y_stride }
    }

    /// Computes output rows `rows` of `shape.rows()`. `x`: the whole input and [`SLACK`](crate::SLACK) bytes
    /// behind it. `y` starts at the first of these rows. Panics if a slice is too short or `packed` is not
    /// [accepted](Self::accepts).
    pub fn run(
        &self,
        packed: &[u8],
        x: &[u8],
        source: Source,
        y: &mut [u8],
        rows: Range<usize>,
        scratch: &mut [u8],
    ) {
        self.of(source).run(packed, x, y, rows, scratch);
    }
}
