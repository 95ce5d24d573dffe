//! Functions of two tensors, and choice between two, with broadcasting.

use super::super::{PlanError, Planned, Planner};
use super::{Call, NodeView, values, values_mut};
use crate::graph::{Binary, BinaryKind, DType};
use crate::run::{Io, Views};
use ottava_kernels::binary::{BinaryFn, CompareFn, Integer, binary_f32, binary_int, compare, select};
use ottava_kernels::broadcast::Broadcast;
use ottava_kernels::qbinary::{QAdd, QMul, QReal, qadd, qmul, qreal};

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

/// Computes each part of an output (elements of `size` bytes) on a thread of its own.
fn in_parts(
    walks: &[Broadcast<2>],
    y: &mut [u8],
    size: usize,
    part: &(impl Fn(&Broadcast<2>, &mut [u8]) + Sync),
) {
    match walks {
        [] => {}
        [one] => part(one, y),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            let at = (right[0].y_range().start - left[0].y_range().start) * size;
            let (ya, yb) = y.split_at_mut(at);
            rayon::join(|| in_parts(left, ya, size, part), || in_parts(right, yb, size, part));
        }
    }
}

fn quantized(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError> {
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let (a, b, y) = (v.affine(v.tensor(0)?)?, v.affine(v.tensor(1)?)?, v.affine(v.out())?);
    let (isa, out) = (p.isa, y.output(op.clamp));
    let cost = walk.len() as u64 * 8;
    let parts = walk.split(p.pool.parts(cost));
    let name = format!("{}-u8 {isa}", op.kind.name());
    macro_rules! kernel {
        ($compute:ident, $op:expr) => {{
            let op = $op;
            let run = move |io: &mut Io<'_>| {
                let Views { inputs: [a, b], outputs: [y], .. } = io.one();
                in_parts(&parts, y, 1, &|w, y| $compute(isa, &op, w, &a[..an], &b[..bn], y));
            };
            step(v, Call { name, cost, run })
        }};
    }
    let y_scale = y.scale;
    match f {
        BinaryFn::Add => kernel!(qadd, QAdd::new(a.into(), b.into(), y_scale, out)),
        BinaryFn::Mul => kernel!(qmul, QMul::new(a.into(), b.into(), y_scale, out)),
        function => kernel!(qreal, QReal { function, a: a.into(), b: b.into(), y_scale, out }),
    }
}

fn float(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError> {
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let (isa, clamp) = (p.isa, [op.clamp.min, op.clamp.max]);
    let cost = walk.len() as u64 * 8;
    let parts = walk.split(p.pool.parts(cost));
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [a, b], outputs: [y], .. } = io.one();
        let (a, b) = (values(a, an), values(b, bn));
        in_parts(&parts, y, 4, &|w, y| binary_f32(isa, f, clamp, w, a, b, values_mut(y)));
    };
    step(v, Call { name: format!("{}-f32 {isa}", op.kind.name()), cost, run })
}

fn integer<T>(v: NodeView<'_>, op: &Binary, f: BinaryFn) -> Result<Planned, PlanError>
where
    T: Integer + bytemuck::Pod + Send + Sync,
{
    if !op.clamp.is_none() {
        return Err(v.unsupported("integers that are not quantized can't be clamped to reals"));
    }
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [a, b], outputs: [y], .. } = io.one();
        binary_int::<T>(f, &walk, values(a, an), values(b, bn), values_mut(y));
    };
    step(v, Call { name: format!("{}-{}", op.kind.name(), v.out().dtype), cost: 0, run })
}

fn comparison<T>(p: &Planner<'_>, v: NodeView<'_>, op: &Binary, f: CompareFn) -> Result<Planned, PlanError>
where
    T: PartialOrd + bytemuck::Pod + Send + Sync,
{
    let Pair { walk, lens: [an, bn] } = pair(v)?;
    let isa = p.isa;
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [a, b], outputs: [y], .. } = io.one();
        compare::<T>(isa, f, &walk, values(a, an), values(b, bn), y);
    };
    step(v, Call { name: format!("{}-{} {isa}", op.kind.name(), v.tensor(0)?.dtype), cost: 0, run })
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
    let run = move |io: &mut Io<'_>| {
        let Views { inputs: [c, a, b], outputs: [y], .. } = io.one();
        select::<T>(&walk, &c[..cn], values(a, an), values(b, bn), values_mut(y));
    };
    let kernel = Call { name: format!("where-{}", v.out().dtype), cost: 0, run };
    Ok(Planned::step(kernel, &[v.input(0)?, v.input(1)?, v.input(2)?], &v.node.outputs))
}
