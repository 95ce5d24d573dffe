//! Arithmetic of dimensions.

use super::super::{Dim, Shape};
use super::site::Rule;

/// A dimension of an output; `None` where it can be expressed neither by a number nor by one free dimension.
pub(super) type Extent = Option<Dim>;

/// The extents of a shape.
pub(super) fn extents(shape: &Shape) -> Vec<Extent> {
    shape.iter().copied().map(Some).collect()
}

/// What two dimensions that must be equal are, the more fixed of both; `None` if they can't be equal.
pub(super) fn agree(a: Dim, b: Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Fixed(x), Dim::Fixed(y)) => (x == y).then_some(a),
        (Dim::Free(_), Dim::Fixed(_)) => Some(b),
        _ => Some(a),
    }
}

/// NumPy broadcasting; `None` if the shapes don't go together.
pub(super) fn broadcast(a: &[Extent], b: &[Extent]) -> Option<Vec<Extent>> {
    let rank = a.len().max(b.len());
    let at = |s: &[Extent], i: usize| match (i + s.len()).checked_sub(rank) {
        Some(k) => s[k],
        None => Some(Dim::Fixed(1)),
    };
    (0..rank).map(|i| broadcast_extent(at(a, i), at(b, i))).collect()
}

fn broadcast_extent(a: Extent, b: Extent) -> Option<Extent> {
    const ONE: Extent = Some(Dim::Fixed(1));
    match (a, b) {
        (ONE, other) | (other, ONE) => Some(other),
        (Some(x), Some(y)) if x == y => Some(a),
        (Some(Dim::Fixed(_)), Some(Dim::Fixed(_))) => None,
        // A free dimension beside one that is not 1 is either 1 or the same.
        (Some(Dim::Fixed(_)), _) => Some(a),
        (_, Some(Dim::Fixed(_))) => Some(b),
        _ => Some(None),
    }
}

/// A product of numbers and free dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub fixed: usize,
    pub free: Vec<u32>,
}

impl Product {
    /// All dimensions multiplied.
    pub fn of(dims: impl IntoIterator<Item = Dim>) -> Rule<Product> {
        let mut p = Product { fixed: 1, free: vec![] };
        for d in dims {
            match d {
                Dim::Fixed(n) => {
                    p.fixed = p.fixed.checked_mul(n).ok_or("has more elements than can be counted")?;
                }
                Dim::Free(i) => p.free.push(i),
            }
        }
        Ok(p)
    }

    /// Takes the free dimensions out that both have.
    pub fn cancel(&mut self, other: &mut Product) {
        self.free.retain(|d| match other.free.iter().position(|o| o == d) {
            Some(at) => {
                other.free.swap_remove(at);
                false
            }
            None => true,
        });
    }

    /// As one extent.
    pub fn extent(&self) -> Extent {
        match (self.fixed, self.free.as_slice()) {
            (n, []) => Some(Dim::Fixed(n)),
            (0, _) => Some(Dim::Fixed(0)),
            (1, [d]) => Some(Dim::Free(*d)),
            _ => None,
        }
    }
}

/// A window that slides along one dimension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Before and after.
    pub pads: [usize; 2],
    /// The number of positions is rounded up.
    pub ceil: bool,
}

impl Window {
    /// From the first to the last element under the window.
    pub fn reach(&self) -> Rule<usize> {
        if self.kernel == 0 || self.stride == 0 || self.dilation == 0 {
            let Window { kernel, stride, dilation, .. } = self;
            return Err(format!("kernel {kernel}, stride {stride}, dilation {dilation}: none may be 0"));
        }
        let reach = (self.kernel - 1).checked_mul(self.dilation).and_then(|n| n.checked_add(1));
        reach.ok_or_else(|| format!("kernel {} with dilation {} is too large", self.kernel, self.dilation))
    }

    /// Positions of the window over `len` elements.
    pub fn positions(&self, len: usize) -> Rule<usize> {
        let reach = self.reach()?;
        let [before, after] = self.pads;
        let too_large = || format!("{len} elements with padding {before} and {after} are too many");
        let padded = len.checked_add(before).and_then(|n| n.checked_add(after)).ok_or_else(too_large)?;
        let room = padded.checked_sub(reach).ok_or_else(|| {
            format!("a window over {reach} elements does not fit {len} with padding {before} and {after}")
        })?;
        if !self.ceil {
            return Ok(room / self.stride + 1);
        }
        let mut last = room.div_ceil(self.stride);
        // The last window must start on the input or the padding before it.
        if last.checked_mul(self.stride).is_none_or(|start| start >= len + before) {
            last = last.saturating_sub(1);
        }
        Ok(last + 1)
    }

    /// The positions over a dimension that may be free.
    pub fn over(&self, dim: Dim) -> Rule<Extent> {
        match dim {
            Dim::Fixed(n) => Ok(Some(Dim::Fixed(self.positions(n)?))),
            Dim::Free(_) => {
                let reach = self.reach()?;
                let same = self.stride == 1 && self.pads[0].checked_add(self.pads[1]) == Some(reach - 1);
                Ok(same.then_some(dim))
            }
        }
    }
}

/// ONNX's rule for a slice of `len` elements: the first element taken and how many; `None` if `step` is 0.
/// Elements lie `step` apart, which may be negative.
pub fn slice_bounds(len: usize, start: i64, end: i64, step: i64) -> Option<(usize, usize)> {
    let n = len as i128;
    let from_end = |v: i64| if v < 0 { v as i128 + n } else { v as i128 };
    let (start, end, step) = (from_end(start), from_end(end), step as i128);
    let (start, span) = match step {
        0 => return None,
        1.. => {
            let start = start.clamp(0, n);
            (start, end.clamp(0, n) - start)
        }
        _ => {
            let start = start.clamp(-1, n - 1);
            (start, start - end.clamp(-1, n - 1))
        }
    };
    let stride = step.abs();
    let count = if span <= 0 { 0 } else { (span + stride - 1) / stride };
    Some((if count == 0 { 0 } else { start as usize }, count as usize))
}

/// An index that may count from the end; `None` if there is no such element.
pub(super) fn element_index(index: i64, len: usize) -> Option<usize> {
    let from_end = if index < 0 { i128::from(index) + len as i128 } else { i128::from(index) };
    usize::try_from(from_end).ok().filter(|&i| i < len)
}
