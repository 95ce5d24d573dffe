//! Putting a border around a tensor.

/// What the border holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// One value.
    Constant,
    /// The tensor mirrored, without the edge itself.
    Reflect,
    /// The edge repeated.
    Edge,
}

/// A border around a dense tensor; negative amounts cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Per dimension, for each output index the input index, or `NONE` where the constant goes.
    sources: Vec<Vec<usize>>,
    strides: Vec<usize>,
    len: usize,
}

/// No input index: the constant.
const NONE: usize = usize::MAX;

impl Pad {
    /// Adds `before[i]` and `after[i]` elements to dimension `i`. `None` if the lengths differ, more is cut off
    /// than there is, there is nothing to mirror or repeat, or the number of elements overflows.
    pub fn new(dims: &[usize], before: &[i64], after: &[i64], mode: PadMode) -> Option<Pad> {
        if before.len() != dims.len() || after.len() != dims.len() {
            return None;
        }
        dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let mut out = Vec::with_capacity(dims.len());
        for axis in 0..dims.len() {
            let total =
                i64::try_from(dims[axis]).ok()?.checked_add(before[axis])?.checked_add(after[axis])?;
            out.push(usize::try_from(total).ok()?);
        }
        let len = out.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        isize::try_from(len).ok()?;
        let mut sources = Vec::with_capacity(dims.len());
        if len > 0 {
            for axis in 0..dims.len() {
                let places = (0..out[axis] as i64).map(|o| o - before[axis]);
                sources.push(places.map(|i| source(i, dims[axis], mode)).collect::<Option<_>>()?);
            }
        }
        let strides = (0..dims.len()).map(|i| dims[i + 1..].iter().product()).collect();
        Some(Pad { sources, strides, len })
    }

    /// Elements of the output.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if the output has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the elements; `value` is the constant (other modes don't look at it).
    ///
    /// Panics if a slice is too short.
    pub fn run<T: Copy>(&self, value: T, x: &[T], y: &mut [T]) {
        let y = &mut y[..self.len];
        if y.is_empty() {
            return;
        }
        let Some((inner, outer)) = self.sources.split_last() else {
            y[0] = x[0];
            return;
        };
        for (row, y) in y.chunks_exact_mut(inner.len()).enumerate() {
            match self.offset(outer, row) {
                None => y.fill(value),
                Some(at) => pad_row(inner, value, &x[at..], y),
            }
        }
    }

    /// Where output row `row` is read, unless it is all border.
    fn offset(&self, outer: &[Vec<usize>], mut row: usize) -> Option<usize> {
        let mut at = 0;
        for (sources, stride) in outer.iter().zip(&self.strides).rev() {
            let source = sources[row % sources.len()];
            if source == NONE {
                return None;
            }
            at += source * stride;
            row /= sources.len();
        }
        Some(at)
    }
}

/// The input index of place `i` of a dimension of `len`.
fn source(i: i64, len: usize, mode: PadMode) -> Option<usize> {
    let last = i64::try_from(len).ok()? - 1;
    if (0..=last).contains(&i) {
        return usize::try_from(i).ok();
    }
    match mode {
        PadMode::Constant => Some(NONE),
        PadMode::Edge if last >= 0 => usize::try_from(i.clamp(0, last)).ok(),
        PadMode::Reflect if last == 0 => Some(0),
        PadMode::Reflect if last > 0 => {
            let turn = i.rem_euclid(2 * last);
            usize::try_from(turn.min(2 * last - turn)).ok()
        }
        PadMode::Edge | PadMode::Reflect => None,
    }
}

/// One row: the run that lies in the tensor at once, the rest element by element.
fn pad_row<T: Copy>(sources: &[usize], value: T, x: &[T], y: &mut [T]) {
    let mut i = 0;
    while i < sources.len() {
        let from = sources[i];
        if from == NONE {
            y[i] = value;
            i += 1;
            continue;
        }
        let run = sources[i..].iter().enumerate().take_while(|&(j, &s)| s == from.wrapping_add(j)).count();
        y[i..i + run].copy_from_slice(&x[from..from + run]);
        i += run;
    }
}
