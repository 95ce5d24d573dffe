//! Which nodes become integer ones.
//!
//! - *Weighted* nodes (convolutions, Linear) always do, if they can: that is where the time goes.
//! - *Light* nodes (functions, sums, averages) do where integers come in and integers are wanted: alone among
//!   float nodes they would cost two conversions and precision for nothing.
//! - *Passing* nodes only move values. They do where integers come in or are wanted: a byte is moved more cheaply
//!   than a float.
//!
//! All others stay float, and so do nodes that are excluded.

use super::Calibration;
use super::weights::MAX_PRODUCTS;
use crate::graph::*;

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// Computes with 8-bit integers.
    Integer,
    /// Computes with floats, because of this.
    Float(String),
    /// Computes no activation, but shapes or indices, and reads activations in either form.
    Aside,
}

/// What a node could be.
enum Role {
    Weighted,
    Light,
    Passing,
    Float(String),
    Aside,
}

/// The fate of each node. Those that `apart` means are not for static quantization.
pub(super) fn assign(graph: &Graph, calibration: &Calibration, apart: &dyn Fn(&Node) -> bool) -> Vec<Fate> {
    let roles: Vec<Role> = graph.nodes.iter().map(|n| role(graph, n, calibration, apart)).collect();
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let wanted = wanted(graph, &roles, &consumers);
    let mut integer = vec![false; roles.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        let comes_in = |t: TensorId| producers[t.index()].is_some_and(|p| integer[p]);
        let mut inputs = data_inputs(graph, node).peekable();
        integer[i] = match roles[i] {
            Role::Weighted => true,
            Role::Light => wanted[i] && inputs.any(comes_in),
            Role::Passing => inputs.peek().is_some() && inputs.all(comes_in),
            Role::Float(_) | Role::Aside => false,
        };
    }
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let read = |t: &TensorId| consumers[t.index()].iter().any(|&c| integer[c]);
        integer[i] |= matches!(roles[i], Role::Passing) && node.outputs.iter().any(read);
    }
    let fate = |(role, integer): (Role, bool)| match role {
        Role::Float(why) => Fate::Float(why),
        Role::Aside => Fate::Aside,
        _ if integer => Fate::Integer,
        _ => Fate::Float("stands between nodes that compute in float".to_string()),
    };
    roles.into_iter().zip(integer).map(fate).collect()
}

/// For each node whether integers of its making would be used: by a weighted node or as an output, perhaps through
/// light and passing nodes.
fn wanted(graph: &Graph, roles: &[Role], consumers: &[Vec<usize>]) -> Vec<bool> {
    let mut wanted = vec![false; roles.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        // Probabilities at the end are few, and ties between them would cost answers.
        let last_softmax = matches!(node.op, Op::Softmax(_));
        let read = |t: &TensorId| consumers[t.index()].iter().any(|&c| wanted[c]);
        let given = |t: &TensorId| graph.outputs.contains(t) && !last_softmax;
        wanted[i] = match roles[i] {
            Role::Weighted => true,
            Role::Light | Role::Passing => node.outputs.iter().any(|t| read(t) || given(t)),
            Role::Float(_) | Role::Aside => false,
        };
    }
    wanted
}

/// The activations among a node's inputs: not constants, not shapes.
pub(super) fn data_inputs<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = TensorId> + 'a {
    node.present_inputs().filter(|&t| graph.tensor(t).dtype == DType::F32 && graph.tensor(t).data.is_none())
}

