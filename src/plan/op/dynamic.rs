//! Integer products of inputs whose scale and zero point come with the data.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::weights::{Packing, Split, packed_for};
use super::{ELEMENTS, NodeView, PackedWeights, moving, values, values_mut};
use crate::graph::{Clamp, DType, IntegerConv, TensorId};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::dynamic::{extremes, join, source};
use ottava_kernels::integer::{Zeros, conv_sums, matmul_sums};
use ottava_kernels::quantize::{Int8, quantize};
use ottava_kernels::{ConvShape, DynamicQConv, Filter, Isa, Source};

pub(super) fn plan_quantize(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let len = v.dims(v.tensor(0)?)?.iter().product();
    Ok(Planned::step(QuantizeStep { isa: p.isa, len }, &[v.input(0)?], &v.node.outputs))
}

/// Finds scale and zero point, then quantizes with them.
struct QuantizeStep {
    isa: Isa,
    len: usize,
}

impl QuantizeStep {
    /// Elements whose extremes are found together.
    const BLOCK: usize = 4096;
    /// Bytes of a pair of extremes.
    const PAIR: usize = size_of::<[f32; 2]>();
}

impl Kernel for QuantizeStep {
    fn name(&self) -> String {
        format!("dynamic-quantize {}", self.isa)
    }
    fn cost(&self) -> u64 {
        moving(self.len * 5)
    }
    fn scratch_len(&self, _threads: usize) -> usize {
        self.len.div_ceil(Self::BLOCK) * Self::PAIR
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [q, scale, zero], scratch } = io.views([0], [0, 1, 2]);
        let (isa, x) = (self.isa, values::<f32>(x, self.len));
        let found = &mut scratch[..self.scratch_len(1)];
        let (count, grain, scratch_len) = (self.len.div_ceil(Self::BLOCK), 1, 0);
        let blocks = Rows { count, grain, stride: Self::PAIR, y: found, scratch_len, scratch: &mut [] };
        pool.split(moving(self.len * 4), blocks, &|blocks, found, _| {
            let x = x[blocks.start * Self::BLOCK..].chunks(Self::BLOCK);
            x.zip(values_mut::<[f32; 2]>(found)).for_each(|(x, found)| *found = extremes(isa, x));
        });
        let source = source(values::<[f32; 2]>(found, count).iter().fold([0.0; 2], |a, &b| join(a, b)));
        let elements =
            Rows { count: self.len, grain: ELEMENTS, stride: 1, y: q, scratch_len, scratch: &mut [] };
        pool.split(self.cost(), elements, &|rows, q, _| {
            quantize::<u8>(isa, &x[rows], source.scale, source.zero_point, q);
        });
        scale.copy_from_slice(&source.scale.to_ne_bytes());
        zero.copy_from_slice(&[source.zero_point]);
        Ok(())
    }
}

/// A convolution or product with constant i8 weights, f32 out. Inputs: x, weights, bias, scale, zero point.
pub(super) fn plan_product(
    p: &Planner<'_>,
    v: NodeView<'_>,
    shape: ConvShape,
    clamp: Clamp,
    split: Split,
) -> Result<Planned, PlanError> {
    let w = v.tensor(1)?;
    let weights: &[i8] = bytemuck::cast_slice(v.constant(1)?.bytes());
    let channels = shape.oc;
    let quant = w.quant.as_ref().filter(|q| matches!((q.axis, q.scale.len()), (None, 1) | (Some(0), _)));
    let quant = quant.ok_or_else(|| {
        v.unsupported(format!("'{}' should be quantized per tensor or along axis 0", w.name))
    })?;
    let scale: Vec<f32> = quant.scale.iter().copied().cycle().take(channels).collect();
    let zeros: Vec<i16> = quant.zero_point.iter().map(|&z| z as i16).cycle().take(channels).collect();
    let bias = if v.node.input(2).is_some() { v.floats(2)? } else { vec![0.0; channels] };
    if bias.len() != channels || scale.len() != channels {
        return Err(v.unsupported(format!("{} biases for {channels} channels", bias.len())));
    }
    let kernel = DynamicQConv::reals(p.isa, shape, [clamp.min, clamp.max]);
    let filter = Filter { weights, zero_points: &zeros, multiplier: &scale, ..Filter::default() };
    let packed = pack(p, v, &kernel, &filter, &bias)?;
    let step = ProductStep { kernel, packed, split, scale: Some(1), zero: Some(2) };
    Ok(Planned::step(step, &[v.input(0)?, v.input(3)?, v.input(4)?], &v.node.outputs))
}

