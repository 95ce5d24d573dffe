//! Layer normalization and attention, over floats.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::{NodeView, RowsCall, moving, values, values_mut};
use crate::graph::{Attention, LayerNorm, Tensor};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::attention::{self, AttentionShape, Strides};
use ottava_kernels::layer_norm::{Affine, Norm, layer_norm};
use std::ops::Range;

pub(super) fn plan_layer_norm(
    p: &Planner<'_>,
    v: NodeView<'_>,
    op: &LayerNorm,
) -> Result<Planned, PlanError> {
    let dims = v.dims(v.tensor(0)?)?;
    let over = dims.get(op.axis..).ok_or_else(|| v.unsupported(format!("there is no axis {}", op.axis)))?;
    let len: usize = over.iter().product();
    let mut inputs = vec![v.input(0)?];
    let mut slots = [None; 2];
    for (i, slot) in slots.iter_mut().enumerate() {
        let Some(id) = v.node.input(1 + i) else { continue };
        let found: usize = v.dims(v.graph.tensor(id))?.iter().product();
        if found != len {
            return Err(v.unsupported(format!("input {} has {found} elements, not {len}", 1 + i)));
        }
        *slot = Some(inputs.len());
        inputs.push(id);
    }
    let (isa, norm) = (p.isa, Norm { epsilon: op.epsilon, rms: op.rms });
    let rows = dims[..op.axis].iter().product();
    let run = move |rows: Range<usize>, [x, scale, bias]: [&[u8]; 3], y: &mut [u8]| {
        let given = |slot: Option<usize>| if slot.is_some() { len } else { 0 };
        let affine = Affine { scale: values(scale, given(slots[0])), bias: values(bias, given(slots[1])) };
        let y = values_mut::<f32>(y);
        layer_norm(isa, norm, len, affine, values(&x[rows.start * len * 4..], y.len()), y);
    };
    let name = format!("{}-f32 {isa}", if op.rms { "rms-norm" } else { "layer-norm" });
    // Three times over a row.
    let cost = moving(rows * len * 24);
    let used = [0, slots[0].unwrap_or(0), slots[1].unwrap_or(0)];
    let kernel = RowsCall { name, cost, rows, grain: 1, stride: len * 4, inputs: used, run };
    Ok(Planned::step(kernel, &inputs, &v.node.outputs))
}

/// Batch, heads, rows and depth of an operand, and where they lie.
fn operand(v: NodeView<'_>, t: &Tensor, heads_first: bool) -> Result<([usize; 4], Strides), PlanError> {
    match v.dims(t)?[..] {
        [batch, heads, rows, depth] if heads_first => {
            let strides = Strides { batch: heads * rows * depth, head: rows * depth, row: depth };
            Ok(([batch, heads, rows, depth], strides))
        }
        [batch, rows, heads, depth] => {
            let strides = Strides { batch: heads * rows * depth, head: depth, row: heads * depth };
            Ok(([batch, heads, rows, depth], strides))
        }
        _ => Err(v.unsupported(format!("'{}' should have rank 4", t.name))),
    }
}

/// Strides of a mask that broadcasts to `[batch, heads, queries, keys]`; its last dimension must be whole.
fn mask_strides(v: NodeView<'_>, t: &Tensor, scores: [usize; 4]) -> Result<Strides, PlanError> {
    let given = v.dims(t)?;
    let mut dims = [1; 4];
    let Some(at) = 4usize.checked_sub(given.len()) else {
        return Err(v.unsupported(format!("'{}' should have rank 4 at most", t.name)));
    };
    dims[at..].copy_from_slice(&given);
    let fits = dims[3] == scores[3] && dims.iter().zip(&scores).all(|(&d, &s)| d == 1 || d == s);
    if !fits {
        return Err(v.unsupported(format!("a mask {given:?} does not fit scores {scores:?}")));
    }
    let step = |axis: usize| if dims[axis] == 1 { 0 } else { dims[axis + 1..].iter().product() };
    Ok(Strides { batch: step(0), head: step(1), row: step(2) })
}

