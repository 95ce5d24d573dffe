//! Functions of two tensors, and choice between two, with broadcasting.

use super::super::{PlanError, Planned, Planner};
use super::{ELEMENTS, NodeView, RowsCall, moving, q16, values, values_mut};
use crate::graph::{Binary, BinaryKind, DType};
use ottava_kernels::binary::{BinaryFn, CompareFn, Integer, binary_f32, binary_int, compare, select};
use ottava_kernels::broadcast::Broadcast;
use ottava_kernels::q16::elementwise::{Add, Mul, add, mul};
use ottava_kernels::qbinary::{QAdd, QMul, QReal, qadd, qmul, qreal};
use std::ops::Range;

/// What a kind becomes among the kernels.
enum Function {
    Arithmetic(BinaryFn),
    Comparison(CompareFn),
}

fn function(kind: BinaryKind) -> Function {
    use Function::{Arithmetic, Comparison};
    match kind {
        BinaryKind::Add => Arithmetic(BinaryFn::Add),
        BinaryKind::Sub => Arithmetic(BinaryFn::Sub),
        BinaryKind::Mul => Arithmetic(BinaryFn::Mul),
        BinaryKind::Div => Arithmetic(BinaryFn::Div),
        BinaryKind::Pow => Arithmetic(BinaryFn::Pow),
        BinaryKind::Min => Arithmetic(BinaryFn::Min),
        BinaryKind::Max => Arithmetic(BinaryFn::Max),
        BinaryKind::PRelu => Arithmetic(BinaryFn::PRelu),
        BinaryKind::Equal => Comparison(CompareFn::Equal),
        BinaryKind::Less => Comparison(CompareFn::Less),
        BinaryKind::Greater => Comparison(CompareFn::Greater),
        BinaryKind::LessEqual => Comparison(CompareFn::LessEqual),
        BinaryKind::GreaterEqual => Comparison(CompareFn::GreaterEqual),
        BinaryKind::Mod => Arithmetic(BinaryFn::Mod),
        BinaryKind::Fmod => Arithmetic(BinaryFn::Fmod),
        BinaryKind::And => Arithmetic(BinaryFn::And),
        BinaryKind::Or => Arithmetic(BinaryFn::Or),
        BinaryKind::Xor => Arithmetic(BinaryFn::Xor),
        BinaryKind::ShiftLeft => Arithmetic(BinaryFn::ShiftLeft),
        BinaryKind::ShiftRight => Arithmetic(BinaryFn::ShiftRight),
    }
}

/// Two operands, the walk over them and how many elements each has.
struct Pair {
    walk: Broadcast<2>,
    lens: [usize; 2],
}

