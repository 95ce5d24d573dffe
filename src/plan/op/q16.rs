//! Nodes whose activations are 16-bit integers with the zero point 0: what the graph says as fixed-point factors.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::conv::cost;
use super::{NodeView, RowsCall, moving, plan_elements, values, values_mut};
use crate::graph::{Clamp, DType, Data, Op, Tensor, Unary, UnaryKind};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::fixed::{Multiplier, SumMultiplier};
use ottava_kernels::q16::depthwise::Depthwise;
use ottava_kernels::q16::elementwise::{Code, Integer, Rescale, rescale};
use ottava_kernels::q16::functions::Table;
use ottava_kernels::q16::product::Product;
use ottava_kernels::q16::reduce::{Factor, MAX_TERMS};
use ottava_kernels::q16::softmax::Softmax;
use ottava_kernels::q16::{Epilogue, Factors};
use ottava_kernels::{ConvShape, ConvTransposeShape};
use std::ops::Range;

/// The scale of logistic, hyperbolic tangent and softmax: fractions of 1.
const FRACTION: f32 = 1.0 / 32768.0;
/// Sums of 64 bits stay below this, so that their products with factors do.
const MOST_SUM: u64 = 1 << 47;
/// What a multiply-add costs, see [`Kernel::cost`].
pub(super) const COST: u64 = 8;

/// The scale of a tensor of 16-bit integers.
pub(super) fn scale(v: NodeView<'_>, t: &Tensor) -> Result<f32, PlanError> {
    match (t.dtype, t.quant.as_ref().and_then(|q| q.single())) {
        (DType::I16, Some((scale, 0))) => Ok(scale),
        _ => Err(v.unsupported(format!(
            "'{}' should be i16 with one scale and the zero point 0, it is {}",
            t.name, t.dtype
        ))),
    }
}

/// The integers of a clamp's bounds: rounded, halves away from 0.
pub(super) fn range(scale: f32, clamp: Clamp) -> [i16; 2] {
    // From floats to integers saturates.
    [clamp.min, clamp.max].map(|bound| (bound / scale).round() as i16)
}

/// A refusal because of a factor between scales.
fn out_of_range(v: NodeView<'_>, factor: f64) -> PlanError {
    v.unsupported(format!("its scales make the factor {factor}, which has no fixed-point form"))
}

fn multiplier(v: NodeView<'_>, factor: f64) -> Result<Multiplier, PlanError> {
    Multiplier::new(factor).ok_or_else(|| out_of_range(v, factor))
}

/// Biases, factors and bounds of a product with weights whose rows have `products` elements.
fn epilogue(v: NodeView<'_>, products: usize, clamp: Clamp) -> Result<Epilogue, PlanError> {
    let (x, y, w) = (scale(v, v.tensor(0)?)?, scale(v, v.out())?, v.tensor(1)?);
    let channels = v.dims(w)?.first().copied().unwrap_or(0);
    let quant = w.quant.as_ref().filter(|q| matches!(q.axis, None | Some(0)));
    let quant = quant.filter(|q| q.zero_point.iter().all(|&zero| zero == 0)).ok_or_else(|| {
        v.unsupported(format!("'{}' should be quantized per tensor or along axis 0, zero points 0", w.name))
    })?;
    let linear = matches!(v.node.op, Op::Linear(_));
    let factor = |c: usize| {
        let w = quant.scale[if quant.axis.is_some() { c } else { 0 }];
        f64::from(x) * f64::from(w) / f64::from(y)
    };
    let factors = (0..channels).map(factor);
    let bias = match v.node.input(2) {
        None => vec![0; channels],
        Some(_) => v.ints(2)?,
    };
    if bias.len() != channels {
        return Err(v.unsupported(format!("{} biases for {channels} channels", bias.len())));
    }
    let weights = v.constant(1)?.bytes().chunks(products.max(1));
    let bound = |(row, bias): (&[u8], &i64)| {
        let sum: u64 = row.iter().map(|&w| u64::from((w as i8).unsigned_abs())).sum();
        sum.saturating_mul(1 << 15).saturating_add(bias.unsigned_abs())
    };
    let bound = weights.zip(&bias).map(bound).max().unwrap_or(0);
    let bias_type = v.node.input(2).map(|b| v.graph.tensor(b).dtype);
    let sums = match bias_type {
        // Whoever has no bias has no type of sums either: 32 bits, if they suffice.
        None if linear && bound <= i32::MAX as u64 => DType::I32,
        None => DType::I64,
        Some(given) => given,
    };
    let (factors, most) = match sums {
        DType::I32 => {
            // A matrix product with one scale takes its factor from f32: that is how it is defined.
            let single = linear && quant.axis.is_none();
            let factor =
                |f| multiplier(v, if single { f64::from(x * quant.scale[0]) / f64::from(y) } else { f });
            (Factors::Narrow(factors.map(factor).collect::<Result<_, _>>()?), i32::MAX as u64)
        }
        DType::I64 if linear => (Factors::Real(factors.collect()), MOST_SUM),
        DType::I64 => {
            let factor = |f| SumMultiplier::new(f).ok_or_else(|| out_of_range(v, f));
            (Factors::Wide(factors.map(factor).collect::<Result<_, _>>()?), MOST_SUM)
        }
        _ => return Err(v.no_kernel()),
    };
    if bound > most {
        return Err(v.unsupported(format!(
            "{products} products of i16 and i8 plus the bias may reach {bound}, more than its sums may: {most}; \
             convert the model with biases of 64 bits"
        )));
    }
    Ok(Epilogue { bias, factors, range: range(y, clamp) })
}

