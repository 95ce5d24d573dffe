//! Which nodes can be applied to the source of a view, and how their axes are renamed.

use super::super::edit::ints;
use super::{Walk, perm, reshape};
use crate::graph::*;

/// Applies the node to sources if it can be done, and records its outputs as views. False: nothing has happened.
pub(super) fn push(walk: &mut Walk, node: &Node) -> bool {
    let per_tensor = node.present_inputs().chain(node.outputs.iter().copied()).all(|t| walk.has_one_scale(t));
    if !per_tensor {
        return false;
    }
    match &node.op {
        Op::Unary(_) | Op::Cast(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => {
            first_input(walk, node)
                .is_some_and(|(source, perm)| emit(walk, node, node.op.clone(), source, &perm))
        }
        Op::DynamicQuantize(_) => dynamic_quantize(walk, node).is_some(),
        Op::Binary(_) | Op::Where(_) => elementwise(walk, node).is_some(),
        Op::Concat(op) => concat(walk, node, op.axis).is_some(),
        Op::Split(op) => along(walk, node, op.axis, |axis| Split { axis, ..op.clone() }.into()),
        Op::Softmax(op) => along(walk, node, op.axis, |axis| Softmax { axis, ..op.clone() }.into()),
        Op::BatchNorm(op) => along(walk, node, op.axis, |axis| BatchNorm { axis, ..op.clone() }.into()),
        Op::Reduce(op) => {
            let make = |axes| Reduce { axes, ..op.clone() }.into();
            reduction(walk, node, &op.axes, op.keep_dims, make).is_some()
        }
        Op::ArgMax(op) => {
            let make = |axes: Vec<usize>| ArgMax { axis: axes[0], ..op.clone() }.into();
            reduction(walk, node, &[op.axis], op.keep_dims, make).is_some()
        }
        Op::Squeeze(op) => squeeze(walk, node, &op.axes).is_some(),
        Op::Unsqueeze(op) => unsqueeze(walk, node, &op.axes).is_some(),
        Op::Slice(_) => slice(walk, node).is_some(),
        Op::Pad(_) | Op::Tile(_) => ordered(walk, node, &[1]).is_some(),
        Op::Resize(_) | Op::Resample(_) => ordered(walk, node, &[1, 2]).is_some(),
        Op::ShapeOf(op) => shape_of(walk, node, op).is_some(),
        Op::Linear(_) => linear(walk, node).is_some(),
        Op::MatMul(op) => matmul(walk, node, op).is_some(),
        Op::Reshape(_) | Op::Flatten(_) => reshape::push(walk, node).is_some(),
        _ => false,
    }
}

/// Source and permutation of the first input; the other inputs must not be views.
fn first_input(walk: &Walk, node: &Node) -> Option<(TensorId, Vec<usize>)> {
    let (source, perm) = walk.view(node.input(0)?)?;
    let plain = node.inputs.iter().skip(1).flatten().all(|t| walk.view(*t).is_none());
    plain.then(|| (source, perm.to_vec()))
}

/// Puts `op` into the graph: it reads `source` and the node's other inputs; all its outputs are views.
fn emit(walk: &mut Walk, node: &Node, op: Op, source: TensorId, perm: &[usize]) -> bool {
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(source);
    emit_with(walk, node, op, inputs, perm);
    true
}

fn emit_with(walk: &mut Walk, node: &Node, op: Op, inputs: Vec<Option<TensorId>>, perm: &[usize]) {
    let outputs = node.outputs.iter().map(|&out| walk.output(out, perm)).collect();
    walk.nodes.push(Node { name: node.name.clone(), op, inputs, outputs });
}

/// The bytes are a view; scale and zero point are the same in any order.
fn dynamic_quantize(walk: &mut Walk, node: &Node) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let mut outputs = node.outputs.clone();
    outputs[0] = walk.output(outputs[0], &perm);
    walk.nodes.push(Node { inputs: vec![Some(source)], outputs, ..node.clone() });
    Some(())
}

/// A node that works along one axis.
fn along(walk: &mut Walk, node: &Node, axis: usize, make: impl FnOnce(usize) -> Op) -> bool {
    let Some((source, perm)) = first_input(walk, node) else { return false };
    match perm.get(axis) {
        Some(&axis) => emit(walk, node, make(axis), source, &perm),
        None => false,
    }
}

/// Operands of the output's shape decide: the others are small and can be turned.
fn elementwise(walk: &mut Walk, node: &Node) -> Option<()> {
    let out = walk.shape(node.outputs[0]).clone();
    let leads = |t: &TensorId| *walk.shape(*t) == out && walk.view(*t).is_some();
    let lead = node.present_inputs().find(leads)?;
    let perm = walk.view(lead)?.1.to_vec();
    let inputs = turned_inputs(walk, node, &perm)?;
    emit_with(walk, node, node.op.clone(), inputs, &perm);
    Some(())
}

