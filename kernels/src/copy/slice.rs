//! Regular excerpts.

/// Elements `start, start + step, ...` of every dimension of a dense tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    start: usize,
    /// Output dimensions, outermost first: length, input stride. Never empty.
    dims: Vec<(usize, isize)>,
}

impl Slice {
    /// Takes `out[i]` elements of dimension `i`, from `starts[i]` by `steps[i]` (which may be negative).
    /// `None` if that leaves the tensor, the lengths differ or a product overflows.
    pub fn new(dims: &[usize], starts: &[usize], steps: &[isize], out: &[usize]) -> Option<Slice> {
        let rank = dims.len();
        if starts.len() != rank || steps.len() != rank || out.len() != rank {
            return None;
        }
        out.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        isize::try_from(elements).ok()?;
        if out.contains(&0) {
            return Some(Slice { start: 0, dims: vec![(0, 1)] });
        }
        let mut slice = Slice { start: 0, dims: Vec::new() };
        for axis in 0..rank {
            let span = isize::try_from(out[axis] - 1).ok()?.checked_mul(steps[axis])?;
            let last = starts[axis].checked_add_signed(span)?;
            if starts[axis] >= dims[axis] || last >= dims[axis] {
                return None;
            }
            let stride: usize = dims[axis + 1..].iter().product();
            slice.start += starts[axis] * stride;
            if out[axis] == 1 {
                continue;
            }
            let stride = stride as isize * steps[axis];
            match slice.dims.last_mut() {
                Some((len, at)) if *at == stride * out[axis] as isize => {
                    (*len, *at) = (*len * out[axis], stride);
                }
                _ => slice.dims.push((out[axis], stride)),
            }
        }
        if slice.dims.is_empty() {
            slice.dims.push((1, 1));
        }
        Some(slice)
    }

    /// Elements of the output.
    pub fn len(&self) -> usize {
        self.dims.iter().map(|d| d.0).product()
    }

    /// True if the output has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the elements.
    ///
    /// Panics if a slice is too short.
    pub fn run<T: Copy>(&self, x: &[T], y: &mut [T]) {
        let y = &mut y[..self.len()];
        let Some((&(inner, stride), outer)) = self.dims.split_last() else { return };
        for (i, y) in y.chunks_exact_mut(inner.max(1)).enumerate() {
            let at = self.offset(outer, i);
            if stride == 1 {
                y.copy_from_slice(&x[at..at + inner]);
            } else {
                for (j, y) in y.iter_mut().enumerate() {
                    *y = x[at.wrapping_add_signed(stride * j as isize)];
                }
            }
        }
    }

    fn offset(&self, dims: &[(usize, isize)], mut i: usize) -> usize {
        let mut at = self.start;
        for &(len, stride) in dims.iter().rev() {
            at = at.wrapping_add_signed((i % len) as isize * stride);
            i /= len;
        }
        at
    }
}
