//! Convolutions and products with constant weights.

use super::super::{PlanError, Planned, Planner};
use super::integer::Integer;
use super::weights::{Split, WeightStep, Weighted};
use super::{NodeView, dynamic, q16};
use crate::graph::{Clamp, Conv, ConvTranspose, DType, Linear, Op, TensorId};
use ottava_kernels::fconv::FConv;
use ottava_kernels::fconv_transpose::FConvTranspose;
use ottava_kernels::fdepthwise::FDepthwise;
use ottava_kernels::frow::FRow;
use ottava_kernels::{ConvShape, ConvTransposeShape, QConv, QConvTranspose, QDepthwise, QRow, QSparseRow};

pub(super) fn plan_conv(p: &Planner<'_>, v: NodeView<'_>, op: &Conv) -> Result<Planned, PlanError> {
    let shape = window_shape(v, op.strides, op.pads, op.dilations, op.groups)?;
    plan_shape(p, v, shape, op.clamp)
}

/// The shape of a convolution of input 0 with the weights of input 1.
pub(super) fn window_shape(
    v: NodeView<'_>,
    strides: [usize; 2],
    pads: [usize; 4],
    dilations: [usize; 2],
    groups: usize,
) -> Result<ConvShape, PlanError> {
    let [n, h, w, c] = four(v, v.tensor(0)?)?;
    let [oc, kh, kw, _] = four(v, v.tensor(1)?)?;
    let [_, oh, ow, _] = four(v, v.out())?;
    let (kernel, pad) = ([kh, kw], [pads[0], pads[1]]);
    Ok(ConvShape { n, h, w, c, oc, kernel, strides, dilations, pad, oh, ow, groups })
}

pub(super) fn plan_linear(p: &Planner<'_>, v: NodeView<'_>, op: &Linear) -> Result<Planned, PlanError> {
    let (x, w) = (v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?);
    match (x.split_last(), &w[..]) {
        (Some((&k, lead)), &[n, wk]) if k == wk => {
            plan_shape(p, v, ConvShape::linear(lead.iter().product(), k, n), op.clamp)
        }
        _ => Err(v.unsupported(format!("x must be [..., K] and w [N, K]; they are {x:?} and {w:?}"))),
    }
}

fn four(v: NodeView<'_>, t: &crate::graph::Tensor) -> Result<[usize; 4], PlanError> {
    let dims = v.dims(t)?;
    let rank = dims.len();
    dims.try_into().map_err(|_| v.unsupported(format!("'{}' should have rank 4, it has {rank}", t.name)))
}

/// What a product costs whose multiply-adds cost `each`: besides them every pixel costs what a thousand would, and
/// outputs come in sixteens.
pub(super) fn cost(shape: &ConvShape, each: u64) -> u64 {
    let outputs = (shape.oc as u64).next_multiple_of(16) * shape.k() as u64;
    (shape.rows() as u64).saturating_mul(outputs.saturating_mul(each).saturating_add(1000))
}

/// True if an input whose zero point is 0 may be zero for a good part, so that a row's weights need not all be read, and
/// reading them takes time: a [`Linear`] has made it, whose negative sums became zero (what is a mean of some pixels seldom
/// is), and the first cache does not hold the network's weights from run to run.
fn mostly_zeros(p: &Planner<'_>, v: NodeView<'_>) -> Result<bool, PlanError> {
    const FIRST_CACHE: usize = 48 << 10;
    Ok(p.constants > FIRST_CACHE && matches!(p.producer(v.input(0)?), Some(Op::Linear(_))))
}

/// Threads take output pixels, which start so many elements apart.
pub(super) fn pixels(shape: &ConvShape, stride: usize, cost: u64) -> Split {
    Split { rows: shape.rows(), stride, macs: shape.macs(), cost }
}

/// What a multiply-add costs whose weight, a float, is read for it alone.
const READ_COST: u64 = 8;

