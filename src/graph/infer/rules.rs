//! The rules' table: how many inputs and outputs an operator has, and who says what its outputs look like.

use super::super::*;
use super::dims::{self, Extent};
use super::site::{Rule, Site};
use super::{branch, custom, index, integer, rearrange, recurrent, select, spatial, transformer};

/// Fails unless the node has as many inputs and outputs as its operator takes.
pub(super) fn check_arity(site: &Site) -> Rule<()> {
    let (required, most) = match &site.node.op {
        Op::Conv(_) | Op::Linear(_) => (2, 5),
        Op::ConvTranspose(_) => (2, 3),
        Op::IntegerMatMul(_) | Op::IntegerConv(_) => (2, 4),
        Op::LayerNorm(_) => (1, 3),
        Op::Attention(_) => (3, 4),
        Op::MatMul(_) | Op::Binary(_) | Op::Gather(_) => (2, 2),
        Op::Reshape(_) | Op::Expand(_) | Op::Tile(_) | Op::Fill(_) => (2, 2),
        Op::Where(_) => (3, 3),
        Op::BatchNorm(_) => (5, 5),
        Op::Merge(_) => (1, 3),
        Op::GatherElements(_) | Op::GatherRows(_) | Op::TopK(_) => (2, 2),
        Op::ScatterElements(_) | Op::ScatterRows(_) | Op::Range(_) => (3, 3),
        Op::CumSum(_) => (1, 1),
        Op::Slice(_) => (3, 5),
        Op::Pad(_) => (2, 3),
        Op::Resize(_) | Op::Resample(_) => (1, 3),
        Op::Recurrent(op) => (3, if op.cell == RecurrentCell::Lstm { 8 } else { 6 }),
        Op::IntegerLstm(_) => (6, 6),
        Op::Concat(_) => (site.node.inputs.len().max(1), usize::MAX),
        Op::Custom(_) => (1, crate::custom::MAX_INPUTS),
        Op::Pool(_)
        | Op::Reduce(_)
        | Op::Unary(_)
        | Op::Softmax(_)
        | Op::Split(_)
        | Op::Flatten(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::ShapeOf(_)
        | Op::Cast(_)
        | Op::ArgMax(_)
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::DynamicQuantize(_)
        | Op::Unpack(_)
        | Op::Requantize(_) => (1, 1),
    };
    let there = site.node.inputs.len();
    if there > most {
        return Err(format!("has {there} inputs, it takes at most {most}"));
    }
    (0..required).try_for_each(|i| site.tensor(i).map(drop))?;
    match (&site.node.op, site.count) {
        (_, 0) => Err("has no output".into()),
        (Op::DynamicQuantize(_) | Op::IntegerLstm(_), 3) => Ok(()),
        (Op::DynamicQuantize(_) | Op::IntegerLstm(_), n) => Err(format!("has {n} outputs, it gives 3")),
        (Op::Split(_), _) | (_, 1) => Ok(()),
        (Op::Recurrent(op), n) => match op.cell.outputs() {
            most if n <= most => Ok(()),
            most => Err(format!("has {n} outputs, it gives {most}")),
        },
        (_, n) => Err(format!("has {n} outputs, it gives 1")),
    }
}

/// The extents of every output.
pub(super) fn outputs(site: &Site) -> Rule<Vec<Vec<Extent>>> {
    if let Op::Split(op) = &site.node.op {
        return select::split(site, op);
    }
    if let Op::Recurrent(op) = &site.node.op {
        return recurrent::outputs(site, op);
    }
    if let Op::IntegerLstm(op) = &site.node.op {
        return recurrent::integer_outputs(site, op);
    }
    if let Op::DynamicQuantize(_) = &site.node.op {
        return Ok(vec![unchanged(site)?, vec![], vec![]]);
    }
    Ok(vec![match &site.node.op {
        Op::Conv(op) => spatial::conv(site, op)?,
        Op::ConvTranspose(op) => spatial::conv_transpose(site, op)?,
        Op::Pool(op) => spatial::pool(site, op)?,
        Op::Pad(op) => spatial::pad(site, op)?,
        Op::Resize(_) | Op::Resample(_) => spatial::resize(site)?,
        Op::Linear(_) => linear(site)?,
        Op::MatMul(op) => matmul(site, op.transpose_b)?,
        Op::IntegerMatMul(_) => integer::matmul(site)?,
        Op::IntegerConv(op) => integer::conv(site, op)?,
        Op::LayerNorm(op) => transformer::layer_norm(site, op)?,
        Op::Attention(op) => transformer::attention(site, op)?,
        Op::Reduce(op) => reduce(site, &op.axes, op.keep_dims)?,
        Op::ArgMax(op) => reduce(site, &[op.axis], op.keep_dims)?,
        Op::Softmax(op) => {
            site.axis(0, op.axis)?;
            unchanged(site)?
        }
        Op::BatchNorm(op) => batch_norm(site, op)?,
        Op::Binary(_) => broadcast(site, 2)?,
        Op::Where(_) => broadcast(site, 3)?,
        Op::Unary(op) if op.alpha.is_nan() || op.beta.is_nan() => {
            return Err(format!("has the parameters {} and {}, they can't be NaN", op.alpha, op.beta));
        }
        Op::Unary(_) | Op::Cast(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => {
            unchanged(site)?
        }
        Op::DynamicQuantize(_) => unchanged(site)?,
        Op::Unpack(op) => integer::unpack(site, op)?,
        Op::Concat(op) => select::concat(site, op)?,
        Op::Slice(_) => select::slice(site)?,
        Op::Gather(op) => select::gather(site, op)?,
        Op::Split(op) => select::split(site, op)?.remove(0),
        Op::Recurrent(op) => recurrent::outputs(site, op)?.remove(0),
        Op::IntegerLstm(op) => recurrent::integer_outputs(site, op)?.remove(0),
        Op::Reshape(op) => rearrange::reshape(site, op)?,
        Op::Flatten(op) => rearrange::flatten(site, op)?,
        Op::Transpose(op) => rearrange::transpose(site, op)?,
        Op::Squeeze(op) => rearrange::squeeze(site, op)?,
        Op::Unsqueeze(op) => rearrange::unsqueeze(site, op)?,
        Op::Expand(_) => rearrange::expand(site)?,
        Op::Tile(_) => rearrange::tile(site)?,
        Op::Custom(op) => custom::output(site, op)?.1,
        Op::Fill(_) => rearrange::fill(site)?,
        Op::Merge(_) => branch::merge(site)?,
        Op::GatherElements(op) => index::gather_elements(site, op)?,
        Op::GatherRows(op) => index::gather_rows(site, op)?,
        Op::ScatterElements(op) => index::scatter_elements(site, op)?,
        Op::ScatterRows(_) => index::scatter_rows(site)?,
        Op::CumSum(op) => {
            site.axis(0, op.axis)?;
            unchanged(site)?
        }
        Op::TopK(op) => index::top_k(site, op)?,
        Op::Range(_) => index::range(site)?,
        Op::ShapeOf(op) => {
            let (_, len) = shape_range(site.shape(0)?.rank(), op);
            vec![Some(Dim::Fixed(len))]
        }
    }])
}

/// The dimensions that a `ShapeOf` reads: the first one and how many.
pub(super) fn shape_range(rank: usize, op: &ShapeOf) -> (usize, usize) {
    dims::slice_bounds(rank, op.start, op.end, 1).unwrap_or((0, 0))
}

/// Fails where an output could never be stored.
pub(super) fn check_size(dtype: DType, shape: &[Extent]) -> Rule<()> {
    if shape.len() > MAX_RANK {
        return Err(format!("its output has rank {}, more than {MAX_RANK}", shape.len()));
    }
    let fixed = shape.iter().filter_map(|e| (*e)?.fixed());
    let bytes = fixed.into_iter().try_fold(dtype.size(), |n, d| n.checked_mul(d));
    match bytes {
        Some(n) if isize::try_from(n).is_ok() => Ok(()),
        _ => Err("its output is larger than any memory".into()),
    }
}

pub(super) fn unchanged(site: &Site) -> Rule<Vec<Extent>> {
    Ok(dims::extents(site.shape(0)?))
}

fn broadcast(site: &Site, inputs: usize) -> Rule<Vec<Extent>> {
    let mut out = unchanged(site)?;
    for i in 1..inputs {
        let next = site.shape(i)?;
        out = dims::broadcast(&out, &dims::extents(next)).ok_or_else(|| {
            format!("{} can't be broadcast with {}", site.show_extents(&out), site.show(next))
        })?;
    }
    Ok(out)
}

fn linear(site: &Site) -> Rule<Vec<Extent>> {
    let mut out = unchanged(site)?;
    let [n, k] = site.ranked(1, "[N, K]")?;
    let last = out.pop().flatten().ok_or("input 0 is a scalar, it must be [..., K]")?;
    if dims::agree(last, k).is_none() {
        let (x, w) = (site.show(site.shape(0)?), site.show(site.shape(1)?));
        return Err(format!("the rows of x {x} and of the weights {w} differ in length"));
    }
    check_vector(site, 2, n)?;
    integer::check_source(site)?;
    out.push(Some(n));
    Ok(out)
}

/// Fails unless input `i` is left out or a vector as long as `dim`.
pub(super) fn check_vector(site: &Site, i: usize, dim: Dim) -> Rule<()> {
    if site.optional(i)?.is_none() {
        return Ok(());
    }
    let [n] = site.ranked(i, "a vector")?;
    match dims::agree(n, dim) {
        Some(_) => Ok(()),
        None => {
            let (is, want) = (site.show(site.shape(i)?), site.show(&Shape(vec![dim])));
            Err(format!("input {i} has the shape {is}, it must be {want}"))
        }
    }
}

/// A product of matrices, the second one stored transposed or not.
pub(super) fn matmul(site: &Site, transpose_b: bool) -> Rule<Vec<Extent>> {
    let (a, b) = (site.shape(0)?, site.shape(1)?);
    let shapes = || format!("{} and {}", site.show(a), site.show(b));
    let ([batch_a @ .., m, ka], [batch_b @ .., y, z]) = (&a[..], &b[..]) else {
        return Err(format!("takes matrices, not {}", shapes()));
    };
    let (kb, n) = if transpose_b { (z, y) } else { (y, z) };
    if dims::agree(*ka, *kb).is_none() {
        return Err(format!("the inner dimensions of {} differ", shapes()));
    }
    let batch = |dims: &[Dim]| dims.iter().copied().map(Some).collect::<Vec<_>>();
    let mut out = dims::broadcast(&batch(batch_a), &batch(batch_b))
        .ok_or_else(|| format!("the batches of {} can't be broadcast", shapes()))?;
    out.extend([Some(*m), Some(*n)]);
    Ok(out)
}

/// Fails unless the axes are ascending and below `rank`.
pub(super) fn check_axes(axes: &[usize], rank: usize) -> Rule<()> {
    let ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if ascending && axes.last().is_none_or(|&last| last < rank) {
        return Ok(());
    }
    Err(format!("the axes {axes:?} are not ascending, or not below the rank {rank}"))
}

fn reduce(site: &Site, axes: &[usize], keep_dims: bool) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    check_axes(axes, shape.rank())?;
    let kept = shape.iter().enumerate().filter_map(|(i, &d)| match (axes.contains(&i), keep_dims) {
        (false, _) => Some(Some(d)),
        (true, true) => Some(Some(Dim::Fixed(1))),
        (true, false) => None,
    });
    Ok(kept.collect())
}

fn batch_norm(site: &Site, op: &BatchNorm) -> Rule<Vec<Extent>> {
    let channels = site.axis(0, op.axis)?;
    if !(op.epsilon >= 0.0 && op.epsilon.is_finite()) {
        return Err(format!("the epsilon {} is not finite and positive", op.epsilon));
    }
    (1..5).try_for_each(|i| check_vector(site, i, channels))?;
    unchanged(site)
}
