//! Operators of transformers.

use super::super::*;
use super::dims::{self, Extent};
use super::integer::{elements, same_dim};
use super::rules::unchanged;
use super::site::{Rule, Site};

pub(super) fn layer_norm(site: &Site, op: &LayerNorm) -> Rule<Vec<Extent>> {
    let shape = site.shape(0)?;
    let Some(over) = shape.get(op.axis..).filter(|over| !over.is_empty()) else {
        return Err(format!("there is no dimension {} of {}", op.axis, site.show(shape)));
    };
    if !(op.epsilon >= 0.0 && op.epsilon.is_finite()) {
        return Err(format!("the epsilon {} is not finite and positive", op.epsilon));
    }
    for i in 1..3 {
        let Some(t) = site.optional(i)? else { continue };
        if let (Some(n), Some(wanted)) = (t.shape.elements(), elements(over))
            && n != wanted
        {
            return Err(format!(
                "input {i} has {n} elements, the dimensions that are normalized have {wanted}"
            ));
        }
    }
    unchanged(site)
}

/// Batch, heads, rows and depth of input `i`.
fn operand(site: &Site, i: usize, heads_first: bool) -> Rule<[Dim; 4]> {
    let [batch, a, b, depth] = site.ranked(i, "of rank 4")?;
    Ok(if heads_first { [batch, a, b, depth] } else { [batch, b, a, depth] })
}

pub(super) fn attention(site: &Site, op: &Attention) -> Rule<Vec<Extent>> {
    let [batch, heads, queries, depth] = operand(site, 0, op.q_heads_first)?;
    let [k_batch, kv_heads, keys, k_depth] = operand(site, 1, op.k_heads_first)?;
    let [v_batch, v_heads, values, value_depth] = operand(site, 2, op.v_heads_first)?;
    same_dim("the batches of q and k", batch, k_batch)?;
    same_dim("the batches of q and v", batch, v_batch)?;
    same_dim("the depths of q and k", depth, k_depth)?;
    same_dim("the heads of k and v", kv_heads, v_heads)?;
    same_dim("the lengths of k and v", keys, values)?;
    if let (Dim::Fixed(h), Dim::Fixed(g)) = (heads, kv_heads)
        && (g == 0 || h % g != 0)
    {
        return Err(format!("{h} heads of queries can't share {g} heads of keys evenly"));
    }
    if !op.scale.is_finite() {
        return Err(format!("the scale {} is not finite", op.scale));
    }
    if let Some(mask) = site.optional(3)? {
        let scores = [batch, heads, queries, keys];
        let fits = mask.shape.rank() <= 4
            && mask
                .shape
                .iter()
                .rev()
                .zip(scores.iter().rev())
                .all(|(&m, &s)| m == Dim::Fixed(1) || dims::agree(m, s).is_some());
        if !fits {
            let (mask, scores) = (site.show(&mask.shape), site.show(&Shape(scores.to_vec())));
            return Err(format!("the mask {mask} can't be broadcast to the scores {scores}"));
        }
    }
    Ok(vec![Some(batch), Some(queries), Some(heads), Some(value_depth)])
}
