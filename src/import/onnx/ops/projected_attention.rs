//! Attention of ONNX Runtime's domain with the projection in front of it: `Attention`, and `QAttention` over bytes.
//!
//! One product makes queries, keys and values of the input, side by side; heads attend, each to its own part. Keys and
//! values of earlier calls come in front of the new ones, and all of them can be given on.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use super::contrib::Product;
use super::of_two;
use crate::graph::*;

/// What the attributes of both say.
struct Heads {
    count: usize,
    causal: bool,
    /// What is added to scores that the mask hides.
    hidden: f32,
    scale: Option<f32>,
}

impl Heads {
    fn read(attrs: &mut Attrs) -> Result<Heads, Stop> {
        let count = attrs.int_or("num_heads", 0)?;
        let causal = attrs.flag("unidirectional", false)?;
        let hidden = attrs.float_or("mask_filter_value", -10_000.0)?;
        let scale = Some(attrs.float_or("scale", 0.0)?).filter(|&scale| scale != 0.0);
        for turned_on in ["do_rotary", "past_present_share_buffer"] {
            if attrs.flag(turned_on, false)? {
                return Err(Stop::because(format!("attribute '{turned_on}' is 1, which is not supported")));
            }
        }
        attrs.ignore(&["rotary_embedding_dim"]);
        let count = usize::try_from(count).ok().filter(|&count| count > 0);
        let count = count.ok_or_else(|| Stop::because("attribute 'num_heads' must be positive"))?;
        Ok(Heads { count, causal, hidden, scale })
    }
}

/// Inputs: x `[N,S,I]`, w `[I,3*H]`, bias, mask, past, what is added to the scores.
pub(super) fn float(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let heads = Heads::read(&mut attrs)?;
    if attrs.ints("qkv_hidden_sizes")?.is_some_and(|sizes| sizes.iter().any(|s| *s != sizes[0])) {
        return Err(Stop::because("queries and values of different sizes are not supported"));
    }
    attrs.finish()?;
    let (x, w, bias) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    let (mask, past, added) = (cx.optional(3)?, cx.optional(4)?, cx.optional(5)?);
    cx.need_float(x)?;
    let mut projected = cx.inner("projected", MatMul { transpose_b: false }, &[Some(x), Some(w)])?;
    if let Some(bias) = bias {
        projected = cx.inner("biased", of_two(BinaryKind::Add), &[Some(projected), Some(bias)])?;
    }
    attend(cx, &heads, projected, mask, past, added)
}