/// A convolution, or of [`ConvShape::linear`] a matrix product.
pub(super) fn plan_conv(
    p: &Planner<'_>,
    v: NodeView<'_>,
    shape: ConvShape,
    clamp: Clamp,
) -> Result<Planned, PlanError> {
    let epilogue = epilogue(v, shape.k(), clamp)?;
    let weights = v.constant(1)?;
    let work = match Depthwise::new(p.isa, shape, bytemuck::cast_slice(weights.bytes()), epilogue.clone()) {
        Some(depthwise) => Work::Depthwise(depthwise),
        None => Work::Product(Product::conv(p.isa, &shape, epilogue), weights.clone()),
    };
    step(p, v, work, [shape.rows(), shape.oc], shape.macs(), cost(&shape, COST))
}

pub(super) fn plan_transposed(
    p: &Planner<'_>,
    v: NodeView<'_>,
    shape: &ConvTransposeShape,
    clamp: Clamp,
) -> Result<Planned, PlanError> {
    let products = shape.kernel[0] * shape.kernel[1] * (shape.c / shape.groups.max(1));
    let product = Product::transposed(p.isa, shape, epilogue(v, products, clamp)?);
    let work = Work::Product(product, v.constant(1)?.clone());
    let pixels = shape.n * shape.oh * shape.ow;
    step(p, v, work, [pixels, shape.oc], shape.macs(), shape.macs().saturating_mul(COST))
}

fn step(
    p: &Planner<'_>,
    v: NodeView<'_>,
    work: Work,
    [rows, channels]: [usize; 2],
    macs: u64,
    cost: u64,
) -> Result<Planned, PlanError> {
    let x_len = v.dims(v.tensor(0)?)?.iter().product();
    let name = match work {
        Work::Product(..) => format!("product-i16i8 {}", p.isa),
        Work::Depthwise(_) => format!("depthwise-i16i8 {}", p.isa),
    };
    let kernel = Weighted { name, work, x_len, rows, channels, macs, cost };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

/// What computes some pixels of an output.
enum Work {
    /// With weights as the graph has them.
    Product(Product, Data),
    Depthwise(Depthwise),
}

/// The step of a product with weights.
struct Weighted {
    name: String,
    work: Work,
    /// Elements of the input.
    x_len: usize,
    /// Pixels of the output.
    rows: usize,
    channels: usize,
    macs: u64,
    cost: u64,
}

impl Kernel for Weighted {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn macs(&self) -> u64 {
        self.macs
    }
    fn cost(&self) -> u64 {
        self.cost
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [y], scratch } = io.one();
        let x: &[i16] = values(x, self.x_len);
        let rows = Rows { count: self.rows, grain: 1, stride: 2 * self.channels, y, scratch_len: 0, scratch };
        pool.split(self.cost, rows, &|rows: Range<usize>, y: &mut [u8], _: &mut [u8]| match &self.work {
            Work::Product(product, weights) => {
                product.run(bytemuck::cast_slice(weights.bytes()), x, rows, values_mut(y));
            }
            Work::Depthwise(depthwise) => depthwise.run(x, rows, values_mut(y)),
        });
        Ok(())
    }
}