fn pack(
    p: &Planner<'_>,
    v: NodeView<'_>,
    kernel: &DynamicQConv,
    filter: &Filter<'_>,
    bias: &[f32],
) -> Result<PackedWeights, PlanError> {
    let fits = |packed: &[u8]| kernel.accepts(packed);
    let pack = |to: &mut [u8]| kernel.pack(filter, bias, to);
    let packing = Packing { part: 0, layout: kernel.layout(), len: kernel.packed_len() };
    Ok(packed_for(p, v, v.input(1)?, packing, fits, pack))
}

/// A product with packed weights. Input 0 is x.
struct ProductStep {
    kernel: DynamicQConv,
    packed: PackedWeights,
    split: Split,
    /// Which inputs hold scale and zero point of x; otherwise they are 1 and 0.
    scale: Option<usize>,
    zero: Option<usize>,
}

impl Kernel for ProductStep {
    fn name(&self) -> String {
        format!("dynamic {}", self.kernel.kernel())
    }
    fn macs(&self) -> u64 {
        self.split.macs
    }
    fn cost(&self) -> u64 {
        self.split.cost
    }
    fn weight_bytes(&self) -> usize {
        self.packed.bytes.bytes().len()
    }
    fn scratch_len(&self, threads: usize) -> usize {
        self.kernel.scratch_len().next_multiple_of(64) * threads
    }
    fn packed(&self) -> Option<&PackedWeights> {
        Some(&self.packed)
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let [scale, zero] = [self.scale, self.zero].map(|i| i.unwrap_or(0));
        let Views { inputs: [x, scale, zero], outputs: [y], scratch } = io.views([0, scale, zero], [0]);
        let source = Source {
            scale: if self.scale.is_some() { values::<f32>(scale, 1)[0] } else { 1.0 },
            zero_point: if self.zero.is_some() { zero[0] } else { 0 },
        };
        self.split.run(pool, &self.kernel.of(source), self.packed.bytes.bytes(), x, y, scratch);
        Ok(())
    }
}

/// The zero points of constant input `i` as integers; none where it is left out.
fn constant_zeros(v: NodeView<'_>, i: usize) -> Option<Vec<i32>> {
    match v.node.input(i) {
        None => Some(vec![]),
        Some(id) => {
            let tensor = v.graph.tensor(id);
            tensor.data.as_ref().map(|data| bytes_of(data.bytes(), tensor.dtype))
        }
    }
}

/// 8-bit integers as i32.
fn bytes_of(bytes: &[u8], dtype: DType) -> Vec<i32> {
    match dtype {
        DType::I8 => bytes.iter().map(|&b| i32::from(b as i8)).collect(),
        _ => bytes.iter().map(|&b| i32::from(b)).collect(),
    }
}

/// Constant weights as i8 `[outputs, products]` and the zero points of the outputs; u8 and theirs move by 128.
/// `strides`: between the outputs and between the products of the weights as they are.
fn signed(
    v: NodeView<'_>,
    [outputs, products]: [usize; 2],
    strides: [usize; 2],
) -> Option<(Vec<i8>, Vec<i16>)> {
    let tensor = v.graph.tensor(v.node.input(1)?);
    let codes = bytes_of(tensor.data.as_ref()?.bytes(), tensor.dtype);
    let zeros = constant_zeros(v, 3)?;
    let shift = if tensor.dtype == DType::U8 { 128 } else { 0 };
    let mut weights = Vec::with_capacity(codes.len());
    for (o, k) in (0..outputs).flat_map(|o| (0..products).map(move |k| (o, k))) {
        weights.push((codes.get(o * strides[0] + k * strides[1])? - shift) as i8);
    }
    let zero = |o: usize| zeros.get(if zeros.len() == 1 { 0 } else { o }).copied().unwrap_or(0);
    Some((weights, (0..outputs).map(|o| (zero(o) - shift) as i16).collect()))
}

