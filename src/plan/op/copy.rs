//! Operators that only move elements. They see sizes of elements, not types.

use super::super::parts::blocks;
use super::super::{PlanError, Planned, Planner};
use super::{Call, ELEMENTS, Kernel, NodeView, RowsCall, moving, values, values_mut};
use crate::graph::{Concat, DType, Data, Gather, Pad, PadMode, Split, Tensor, Transpose, infer};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::broadcast::{Broadcast, expand};
use ottava_kernels::copy;
use std::ops::Range;

/// Calls a function that is generic over an unsigned integer as wide as the tensor's elements.
macro_rules! by_size {
    ($dtype:expr, $f:ident ( $($arg:expr),* )) => {
        match $dtype.size() {
            1 => $f::<u8>($($arg),*),
            2 => $f::<u16>($($arg),*),
            4 => $f::<u32>($($arg),*),
            _ => $f::<u64>($($arg),*),
        }
    };
}
pub(super) use by_size;

/// Refuses a node that would silently give its output another meaning than its input.
pub(super) fn same_meaning(v: NodeView<'_>, x: &Tensor, y: &Tensor) -> Result<(), PlanError> {
    if x.dtype != y.dtype {
        return Err(v.no_kernel());
    }
    match (&x.quant, &y.quant) {
        (Some(a), Some(b)) if a != b => {
            Err(v.unsupported(format!("'{}' and '{}' must have one scale and zero point", x.name, y.name)))
        }
        _ => Ok(()),
    }
}

fn call(
    v: NodeView<'_>,
    name: String,
    run: impl Fn(&mut Io<'_>) + Send + Sync + 'static,
) -> Result<Planned, PlanError> {
    Ok(Planned::step(Call { name, run }, &[v.input(0)?], &v.node.outputs))
}

pub(super) fn plan_transpose(p: &Planner<'_>, v: NodeView<'_>, op: &Transpose) -> Result<Planned, PlanError> {
    let x = v.tensor(0)?;
    same_meaning(v, x, v.out())?;
    let order = copy::Transpose::new(&v.dims(x)?, &op.perm);
    let order = order.ok_or_else(|| v.unsupported("the permutation does not fit the shape"))?;
    if order.is_copy() {
        return Ok(Planned::Alias { from: v.input(0)? });
    }
    by_size!(x.dtype, transpose_step(p, v, order))
}

fn transpose_step<T: bytemuck::Pod>(
    p: &Planner<'_>,
    v: NodeView<'_>,
    order: copy::Transpose,
) -> Result<Planned, PlanError> {
    let isa = p.isa;
    let (name, [rows, row_len]) = (format!("transpose-{} {isa}", v.out().dtype), order.rows());
    let (stride, cost) = (row_len * size_of::<T>(), moving(order.len() * size_of::<T>()).saturating_mul(8));
    let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| {
        order.run::<T>(isa, values(x, order.len()), values_mut(y), rows);
    };
    let kernel =
        RowsCall { name, cost, rows, grain: ELEMENTS.div_ceil(row_len.max(1)), stride, inputs: [0], run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}

pub(super) fn plan_concat(v: NodeView<'_>, op: &Concat) -> Result<Planned, PlanError> {
    let y = v.out();
    let (rows, stride) = blocks(&v.dims(y)?, op.axis, y.dtype.size());
    let (mut inputs, mut parts, mut at) = (vec![], vec![], 0);
    for i in 0..v.node.inputs.len() {
        let (id, x) = (v.input(i)?, v.tensor(i)?);
        same_meaning(v, x, y)?;
        let len = blocks(&v.dims(x)?, op.axis, x.dtype.size()).1;
        if !v.parts.contains_key(&id) {
            inputs.push(id);
            parts.push(at..at + len);
        }
        at += len;
    }
    if inputs.is_empty() {
        return Ok(Planned::InPlace);
    }
    let concat = ConcatStep { name: format!("concat-{}", y.dtype), rows, stride, parts };
    Ok(Planned::step(concat, &inputs, &v.node.outputs))
}

/// Bytes of the output that are made of all parts before the next ones: parts that share lines of cache write them while
/// they are there.
const PIECE: usize = 16 << 10;

/// Rows of several tensors, one behind the other; what was written in place is not among them.
struct ConcatStep {
    name: String,
    rows: usize,
    /// Bytes of a row of the output.
    stride: usize,
    /// Where each input lies in it.
    parts: Vec<Range<usize>>,
}

impl Kernel for ConcatStep {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn cost(&self) -> u64 {
        let moved: usize = self.parts.iter().map(Range::len).sum();
        moving(2 * self.rows * moved)
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let (inputs, Views { outputs: [y], scratch, .. }) = io.open([0]);
        let stride = self.stride;
        let piece = (PIECE / stride.max(1)).max(1);
        let rows = Rows { count: self.rows, grain: 1, stride, y, scratch_len: 0, scratch };
        pool.split(self.cost(), rows, &|rows, y, _| {
            for first in rows.clone().step_by(piece) {
                let (count, at) = (piece.min(rows.end - first), (first - rows.start) * stride);
                for (i, part) in self.parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
                    let (len, x) = (part.len(), inputs.get(i));
                    let y = &mut y[at + part.start..];
                    copy::copy_blocks(&x[first * len..], y, count, len, len, stride);
                }
            }
        });
        Ok(())
    }
}

pub(super) fn plan_split(v: NodeView<'_>, op: &Split) -> Result<Planned, PlanError> {
    let x = v.tensor(0)?;
    let (count, stride) = blocks(&v.dims(x)?, op.axis, x.dtype.size());
    let mut parts = Vec::new();
    for &id in &v.node.outputs {
        let y = v.graph.tensor(id);
        same_meaning(v, x, y)?;
        parts.push(blocks(&v.dims(y)?, op.axis, y.dtype.size()).1);
    }
    call(v, format!("split-{}", x.dtype), move |io| {
        let mut at = 0;
        for (o, &len) in parts.iter().enumerate() {
            let Views { inputs: [x], outputs: [y], .. } = io.views([0], [o]);
            if len > 0 {
                copy::copy_blocks(&x[at..], y, count, len, stride, len);
            }
            at += len;
        }
    })
}

pub(super) fn plan_slice(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    same_meaning(v, x, y)?;
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    let (starts, ends) = (v.ints(1)?, v.ints(2)?);
    let all: Vec<i64> = (0..starts.len() as i64).collect();
    let axes = if v.node.input(3).is_some() { v.ints(3)? } else { all };
    let steps = if v.node.input(4).is_some() { v.ints(4)? } else { vec![1; starts.len()] };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(v.unsupported("starts, ends, axes and steps have different lengths"));
    }
    let mut from = vec![0usize; xd.len()];
    let mut by = vec![1isize; xd.len()];
    for i in 0..starts.len() {
        let axis = if axes[i] < 0 { axes[i] + xd.len() as i64 } else { axes[i] } as usize;
        let len = *xd.get(axis).ok_or_else(|| v.unsupported(format!("there is no axis {}", axes[i])))?;
        let cut = infer::slice_bounds(len, starts[i], ends[i], steps[i]);
        let (first, _) = cut.ok_or_else(|| v.unsupported("a step of 0"))?;
        (from[axis], by[axis]) = (first, steps[i] as isize);
    }
    let cut = copy::Slice::new(&xd, &from, &by, &yd);
    let cut = cut.ok_or_else(|| v.unsupported(format!("{xd:?} can't be cut to {yd:?}")))?;
    let len = xd.iter().product();
    by_size!(x.dtype, slice_step(v, cut, len))
}