/// Clamps and slopes are changes of scale, curves are tables.
pub(super) fn plan_unary(p: &Planner<'_>, v: NodeView<'_>, op: &Unary) -> Result<Planned, PlanError> {
    let (x, y) = (scale(v, v.tensor(0)?)?, scale(v, v.out())?);
    let name = op.kind.name();
    let (alpha, clamp) = match op.kind {
        UnaryKind::Relu => (1.0, Clamp::RELU),
        UnaryKind::Clip => (1.0, Clamp { min: op.alpha, max: op.beta }),
        UnaryKind::LeakyRelu => (op.alpha, Clamp::NONE),
        UnaryKind::Sigmoid | UnaryKind::Tanh if y == FRACTION => {
            let table = if op.kind == UnaryKind::Tanh { Table::tanh(x) } else { Table::logistic(x) };
            return plan_elements(v, format!("table-{name}-i16"), 0, move |x, y| {
                let y = values_mut(y);
                table.run(values(x, y.len()), y);
            });
        }
        UnaryKind::Sigmoid | UnaryKind::Tanh => {
            return Err(v.unsupported(format!("the scale of its output is {y}, it must be 2^-15")));
        }
        _ => return Err(v.no_kernel()),
    };
    let op = Rescale::leaky((x, 0), (y, 0), alpha, range(y, clamp).map(i32::from));
    let op = op.ok_or_else(|| out_of_range(v, f64::from(x) * f64::from(alpha) / f64::from(y)))?;
    plan_rescale::<i16, i16>(p, v, name, op)
}

/// A step that rescales `X` to `Y`.
fn plan_rescale<X, Y>(p: &Planner<'_>, v: NodeView<'_>, name: &str, op: Rescale) -> Result<Planned, PlanError>
where
    X: Integer + bytemuck::Pod,
    Y: Code + bytemuck::Pod,
{
    let isa = p.isa;
    let name = format!("{name}-{}-{} {isa}", v.tensor(0)?.dtype, v.out().dtype);
    plan_elements(v, name, 20, move |x, y| {
        let y = values_mut::<Y>(y);
        rescale::<X, Y>(isa, op, values(x, y.len()), y);
    })
}

/// Between integers of which one side at least has more than 8 bits. `x` and `y`: scales and zero points.
pub(super) fn plan_requantize(
    p: &Planner<'_>,
    v: NodeView<'_>,
    x: (f32, i32),
    y: (f32, i32),
) -> Result<Planned, PlanError> {
    let (from, to) = (v.tensor(0)?.dtype, v.out().dtype);
    let range = match to {
        DType::I32 => [i32::MIN, i32::MAX],
        DType::I16 => [-32768, 32767],
        _ => [0, 255],
    };
    let op = Rescale::new(x, y, range).ok_or_else(|| out_of_range(v, f64::from(x.0) / f64::from(y.0)))?;
    match (from, to) {
        (DType::I16, DType::I16) => plan_rescale::<i16, i16>(p, v, "requantize", op),
        (DType::I16, DType::U8) => plan_rescale::<i16, u8>(p, v, "requantize", op),
        (DType::I16, DType::I32) => plan_rescale::<i16, i32>(p, v, "requantize", op),
        (DType::I32, DType::I16) => plan_rescale::<i32, i16>(p, v, "requantize", op),
        (DType::I32, DType::U8) => plan_rescale::<i32, u8>(p, v, "requantize", op),
        (DType::U8, DType::I16) => plan_rescale::<u8, i16>(p, v, "requantize", op),
        (DType::U8, DType::I32) => plan_rescale::<u8, i32>(p, v, "requantize", op),
        _ => Err(v.no_kernel()),
    }
}

/// From the sum of `terms` integers to their sum or mean in the output's scale.
pub(super) fn sum_factor(v: NodeView<'_>, terms: usize, mean: bool) -> Result<Factor, PlanError> {
    if terms == 0 || terms > MAX_TERMS {
        return Err(v.unsupported(format!("sums of i16 have 1 to {MAX_TERMS} terms, not {terms}")));
    }
    let (x, y) = (scale(v, v.tensor(0)?)?, scale(v, v.out())?);
    if !mean {
        return Ok(Factor::Real(x / y));
    }
    Ok(Factor::Fixed(multiplier(v, f64::from(x) / f64::from(y))?.over(terms as u32)))
}

/// Of `rows` rows of `len` elements.
pub(super) fn plan_softmax(v: NodeView<'_>, rows: usize, len: usize) -> Result<Planned, PlanError> {
    let (x, y) = (scale(v, v.tensor(0)?)?, scale(v, v.out())?);
    if y != FRACTION || len > 1 << 16 {
        return Err(v.unsupported(format!(
            "the scale of its output must be 2^-15, it is {y}; rows have 65,536 elements at most, not {len}"
        )));
    }
    let softmax = Softmax::new(x).ok_or_else(|| out_of_range(v, x.into()))?;
    let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| {
        let x = values(&x[rows.start * len * 2..], rows.len() * len);
        softmax.run(len, x, values_mut(y));
    };
    let cost = moving(rows.saturating_mul(len)).saturating_mul(20);
    let name = "softmax-i16".to_string();
    let kernel = RowsCall { name, cost, rows, grain: 1, stride: 2 * len, inputs: [0], run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}