fn pair(v: NodeView<'_>) -> Result<Pair, PlanError> {
    let (a, b, y) = (v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?, v.dims(v.out())?);
    let walk = Broadcast::new(&y, [&a, &b]);
    let walk = walk.ok_or_else(|| v.unsupported(format!("{a:?} and {b:?} can't be broadcast to {y:?}")))?;
    Ok(Pair { walk, lens: [a.iter().product(), b.iter().product()] })
}

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &Binary) -> Result<Planned, PlanError> {
    let (a, b, y) = (v.tensor(0)?.dtype, v.tensor(1)?.dtype, v.out().dtype);
    if a != b {
        return Err(v.no_kernel());
    }
    let meaning =
        v.node.present_inputs().chain([v.node.outputs[0]]).any(|id| v.graph.tensor(id).quant.is_some());
    match (function(op.kind), a, y) {
        (Function::Arithmetic(f), DType::U8, DType::U8) if meaning && !f.of_bits() => quantized(p, v, op, f),
        (Function::Arithmetic(f), DType::I16, DType::I16) if meaning && !f.of_bits() => wide(p, v, op, f),
        // Integers that stand for reals are compared and computed with as such elsewhere.
        (_, DType::U8 | DType::I8 | DType::I16, _) if meaning => Err(v.no_kernel()),
        (Function::Arithmetic(f), DType::U8, DType::U8) => integer::<u8>(v, op, f),
        (Function::Arithmetic(f), DType::Bool, DType::Bool) => integer::<u8>(v, op, f),
        (Function::Arithmetic(f), DType::I8, DType::I8) => integer::<i8>(v, op, f),
        (Function::Arithmetic(f), DType::I16, DType::I16) => integer::<i16>(v, op, f),
        (Function::Arithmetic(f), DType::F32, DType::F32) if !f.of_bits() => float(p, v, op, f),
        (Function::Arithmetic(f), DType::I64, DType::I64) => integer::<i64>(v, op, f),
        (Function::Arithmetic(f), DType::I32, DType::I32) => integer::<i32>(v, op, f),
        (Function::Comparison(f), DType::F32, DType::Bool) => comparison::<f32>(p, v, op, f),
        (Function::Comparison(f), DType::I64, DType::Bool) => comparison::<i64>(p, v, op, f),
        (Function::Comparison(f), DType::I32, DType::Bool) => comparison::<i32>(p, v, op, f),
        (Function::Comparison(f), DType::I16, DType::Bool) => comparison::<i16>(p, v, op, f),
        (Function::Comparison(f), DType::I8, DType::Bool) => comparison::<i8>(p, v, op, f),
        (Function::Comparison(f), DType::U8, DType::Bool) => comparison::<u8>(p, v, op, f),
        (Function::Comparison(f), DType::Bool, DType::Bool) => comparison::<u8>(p, v, op, f),
        _ => Err(v.no_kernel()),
    }
}

fn step(v: NodeView<'_>, kernel: impl super::Kernel + 'static) -> Result<Planned, PlanError> {
    Ok(Planned::step(kernel, &[v.input(0)?, v.input(1)?], &v.node.outputs))
}

/// A step that walks over both operands, `run(walk, a, b, y)`, part by part. `cost`: of an element, besides that of
/// moving it.
fn in_parts(
    v: NodeView<'_>,
    name: String,
    walk: Broadcast<2>,
    cost: u64,
    run: impl Fn(&Broadcast<2>, &[u8], &[u8], &mut [u8]) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?.dtype.size(), v.out().dtype.size());
    let [rows, row_len] = walk.rows();
    let cost = (walk.len() as u64).saturating_mul(cost).saturating_add(moving(walk.len() * (2 * x + y)));
    let run = move |rows: Range<usize>, [a, b]: [&[u8]; 2], y: &mut [u8]| run(&walk.part(rows), a, b, y);
    let grain = ELEMENTS.div_ceil(row_len.max(1));
    step(v, RowsCall { name, cost, rows, grain, stride: row_len * y, inputs: [0, 1], run })
}

