//! Small integer tensors that are known, wholly or in part, before anything runs: the shapes that networks
//! compute from shapes.

use super::super::*;
use super::branch;
use super::dims::{self, Extent};
use super::rules::shape_range;
use super::select;
use super::site::{Rule, Site};
use std::collections::HashMap;

/// One integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A number (of a bool 0 or 1).
    Known(i64),
    /// The length of a free dimension.
    Dim(Dim),
    /// Nothing is known.
    Unknown,
}

impl Element {
    fn of(dim: Dim) -> Element {
        match dim {
            Dim::Fixed(n) => i64::try_from(n).map_or(Element::Unknown, Element::Known),
            Dim::Free(_) => Element::Dim(dim),
        }
    }

    /// As the length of a dimension.
    pub(super) fn extent(self) -> Rule<Extent> {
        match self {
            Element::Known(n) => match usize::try_from(n) {
                Ok(n) => Ok(Some(Dim::Fixed(n))),
                Err(_) => Err(format!("{n} is not the length of a dimension")),
            },
            Element::Dim(d) => Ok(Some(d)),
            Element::Unknown => Ok(None),
        }
    }

    fn known(self) -> Option<i64> {
        match self {
            Element::Known(n) => Some(n),
            _ => None,
        }
    }
}

/// A tensor of integers of rank 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// 0 or 1.
    pub rank: usize,
    /// One for a scalar.
    pub elements: Vec<Element>,
}

impl Value {
    /// The numbers, if all are known.
    pub fn known(&self) -> Option<Vec<i64>> {
        self.elements.iter().map(|e| e.known()).collect()
    }
}

/// The integers that are known of a graph's tensors.
#[derive(Clone, Debug, Default)]
pub struct Values(HashMap<TensorId, Value>);

impl Values {
    /// Longer tensors are data, not shapes.
    pub const MAX_ELEMENTS: usize = 64;

    /// What is known of a tensor: of a constant everything.
    pub fn get(&self, graph: &Graph, id: TensorId) -> Option<Value> {
        let tensor = graph.tensors.get(id.index())?;
        if tensor.data.is_some() { constant(tensor) } else { self.0.get(&id).cloned() }
    }

    /// Evaluates the outputs of a node whose tensors have their shapes.
    pub(super) fn learn(&mut self, graph: &Graph, node: &Node) {
        let site = Site { graph, values: self, node, count: node.outputs.len(), want: None };
        let Ok(Some(values)) = evaluate(&site) else { return };
        let fitting = node.outputs.iter().zip(values).filter(|(id, value)| {
            let tensor = graph.tensors.get(id.index());
            tensor.is_some_and(|t| is_small(t) == Some(value.elements.len()) && t.shape.rank() == value.rank)
        });
        let fitting: Vec<(TensorId, Value)> = fitting
            .map(|(&id, mut value)| {
                let dtype = graph.tensor(id).dtype;
                value.elements.iter_mut().for_each(|e| *e = within(*e, dtype));
                (id, value)
            })
            .collect();
        self.0.extend(fitting);
    }
}

/// The number of elements, if the tensor is a short vector or scalar of integers.
fn is_small(tensor: &Tensor) -> Option<usize> {
    let integer = matches!(tensor.dtype, DType::I64 | DType::I32 | DType::Bool);
    let len = match tensor.shape.0[..] {
        [] => 1,
        [Dim::Fixed(n)] => n,
        _ => return None,
    };
    (integer && len <= Values::MAX_ELEMENTS).then_some(len)
}

fn constant(tensor: &Tensor) -> Option<Value> {
    let len = is_small(tensor)?;
    let data = tensor.data.as_ref()?;
    let numbers: Vec<i64> = match tensor.dtype {
        DType::I64 => data.to_vec::<i64>(),
        DType::I32 => data.to_vec::<i32>().into_iter().map(i64::from).collect(),
        _ => data.bytes().iter().map(|&b| i64::from(b != 0)).collect(),
    };
    let elements: Vec<Element> = numbers.into_iter().map(Element::Known).collect();
    (elements.len() == len).then_some(Value { rank: tensor.shape.rank(), elements })
}

