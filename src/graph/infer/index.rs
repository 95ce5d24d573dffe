//! Operators that pick and place elements by index, and ranges.

use super::super::*;
use super::dims::{self, Extent};
use super::site::{Rule, Site};
use super::values::Element;

/// Fails where a dimension of `part` is longer than that of the data, but along the axis.
fn check_along(site: &Site, axis: usize) -> Rule<()> {
    let (data, index) = (site.shape(0)?, site.shape(1)?);
    site.axis(0, axis)?;
    let longer = |i: usize| matches!((data[i], index[i]), (Dim::Fixed(d), Dim::Fixed(n)) if n > d);
    if data.rank() != index.rank() || (0..data.rank()).any(|i| i != axis && longer(i)) {
        let (data, index) = (site.show(data), site.show(index));
        return Err(format!("the indices {index} do not fit the data {data} along axis {axis}"));
    }
    Ok(())
}

pub(super) fn gather_elements(site: &Site, op: &GatherElements) -> Rule<Vec<Extent>> {
    check_along(site, op.axis)?;
    Ok(dims::extents(site.shape(1)?))
}

pub(super) fn scatter_elements(site: &Site, op: &ScatterElements) -> Rule<Vec<Extent>> {
    check_along(site, op.axis)?;
    check_equal(site, 2, &site.shape(1)?.0)?;
    Ok(dims::extents(site.shape(0)?))
}

/// Fails if input `i` can't have these dimensions.
fn check_equal(site: &Site, i: usize, wanted: &[Dim]) -> Rule<()> {
    let found = site.shape(i)?;
    let fits =
        found.rank() == wanted.len() && found.iter().zip(wanted).all(|(&a, &b)| dims::agree(a, b).is_some());
    match fits {
        true => Ok(()),
        false => {
            let wanted = site.show(&Shape(wanted.to_vec()));
            Err(format!("input {i} has the shape {}, it must be {wanted}", site.show(found)))
        }
    }
}

/// Dimensions of a tensor of rows that tuples name.
fn named_rows(site: &Site, batch_dims: usize) -> Rule<Vec<Dim>> {
    let (data, index) = (site.shape(0)?, site.shape(1)?);
    let shapes = || format!("the indices {} do not name rows of {}", site.show(index), site.show(data));
    let Some((Dim::Fixed(width), outer)) = index.split_last() else { return Err(shapes()) };
    if batch_dims > outer.len() || batch_dims.checked_add(*width).is_none_or(|n| n > data.rank()) {
        return Err(shapes());
    }
    let batches = outer.iter().zip(data.iter()).take(batch_dims);
    if batches.into_iter().any(|(&a, &b)| dims::agree(a, b).is_none()) {
        return Err(shapes());
    }
    let mut out = outer.to_vec();
    out.extend_from_slice(&data[batch_dims + width..]);
    Ok(out)
}

pub(super) fn gather_rows(site: &Site, op: &GatherRows) -> Rule<Vec<Extent>> {
    Ok(named_rows(site, op.batch_dims)?.into_iter().map(Some).collect())
}

pub(super) fn scatter_rows(site: &Site) -> Rule<Vec<Extent>> {
    check_equal(site, 2, &named_rows(site, 0)?)?;
    Ok(dims::extents(site.shape(0)?))
}

pub(super) fn top_k(site: &Site, op: &TopK) -> Rule<Vec<Extent>> {
    let dim = site.axis(0, op.axis)?;
    let k = match site.integers(1)?[..] {
        [k] => k.extent()?,
        _ => return Err("the number of values is not one number".into()),
    };
    if let (Dim::Fixed(len), Some(Dim::Fixed(k))) = (dim, k)
        && k > len
    {
        return Err(format!("asks for {k} of the {len} values along axis {}", op.axis));
    }
    let mut out = dims::extents(site.shape(0)?);
    out[op.axis] = k;
    Ok(out)
}

/// How many numbers `start, start + step, ..` has before `limit`; `None` if the step is 0.
pub fn range_len(start: i64, limit: i64, step: i64) -> Option<usize> {
    let (span, step) = (i128::from(limit) - i128::from(start), i128::from(step));
    let (span, step) = if step < 0 { (-span, -step) } else { (span, step) };
    match (span, step) {
        (_, 0) => None,
        (..=0, _) => Some(0),
        _ => usize::try_from((span + step - 1) / step).ok(),
    }
}

pub(super) fn range(site: &Site) -> Rule<Vec<Extent>> {
    let one = |i: usize| match site.integers(i)?[..] {
        [e] => Ok(e),
        _ => Err(format!("input {i} is not one number")),
    };
    Ok(vec![match (one(0)?, one(1)?, one(2)?) {
        (Element::Known(start), Element::Known(limit), Element::Known(step)) => {
            let len = range_len(start, limit, step).ok_or("its step is 0, or it has too many numbers")?;
            Some(Dim::Fixed(len))
        }
        (Element::Known(0), Element::Dim(limit), Element::Known(1)) => Some(limit),
        _ => None,
    }])
}