fn quantized(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError> {
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let (a, b, y) = (v.affine(v.tensor(0)?)?, v.affine(v.tensor(1)?)?, v.affine(v.out())?);
    let (isa, out) = (p.isa, y.output(op.clamp));
    let name = format!("{}-u8 {isa}", op.kind.name());
    macro_rules! kernel {
        ($compute:ident, $op:expr) => {{
            let op = $op;
            in_parts(v, name, walk, 10, move |w, a, b, y| $compute(isa, &op, w, &a[..an], &b[..bn], y))
        }};
    }
    let y_scale = y.scale;
    match f {
        BinaryFn::Add => kernel!(qadd, QAdd::new(a.into(), b.into(), y_scale, out)),
        BinaryFn::Mul => kernel!(qmul, QMul::new(a.into(), b.into(), y_scale, out)),
        function => kernel!(qreal, QReal { function, a: a.into(), b: b.into(), y_scale, out }),
    }
}

/// Sums, differences and products of 16 bits; the greater and the lesser of one scale.
fn wide(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError> {
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let [a, b, y] = [v.tensor(0)?, v.tensor(1)?, v.out()];
    let (sa, sb, sy) = (q16::scale(v, a)?, q16::scale(v, b)?, q16::scale(v, y)?);
    let (isa, range) = (p.isa, q16::range(sy, op.clamp));
    let name = format!("{}-i16 {isa}", op.kind.name());
    let far = || v.unsupported(format!("its scales {sa}, {sb} and {sy} are too far apart"));
    match f {
        BinaryFn::Add | BinaryFn::Sub => {
            let sum = Add::new(sa, sb, sy, f == BinaryFn::Sub, range).ok_or_else(far)?;
            in_parts(v, name, walk, 40, move |w, a, b, y| {
                add(isa, sum, w, values(a, an), values(b, bn), values_mut(y));
            })
        }
        BinaryFn::Mul => {
            let product = Mul::new(sa, sb, sy, range).ok_or_else(far)?;
            in_parts(v, name, walk, 20, move |w, a, b, y| {
                mul(isa, product, w, values(a, an), values(b, bn), values_mut(y));
            })
        }
        BinaryFn::Max | BinaryFn::Min if a.quant == y.quant && b.quant == y.quant => integer::<i16>(v, op, f),
        _ => Err(v.no_kernel()),
    }
}

fn float(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError> {
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let (isa, clamp) = (p.isa, [op.clamp.min, op.clamp.max]);
    let cost = match f {
        // Division by division, and logarithms.
        BinaryFn::Pow | BinaryFn::Mod | BinaryFn::Fmod => 5000,
        _ => 0,
    };
    in_parts(v, format!("{}-f32 {isa}", op.kind.name()), walk, cost, move |w, a, b, y| {
        binary_f32(isa, f, clamp, w, values(a, an), values(b, bn), values_mut(y));
    })
}

fn integer<T>(v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError>
where
    T: Integer + bytemuck::Pod + Send + Sync,
{
    if !op.clamp.is_none() {
        return Err(v.unsupported("integers that are not quantized can't be clamped to reals"));
    }
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    in_parts(v, format!("{}-{}", op.kind.name(), v.out().dtype), walk, 100, move |w, a, b, y| {
        binary_int::<T>(f, w, values(a, an), values(b, bn), values_mut(y));
    })
}

fn comparison<T>(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: CompareFn) -> Result<Planned, PlanError>
where
    T: PartialOrd + bytemuck::Pod + Send + Sync,
{
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let isa = p.isa;
    in_parts(v, format!("{}-{} {isa}", op.kind.name(), v.tensor(0)?.dtype), walk, 0, move |w, a, b, y| {
        compare::<T>(isa, f, w, values(a, an), values(b, bn), y);
    })
}

pub(super) fn plan_where(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (c, a, b, y) = (v.tensor(0)?, v.tensor(1)?, v.tensor(2)?, v.out());
    if c.dtype != DType::Bool || a.dtype != b.dtype || a.dtype != y.dtype || a.quant != b.quant {
        return Err(v.no_kernel());
    }
    match a.dtype.size() {
        1 => choice::<u8>(v),
        2 => choice::<u16>(v),
        4 => choice::<u32>(v),
        _ => choice::<u64>(v),
    }
}

fn choice<T: bytemuck::Pod + Send + Sync>(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let dims = [v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?, v.dims(v.tensor(2)?)?];
    let [cn, an, bn] = [0, 1, 2].map(|i| dims[i].iter().product::<usize>());
    let walk = Broadcast::new(&v.dims(v.out())?, [&dims[0], &dims[1], &dims[2]]);
    let walk = walk.ok_or_else(|| v.unsupported("the shapes can't be broadcast"))?;
    let [rows, row_len] = walk.rows();
    let cost = moving(walk.len() * (1 + 3 * size_of::<T>()));
    let run = move |rows: Range<usize>, [c, a, b]: [&[u8]; 3], y: &mut [u8]| {
        select::<T>(&walk.part(rows), &c[..cn], values(a, an), values(b, bn), values_mut(y));
    };
    let (name, grain) = (format!("where-{}", v.out().dtype), ELEMENTS.div_ceil(row_len.max(1)));
    let stride = row_len * size_of::<T>();
    let kernel = RowsCall { name, cost, rows, grain, stride, inputs: [0, 1, 2], run };
    Ok(Planned::step(kernel, &[v.input(0)?, v.input(1)?, v.input(2)?], &v.node.outputs))
}
