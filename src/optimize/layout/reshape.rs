//! Reshapes of views.
//!
//! A Reshape is taken apart into groups: runs of input dimensions that become runs of output dimensions with the
//! same number of elements. If every group's input dimensions lie in the source as they do in the view, the source
//! can be reshaped instead. One more case: a classifier's Flatten joins channels, height and width in an order that
//! the source does not have; if only Linear nodes read it, their weights' columns are reordered instead.

use super::super::edit::reshape_target;
use super::{Walk, perm, turn_bytes};
use crate::graph::{Data, Dim, Node, Op, Reshape, Shape, Tensor, TensorId};
use std::ops::Range;

/// Input dimensions that become output dimensions.
type Group = (Range<usize>, Range<usize>);

pub(super) fn push(walk: &mut Walk, node: &Node) -> Option<()> {
    let x = node.input(0)?;
    let (source, perm) = walk.view(x)?;
    let perm = perm.to_vec();
    let (from, to) = (walk.shape(source).clone(), walk.shape(node.outputs[0]).clone());
    if perm::moves_only_ones(&perm, &from) {
        let target = reshape_target(&from, &to)?;
        return emit(walk, node, source, &target, None);
    }
    let groups = groups(walk.shape(x), &to)?;
    if let Some(order) = source_order(&groups, &perm) {
        let shape = Shape(order.iter().flat_map(|&g| to[groups[g].1.clone()].to_vec()).collect());
        let target = reshape_target(&from, &shape)?;
        return emit(walk, node, source, &target, Some(&seen_through(&groups, &order)));
    }
    join_for_linear(walk, node, source, &perm, &groups)
        .or_else(|| join_channels(walk, node, x, &perm, &groups))
}

/// Reshapes the source; the node's output is that, seen through a permutation.
fn emit(
    walk: &mut Walk,
    node: &Node,
    source: TensorId,
    target: &[i64],
    perm: Option<&[usize]>,
) -> Option<()> {
    let out = match perm {
        Some(perm) => walk.output(node.outputs[0], perm),
        None => node.outputs[0],
    };
    let shape = walk.ints(&format!("{}.shape", node.name), target);
    let inputs = vec![Some(source), Some(shape)];
    let op = Op::from(Reshape { allow_zero: false });
    walk.nodes.push(Node { name: node.name.clone(), op, inputs, outputs: vec![out] });
    Some(())
}

/// The smallest groups. Dimensions of length 1 stand alone if they can, and so do free dimensions, which stay
/// what they are. None if the shapes don't fit together.
fn groups(from: &[Dim], to: &[Dim]) -> Option<Vec<Group>> {
    const ONE: Option<&Dim> = Some(&Dim::Fixed(1));
    let mut groups = Vec::new();
    let (mut i, mut o) = (0, 0);
    while i < from.len() || o < to.len() {
        let (start, (a, b)) = ((i, o), (from.get(i), to.get(o)));
        if a == b {
            (i, o) = (i + 1, o + 1);
        } else if a == ONE {
            i += 1;
        } else if b == ONE {
            o += 1;
        } else {
            (i, o) = (i + 1, o + 1);
            let (mut a, mut b) = (a?.fixed()?, b?.fixed()?);
            while a != b {
                if a < b {
                    a = a.checked_mul(from.get(i)?.fixed().filter(|&n| n > 0)?)?;
                    i += 1;
                } else {
                    b = b.checked_mul(to.get(o)?.fixed().filter(|&n| n > 0)?)?;
                    o += 1;
                }
            }
        }
        groups.push((start.0..i, start.1..o));
    }
    Some(groups)
}

/// The groups in the order in which their dimensions lie in the source, if each one's lie together and in order.
fn source_order(groups: &[Group], perm: &[usize]) -> Option<Vec<usize>> {
    let together = |g: &Group| perm[g.0.clone()].windows(2).all(|w| w[0] + 1 == w[1]);
    if !groups.iter().all(together) {
        return None;
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    // A group of no input dimensions (a new 1) goes behind the group before it.
    order.sort_by_key(|&g| groups[..=g].iter().rev().find(|g| !g.0.is_empty()).map(|g| perm[g.0.start]));
    Some(order)
}

/// The permutation that puts the output dimensions of reordered groups back.
fn seen_through(groups: &[Group], order: &[usize]) -> Vec<usize> {
    let stored: Vec<usize> = order.iter().flat_map(|&g| groups[g].1.clone()).collect();
    perm::inverse(&stored)
}

/// Groups that don't lie together have to be moved by a Transpose, whatever is done. The one that leaves an image
/// channels last (a channel shuffle) is as cheap as the one that computes the view, and the only one needed.
fn join_channels(walk: &mut Walk, node: &Node, x: TensorId, perm: &[usize], groups: &[Group]) -> Option<()> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    // What is innermost stays innermost.
    order.sort_by_key(|&g| {
        groups[..=g].iter().rev().find(|g| !g.0.is_empty()).and_then(|g| perm[g.0.clone()].iter().max())
    });
    let seen = seen_through(groups, &order);
    perm::is_channels_first(&seen).then_some(())?;
    let to = walk.shape(node.outputs[0]);
    let shape = Shape(order.iter().flat_map(|&g| to[groups[g].1.clone()].to_vec()).collect());
    let stored: Vec<usize> = order.iter().flat_map(|&g| groups[g].0.clone()).collect();
    let from = Shape(perm::apply(&stored, &walk.shape(x).0));
    let target = reshape_target(&from, &shape)?;
    let source = walk.turn(x, &stored);
    emit(walk, node, source, &target, Some(&seen))
}

