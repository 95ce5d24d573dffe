//! Attention as one operator.

use super::super::context::{Context, Stop};
use crate::graph::{self, DType, Reshape, TensorId, Transpose, Where};

/// Query, key or value: `[N, heads, S, D]`, or `[N, S, heads * D]` which becomes `[N, S, heads, D]`.
fn by_heads(cx: &mut Context, tag: &str, id: TensorId, heads: Option<i64>) -> Result<TensorId, Stop> {
    cx.need_float(id)?;
    match (cx.rank(id), heads) {
        (4, _) => Ok(id),
        (3, Some(heads)) => {
            let width = cx.extent(id, 2).and_then(|n| i64::try_from(n).ok());
            let each = width.filter(|_| heads > 0).filter(|n| n % heads == 0).map(|n| n / heads);
            let each = each.ok_or_else(|| Stop::because("its channels are no multiple of its heads"))?;
            let sizes = cx.int_vector(&format!("{tag}_heads"), &[0, 0, heads, each])?;
            cx.inner(tag, Reshape { allow_zero: false }, &[Some(id), Some(sizes)])
        }
        (3, None) => Err(Stop::because("'q_num_heads' and 'kv_num_heads' are missing")),
        (rank, _) => Err(Stop::because(format!("an input has rank {rank}, it must be 3 or 4"))),
    }
}

pub(super) fn attention(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let causal = attrs.flag("is_causal", false)?;
    let (q_heads, kv_heads) = (attrs.int("q_num_heads")?, attrs.int("kv_num_heads")?);
    let scale = attrs.float("scale")?;
    if attrs.float_or("softcap", 0.0)? != 0.0 {
        return Err(Stop::because("attribute 'softcap' is not supported: it must be 0"));
    }
    // Softmax is computed in f32; what the second score output would hold is not asked for.
    attrs.ignore(&["softmax_precision", "qk_matmul_output_mode"]);
    attrs.finish()?;
    let inputs = [(0, "q", q_heads), (1, "k", kv_heads), (2, "v", kv_heads)];
    let whole = cx.rank(cx.input(0)?) == 3;
    let mut factors = [None; 3];
    for ((i, tag, heads), factor) in inputs.into_iter().zip(&mut factors) {
        let id = cx.input(i)?;
        if (cx.rank(id) == 3) != whole {
            return Err(Stop::because("its inputs have different ranks"));
        }
        *factor = Some(by_heads(cx, tag, id, heads)?);
    }
    let q = factors[0].ok_or_else(|| Stop::because("its query is missing"))?;
    let k = factors[1].ok_or_else(|| Stop::because("its key is missing"))?;
    let along = if whole { 1 } else { 2 };
    let (queries, keys) = (cx.extent(q, along), cx.extent(k, along));
    // The node aligns queries with the last keys, ONNX with the first.
    if causal && (queries.is_none() || queries != keys) {
        return Err(Stop::because("'is_causal' needs as many queries as keys, and both fixed"));
    }
    let mask = match cx.optional(3)? {
        Some(mask) if cx.dtype(mask) == DType::Bool => {
            let zero = cx.scalar("seen", 0.0)?;
            let hidden = cx.scalar("hidden", f32::NEG_INFINITY)?;
            Some(cx.inner("mask", Where {}, &[Some(mask), Some(zero), Some(hidden)])?)
        }
        mask => mask,
    };
    let depth = cx.extent(q, 3).ok_or_else(|| Stop::because("the size of its heads must be fixed"))?;
    let op = graph::Attention {
        scale: scale.unwrap_or(1.0 / (depth as f32).sqrt()),
        causal,
        q_heads_first: !whole,
        k_heads_first: !whole,
        v_heads_first: !whole,
    };
    let inputs = [factors[0], factors[1], factors[2], mask];
    let y = cx.core("attention", op, if mask.is_some() { &inputs } else { &inputs[..3] })?;
    if !whole {
        return cx.last("heads_first", Transpose { perm: vec![0, 2, 1, 3] }, &[Some(y)]);
    }
    let sizes = cx.int_vector("joined", &[0, 0, -1])?;
    cx.last("channels", Reshape { allow_zero: false }, &[Some(y), Some(sizes)])
}