fn plan_shape(
    p: &Planner<'_>,
    v: NodeView<'_>,
    shape: ConvShape,
    clamp: Clamp,
) -> Result<Planned, PlanError> {
    let (types, macs) = (types(v)?, shape.macs());
    let cost = match (shape.is_depthwise(), &types) {
        // They take less, but share out earlier: what one thread alone has written the others fetch from its cache.
        (true, Types::Float) => macs.saturating_mul(10),
        (true, _) => macs.saturating_mul(6),
        (false, _) => cost(&shape, types.cost()),
    };
    let stride = v.spacing(shape.oc);
    let pixels = pixels(&shape, stride, cost);
    let lines = Split { rows: shape.n * shape.oh, stride: shape.ow * stride, macs, cost };
    let one_row = shape.rows() == 1 && shape.is_pointwise();
    match types {
        Types::Dynamic => dynamic::plan_product(p, v, shape, clamp, pixels),
        Types::Wide => q16::plan_conv(p, v, shape, clamp),
        Types::Integer => {
            let y = v.affine(v.out())?;
            let (q, out) = (Integer::of(v, shape.k(), y.scale)?, y.output(clamp));
            if shape.is_depthwise() {
                let mut kernel = QDepthwise::new(p.isa, shape, q.x_zero, out, stride);
                if !q.zero_points.is_empty() {
                    kernel = kernel.with_wide_weights(q.farthest(shape.k()));
                }
                if q.has_offsets() {
                    kernel = kernel.with_offsets();
                }
                q.step(p, v, kernel, lines, QDepthwise::pack)
            } else if one_row {
                let (k, n) = (shape.c, shape.oc);
                if q.has_plain_weights() && QSparseRow::pays(p.isa, k, n) && mostly_zeros(p, v)? {
                    let kernel = QSparseRow::new(p.isa, k, n, out);
                    let units = Split { rows: kernel.units(), stride: kernel.width(), ..pixels };
                    return q.step(p, v, kernel, units, QSparseRow::pack);
                }
                let kernel = QRow::new(p.isa, k, n, q.x_zero, out);
                q.row_step(p, v, kernel, pixels)
            } else {
                let kernel = QConv::new(p.isa, shape, q.x_zero, out, stride);
                let kernel = if q.has_offsets() { kernel.with_offsets() } else { kernel };
                q.step(p, v, kernel, pixels, QConv::pack)
            }
        }
        Types::IntegerToFloat => {
            if shape.is_depthwise() {
                return Err(v.no_kernel());
            }
            let (q, clamp) = (Integer::of(v, shape.k(), 1.0)?, [clamp.min, clamp.max]);
            if one_row {
                let kernel = QRow::to_f32(p.isa, shape.c, shape.oc, q.x_zero, clamp);
                return q.row_step(p, v, kernel, pixels);
            }
            let kernel = QConv::to_f32(p.isa, shape, q.x_zero, clamp);
            let kernel = if q.has_offsets() { kernel.with_offsets() } else { kernel };
            q.step(p, v, kernel, pixels, QConv::pack)
        }
        Types::Float => {
            let f = Float::of(v)?;
            let clamp = [clamp.min, clamp.max];
            if shape.is_depthwise() {
                let kernel = FDepthwise::new(p.isa, shape, clamp, stride);
                f.step(p, v, kernel, lines, FDepthwise::pack)
            } else if one_row {
                let kernel = FRow::new(p.isa, shape.c, shape.oc, clamp);
                let cost = macs.saturating_mul(READ_COST);
                let panels = Split { rows: kernel.panels(), stride: kernel.width(), macs, cost };
                f.step(p, v, kernel, panels, FRow::pack)
            } else {
                let kernel = FConv::new(p.isa, shape, clamp, stride);
                f.step(p, v, kernel, pixels, FConv::pack)
            }
        }
    }
}