fn role(graph: &Graph, node: &Node, calibration: &Calibration, apart: &dyn Fn(&Node) -> bool) -> Role {
    if !node.outputs.iter().all(|&t| graph.tensor(t).dtype == DType::F32) {
        let reads_any_form = matches!(node.op, Op::ShapeOf(_) | Op::ArgMax(_));
        return match data_inputs(graph, node).next() {
            Some(_) if !reads_any_form => Role::Float(format!("{} has no 8-bit form", describe(&node.op))),
            _ => Role::Aside,
        };
    }
    if apart(node) {
        return Role::Float("is excluded".to_string());
    }
    if data_inputs(graph, node).next().is_none() {
        return Role::Float("computes with constants only".to_string());
    }
    let role = match &node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_) => match weighted_fault(graph, node) {
            None => Role::Weighted,
            Some(why) => Role::Float(why),
        },
        Op::Unary(op) if has_table(op.kind) => Role::Light,
        Op::Binary(op) if has_integer_form(op.kind) => Role::Light,
        Op::Softmax(op) if !op.log => Role::Light,
        Op::Pool(op) if op.kind != PoolKind::Max => Role::Light,
        Op::Reduce(op) if op.kind == ReduceKind::Mean => Role::Light,
        Op::Pad(op) => pad_role(graph, node, op),
        Op::Concat(_) => Role::Passing,
        op if is_passing(op) && data_inputs(graph, node).all(|t| Some(t) == node.input(0)) => Role::Passing,
        op => Role::Float(format!("{} has no 8-bit form", describe(op))),
    };
    let mut seen = data_inputs(graph, node).chain(node.outputs.iter().copied());
    match (role, seen.find(|&t| !calibration.has_seen(t))) {
        (Role::Float(why), _) => Role::Float(why),
        (_, Some(t)) => Role::Float(format!("calibration saw no finite value of '{}'", graph.tensor(t).name)),
        (role, None) => role,
    }
}

fn describe(op: &Op) -> String {
    match op {
        Op::Unary(u) => format!("{} ({})", op.name(), u.kind.name()),
        Op::Binary(b) => format!("{} ({})", op.name(), b.kind.name()),
        Op::Reduce(r) => format!("{} ({})", op.name(), r.kind.name()),
        Op::Softmax(s) if s.log => "the logarithm of a softmax".to_string(),
        _ => op.name().to_string(),
    }
}

/// Why a convolution or Linear can't become an integer one.
fn weighted_fault(graph: &Graph, node: &Node) -> Option<String> {
    let is_constant = |t: TensorId| {
        let tensor = graph.tensor(t);
        tensor.dtype == DType::F32 && tensor.data.as_ref().is_some_and(is_finite)
    };
    let Some(w) = node.input(1).filter(|&t| is_constant(t)) else {
        return Some("its weights are not finite f32 constants".to_string());
    };
    if node.input(2).is_some_and(|b| !is_constant(b)) {
        return Some("its bias is not a finite f32 constant".to_string());
    }
    let products = graph.tensor(w).shape.dims().map(|d| d.iter().skip(1).product::<usize>());
    match products {
        Some(1..=MAX_PRODUCTS) => None,
        Some(n) => Some(format!("sums of {n} products don't fit 32 bits (at most {MAX_PRODUCTS} do)")),
        None => Some("its weights have no fixed shape".to_string()),
    }
}

fn is_finite(data: &Data) -> bool {
    data.to_vec::<f32>().iter().all(|v| v.is_finite())
}

/// Functions that are smooth enough at 8 bits. Logarithms, roots and quotients spread a few codes over everything.
fn has_table(kind: UnaryKind) -> bool {
    use UnaryKind::*;
    matches!(
        kind,
        Relu | LeakyRelu
            | Clip
            | Sigmoid
            | HardSigmoid
            | HardSwish
            | Silu
            | Tanh
            | Erf
            | Gelu
            | GeluTanh
            | Elu
            | Softplus
            | Abs
            | Neg
    )
}

fn has_integer_form(kind: BinaryKind) -> bool {
    matches!(kind, BinaryKind::Add | BinaryKind::Sub | BinaryKind::Mul)
}

/// Nodes whose outputs hold nothing but values of their inputs, or values between these.
pub(super) fn is_passing(op: &Op) -> bool {
    match op {
        Op::Pool(op) => op.kind == PoolKind::Max,
        Op::Reduce(op) => matches!(op.kind, ReduceKind::Max | ReduceKind::Min),
        Op::Concat(_)
        | Op::Split(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Resize(_)
        | Op::Reshape(_)
        | Op::Flatten(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Expand(_)
        | Op::Gather(_)
        | Op::Tile(_) => true,
        _ => false,
    }
}

/// A border needs a code of its own.
fn pad_role(graph: &Graph, node: &Node, op: &Pad) -> Role {
    match pad_value(graph, node) {
        Some(v) if v.is_finite() || op.mode != PadMode::Constant => Role::Passing,
        _ => Role::Float("its border has no 8-bit value".to_string()),
    }
}

/// What a Pad puts around; `None` if that is computed.
pub(super) fn pad_value(graph: &Graph, node: &Node) -> Option<f32> {
    match node.input(2) {
        None => Some(0.0),
        Some(t) => graph.tensor(t).data.as_ref()?.to_vec::<f32>().first().copied(),
    }
}