/// A step that gives the sums of u8 and packed weights.
fn sums(
    p: &Planner<'_>,
    v: NodeView<'_>,
    shape: ConvShape,
    (weights, zero_points): (Vec<i8>, Vec<i16>),
) -> Result<Planned, PlanError> {
    let kernel = DynamicQConv::sums(p.isa, shape);
    let multiplier = vec![0.0; shape.oc];
    let (weights, zero_points, multiplier) = (&weights, &zero_points, &multiplier);
    let filter = Filter { weights, zero_points, multiplier, ..Filter::default() };
    let packed = pack(p, v, &kernel, &filter, &[])?;
    let split = super::conv::pixels(&shape, shape.oc, super::conv::cost(&shape, 1));
    let zero = v.node.input(2);
    let step = ProductStep { kernel, packed, split, scale: None, zero: zero.map(|_| 1) };
    let inputs: Vec<TensorId> = std::iter::once(v.input(0)?).chain(zero).collect();
    Ok(Planned::step(step, &inputs, &v.node.outputs))
}

pub(super) fn plan_matmul(p: &Planner<'_>, v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (ad, bd, yd) = (v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?, v.dims(v.out())?);
    let (Some((a_batch, &[m, k])), Some((b_batch, &[bk, n])), Some((y_batch, _))) =
        (ad.split_last_chunk(), bd.split_last_chunk(), yd.split_last_chunk::<2>())
    else {
        return Err(v.unsupported("both factors need rank 2 or more"));
    };
    if bk != k {
        return Err(v.unsupported(format!("{ad:?} and {bd:?} can't be multiplied")));
    }
    if v.tensor(0)?.dtype == DType::U8
        && b_batch.is_empty()
        && let Some(weights) = signed(v, [n, k], [1, n])
    {
        let rows = a_batch.iter().product::<usize>() * m;
        return sums(p, v, ConvShape::linear(rows, k, n), weights);
    }
    let batches = super::matmul::batches_of(v, y_batch, [a_batch, b_batch])?;
    let products = PlainProducts { dims: [m, k, n], batches };
    plain(p, v, products)
}

pub(super) fn plan_conv(p: &Planner<'_>, v: NodeView<'_>, op: &IntegerConv) -> Result<Planned, PlanError> {
    let shape = super::conv::window_shape(v, op.strides, op.pads, op.dilations, op.groups)?;
    let products = shape.k();
    if v.tensor(0)?.dtype == DType::U8
        && let Some(weights) = signed(v, [shape.oc, products], [products, 1])
    {
        return sums(p, v, shape, weights);
    }
    plain(p, v, shape)
}

/// A computation of sums in plain loops.
trait Plain: Send + Sync + 'static {
    const NAME: &'static str;
    fn macs(&self) -> u64;
    fn run<A: Int8 + bytemuck::Pod, B: Int8 + bytemuck::Pod>(
        &self,
        isa: ottava_kernels::Isa,
        a: (&[A], i32),
        b: (&[B], Zeros<'_>),
        y: &mut [i32],
    );
}

struct PlainProducts {
    /// m, k, n
    dims: [usize; 3],
    /// For each product the indices of its two matrices.
    batches: Vec<[usize; 2]>,
}

