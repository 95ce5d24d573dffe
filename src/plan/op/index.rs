//! Operators that pick and place elements by index, order and running sums.

use super::super::{PlanError, Planned};
use super::copy::{by_size, same_meaning};
use super::{Call, Kernel, NodeView, around, values, values_mut};
use crate::graph::{
    CumSum, DType, GatherElements, GatherRows, ScatterElements, ScatterKind, ScatterRows, TopK, infer,
};
use crate::run::{Io, Pool, RunError, Views};
use ottava_kernels::copy::IndexError;
use ottava_kernels::index::{
    Along, Rows, gather_elements, gather_rows, running_sum, scatter_elements, scatter_rows, top_k,
};

/// A step that fails where an index is out of its axis.
struct Indexing<F> {
    name: String,
    node: String,
    run: F,
}

impl<F> Kernel for Indexing<F>
where
    F: Fn(&mut Io<'_>) -> Result<(), IndexError> + Send + Sync,
{
    fn name(&self) -> String {
        self.name.clone()
    }
    fn run(&self, io: &mut Io<'_>, _pool: &Pool) -> Result<(), RunError> {
        let fault = |e: IndexError| RunError::Index { node: self.node.clone(), index: e.index, len: e.len };
        (self.run)(io).map_err(fault)
    }
}

fn step(
    v: NodeView<'_>,
    name: &str,
    run: impl Fn(&mut Io<'_>) -> Result<(), IndexError> + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    let name = format!("{name}-{}", v.out().dtype);
    let inputs: Vec<_> = v.node.present_inputs().collect();
    Ok(Planned::step(Indexing { name, node: v.node.name.clone(), run }, &inputs, &v.node.outputs))
}

/// Elements of input `i`.
fn count(v: NodeView<'_>, i: usize) -> Result<usize, PlanError> {
    Ok(v.dims(v.tensor(i)?)?.iter().product())
}

fn along(v: NodeView<'_>, axis: usize) -> Result<Along, PlanError> {
    let (data, index) = (v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?);
    let along = Along::new(&data, &index, axis);
    along.ok_or_else(|| v.unsupported(format!("the indices {index:?} do not fit {data:?} along axis {axis}")))
}

fn rows(v: NodeView<'_>, batch_dims: usize) -> Result<Rows, PlanError> {
    let (data, index) = (v.dims(v.tensor(0)?)?, v.dims(v.tensor(1)?)?);
    let rows = Rows::new(&data, &index, batch_dims);
    rows.ok_or_else(|| v.unsupported(format!("the indices {index:?} do not name rows of {data:?}")))
}

pub(super) fn plan_gather_elements(v: NodeView<'_>, op: &GatherElements) -> Result<Planned, PlanError> {
    same_meaning(v, v.tensor(0)?, v.out())?;
    by_size!(v.out().dtype, elements_step(v, along(v, op.axis)?))
}

fn elements_step<T: bytemuck::Pod>(v: NodeView<'_>, along: Along) -> Result<Planned, PlanError> {
    let [xn, n] = [count(v, 0)?, count(v, 1)?];
    step(v, "gather-elements", move |io| {
        let Views { inputs: [x, index], outputs: [y], .. } = io.one();
        gather_elements::<T>(&along, values(x, xn), values(index, n), values_mut(y))
    })
}

pub(super) fn plan_gather_rows(v: NodeView<'_>, op: &GatherRows) -> Result<Planned, PlanError> {
    same_meaning(v, v.tensor(0)?, v.out())?;
    by_size!(v.out().dtype, rows_step(v, rows(v, op.batch_dims)?))
}

fn rows_step<T: bytemuck::Pod>(v: NodeView<'_>, rows: Rows) -> Result<Planned, PlanError> {
    let [xn, n] = [count(v, 0)?, count(v, 1)?];
    step(v, "gather-rows", move |io| {
        let Views { inputs: [x, index], outputs: [y], .. } = io.one();
        gather_rows::<T>(&rows, values(x, xn), values(index, n), values_mut(y))
    })
}

/// Where updates go.
enum Target {
    Elements(Along),
    Rows(Rows),
}

impl Target {
    fn scatter<T: Copy>(
        &self,
        f: impl Fn(T, T) -> T,
        index: &[i64],
        updates: &[T],
        y: &mut [T],
    ) -> Result<(), IndexError> {
        match self {
            Target::Elements(along) => scatter_elements(along, f, index, updates, y),
            Target::Rows(rows) => scatter_rows(rows, f, index, updates, y),
        }
    }
}

pub(super) fn plan_scatter_elements(v: NodeView<'_>, op: &ScatterElements) -> Result<Planned, PlanError> {
    plan_scatter(v, Target::Elements(along(v, op.axis)?), op.kind)
}

pub(super) fn plan_scatter_rows(v: NodeView<'_>, op: &ScatterRows) -> Result<Planned, PlanError> {
    plan_scatter(v, Target::Rows(rows(v, 0)?), op.kind)
}

fn plan_scatter(v: NodeView<'_>, to: Target, kind: ScatterKind) -> Result<Planned, PlanError> {
    let y = v.out();
    same_meaning(v, v.tensor(0)?, y)?;
    same_meaning(v, v.tensor(2)?, y)?;
    macro_rules! by_kind {
        ($t:ty, $add:expr, $mul:expr) => {
            match kind {
                ScatterKind::Add => scatter_step::<$t>(v, to, $add),
                ScatterKind::Mul => scatter_step::<$t>(v, to, $mul),
                ScatterKind::Max => scatter_step::<$t>(v, to, |a, b| if b > a { b } else { a }),
                _ => scatter_step::<$t>(v, to, |a, b| if b < a { b } else { a }),
            }
        };
        ($t:ty) => {
            by_kind!($t, <$t>::wrapping_add, <$t>::wrapping_mul)
        };
    }
    match (kind, y.dtype) {
        (ScatterKind::Replace, _) => by_size!(y.dtype, replace_step(v, to)),
        _ if y.quant.is_some() => Err(v.no_kernel()),
        (_, DType::F32) => by_kind!(f32, |a, b| a + b, |a, b| a * b),
        (_, DType::U8) => by_kind!(u8),
        (_, DType::I8) => by_kind!(i8),
        (_, DType::I16) => by_kind!(i16),
        (_, DType::I32) => by_kind!(i32),
        (_, DType::I64) => by_kind!(i64),
        _ => Err(v.no_kernel()),
    }
}

fn replace_step<T: bytemuck::Pod>(v: NodeView<'_>, to: Target) -> Result<Planned, PlanError> {
    scatter_step::<T>(v, to, |_, b| b)
}

fn scatter_step<T: bytemuck::Pod>(
    v: NodeView<'_>,
    to: Target,
    f: fn(T, T) -> T,
) -> Result<Planned, PlanError> {
    let [n, un] = [count(v, 1)?, count(v, 2)?];
    step(v, "scatter", move |io| {
        let Views { inputs: [x, index, updates], outputs: [y], .. } = io.one();
        y.copy_from_slice(&x[..y.len()]);
        to.scatter::<T>(f, values(index, n), values(updates, un), values_mut(y))
    })
}

pub(super) fn plan_cum_sum(v: NodeView<'_>, op: &CumSum) -> Result<Planned, PlanError> {
    match v.out().dtype {
        DType::F32 => sum_step(v, op, 0.0f32, |a, b| a + b),
        DType::I32 => sum_step(v, op, 0i32, i32::wrapping_add),
        DType::I64 => sum_step(v, op, 0i64, i64::wrapping_add),
        _ => Err(v.no_kernel()),
    }
}

fn sum_step<T: bytemuck::Pod + Send + Sync>(
    v: NodeView<'_>,
    op: &CumSum,
    zero: T,
    add: fn(T, T) -> T,
) -> Result<Planned, PlanError> {
    let dims = around(v, &v.dims(v.tensor(0)?)?, op.axis)?;
    let how = [op.exclusive, op.reverse];
    step(v, "cum-sum", move |io| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        let y = values_mut::<T>(y);
        running_sum(dims, how, zero, add, values(x, y.len()), y);
        Ok(())
    })
}

pub(super) fn plan_top_k(v: NodeView<'_>, op: &TopK) -> Result<Planned, PlanError> {
    match v.tensor(0)?.dtype {
        DType::F32 => top_step::<f32>(v, op),
        DType::U8 => top_step::<u8>(v, op),
        DType::I8 => top_step::<i8>(v, op),
        DType::I16 => top_step::<i16>(v, op),
        DType::I32 => top_step::<i32>(v, op),
        DType::I64 => top_step::<i64>(v, op),
        _ => Err(v.no_kernel()),
    }
}

/// The best values in order, sorted in the scratch.
struct Top<T> {
    dims: [usize; 3],
    k: usize,
    largest: bool,
    of: std::marker::PhantomData<T>,
}

impl<T: bytemuck::Pod + PartialOrd + Send + Sync> Kernel for Top<T> {
    fn name(&self) -> String {
        format!("top-{}", self.k)
    }
    fn scratch_len(&self, _threads: usize) -> usize {
        self.dims[1] * size_of::<i64>()
    }
    fn run(&self, io: &mut Io<'_>, _pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [y], scratch } = io.one();
        let x = values::<T>(x, self.dims.iter().product());
        top_k(self.dims, self.k, self.largest, x, values_mut(scratch), values_mut(y));
        Ok(())
    }
}

fn top_step<T: bytemuck::Pod + PartialOrd + Send + Sync>(
    v: NodeView<'_>,
    op: &TopK,
) -> Result<Planned, PlanError> {
    let dims = around(v, &v.dims(v.tensor(0)?)?, op.axis)?;
    let k = v.dims(v.out())?.get(op.axis).copied().filter(|&k| k <= dims[1]);
    let k = k.ok_or_else(|| v.unsupported("it asks for more values than there are"))?;
    let kernel = Top::<T> { dims, k, largest: op.largest, of: std::marker::PhantomData };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

pub(super) fn plan_range(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let one = |i: usize| match v.ints(i)?[..] {
        [n] => Ok(n),
        _ => Err(v.unsupported(format!("input {i} is not one number"))),
    };
    let (start, limit, step) = (one(0)?, one(1)?, one(2)?);
    let len = infer::range_len(start, limit, step);
    if len.is_none() || len != v.out().shape.elements() {
        return Err(v.unsupported("its numbers do not fit its output"));
    }
    let run = move |io: &mut Io<'_>| {
        let Views { outputs: [y], .. } = io.one::<0>();
        let mut next = start;
        for y in values_mut::<i64>(y) {
            *y = next;
            next = next.wrapping_add(step);
        }
    };
    Ok(Planned::step(Call { name: "range-i64".to_string(), run }, &[], &v.node.outputs))
}