fn concat(walk: &mut Walk, node: &Node, axis: usize) -> Option<()> {
    let views: Vec<&[usize]> = node.present_inputs().filter_map(|t| walk.view(t)).map(|v| v.1).collect();
    let perm = views.iter().find(|p| perm::is_channels_first(p)).or_else(|| views.first())?.to_vec();
    let axis = *perm.get(axis)?;
    let inputs = turned_inputs(walk, node, &perm)?;
    emit_with(walk, node, Concat { axis }.into(), inputs, &perm);
    Some(())
}

/// How an input comes to give its values when seen through a permutation.
enum Turn {
    /// It is the same in any order.
    Same,
    /// A constant of these dimensions is stored in another order.
    Constant(Vec<usize>),
    /// Its view's source, or a node.
    Node,
}

/// For each input a tensor that gives the input when seen through `perm`. None if that would cost more than
/// computing the views.
fn turned_inputs(walk: &mut Walk, node: &Node, perm: &[usize]) -> Option<Vec<Option<TensorId>>> {
    let back = perm::inverse(perm);
    let turns = node.inputs.iter().map(|input| match input {
        Some(t) => how_to_turn(walk, *t, perm, &back).map(Some),
        None => Some(None),
    });
    let turns: Vec<Option<Turn>> = turns.collect::<Option<_>>()?;
    let mut inputs = Vec::with_capacity(turns.len());
    for (input, turn) in node.inputs.iter().zip(turns) {
        inputs.push(match (input, turn) {
            (Some(t), Some(Turn::Constant(dims))) => Some(walk.turned_constant(*t, &dims, &back)?),
            (Some(t), Some(Turn::Node)) => Some(walk.turn(*t, &back)),
            (input, _) => *input,
        });
    }
    Some(inputs)
}

fn how_to_turn(walk: &Walk, t: TensorId, perm: &[usize], back: &[usize]) -> Option<Turn> {
    let tensor = walk.graph.tensor(t);
    let (shape, view) = (&tensor.shape, walk.view(t));
    if shape.rank() > perm.len() {
        return None;
    }
    if view.is_none() && shape.iter().all(|&d| d == Dim::Fixed(1)) {
        return Some(Turn::Same);
    }
    if view.is_none() && tensor.data.is_some() {
        let mut dims = vec![1; perm.len() - shape.rank()];
        dims.extend(shape.dims()?);
        return Some(Turn::Constant(dims));
    }
    if shape.rank() < perm.len() {
        return None;
    }
    let (source, full) = match view {
        Some((source, first)) => (source, perm::compose(first, back)),
        None => (t, back.to_vec()),
    };
    // Images stay channels last even if another operand has to be turned: the next nodes want them so.
    let cheap = perm::is_channels_first(perm)
        || perm::is_identity(&full)
        || perm::moves_only_ones(&full, walk.shape(source))
        || walk.turned.contains_key(&(source, full));
    cheap.then_some(Turn::Node)
}

/// A node whose axes may go.
fn reduction(
    walk: &mut Walk,
    node: &Node,
    axes: &[usize],
    keep_dims: bool,
    make: impl FnOnce(Vec<usize>) -> Op,
) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    axes.iter().all(|&a| a < perm.len()).then_some(())?;
    let (axes, rest) = perm::without(&perm, axes);
    (!axes.is_empty()).then_some(())?;
    emit(walk, node, make(axes), source, if keep_dims { &perm } else { &rest });
    Some(())
}

fn squeeze(walk: &mut Walk, node: &Node, axes: &[usize]) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let shape = walk.shape(node.input(0)?);
    let axes: Vec<usize> = match axes {
        [] => (0..shape.rank()).filter(|&a| shape[a] == Dim::Fixed(1)).collect(),
        _ => axes.to_vec(),
    };
    axes.iter().all(|&a| a < perm.len()).then_some(())?;
    let (axes, rest) = perm::without(&perm, &axes);
    emit(walk, node, Squeeze { axes }.into(), source, &rest);
    Some(())
}

/// New dimensions go in front of the source, wherever they stand in the output.
fn unsqueeze(walk: &mut Walk, node: &Node, axes: &[usize]) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let rank = perm.len().checked_add(axes.len()).filter(|&r| r <= MAX_RANK)?;
    let mut old = perm.iter().map(|&p| p + axes.len());
    let mut seen = Vec::with_capacity(rank);
    for a in 0..rank {
        seen.push(match axes.iter().position(|&new| new == a) {
            Some(i) => i,
            None => old.next()?,
        });
    }
    perm::is_valid(&seen, rank).then_some(())?;
    emit(walk, node, Unsqueeze { axes: (0..axes.len()).collect() }.into(), source, &seen);
    Some(())
}

fn slice(walk: &mut Walk, node: &Node) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let rank = i64::try_from(perm.len()).ok()?;
    let axes: Vec<i64> = match node.input(3) {
        Some(axes) => ints(walk.graph, axes)?,
        None => match walk.shape(node.input(1)?).dims()?[..] {
            [n] if n <= perm.len() => (0..n as i64).collect(),
            _ => return None,
        },
    };
    let renamed = axes.iter().map(|&a| {
        let a = if a < 0 { a.checked_add(rank)? } else { a };
        perm.get(usize::try_from(a).ok()?).map(|&p| p as i64)
    });
    let renamed: Vec<i64> = renamed.collect::<Option<_>>()?;
    let axes = walk.ints(&format!("{}.axes", node.name), &renamed);
    let mut inputs = node.inputs.clone();
    inputs.resize(inputs.len().max(4), None);
    (inputs[0], inputs[3]) = (Some(source), Some(axes));
    emit_with(walk, node, node.op.clone(), inputs, &perm);
    Some(())
}