pub(super) fn plan_transpose(
    p: &Planner<'_>,
    v: NodeView<'_>,
    op: &ConvTranspose,
) -> Result<Planned, PlanError> {
    let [n, h, w, c] = four(v, v.tensor(0)?)?;
    let [oc, kh, kw, _] = four(v, v.tensor(1)?)?;
    let [_, oh, ow, _] = four(v, v.out())?;
    let shape = ConvTransposeShape {
        n,
        h,
        w,
        c,
        oc,
        kernel: [kh, kw],
        strides: op.strides,
        dilations: op.dilations,
        pad: [op.pads[0], op.pads[1]],
        oh,
        ow,
        groups: op.groups,
    };
    let (types, macs) = (types(v)?, shape.macs());
    let stride = v.spacing(oc);
    let lines = Split { rows: n * oh, stride: ow * stride, macs, cost: macs.saturating_mul(types.cost()) };
    match types {
        Types::Integer => {
            let y = v.affine(v.out())?;
            let (q, out) = (Integer::of(v, kh * kw * c / op.groups.max(1), y.scale)?, y.output(op.clamp));
            let kernel = QConvTranspose::new(p.isa, shape, q.x_zero, out, stride);
            let kernel = if q.has_offsets() { kernel.with_offsets() } else { kernel };
            q.step(p, v, kernel, lines, QConvTranspose::pack)
        }
        Types::IntegerToFloat | Types::Dynamic => Err(v.no_kernel()),
        Types::Wide => q16::plan_transposed(p, v, &shape, op.clamp),
        Types::Float => {
            let f = Float::of(v)?;
            let kernel = FConvTranspose::new(p.isa, shape, [op.clamp.min, op.clamp.max], stride);
            f.step(p, v, kernel, lines, FConvTranspose::pack)
        }
    }
}

/// What the node computes with.
enum Types {
    Integer,
    /// Integer sums that leave as reals: the last layer of a network keeps all that its accumulators know.
    IntegerToFloat,
    /// Integer sums of an input that was quantized at run time; they leave as reals.
    Dynamic,
    /// Integer sums of activations of 16 bits.
    Wide,
    Float,
}

impl Types {
    /// What a multiply-add costs, in those of the fastest kernels: a float is four times as wide as a byte.
    fn cost(&self) -> u64 {
        match self {
            Types::Integer | Types::IntegerToFloat | Types::Dynamic => 1,
            Types::Float => 4,
            Types::Wide => q16::COST,
        }
    }
}

fn types(v: NodeView<'_>) -> Result<Types, PlanError> {
    match (v.tensor(0)?.dtype, v.tensor(1)?.dtype, v.out().dtype) {
        (DType::U8, DType::I8, DType::F32) if v.node.input(3).is_some() => Ok(Types::Dynamic),
        (DType::U8, DType::I8, DType::U8) => Ok(Types::Integer),
        (DType::U8, DType::I8, DType::F32) => Ok(Types::IntegerToFloat),
        (DType::I16, DType::I8, DType::I16) => Ok(Types::Wide),
        (DType::F32, DType::F32 | DType::F16 | DType::BF16, DType::F32) => Ok(Types::Float),
        _ => Err(v.no_kernel()),
    }
}

/// Weights and bias of a float node.
struct Float {
    weights: Vec<f32>,
    bias: Vec<f32>,
    tensor: TensorId,
}

impl Float {
    fn of(v: NodeView<'_>) -> Result<Float, PlanError> {
        let weights = v.floats(1)?;
        let channels = v.dims(v.tensor(1)?)?[0];
        let bias = if v.node.input(2).is_some() { v.floats(2)? } else { vec![0.0; channels] };
        if bias.len() != channels {
            return Err(v.unsupported(format!("{} biases for {channels} channels", bias.len())));
        }
        Ok(Float { weights, bias, tensor: v.input(1)? })
    }

    fn step<K: Weighted>(
        self,
        p: &Planner<'_>,
        v: NodeView<'_>,
        kernel: K,
        split: Split,
        pack: impl FnOnce(&K, &[f32], &[f32], &mut [f32]),
    ) -> Result<Planned, PlanError> {
        let Float { weights, bias, .. } = &self;
        let pack = |k: &K, to: &mut [u8]| pack(k, weights, bias, bytemuck::cast_slice_mut(to));
        WeightStep::new(p, v, self.tensor, kernel, split, pack).planned(v)
    }
}