fn slice_step<T: bytemuck::Pod>(v: NodeView<'_>, cut: copy::Slice, len: usize) -> Result<Planned, PlanError> {
    call(v, format!("slice-{}", v.out().dtype), move |io| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        cut.run::<T>(values(x, len), values_mut(y));
    })
}

pub(super) fn plan_pad(v: NodeView<'_>, op: &Pad) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    same_meaning(v, x, y)?;
    let (dims, pads) = (v.dims(x)?, v.ints(1)?);
    if pads.len() != dims.len() * 2 {
        return Err(v.unsupported(format!("{} pads for rank {}", pads.len(), dims.len())));
    }
    let mode = match op.mode {
        PadMode::Constant => copy::PadMode::Constant,
        PadMode::Reflect => copy::PadMode::Reflect,
        PadMode::Edge => copy::PadMode::Edge,
    };
    let (before, after) = pads.split_at(dims.len());
    let pad = copy::Pad::new(&dims, before, after, mode);
    let pad = pad.ok_or_else(|| v.unsupported(format!("{dims:?} can't be padded by {pads:?}")))?;
    by_size!(x.dtype, pad_step(v, pad, dims.iter().product()))
}

fn pad_step<T: bytemuck::Pod + Send + Sync>(
    v: NodeView<'_>,
    pad: copy::Pad,
    len: usize,
) -> Result<Planned, PlanError> {
    let value: T = match (v.node.input(2), v.tensor(0)?.quant.as_ref().and_then(|q| q.single())) {
        (Some(_), _) => match v.constant(2)?.to_vec::<T>()[..] {
            [value] => value,
            _ => return Err(v.unsupported("the padding value must be one element of the input's type")),
        },
        // Without a value it is 0, which quantized is the zero point.
        (None, Some((_, zero))) => {
            bytemuck::pod_read_unaligned(&(zero as i64).to_le_bytes()[..size_of::<T>()])
        }
        (None, None) => T::zeroed(),
    };
    call(v, format!("pad-{}", v.out().dtype), move |io| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        pad.run::<T>(value, values(x, len), values_mut(y));
    })
}

pub(super) fn plan_expand(v: NodeView<'_>, tile: bool) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    same_meaning(v, x, y)?;
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    let repeats: Vec<usize> = xd.iter().zip(&yd).map(|(&a, &b)| b.checked_div(a).unwrap_or(0)).collect();
    let walk = if tile { Broadcast::tile(&xd, &repeats) } else { Broadcast::new(&yd, [&xd]) };
    let walk = walk.ok_or_else(|| v.unsupported(format!("{xd:?} can't be expanded to {yd:?}")))?;
    by_size!(x.dtype, expand_step(v, walk, xd.iter().product()))
}