impl Plain for PlainProducts {
    const NAME: &'static str = "integer-matmul";
    fn macs(&self) -> u64 {
        self.dims.iter().fold(self.batches.len() as u64, |n, &d| n.saturating_mul(d as u64))
    }
    fn run<A: Int8 + bytemuck::Pod, B: Int8 + bytemuck::Pod>(
        &self,
        isa: ottava_kernels::Isa,
        (a, a_zero): (&[A], i32),
        (b, b_zero): (&[B], Zeros<'_>),
        y: &mut [i32],
    ) {
        let [m, k, n] = self.dims;
        for (y, [ia, ib]) in y.chunks_exact_mut((m * n).max(1)).zip(&self.batches) {
            matmul_sums(isa, self.dims, &a[ia * m * k..], a_zero, &b[ib * k * n..], b_zero, y);
        }
    }
}

impl Plain for ConvShape {
    const NAME: &'static str = "integer-conv";
    fn macs(&self) -> u64 {
        ConvShape::macs(self)
    }
    fn run<A: Int8 + bytemuck::Pod, B: Int8 + bytemuck::Pod>(
        &self,
        isa: ottava_kernels::Isa,
        (x, x_zero): (&[A], i32),
        (w, w_zero): (&[B], Zeros<'_>),
        y: &mut [i32],
    ) {
        conv_sums(isa, self, x, x_zero, w, w_zero, y);
    }
}

/// What a plain step reads besides its two factors.
struct PlainStep<P> {
    plain: P,
    isa: ottava_kernels::Isa,
    /// u8 or i8, of each factor.
    dtypes: [DType; 2],
    /// Which inputs hold the zero points, and how many there are.
    zeros: [Option<(usize, usize)>; 2],
}

fn plain(p: &Planner<'_>, v: NodeView<'_>, plain: impl Plain) -> Result<Planned, PlanError> {
    let mut inputs = vec![v.input(0)?, v.input(1)?];
    let mut zeros = [None; 2];
    for (factor, zero) in zeros.iter_mut().enumerate() {
        if let Some(id) = v.node.input(2 + factor) {
            let count = v.dims(v.graph.tensor(id))?.iter().product();
            *zero = Some((inputs.len(), count));
            inputs.push(id);
        }
    }
    let dtypes = [v.tensor(0)?.dtype, v.tensor(1)?.dtype];
    Ok(Planned::step(PlainStep { plain, isa: p.isa, dtypes, zeros }, &inputs, &v.node.outputs))
}

impl<P: Plain> Kernel for PlainStep<P> {
    fn name(&self) -> String {
        let [a, b] = self.dtypes;
        format!("{}-{a}-{b} {}", P::NAME, self.isa)
    }
    fn macs(&self) -> u64 {
        self.plain.macs()
    }
    fn scratch_len(&self, _threads: usize) -> usize {
        self.zeros[1].map_or(0, |(_, count)| count.saturating_mul(4))
    }
    fn run(&self, io: &mut Io<'_>, _pool: &Pool) -> Result<(), RunError> {
        let [a_zero, b_zero] = self.zeros.map(|z| z.map_or(0, |(input, _)| input));
        let Views { inputs: [a, b, za, zb], outputs: [y], scratch } = io.views([0, 1, a_zero, b_zero], [0]);
        let wide = |dtype: DType, b: u8| if dtype == DType::I8 { i32::from(b as i8) } else { i32::from(b) };
        let a_zero = self.zeros[0].map_or(0, |_| wide(self.dtypes[0], za[0]));
        let count = self.zeros[1].map_or(0, |(_, count)| count);
        let zeros = &mut values_mut::<i32>(scratch)[..count];
        zeros.iter_mut().zip(zb).for_each(|(to, &z)| *to = wide(self.dtypes[1], z));
        let (zeros, y) = (Zeros(zeros), values_mut::<i32>(y));
        let (isa, ai, bi) = (self.isa, bytemuck::cast_slice::<u8, i8>(a), bytemuck::cast_slice::<u8, i8>(b));
        match self.dtypes {
            [DType::I8, DType::I8] => self.plain.run(isa, (ai, a_zero), (bi, zeros), y),
            [DType::I8, _] => self.plain.run(isa, (ai, a_zero), (b, zeros), y),
            [_, DType::I8] => self.plain.run(isa, (a, a_zero), (bi, zeros), y),
            _ => self.plain.run(isa, (a, a_zero), (b, zeros), y),
        }
        Ok(())
    }
}
