//! Constants that are made of others at import: weights in the order that the graph wants.

use super::context::{Context, Stop};
use crate::graph::{AlignedBytes, DType, Data, Reshape, TensorId, Transpose};
use std::sync::Arc;

impl Context<'_, '_> {
    /// The constant `id`, looked at as if it had the dimensions `dims`, with its dimensions reordered: dimension
    /// `i` of the result is `dims[perm[i]]`. `shape` is what the result is called in the end: the same elements
    /// in the same order. `None` if `id` is no constant.
    ///
    /// Done once for each constant and order, however many nodes share it.
    pub fn reordered(
        &mut self,
        id: TensorId,
        tag: &str,
        dims: &[usize],
        perm: &[usize],
        shape: &[usize],
    ) -> Result<Option<TensorId>, Stop> {
        let Some(data) = self.data(id).cloned() else {
            return Ok(None);
        };
        let key = (id, dims.to_vec(), perm.to_vec());
        if let Some(&done) = self.state.reordered.get(&key)
            && self.shape(done).dims().as_deref() == Some(shape)
        {
            return Ok(Some(done));
        }
        let dtype = self.dtype(id);
        let name = format!("{}.{tag}", self.tensor(id).name);
        let moved = reorder(&data, dtype, dims, perm);
        let made = self.constant_named(&name, dtype, shape, moved)?;
        self.state.reordered.insert(key, made);
        Ok(Some(made))
    }

    /// [`Context::reordered`] for weights that may still have to be computed: nodes reorder those.
    pub fn reordered_weights(
        &mut self,
        id: TensorId,
        tag: &str,
        dims: &[usize],
        perm: &[usize],
        shape: &[usize],
    ) -> Result<TensorId, Stop> {
        if let Some(done) = self.reordered(id, tag, dims, perm, shape)? {
            return Ok(done);
        }
        let seen = self.viewed(&format!("{tag}_seen"), id, dims)?;
        let turned =
            self.inner(&format!("{tag}_turned"), Transpose { perm: perm.to_vec() }, &[Some(seen)])?;
        self.viewed(tag, turned, shape)
    }

    /// The same elements in another shape.
    fn viewed(&mut self, tag: &str, id: TensorId, shape: &[usize]) -> Result<TensorId, Stop> {
        let sizes: Vec<i64> = shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let sizes = self.int_vector(&format!("{tag}_shape"), &sizes)?;
        self.inner(tag, Reshape { allow_zero: false }, &[Some(id), Some(sizes)])
    }
}

fn reorder(data: &Data, dtype: DType, dims: &[usize], perm: &[usize]) -> Data {
    let bytes = data.bytes();
    let mut out = AlignedBytes::zeroed(bytes.len());
    match dtype.size() {
        1 => permute::<1>(bytes, out.as_mut(), dims, perm),
        2 => permute::<2>(bytes, out.as_mut(), dims, perm),
        4 => permute::<4>(bytes, out.as_mut(), dims, perm),
        _ => permute::<8>(bytes, out.as_mut(), dims, perm),
    }
    let len = bytes.len();
    Data::view(Arc::new(out), 0, len).unwrap_or_else(|| Data::from_bytes(&[]))
}

/// Elements of `N` bytes. The source's strides are walked in the order of the result, innermost last.
fn permute<const N: usize>(from: &[u8], to: &mut [u8], dims: &[usize], perm: &[usize]) {
    let (from, to) = (from.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
    if from.is_empty() {
        return;
    }
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    let lens: Vec<usize> = perm.iter().map(|&p| dims[p]).collect();
    let steps: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
    let mut index = vec![0; lens.len()];
    let mut at = 0;
    for element in to {
        *element = from[at];
        for axis in (0..lens.len()).rev() {
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < lens[axis] {
                break;
            }
            at -= steps[axis] * lens[axis];
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_transposed() {
        let data = Data::from_slice(&[1i32, 2, 3, 4, 5, 6]);
        let turned = reorder(&data, DType::I32, &[2, 3], &[1, 0]);
        assert_eq!(turned.to_vec::<i32>(), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn channels_become_innermost() {
        // [1, 2, 2, 2] as OIHW: element 10 * channel + position.
        let data = Data::from_slice(&[0u8, 1, 2, 3, 10, 11, 12, 13]);
        let ohwi = reorder(&data, DType::U8, &[1, 2, 2, 2], &[0, 2, 3, 1]);
        assert_eq!(ohwi.bytes(), [0, 10, 1, 11, 2, 12, 3, 13]);
    }

    #[test]
    fn nothing_stays_nothing() {
        let data = Data::from_bytes(&[]);
        assert!(reorder(&data, DType::F32, &[0, 3], &[1, 0]).bytes().is_empty());
    }
}
