//! Operators that cut tensors apart and join them.

use super::super::*;
use super::dims::{self, Extent};
use super::site::{Rule, Site};
use super::values::Element;

pub(super) fn concat(site: &Site, op: &Concat) -> Rule<Vec<Extent>> {
    site.axis(0, op.axis)?;
    let mut out = dims::extents(site.shape(0)?);
    for i in 1..site.node.inputs.len() {
        let next = site.shape(i)?;
        if next.rank() != out.len() {
            return Err(format!("input {i} has the shape {}, not rank {}", site.show(next), out.len()));
        }
        for (axis, (have, &dim)) in out.iter_mut().zip(next.iter()).enumerate() {
            *have = if axis == op.axis { sum(*have, dim)? } else { meet(site, i, axis, *have, dim)? };
        }
    }
    Ok(out)
}

fn sum(a: Extent, b: Dim) -> Rule<Extent> {
    Ok(match (a, b) {
        (Some(Dim::Fixed(x)), Dim::Fixed(y)) => {
            Some(Dim::Fixed(x.checked_add(y).ok_or("its output is too large")?))
        }
        (Some(Dim::Fixed(0)), other) => Some(other),
        (other, Dim::Fixed(0)) => other,
        _ => None,
    })
}

fn meet(site: &Site, i: usize, axis: usize, a: Extent, b: Dim) -> Rule<Extent> {
    let Some(a) = a else { return Ok(Some(b)) };
    match dims::agree(a, b) {
        Some(d) => Ok(Some(d)),
        None => {
            let (first, next) = (site.show(site.shape(0)?), site.show(site.shape(i)?));
            Err(format!("input {i} {next} and input 0 {first} differ in dimension {axis}"))
        }
    }
}

pub(super) fn split(site: &Site, op: &Split) -> Rule<Vec<Vec<Extent>>> {
    let dim = site.axis(0, op.axis)?;
    let parts = if op.sizes.is_empty() { equal_parts(site, dim)? } else { given_parts(site, op, dim)? };
    let shape = dims::extents(site.shape(0)?);
    let with = |part: Extent| {
        let mut s = shape.clone();
        s[op.axis] = part;
        s
    };
    Ok(parts.into_iter().map(with).collect())
}

fn given_parts(site: &Site, op: &Split, dim: Dim) -> Rule<Vec<Extent>> {
    if op.sizes.len() != site.count {
        return Err(format!("has {} sizes and {} outputs", op.sizes.len(), site.count));
    }
    let total = op.sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s));
    match total {
        Some(n) if dims::agree(dim, Dim::Fixed(n)).is_some() => {}
        _ => {
            let sizes = &op.sizes;
            return Err(format!("the sizes {sizes:?} do not sum up to axis {} of the input", op.axis));
        }
    }
    Ok(op.sizes.iter().map(|&s| Some(Dim::Fixed(s))).collect())
}

fn equal_parts(site: &Site, dim: Dim) -> Rule<Vec<Extent>> {
    let count = site.count;
    match dim {
        _ if count == 1 => Ok(vec![Some(dim)]),
        Dim::Free(_) => Ok(vec![None; count]),
        Dim::Fixed(n) => {
            let part = n.div_ceil(count);
            let last = (count - 1).checked_mul(part).and_then(|before| n.checked_sub(before));
            let last = last.ok_or_else(|| format!("{n} elements can't be split into {count} parts"))?;
            let mut parts = vec![Some(Dim::Fixed(part)); count];
            parts[count - 1] = Some(Dim::Fixed(last));
            Ok(parts)
        }
    }
}

pub(super) fn gather(site: &Site, op: &Gather) -> Rule<Vec<Extent>> {
    let dim = site.axis(0, op.axis)?;
    let shape = dims::extents(site.shape(0)?);
    let indices = site.shape(1)?;
    if let Dim::Fixed(n) = dim
        && let Ok(known) = site.integers(1)
    {
        let outside = |e: &&Element| match e {
            Element::Known(i) => dims::element_index(*i, n).is_none(),
            _ => false,
        };
        if let Some(Element::Known(i)) = known.iter().find(outside) {
            return Err(format!("the index {i} is outside of axis {}, which has {n} elements", op.axis));
        }
    }
    let mut out = shape[..op.axis].to_vec();
    out.extend(dims::extents(indices));
    out.extend_from_slice(&shape[op.axis + 1..]);
    Ok(out)
}

/// What a `Slice` does to one axis.
pub(super) struct Cut {
    pub axis: usize,
    pub start: Element,
    pub end: Element,
    pub step: Element,
}

/// The axes that a `Slice` cuts; `None` if it is not known which.
pub(super) fn cuts(site: &Site) -> Rule<Option<Vec<Cut>>> {
    let rank = site.shape(0)?.rank();
    let (starts, ends) = (site.integers(1)?, site.integers(2)?);
    let count = starts.len();
    let axes = match site.optional(3)? {
        Some(_) => site.integers(3)?,
        None => (0..count as i64).map(Element::Known).collect(),
    };
    let steps = match site.optional(4)? {
        Some(_) => site.integers(4)?,
        None => vec![Element::Known(1); count],
    };
    if ends.len() != count || axes.len() != count || steps.len() != count {
        return Err("has different numbers of starts, ends, axes and steps".into());
    }
    let mut cuts: Vec<Cut> = Vec::with_capacity(count);
    for i in 0..count {
        let Element::Known(axis) = axes[i] else { return Ok(None) };
        let axis =
            dims::element_index(axis, rank).ok_or_else(|| format!("axis {axis} is not one of {rank}"))?;
        if cuts.iter().any(|c| c.axis == axis) {
            return Err(format!("cuts axis {axis} twice"));
        }
        if steps[i] == Element::Known(0) {
            return Err(format!("the step along axis {axis} is 0"));
        }
        cuts.push(Cut { axis, start: starts[i], end: ends[i], step: steps[i] });
    }
    Ok(Some(cuts))
}

pub(super) fn slice(site: &Site) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    let Some(cuts) = cuts(site)? else { return Ok(vec![None; shape.rank()]) };
    let mut out = dims::extents(shape);
    for cut in cuts {
        out[cut.axis] = cut_extent(shape[cut.axis], &cut);
    }
    Ok(out)
}

fn cut_extent(dim: Dim, cut: &Cut) -> Extent {
    use Element::Known;
    match (dim, cut.start, cut.end, cut.step) {
        (Dim::Fixed(n), Known(start), Known(end), Known(step)) => {
            dims::slice_bounds(n, start, end, step).map(|(_, count)| Dim::Fixed(count))
        }
        // To the end of whatever length: no dimension is longer than i32 can say, and exporters write that.
        (Dim::Free(_), Known(0), Known(end), Known(1)) if end >= i32::MAX as i64 => Some(dim),
        (Dim::Free(_), Known(0), Element::Dim(end), Known(1)) if end == dim => Some(dim),
        _ => None,
    }
}