/// The last group joins dimensions into the rows that Linear nodes multiply with; the others stay in place.
fn join_for_linear(
    walk: &mut Walk,
    node: &Node,
    source: TensorId,
    perm: &[usize],
    groups: &[Group],
) -> Option<()> {
    let out = node.outputs[0];
    let ((joined, last), before) = groups.split_last()?;
    let in_place = before.iter().all(|(i, _)| i.clone().all(|d| perm[d] == d));
    let columns = walk.shape(source)[joined.clone()].iter().map(|d| d.fixed()).collect::<Option<Vec<_>>>()?;
    if !in_place || last.len() != 1 || walk.graph.outputs.contains(&out) {
        return None;
    }
    let target = reshape_target(walk.shape(source), walk.shape(out))?;
    // Columns of the weights stand in the view's order and are wanted in the source's.
    let in_view: Vec<usize> = joined.clone().map(|d| columns[perm[d] - joined.start]).collect();
    let back: Vec<usize> = perm::inverse(perm)[joined.clone()].iter().map(|&d| d - joined.start).collect();
    let mut replaced = Vec::new();
    for reader in walk.readers[out.index()].clone() {
        let weights = walk.linear_weights(reader, out)?;
        let Dim::Fixed(k) = *walk.shape(weights).get(1)? else { return None };
        if k == 0 || in_view.iter().product::<usize>() != k {
            return None;
        }
        let tensor = walk.graph.tensor(weights);
        let rows = tensor.data.as_ref()?.bytes().chunks_exact(k * tensor.dtype.size());
        let turned: Vec<u8> = rows.flat_map(|row| turn_bytes(row, tensor.dtype, &in_view, &back)).collect();
        replaced.push((reader, Tensor { data: Some(Data::from_bytes(&turned)), ..tensor.clone() }));
    }
    for (reader, tensor) in replaced {
        let name = walk.names.unique(walk.graph, &tensor.name);
        let turned = walk.graph.add_tensor(Tensor { name, ..tensor });
        walk.replaced.insert((reader, 1), turned);
    }
    emit(walk, node, source, &target, None)
}

impl Walk<'_> {
    /// The weights of node `reader`, if it is Linear and multiplies `x` with them.
    fn linear_weights(&self, reader: usize, x: TensorId) -> Option<TensorId> {
        let node = self.old.get(reader)?;
        let weights = node.input(1)?;
        (matches!(node.op, Op::Linear(_)) && node.input(0) == Some(x)).then_some(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(dims: &[usize]) -> Vec<Dim> {
        dims.iter().map(|&d| Dim::Fixed(d)).collect()
    }

    #[test]
    fn shapes_fall_into_groups() {
        let shuffle = groups(&fixed(&[2, 12, 5]), &fixed(&[2, 3, 4, 5]));
        assert_eq!(shuffle, Some(vec![(0..1, 0..1), (1..2, 1..3), (2..3, 3..4)]));
        let flatten = groups(&fixed(&[2, 3, 4, 5]), &fixed(&[2, 60]));
        assert_eq!(flatten, Some(vec![(0..1, 0..1), (1..4, 1..2)]));
        let ones = groups(&fixed(&[2, 1, 3]), &fixed(&[2, 3, 1]));
        assert_eq!(ones, Some(vec![(0..1, 0..1), (1..2, 1..1), (2..3, 1..2), (3..3, 2..3)]));
        assert_eq!(groups(&fixed(&[2, 3]), &fixed(&[7])), None);
        assert_eq!(groups(&fixed(&[0, 3]), &fixed(&[3, 0])), None);
        assert_eq!(groups(&[Dim::Free(0)], &fixed(&[3])), None);
    }

    #[test]
    fn channels_can_be_split_where_they_lie() {
        let perm = [0, 3, 1, 2];
        let groups = groups(&fixed(&[2, 12, 5, 7]), &fixed(&[2, 3, 4, 5, 7])).unwrap();
        let order = source_order(&groups, &perm).unwrap();
        assert_eq!(order, [0, 2, 3, 1]);
        // Stored as [2, 5, 7, 3, 4].
        assert_eq!(seen_through(&groups, &order), [0, 3, 4, 1, 2]);
    }
}