/// The bytes of a tensor with these elements.
pub(super) fn encode(numbers: &[i64], dtype: DType) -> Option<Data> {
    match dtype {
        DType::I64 => Some(Data::from_slice(numbers)),
        DType::I32 => {
            let narrow = numbers.iter().map(|&n| i32::try_from(n).ok()).collect::<Option<Vec<i32>>>()?;
            Some(Data::from_slice(&narrow))
        }
        DType::Bool => {
            let bytes: Vec<u8> = numbers.iter().map(|&n| u8::from(n != 0)).collect();
            Some(Data::from_bytes(&bytes))
        }
        _ => None,
    }
}

/// The element if a tensor of this type can hold it: what an overflow gives is left to whoever computes it.
fn within(e: Element, dtype: DType) -> Element {
    match (e, dtype) {
        (Element::Known(n), DType::I32) if i32::try_from(n).is_err() => Element::Unknown,
        (Element::Known(n), DType::Bool) => Element::Known(i64::from(n != 0)),
        (Element::Dim(_), DType::Bool) => Element::Unknown,
        _ => e,
    }
}

/// The value of each output; `None` where the operator does not compute integers, or not from known ones.
fn evaluate(site: &Site) -> Rule<Option<Vec<Value>>> {
    let one = |value: Option<Value>| value.map(|v| vec![v]);
    Ok(match &site.node.op {
        Op::ShapeOf(op) => {
            let shape = site.shape(0)?;
            let (first, len) = shape_range(shape.rank(), op);
            let elements = shape[first..first + len].iter().copied().map(Element::of).collect();
            Some(vec![Value { rank: 1, elements }])
        }
        Op::Gather(op) if op.axis == 0 => one(gather(site)),
        Op::Slice(_) => one(slice(site)?),
        Op::Concat(op) if op.axis == 0 => one(concat(site)),
        Op::Split(op) if op.axis == 0 => split(site),
        Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Reshape(_) => one(reshaped(site)),
        Op::Cast(_) => one(input(site, 0)),
        Op::Binary(op) if op.clamp.is_none() => one(binary(site, op.kind)),
        Op::Unary(op) => one(unary(site, op.kind)),
        Op::Where(_) => one(choose(site)),
        Op::Range(_) => one(range(site)),
        Op::Merge(_) => one(branch::taken(site.graph, site.values, site.node).and_then(|i| input(site, i))),
        Op::Fill(_) => one(repeat(site, 1)),
        Op::Expand(_) => one(repeat(site, 0)),
        Op::Reduce(op) if op.axes == [0] => one(reduce(site, op)),
        _ => None,
    })
}

/// What is known of input `i`.
fn input(site: &Site, i: usize) -> Option<Value> {
    site.values.get(site.graph, site.node.input(i)?)
}

/// The rank and length of output 0, if it is short.
fn output(site: &Site) -> Option<(usize, usize)> {
    let tensor = site.graph.tensors.get(site.node.outputs.first()?.index())?;
    Some((tensor.shape.rank(), is_small(tensor)?))
}

/// The same elements in the output's shape.
fn reshaped(site: &Site) -> Option<Value> {
    Some(Value { rank: output(site)?.0, ..input(site, 0)? })
}

/// The one element of input `i`, as often as the output is long.
fn repeat(site: &Site, i: usize) -> Option<Value> {
    let (rank, len) = output(site)?;
    let value = input(site, i)?;
    match value.elements[..] {
        [e] => Some(Value { rank, elements: vec![e; len] }),
        _ if value.elements.len() == len => Some(Value { rank, ..value }),
        _ => None,
    }
}

