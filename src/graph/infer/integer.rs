//! Operators whose quantization comes with the data: sums of integers, parameters as inputs.

use super::super::*;
use super::dims::{self, Extent};
use super::rules;
use super::site::{Rule, Site};
use super::spatial;

/// Fails unless inputs 3 and 4, scale and zero point of input 0, are left out together or one element each.
pub(super) fn check_source(site: &Site) -> Rule<()> {
    if site.node.inputs.len() <= 3 {
        return Ok(());
    }
    (3..5).try_for_each(|i| check_single(site, i))
}

/// Fails unless input `i` is one element.
fn check_single(site: &Site, i: usize) -> Rule<()> {
    let shape = site.shape(i)?;
    match shape.elements() {
        Some(1) => Ok(()),
        _ => Err(format!("input {i} has the shape {}, it must be one element", site.show(shape))),
    }
}

/// Fails unless the zero points, inputs 2 and 3, are left out or fit: one of the first factor, one or as many as `n` of
/// the second.
fn check_zeros(site: &Site, n: Dim) -> Rule<()> {
    if site.optional(2)?.is_some() {
        check_single(site, 2)?;
    }
    match site.optional(3)? {
        Some(t) if t.shape.elements() != Some(1) => rules::check_vector(site, 3, n),
        _ => Ok(()),
    }
}

pub(super) fn matmul(site: &Site) -> Rule<Vec<Extent>> {
    let out = rules::matmul(site, false)?;
    if let Some(n) = out.last().copied().flatten() {
        check_zeros(site, n)?;
    }
    Ok(out)
}

pub(super) fn conv(site: &Site, op: &IntegerConv) -> Rule<Vec<Extent>> {
    let out = spatial::window_over(site, op.strides, op.pads, op.dilations, op.groups)?;
    if let Some(channels) = out.last().copied().flatten() {
        check_zeros(site, channels)?;
    }
    Ok(out)
}

pub(super) fn unpack(site: &Site, op: &Unpack) -> Rule<Vec<Extent>> {
    if !(1..=8).contains(&op.bits) {
        return Err(format!("integers of {} bits don't fit i8", op.bits));
    }
    let out: Vec<Dim> = op.dims.iter().map(|&d| Dim::Fixed(d)).collect();
    let bits = elements(&out).and_then(|n| n.checked_mul(op.bits));
    let wanted = bits.ok_or("has too many integers")?.div_ceil(8);
    let [bytes] = site.ranked(0, "a vector")?;
    match dims::agree(bytes, Dim::Fixed(wanted)) {
        Some(_) => Ok(out.into_iter().map(Some).collect()),
        None => Err(format!(
            "{} bits for {:?} take {wanted} bytes, not {}",
            op.bits,
            op.dims,
            site.show(site.shape(0)?)
        )),
    }
}

/// The product of some dimensions, where all are known.
pub(super) fn elements(dims: &[Dim]) -> Option<usize> {
    dims.iter().try_fold(1usize, |n, d| n.checked_mul(d.fixed()?))
}

/// Fails unless two dimensions can be the same.
pub(super) fn same_dim(what: &str, a: Dim, b: Dim) -> Rule<()> {
    dims::agree(a, b).map(drop).ok_or_else(|| format!("{what} differ"))
}
