//! Operators that give the same elements another shape, or repeat them.

use super::super::*;
use super::dims::{self, Extent, Product};
use super::rules::check_axes;
use super::site::{Rule, Site};
use super::values::Element;

/// One dimension of a `Reshape`.
enum Part {
    Is(Extent),
    /// Whatever is left.
    Rest,
}

pub(super) fn reshape(site: &Site, op: &Reshape) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let spec = site.integers(1)?;
    let spec =
        if site.shape(1)?.rank() == 1 { spec } else { return Err("the shape must be a vector".into()) };
    let parts = spec.iter().enumerate().map(|(i, &e)| match e {
        Element::Known(-1) => Ok(Part::Rest),
        Element::Known(0) if !op.allow_zero => match x.get(i) {
            Some(&d) => Ok(Part::Is(Some(d))),
            None => Err(format!("copies dimension {i} of {}, which has none", site.show(x))),
        },
        other => other.extent().map(Part::Is),
    });
    let parts = parts.collect::<Rule<Vec<Part>>>()?;
    let rest: Vec<usize> = (0..parts.len()).filter(|&i| matches!(parts[i], Part::Rest)).collect();
    if rest.len() > 1 {
        return Err("has more than one dimension of -1".into());
    }
    let mut out: Vec<Extent> = parts
        .iter()
        .map(|part| match part {
            Part::Is(extent) => *extent,
            Part::Rest => Some(Dim::Fixed(1)),
        })
        .collect();
    let Some(known) = out.iter().copied().collect::<Option<Vec<Dim>>>() else {
        if let [at] = rest[..] {
            out[at] = None;
        }
        return Ok(out);
    };
    let (mut have, mut want) = (Product::of(x.iter().copied())?, Product::of(known)?);
    have.cancel(&mut want);
    let mismatch = |out: &[Extent]| format!("{} can't become {}", site.show(x), site.show_extents(out));
    match rest[..] {
        [at] => {
            out[at] = None;
            out[at] = quotient(&have, &want).ok_or_else(|| mismatch(&out))?;
        }
        _ if have.free.is_empty() && want.free.is_empty() && have.fixed != want.fixed => {
            return Err(mismatch(&out));
        }
        _ => {}
    }
    Ok(out)
}

/// `have / want`; `None` if it is certain that there is no such length.
fn quotient(have: &Product, want: &Product) -> Option<Extent> {
    if want.fixed == 0 {
        return None;
    }
    if !want.free.is_empty() {
        return Some(None);
    }
    if have.fixed.is_multiple_of(want.fixed) {
        return Some(Product { fixed: have.fixed / want.fixed, free: have.free.clone() }.extent());
    }
    // A free dimension may still bring what is missing.
    if have.free.is_empty() { None } else { Some(None) }
}

pub(super) fn flatten(site: &Site, op: &Flatten) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let Some((outer, inner)) = x.split_at_checked(op.axis) else {
        return Err(format!("axis {} is not one of {}", op.axis, site.show(x)));
    };
    let product = |dims: &[Dim]| Ok::<_, String>(Product::of(dims.iter().copied())?.extent());
    Ok(vec![product(outer)?, product(inner)?])
}

pub(super) fn transpose(site: &Site, op: &Transpose) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let mut sorted = op.perm.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.rank()) {
        return Err(format!("{:?} is not a permutation of the axes of {}", op.perm, site.show(x)));
    }
    Ok(op.perm.iter().map(|&p| Some(x[p])).collect())
}

pub(super) fn squeeze(site: &Site, op: &Squeeze) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    check_axes(&op.axes, x.rank())?;
    let one = Dim::Fixed(1);
    if op.axes.is_empty() {
        if x.iter().any(|d| d.fixed().is_none()) {
            return Err(format!("which dimensions of {} are 1 is unknown: name the axes", site.show(x)));
        }
        return Ok(x.iter().filter(|d| **d != one).map(|d| Some(*d)).collect());
    }
    if let Some(a) = op.axes.iter().find(|&&a| dims::agree(x[a], one).is_none()) {
        return Err(format!("dimension {a} of {} is not 1", site.show(x)));
    }
    Ok(x.iter().enumerate().filter(|(i, _)| !op.axes.contains(i)).map(|(_, d)| Some(*d)).collect())
}

pub(super) fn unsqueeze(site: &Site, op: &Unsqueeze) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let rank = x.rank() + op.axes.len();
    check_axes(&op.axes, rank)?;
    if rank > MAX_RANK {
        return Err(format!("its output has rank {rank}, more than {MAX_RANK}"));
    }
    let mut rest = x.iter();
    let dim = |i: usize| if op.axes.contains(&i) { Some(Dim::Fixed(1)) } else { rest.next().copied() };
    Ok((0..rank).map(dim).collect())
}

/// The shape that input `i` says.
fn shape_input(site: &Site, i: usize) -> Rule<Vec<Extent>> {
    site.integers(i)?.into_iter().map(Element::extent).collect()
}

pub(super) fn expand(site: &Site) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let to = shape_input(site, 1)?;
    dims::broadcast(&dims::extents(x), &to)
        .ok_or_else(|| format!("{} can't be broadcast with {}", site.show(x), site.show_extents(&to)))
}

pub(super) fn tile(site: &Site) -> Rule<Vec<Extent>> {
    let x = site.shape(0)?;
    let repeats = shape_input(site, 1)?;
    if repeats.len() != x.rank() {
        return Err(format!("has {} repeats for {}", repeats.len(), site.show(x)));
    }
    let times = |(&dim, repeat): (&Dim, Extent)| match repeat {
        Some(r) => Ok(Product::of([dim, r])?.extent()),
        None => Ok(None),
    };
    x.iter().zip(repeats).map(times).collect()
}

pub(super) fn fill(site: &Site) -> Rule<Vec<Extent>> {
    let value = site.shape(1)?;
    if value.elements() != Some(1) {
        return Err(format!("the value has the shape {}, it must be one element", site.show(value)));
    }
    shape_input(site, 0)
}
