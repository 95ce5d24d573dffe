//! Products of two tensors that are both computed.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::NodeView;
use crate::graph::{DType, MatMul};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::matmul::FMatMul;

/// Most products of one node: each has a place in a table, and a file must not make that large.
const MAX_BATCHES: usize = 1 << 20;

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &MatMul) -> Result<Planned, PlanError> {
    let (a, b, y) = (v.tensor(0)?, v.tensor(1)?, v.out());
    if [a.dtype, b.dtype, y.dtype] != [DType::F32; 3] {
        return Err(v.no_kernel());
    }
    let (ad, bd, yd) = (v.dims(a)?, v.dims(b)?, v.dims(y)?);
    let (Some((a_batch, &[m, k])), Some((b_batch, &[b0, b1])), Some((y_batch, _))) =
        (ad.split_last_chunk(), bd.split_last_chunk(), yd.split_last_chunk::<2>())
    else {
        return Err(v.unsupported("both operands need rank 2 or more"));
    };
    let (bk, n) = if op.transpose_b { (b1, b0) } else { (b0, b1) };
    let batches = batches_of(v, y_batch, [a_batch, b_batch])?;
    if bk != k {
        return Err(v.unsupported(format!("{ad:?} and {bd:?} can't be multiplied")));
    }
    let matmul = FMatMul::new(p.isa, m, k, n, op.transpose_b);
    let step = MatMulStep { matmul, batches, dims: [m, k, n] };
    Ok(Planned::step(step, &[v.input(0)?, v.input(1)?], &v.node.outputs))
}

/// [`batches`], of a number that is bounded.
pub(super) fn batches_of(
    v: NodeView<'_>,
    out: &[usize],
    operands: [&[usize]; 2],
) -> Result<Vec<[usize; 2]>, PlanError> {
    let count = out.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match count {
        Some(..=MAX_BATCHES) => Ok(batches(out, operands)),
        _ => Err(v.unsupported(format!("{out:?} are more than {MAX_BATCHES} products; split the batch"))),
    }
}

/// For each matrix of the output, in order, which matrix of either operand it is computed from.
fn batches(out: &[usize], operands: [&[usize]; 2]) -> Vec<[usize; 2]> {
    let index_of = |dims: &[usize], mut flat: usize| {
        let (mut index, mut stride) = (0, 1);
        for (axis, &len) in out.iter().enumerate().rev() {
            let at = flat % len;
            flat /= len;
            let own = (axis + dims.len()).checked_sub(out.len()).map_or(1, |a| dims[a]);
            index += if own == 1 { 0 } else { at * stride };
            stride *= own;
        }
        index
    };
    (0..out.iter().product()).map(|flat| operands.map(|dims| index_of(dims, flat))).collect()
}

/// A batch of float products.
struct MatMulStep {
    matmul: FMatMul,
    /// For each product the indices of its two matrices.
    batches: Vec<[usize; 2]>,
    /// m, k, n
    dims: [usize; 3],
}

impl Kernel for MatMulStep {
    fn name(&self) -> String {
        self.matmul.kernel().to_string()
    }
    fn macs(&self) -> u64 {
        self.batches.len() as u64 * self.dims.iter().map(|&d| d as u64).product::<u64>()
    }
    fn cost(&self) -> u64 {
        self.macs().saturating_mul(4)
    }
    fn scratch_len(&self, threads: usize) -> usize {
        threads * (self.matmul.scratch_len() * 4).next_multiple_of(64)
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [a, b], outputs: [y], scratch } = io.one();
        let [m, k, n] = self.dims;
        let (a, b) = (bytemuck::cast_slice::<u8, f32>(a), bytemuck::cast_slice::<u8, f32>(b));
        let rows = Rows {
            count: self.batches.len(),
            grain: 1,
            stride: m * n * 4,
            y,
            scratch_len: (self.matmul.scratch_len() * 4).next_multiple_of(64),
            scratch,
        };
        pool.split(self.cost(), rows, &|rows, y, scratch| {
            let y = bytemuck::cast_slice_mut::<u8, f32>(y);
            let scratch = bytemuck::cast_slice_mut(scratch);
            for (y, [ia, ib]) in y.chunks_exact_mut((m * n).max(1)).zip(&self.batches[rows]) {
                self.matmul.run(&a[ia * m * k..][..m * k], &b[ib * k * n..][..k * n], y, scratch);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{DType, GraphBuilder, MatMul, Shape};
    use crate::run::{Model, SessionOptions};

    #[test]
    fn a_batch_of_too_many_products_is_refused() {
        // One element a product: the table of products would be sixteen times as large as the output.
        let mut b = GraphBuilder::new("batch");
        let x = b.input("x", DType::F32, Shape::fixed(&[1 << 21, 1, 1]));
        let w = b.input("w", DType::F32, Shape::fixed(&[1, 1]));
        let y = b.node("product", MatMul { transpose_b: false }, &[x, w]).unwrap();
        let model = Model::from_graph(b.finish(&[y]).unwrap()).unwrap();
        let error = model.session(&SessionOptions::default()).err().unwrap().to_string();
        assert!(error.contains("'product'") && error.contains("split the batch"), "{error}");
    }
}