fn expand_step<T: bytemuck::Pod>(
    v: NodeView<'_>,
    walk: Broadcast<1>,
    len: usize,
) -> Result<Planned, PlanError> {
    call(v, format!("expand-{}", v.out().dtype), move |io| {
        let Views { inputs: [x], outputs: [y], .. } = io.one();
        expand::<T>(&walk, values(x, len), values_mut(y));
    })
}

pub(super) fn plan_fill(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let y = v.out();
    same_meaning(v, v.tensor(1)?, y)?;
    let value = v.constant(1)?.bytes().to_vec();
    if value.len() != y.dtype.size() {
        return Err(v.unsupported("the value must be one element"));
    }
    let run = move |io: &mut Io<'_>| {
        let Views { outputs: [y], .. } = io.one::<0>();
        y.chunks_exact_mut(value.len()).for_each(|y| y.copy_from_slice(&value));
    };
    let kernel = Call { name: format!("fill-{}", y.dtype), run };
    Ok(Planned::step(kernel, &[], &v.node.outputs))
}

/// Copies what the branch computed that was taken; where that is known, its bytes are the output's.
pub(super) fn plan_merge(v: NodeView<'_>) -> Result<Planned, PlanError> {
    let (condition, y) = (v.tensor(0)?, v.out());
    let values = [v.node.input(1), v.node.input(2)];
    for id in values.into_iter().flatten() {
        same_meaning(v, v.graph.tensor(id), y)?;
    }
    let known = condition.data.as_ref().map(|d| usize::from(d.bytes().first() == Some(&0)));
    match (known, values) {
        (Some(i), _) => match values[i] {
            Some(from) => Ok(Planned::Alias { from }),
            None => Err(v.unsupported(format!("'{}' chooses a branch that was left out", condition.name))),
        },
        (None, [Some(a), Some(b)]) => {
            let run = |io: &mut Io<'_>| {
                let Views { inputs: [condition, a, b], outputs: [y], .. } = io.one();
                let taken = if condition[0] != 0 { a } else { b };
                y.copy_from_slice(&taken[..y.len()]);
            };
            let kernel = Call { name: format!("merge-{}", y.dtype), run };
            Ok(Planned::step(kernel, &[v.input(0)?, a, b], &v.node.outputs))
        }
        _ => Err(v.unsupported(format!(
            "its branches give different ranks or types, and '{}' is not known before it runs",
            condition.name
        ))),
    }
}

pub(super) fn plan_gather(v: NodeView<'_>, op: &Gather) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    same_meaning(v, x, y)?;
    let dims = v.dims(x)?;
    let (Some(&len), index) = (dims.get(op.axis), v.tensor(1)?) else {
        return Err(v.unsupported(format!("there is no axis {}", op.axis)));
    };
    let gather = GatherStep {
        node: v.node.name.clone(),
        dtype: x.dtype,
        index: index.dtype,
        count: v.dims(index)?.iter().product(),
        dims: [
            dims[..op.axis].iter().product(),
            len,
            dims[op.axis + 1..].iter().product::<usize>() * x.dtype.size(),
        ],
        table: x.data.clone(),
    };
    if !matches!(index.dtype, DType::I64 | DType::I32) {
        return Err(v.no_kernel());
    }
    // A constant table is read where it lies: embeddings are large.
    let inputs = match x.data {
        Some(_) => vec![v.input(1)?],
        None => vec![v.input(1)?, v.input(0)?],
    };
    Ok(Planned::step(gather, &inputs, &v.node.outputs))
}

/// Rows picked by index.
struct GatherStep {
    node: String,
    dtype: DType,
    index: DType,
    /// Indices.
    count: usize,
    /// Outer, the axis, bytes of one row.
    dims: [usize; 3],
    table: Option<Data>,
}

impl Kernel for GatherStep {
    fn name(&self) -> String {
        format!("gather-{}", self.dtype)
    }
    fn weight_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |t| t.bytes().len())
    }
    fn scratch_len(&self, _threads: usize) -> usize {
        match self.index {
            DType::I64 => 0,
            _ => self.count * size_of::<i64>(),
        }
    }
    fn run(&self, io: &mut Io<'_>, _pool: &Pool) -> Result<(), RunError> {
        let (index, x, y, scratch) = match &self.table {
            Some(table) => {
                let Views { inputs: [index], outputs: [y], scratch } = io.one();
                (index, table.bytes(), y, scratch)
            }
            None => {
                let Views { inputs: [index, x], outputs: [y], scratch } = io.one();
                (index, x, y, scratch)
            }
        };
        let index = match self.index {
            DType::I64 => values::<i64>(index, self.count),
            _ => {
                let wide = values_mut::<i64>(scratch);
                let narrow = values::<i32>(index, self.count);
                wide.iter_mut().zip(narrow).for_each(|(w, n)| *w = i64::from(*n));
                wide
            }
        };
        let gathered = copy::gather(self.dims, x, index, y);
        gathered.map_err(|e| RunError::Index { node: self.node.clone(), index: e.index, len: e.len })
    }
}