/// Inputs: x `[N,S,I]` and w `[I,3*H]` of bytes, bias, their scales, mask, their zero points, past.
pub(super) fn quantized(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let heads = Heads::read(&mut attrs)?;
    attrs.finish()?;
    let (a, b, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let scales = [cx.input(3)?, cx.input(4)?];
    let (mask, past) = (cx.optional(5)?, cx.optional(8)?);
    let zeros = [cx.optional(6)?, cx.optional(7)?];
    let product = Product { a, b, scales, zeros, bias: Some(bias) };
    let projected = product.inner(cx)?;
    attend(cx, &heads, projected, mask, past, None)
}

/// Attends with the projected input `[N,S,3*H]`; `added` broadcasts to the scores.
fn attend(
    cx: &mut Context,
    heads: &Heads,
    projected: TensorId,
    mask: Option<TensorId>,
    past: Option<TensorId>,
    added: Option<TensorId>,
) -> Result<Vec<TensorId>, Stop> {
    let width = cx.extent(projected, 2).filter(|_| cx.rank(projected) == 3);
    let depth = width.filter(|w| w % (3 * heads.count) == 0).map(|w| w / (3 * heads.count));
    let depth = depth.filter(|&depth| depth > 0).ok_or_else(|| {
        let shape = cx.shape(projected);
        Stop::because(format!(
            "the projected input {shape:?} can't be shared out among {} heads",
            heads.count
        ))
    })?;
    let parts = cx.inner_three("part", Split { axis: 2, sizes: vec![] }, &[Some(projected)])?;
    let by_head = cx.int_vector("by head", &[0, 0, heads.count as i64, depth as i64])?;
    let mut each = parts;
    for (part, tag) in each.iter_mut().zip(["q", "k", "v"]) {
        *part = cx.inner(tag, Reshape { allow_zero: false }, &[Some(*part), Some(by_head)])?;
    }
    let [q, mut k, mut v] = each;
    let goes_on = past.is_some() || cx.is_read(1);
    if goes_on {
        [k, v] = with_past(cx, [k, v], past)?;
    }
    let keys = cx.inner("keys", length_of(if goes_on { 2 } else { 1 }), &[Some(k)])?;
    let mask = mask.map(|mask| scores_mask(cx, mask, keys, heads.hidden)).transpose()?;
    let mask = match (mask, added) {
        (Some(mask), Some(added)) => {
            Some(cx.inner("masked", of_two(BinaryKind::Add), &[Some(mask), Some(added)])?)
        }
        (one, other) => one.or(other),
    };
    let op = Attention {
        scale: heads.scale.unwrap_or(1.0 / (depth as f32).sqrt()),
        causal: heads.causal,
        q_heads_first: false,
        k_heads_first: goes_on,
        v_heads_first: goes_on,
    };
    let inputs: Vec<_> = [Some(q), Some(k), Some(v), mask].into_iter().filter(Option::is_some).collect();
    let context = cx.core("context", op, &inputs)?;
    let together = cx.int_vector("together", &[0, 0, (heads.count * depth) as i64])?;
    let mut outputs = cx.last("joined", Reshape { allow_zero: false }, &[Some(context), Some(together)])?;
    if cx.is_read(1) {
        let mut both = vec![];
        for (part, tag) in [(k, "keys kept"), (v, "values kept")] {
            both.push(Some(cx.inner(tag, Unsqueeze { axes: vec![0] }, &[Some(part)])?));
        }
        outputs.push(cx.inner("present", Concat { axis: 0 }, &both)?);
    }
    Ok(outputs)
}

fn length_of(axis: i64) -> ShapeOf {
    ShapeOf { start: axis, end: axis + 1 }
}

/// Keys and values as `[N,heads,T,D]`, behind those of `past` `[2,N,heads,P,D]`.
fn with_past(cx: &mut Context, parts: [TensorId; 2], past: Option<TensorId>) -> Result<[TensorId; 2], Stop> {
    let mut made = parts;
    for (i, tag) in ["key", "value"].into_iter().enumerate() {
        let perm = vec![0, 2, 1, 3];
        made[i] = cx.inner(&format!("{tag} heads"), Transpose { perm }, &[Some(parts[i])])?;
        let Some(past) = past else { continue };
        cx.need_float(past)?;
        let which = cx.constant(&format!("{tag} index"), DType::I64, &[], Data::from_slice(&[i as i64]))?;
        let before = cx.inner(&format!("past {tag}"), Gather { axis: 0 }, &[Some(past), Some(which)])?;
        made[i] = cx.inner(&format!("all {tag}s"), Concat { axis: 2 }, &[Some(before), Some(made[i])])?;
    }
    Ok(made)
}

/// What is added to scores `[N,heads,S,T]`: 0, or `hidden` where the mask says so. The mask is `[N,T]` or `[N,S,T]`,
/// not 0 for what is seen, or `[N]`: how many keys are seen. `keys`: T.
fn scores_mask(cx: &mut Context, mask: TensorId, keys: TensorId, hidden: f32) -> Result<TensorId, Stop> {
    let seen = match cx.rank(mask) {
        1 => {
            let [zero, one] = [0, 1]
                .map(|v| cx.constant(&format!("number {v}"), DType::I64, &[], Data::from_slice(&[v as i64])));
            let scalar = cx.int_vector("no dimensions", &[])?;
            let keys = cx.inner("key count", Reshape { allow_zero: false }, &[Some(keys), Some(scalar)])?;
            let places = cx.inner("places", Range {}, &[Some(zero?), Some(keys), Some(one?)])?;
            let ends = cx.as_i64(mask)?;
            let ends = cx.inner("ends", Unsqueeze { axes: vec![1] }, &[Some(ends)])?;
            let seen = cx.inner("seen", of_two(BinaryKind::Less), &[Some(places), Some(ends)])?;
            cx.inner("seen by all", Unsqueeze { axes: vec![1, 2] }, &[Some(seen)])?
        }
        2 | 3 => {
            let axes = if cx.rank(mask) == 2 { vec![1, 2] } else { vec![1] };
            let zero = match cx.dtype(mask) {
                DType::I32 => Data::from_slice(&[0i32]),
                DType::I64 => Data::from_slice(&[0i64]),
                other => return Err(Stop::because(format!("its mask is {other}, it must be integers"))),
            };
            let zero = cx.constant("unseen", cx.dtype(mask), &[], zero)?;
            let seen = cx.inner("seen", of_two(BinaryKind::Greater), &[Some(mask), Some(zero)])?;
            cx.inner("seen by all", Unsqueeze { axes }, &[Some(seen)])?
        }
        rank => return Err(Stop::because(format!("masks with {rank} dimensions are not supported"))),
    };
    let [shown, hidden] = [cx.scalar("shown", 0.0)?, cx.scalar("hidden", hidden)?];
    cx.inner("mask", Where {}, &[Some(seen), Some(shown), Some(hidden)])
}