pub(super) fn plan_attention(p: &Planner<'_>, v: NodeView<'_>, op: &Attention) -> Result<Planned, PlanError> {
    let ([batch, heads, queries, depth], q) = operand(v, v.tensor(0)?, op.q_heads_first)?;
    let ([_, kv_heads, keys, _], k) = operand(v, v.tensor(1)?, op.k_heads_first)?;
    let ([_, _, _, value_depth], vs) = operand(v, v.tensor(2)?, op.v_heads_first)?;
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(v.unsupported(format!("{heads} heads can't share {kv_heads} heads of keys evenly")));
    }
    let scores = [batch, heads, queries, keys];
    let mask = match v.node.input(3) {
        Some(id) => Some(mask_strides(v, v.graph.tensor(id), scores)?),
        None => None,
    };
    let causal = match op.causal {
        true => Some(keys.checked_sub(queries).ok_or_else(|| {
            v.unsupported(format!(
                "{queries} queries look back on {keys} keys: the first ones would see none"
            ))
        })?),
        false => None,
    };
    let shape = AttentionShape {
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        depth,
        value_depth,
        q,
        k,
        v: vs,
        mask: mask.unwrap_or(Strides { batch: 0, head: 0, row: 0 }),
        causal,
        scale: op.scale,
    };
    let lens = [
        batch * heads * queries * depth,
        batch * kv_heads * keys * depth,
        batch * kv_heads * keys * value_depth,
    ];
    let step = AttentionStep {
        attention: attention::Attention::new(p.isa, shape),
        shape,
        lens,
        masked: mask.is_some(),
    };
    let inputs: Vec<_> = (0..3).map(|i| v.input(i)).collect::<Result<_, _>>()?;
    let inputs: Vec<_> = inputs.into_iter().chain(v.node.input(3)).collect();
    Ok(Planned::step(step, &inputs, &v.node.outputs))
}

struct AttentionStep {
    attention: attention::Attention,
    shape: AttentionShape,
    /// Elements of q, k and v.
    lens: [usize; 3],
    masked: bool,
}

impl AttentionStep {
    fn scratch(&self) -> usize {
        self.attention.scratch_len().saturating_mul(4).next_multiple_of(64)
    }

    /// Bytes of the outputs as several threads compute them: head by head.
    fn gathered(&self) -> usize {
        let AttentionShape { batch, heads, queries, value_depth, .. } = self.shape;
        (batch * heads * queries * value_depth * 4).next_multiple_of(64)
    }
}

impl Kernel for AttentionStep {
    fn name(&self) -> String {
        self.attention.kernel().to_string()
    }
    fn macs(&self) -> u64 {
        self.attention.macs()
    }
    fn cost(&self) -> u64 {
        self.macs().saturating_mul(4)
    }
    fn scratch_len(&self, threads: usize) -> usize {
        let gathered = if threads > 1 { self.gathered() } else { 0 };
        self.scratch().saturating_mul(threads).saturating_add(gathered)
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let mask = if self.masked { 3 } else { 0 };
        let Views { inputs: [q, k, v, mask], outputs: [y], scratch } = io.views([0, 1, 2, mask], [0]);
        let AttentionShape { batch, heads, queries, value_depth, .. } = self.shape;
        let operands = [values(q, self.lens[0]), values(k, self.lens[1]), values(v, self.lens[2])];
        let mask = self.masked.then(|| values::<f32>(mask, mask.len() / 4));
        let (attention, count, scratch_len) = (&self.attention, batch * heads * queries, self.scratch());
        if pool.sharing(self.cost()).is_none() {
            let (y, scratch) = ((values_mut(y), attention.by_query()), values_mut(scratch));
            attention.run(operands, mask, y, 0..count, scratch);
            return Ok(());
        }
        // Threads take heads (parts of them only if there are few): their keys and values are packed once.
        let parts = pool.count().div_ceil((batch * heads).max(1));
        let grain = queries.div_ceil(parts).max(1);
        let (gathered, scratch) = scratch.split_at_mut(self.gathered());
        let gathered = &mut gathered[..count * value_depth * 4];
        let rows = Rows { count, grain, stride: value_depth * 4, y: gathered, scratch_len, scratch };
        pool.split(self.cost(), rows, &|rows, y, scratch| {
            let y = (values_mut(y), attention.by_head());
            attention.run(operands, mask, y, rows, values_mut(scratch));
        });
        let (count, stride) = (batch * queries, heads * value_depth * 4);
        let rows = Rows { count, grain: 1, stride, y, scratch_len: 0, scratch: &mut [] };
        let gathered = values(gathered, gathered.len() / 4);
        pool.split(moving(2 * count * stride), rows, &|rows, y, _| {
            attention.gather(gathered, values_mut(y), rows);
        });
        Ok(())
    }
}