/// A node with vectors that say something about each dimension, once or several times over (begins, then ends).
fn ordered(walk: &mut Walk, node: &Node, slots: &[usize]) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let back = perm::inverse(&perm);
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(source);
    let mut orders = Vec::new();
    for &slot in slots {
        let Some(vector) = node.input(slot) else { continue };
        matches!(walk.graph.tensor(vector).dtype, DType::I32 | DType::I64 | DType::F32).then_some(())?;
        let length = match walk.shape(vector).dims()?[..] {
            [n] if n > 0 && n % perm.len() == 0 => n,
            [0] => continue,
            _ => return None,
        };
        let order = (0..length).map(|i| (i - i % perm.len() + back[i % perm.len()]) as i64).collect();
        orders.push((slot, vector, order));
    }
    for (slot, vector, order) in orders {
        inputs[slot] = Some(pick(walk, node, vector, order));
    }
    emit_with(walk, node, node.op.clone(), inputs, &perm);
    Some(())
}

/// The elements of a vector at these indices: a constant, or a Gather where the vector is computed.
fn pick(walk: &mut Walk, node: &Node, vector: TensorId, order: Vec<i64>) -> TensorId {
    if walk.graph.tensor(vector).data.is_some() {
        let order: Vec<usize> = order.iter().map(|&i| i as usize).collect();
        let dtype = walk.graph.tensor(vector).dtype;
        let name = walk.names.unique(walk.graph, &walk.graph.tensor(vector).name);
        let data = walk.graph.tensor(vector).data.as_ref().map(|d| match dtype.size() {
            4 => Data::from_slice(&perm::apply(&order, &d.to_vec::<u32>())),
            _ => Data::from_slice(&perm::apply(&order, &d.to_vec::<u64>())),
        });
        let tensor = Tensor { data, ..Tensor::value(name, dtype, Shape::fixed(&[order.len()])) };
        return walk.graph.add_tensor(tensor);
    }
    gather(walk, node, vector, &order, None)
}

fn gather(walk: &mut Walk, node: &Node, vector: TensorId, order: &[i64], out: Option<TensorId>) -> TensorId {
    let indices = walk.ints(&format!("{}.order", node.name), order);
    let out = out.unwrap_or_else(|| {
        let name = walk.names.unique(walk.graph, &walk.graph.tensor(vector).name);
        let dtype = walk.graph.tensor(vector).dtype;
        walk.graph.add_tensor(Tensor::value(name, dtype, Shape::fixed(&[order.len()])))
    });
    let inputs = vec![Some(vector), Some(indices)];
    walk.nodes.push(Node {
        name: node.name.clone(),
        op: Gather { axis: 0 }.into(),
        inputs,
        outputs: vec![out],
    });
    out
}

/// The source's dimensions, in the view's order.
fn shape_of(walk: &mut Walk, node: &Node, op: &ShapeOf) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    let rank = perm.len() as i64;
    let clamped = |v: i64| if v < 0 { v.saturating_add(rank) } else { v }.clamp(0, rank) as usize;
    let wanted = perm.get(clamped(op.start)..clamped(op.end))?;
    let order: Vec<i64> = wanted.iter().map(|&p| p as i64).collect();
    let name = walk.names.unique(walk.graph, &walk.graph.tensor(node.outputs[0]).name);
    let all = walk.graph.add_tensor(Tensor::value(name, DType::I64, Shape::fixed(&[perm.len()])));
    let op = Op::from(ShapeOf { start: 0, end: i64::MAX });
    walk.nodes.push(Node { name: node.name.clone(), op, inputs: vec![Some(source)], outputs: vec![all] });
    gather(walk, node, all, &order, Some(node.outputs[0]));
    Some(())
}

/// Linear works on the last dimension and takes the others as they come.
fn linear(walk: &mut Walk, node: &Node) -> Option<()> {
    let (source, perm) = first_input(walk, node)?;
    (perm.last() == Some(&(perm.len() - 1)))
        .then(|| emit(walk, node, node.op.clone(), source, &perm))
        .map(|_| ())
}

/// The second operand may be stored with its last two dimensions swapped.
fn matmul(walk: &mut Walk, node: &Node, op: &MatMul) -> Option<()> {
    let b = node.input(1)?;
    let (source, perm) = walk.view(b)?;
    let n = perm.len();
    let swapped = n >= 2 && perm[n - 2..] == [n - 1, n - 2] && perm::is_identity(&perm[..n - 2]);
    swapped.then_some(())?;
    let a = node.input(0)?;
    let a = walk.real(a);
    let op = MatMul { transpose_b: !op.transpose_b };
    let inputs = vec![Some(a), Some(source)];
    walk.nodes.push(Node { name: node.name.clone(), op: op.into(), inputs, outputs: node.outputs.clone() });
    Some(())
}
