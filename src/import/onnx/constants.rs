//! Constants that are made of others at import: weights in the order that the graph wants.

use super::context::{Context, Stop};
use crate::graph::{AlignedBytes, DType, Data, Dequantize, Quant, Shape, Tensor, TensorId, Transpose};
use std::sync::Arc;

impl Context<'_, '_> {
    /// The constant `id`, looked at as if it had the dimensions `dims`, with its dimensions reordered: dimension
    /// `i` of the result is `dims[perm[i]]`. `shape` is what the result is called in the end: the same elements
    /// in the same order. `None` if `id` is no constant. Where integers stand for a constant, they are reordered.
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
        let stored = self.state.dequantized.get(&id).copied().unwrap_or(id);
        let Some(data) = self.data(stored).cloned() else {
            return Ok(None);
        };
        let key = (id, dims.to_vec(), perm.to_vec());
        if let Some(&done) = self.state.reordered.get(&key)
            && self.shape(done).dims().as_deref() == Some(shape)
        {
            return Ok(Some(done));
        }
        let (dtype, quant) = (self.dtype(stored), self.tensor(stored).quant.clone());
        let name = format!("{}.{tag}", self.tensor(stored).name);
        let moved = reorder(&data, dtype, dims, perm);
        let mut made = self.constant_named(&name, dtype, shape, moved)?;
        if stored != id {
            let own = self.shape(stored).dims().unwrap_or_default();
            let moved = quant.and_then(|quant| moved_quant(&quant, &own, dims, perm, shape));
            let moved = moved.ok_or_else(|| {
                Stop::because(format!("the scales of '{name}' don't lie along one dimension of it"))
            })?;
            made = self.dequantize_constant(made, moved)?;
        }
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
        let lengths = |dims: &[usize]| -> Vec<i64> {
            dims.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect()
        };
        let seen = self.viewed(&format!("{tag}_seen"), id, &lengths(dims))?;
        let turned =
            self.inner(&format!("{tag}_turned"), Transpose { perm: perm.to_vec() }, &[Some(seen)])?;
        self.viewed(tag, turned, &lengths(shape))
    }

    /// The floats that a constant of integers stands for.
    pub fn dequantize_constant(&mut self, codes: TensorId, quant: Quant) -> Result<TensorId, Stop> {
        self.state.build.describe(codes, quant);
        let name = self.tensor(codes).name.clone();
        let output = Tensor::value(format!("{name}.real"), DType::F32, Shape::default());
        let id = self.state.build.node_as(&name, Dequantize {}, &[codes], output)?;
        self.state.dequantized.insert(id, codes);
        Ok(id)
    }
}

/// The quantization of a reordered constant. Scales may lie along a dimension that is split or joined on the way,
/// as the output channels of a grouped transposed convolution are: what counts is which element has which scale.
fn moved_quant(
    quant: &Quant,
    own: &[usize],
    dims: &[usize],
    perm: &[usize],
    shape: &[usize],
) -> Option<Quant> {
    if quant.axis.is_none() {
        return Some(quant.clone());
    }
    let groups: Vec<u32> = (0..own.iter().product()).map(|i| quant.group(own, i) as u32).collect();
    let groups = reorder(&Data::from_slice(&groups), DType::I32, dims, perm).to_vec::<u32>();
    let along = |axis: usize| {
        let inner = shape[axis + 1..].iter().product::<usize>().max(1);
        let first: Vec<u32> = groups.iter().step_by(inner).take(shape[axis]).copied().collect();
        let uniform = groups.iter().enumerate().all(|(i, g)| *g == first[i / inner % shape[axis]]);
        uniform.then_some((axis, first))
    };
    let (axis, groups) = (0..shape.len()).filter(|&axis| shape[axis] > 0).find_map(along)?;
    let scale = groups.iter().map(|&g| quant.scale[g as usize]).collect();
    let zero_point = groups.iter().map(|&g| quant.zero_point[g as usize]).collect();
    Some(Quant { axis: Some(axis), scale, zero_point })
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
    fn scales_follow_their_channels() {
        // [C, O / groups] of two groups -> [O, C / groups].
        let quant = Quant { axis: Some(1), scale: vec![1.0, 2.0], zero_point: vec![0, 0] };
        let moved = moved_quant(&quant, &[4, 2], &[2, 2, 2], &[0, 2, 1], &[4, 2]).unwrap();
        assert_eq!((moved.axis, moved.scale), (Some(0), vec![1.0, 2.0, 1.0, 2.0]));
        let rows = Quant { axis: Some(0), scale: vec![1.0, 2.0, 3.0, 4.0], zero_point: vec![0; 4] };
        assert_eq!(moved_quant(&rows, &[4, 2], &[2, 2, 2], &[0, 2, 1], &[4, 2]), None);
    }

    #[test]
    fn nothing_stays_nothing() {
        let data = Data::from_bytes(&[]);
        assert!(reorder(&data, DType::F32, &[0, 3], &[1, 0]).bytes().is_empty());
    }
}