fn gather(site: &Site) -> Option<Value> {
    let (data, indices) = (input(site, 0)?, input(site, 1)?);
    let pick = |e: &Element| match e.known().and_then(|i| dims::element_index(i, data.elements.len())) {
        Some(i) => data.elements[i],
        None => Element::Unknown,
    };
    Some(Value { rank: indices.rank, elements: indices.elements.iter().map(pick).collect() })
}

fn slice(site: &Site) -> Rule<Option<Value>> {
    let Some(x) = input(site, 0) else { return Ok(None) };
    let Some(cuts) = select::cuts(site)? else { return Ok(None) };
    let cut = match cuts.as_slice() {
        [] => return Ok(Some(x)),
        [cut] => cut,
        _ => return Ok(None),
    };
    let (Some(start), Some(end), Some(step)) = (cut.start.known(), cut.end.known(), cut.step.known()) else {
        return Ok(None);
    };
    let Some((first, count)) = dims::slice_bounds(x.elements.len(), start, end, step) else {
        return Ok(None);
    };
    let at = |i: usize| (first as i128 + i as i128 * i128::from(step)) as usize;
    Ok(Some(Value { rank: 1, elements: (0..count).map(|i| x.elements[at(i)]).collect() }))
}

fn concat(site: &Site) -> Option<Value> {
    let (rank, len) = output(site)?;
    let mut elements = Vec::with_capacity(len);
    for i in 0..site.node.inputs.len() {
        match (input(site, i), is_small(site.tensor(i).ok()?)) {
            (Some(value), _) => elements.extend(value.elements),
            (None, Some(n)) => elements.extend(std::iter::repeat_n(Element::Unknown, n)),
            (None, None) => return None,
        }
    }
    Some(Value { rank, elements })
}

fn split(site: &Site) -> Option<Vec<Value>> {
    let mut rest = input(site, 0)?.elements;
    let parts = site.node.outputs.iter().map(|id| {
        let len = is_small(site.graph.tensors.get(id.index())?)?;
        if len > rest.len() {
            return None;
        }
        let tail = rest.split_off(len);
        Some(Value { rank: 1, elements: std::mem::replace(&mut rest, tail) })
    });
    parts.collect()
}

fn choose(site: &Site) -> Option<Value> {
    let (rank, len) = output(site)?;
    let long_enough = |v: &Value| v.elements.len() == 1 || v.elements.len() == len;
    let [c, a, b] = [0, 1, 2].map(|i| input(site, i).filter(long_enough));
    let (c, a, b) = (c?, a?, b?);
    let pick = |i: usize| match at(&c, i) {
        Element::Known(0) => at(&b, i),
        Element::Known(_) => at(&a, i),
        _ if at(&a, i) == at(&b, i) => at(&a, i),
        _ => Element::Unknown,
    };
    Some(Value { rank, elements: (0..len).map(pick).collect() })
}

/// Element `i`, the only one if there is one only.
fn at(value: &Value, i: usize) -> Element {
    if value.elements.len() == 1 { value.elements[0] } else { value.elements[i] }
}

fn unary(site: &Site, kind: UnaryKind) -> Option<Value> {
    let mut value = input(site, 0)?;
    for e in &mut value.elements {
        *e = match (kind, *e) {
            (UnaryKind::Neg, Element::Known(n)) => n.checked_neg().map_or(Element::Unknown, Element::Known),
            (UnaryKind::Abs, Element::Known(n)) => n.checked_abs().map_or(Element::Unknown, Element::Known),
            (UnaryKind::Not, Element::Known(n)) => Element::Known(i64::from(n == 0)),
            (UnaryKind::Relu | UnaryKind::Abs, Element::Dim(_)) => *e,
            (UnaryKind::Relu, Element::Known(n)) => Element::Known(n.max(0)),
            _ => Element::Unknown,
        };
    }
    Some(value)
}

fn binary(site: &Site, kind: BinaryKind) -> Option<Value> {
    let (rank, len) = output(site)?;
    let unknown = Value { rank: 0, elements: vec![Element::Unknown] };
    let [a, b] = [0, 1].map(|i| input(site, i).unwrap_or_else(|| unknown.clone()));
    if [&a, &b].iter().any(|v| v.elements.len() != 1 && v.elements.len() != len) {
        return None;
    }
    Some(Value { rank, elements: (0..len).map(|i| combine(kind, at(&a, i), at(&b, i))).collect() })
}

fn combine(kind: BinaryKind, a: Element, b: Element) -> Element {
    use Element::{Dim, Known};
    let known = |n: Option<i64>| n.map_or(Element::Unknown, Known);
    match (kind, a, b) {
        (BinaryKind::Add, Known(x), Known(y)) => known(x.checked_add(y)),
        (BinaryKind::Sub, Known(x), Known(y)) => known(x.checked_sub(y)),
        (BinaryKind::Mul, Known(x), Known(y)) => known(x.checked_mul(y)),
        (BinaryKind::Div, Known(x), Known(y)) => known(x.checked_div(y)),
        (BinaryKind::Min, Known(x), Known(y)) => Known(x.min(y)),
        (BinaryKind::Max, Known(x), Known(y)) => Known(x.max(y)),
        (BinaryKind::Equal, Known(x), Known(y)) => Known(i64::from(x == y)),
        (BinaryKind::Less, Known(x), Known(y)) => Known(i64::from(x < y)),
        (BinaryKind::Greater, Known(x), Known(y)) => Known(i64::from(x > y)),
        (BinaryKind::LessEqual, Known(x), Known(y)) => Known(i64::from(x <= y)),
        (BinaryKind::GreaterEqual, Known(x), Known(y)) => Known(i64::from(x >= y)),
        (BinaryKind::Mod, Known(x), Known(y)) => known(x.checked_rem_euclid(y).filter(|_| y > 0)),
        // Truth values are 0 and 1; one that is 0 (1) decides about both (either).
        (BinaryKind::And, Known(x), Known(y)) => Known(x & y),
        (BinaryKind::Or, Known(x), Known(y)) => Known(x | y),
        (BinaryKind::Xor, Known(x), Known(y)) => Known(x ^ y),
        (BinaryKind::And, Known(0), _) | (BinaryKind::And, _, Known(0)) => Known(0),
        (BinaryKind::Mul | BinaryKind::Div, d @ Dim(_), Known(1))
        | (BinaryKind::Mul, Known(1), d @ Dim(_))
        | (BinaryKind::Add | BinaryKind::Sub, d @ Dim(_), Known(0))
        | (BinaryKind::Add, Known(0), d @ Dim(_)) => d,
        // No dimension is negative: exporters ask whether one is -1.
        (BinaryKind::Equal, Dim(_), Known(n)) | (BinaryKind::Equal, Known(n), Dim(_)) if n < 0 => Known(0),
        (BinaryKind::Equal, Dim(x), Dim(y)) if x == y => Known(1),
        _ => Element::Unknown,
    }
}

fn range(site: &Site) -> Option<Value> {
    let (rank, len) = output(site)?;
    let [start, step] = [0, 2].map(|i| input(site, i)?.known()?.first().copied());
    let at = |i: usize| start?.checked_add(step?.checked_mul(i64::try_from(i).ok()?)?);
    let elements = (0..len).map(|i| at(i).map_or(Element::Unknown, Element::Known)).collect();
    Some(Value { rank, elements })
}

fn reduce(site: &Site, op: &Reduce) -> Option<Value> {
    let (rank, _) = output(site)?;
    let numbers = input(site, 0)?.known()?;
    let result = match op.kind {
        ReduceKind::Sum => numbers.iter().try_fold(0i64, |n, &v| n.checked_add(v)),
        ReduceKind::Max => numbers.iter().copied().max(),
        ReduceKind::Min => numbers.iter().copied().min(),
        ReduceKind::Prod => numbers.iter().try_fold(1i64, |n, &v| n.checked_mul(v)),
        ReduceKind::Mean => None,
    };
    Some(Value { rank, elements: vec![result.map_or(Element::Unknown, Element::Known)] })
}
