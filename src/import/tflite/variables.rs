//! What a network keeps from run to run: variable tensors (the states of recurrent layers) and resource variables.
//!
//! Operators run in the order of the file. Until something is assigned in a run, a variable has what the run before
//! left in it: a state of the graph.

use super::super::ImportError;
use super::super::node::Stop;
use super::border;
use super::context::Options;
use super::graph::{self, State};
use super::schema::{Operator, SubGraph};
use super::tensor::Info;
use crate::graph::{DType, Data, Dim, Quant, Shape, Tensor, TensorId};
use crate::{Limits, Model, SessionOptions};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What names a variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A variable tensor of the file.
    Tensor(usize),
    /// A resource: container and name.
    Resource(String, String),
}

/// A variable at the operator that is being imported.
#[derive(Clone, Default)]
struct Variable {
    /// The graph input that brings what the run before left, once that is asked for.
    input: Option<TensorId>,
    /// What it holds now, if anything has read or assigned it.
    now: Option<TensorId>,
    /// What the first run starts from, as it is inside of the graph; all 0 if there is none.
    initial: Option<Tensor>,
}

/// The variables of a graph.
#[derive(Default)]
pub(super) struct Variables {
    all: BTreeMap<Key, Variable>,
    /// Which variable a tensor refers to.
    handles: HashMap<usize, Key>,
    /// Subgraphs that have been called once.
    called: HashSet<i32>,
    /// This graph has been called itself.
    inner: bool,
}

/// The operators that work on resource variables.
pub(super) const OPERATORS: [&str; 4] = ["VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"];

/// Imports one of [`OPERATORS`].
pub(super) fn import<'a, 'b>(
    state: &mut State<'a, 'b>,
    operator: &Operator<'a, 'b>,
    op: &str,
) -> Result<Vec<TensorId>, Stop> {
    let options = Options(operator.options);
    let tensor = |list: &[i32], i: usize| list.get(i).and_then(|&t| usize::try_from(t).ok());
    let missing = || Stop::because("it has other inputs or outputs than such an operator takes");
    match op {
        "VAR_HANDLE" => {
            let text = |slot| operator.options.map_or(Ok(""), |table| table.text(slot));
            let key = Key::Resource(text(0)?.to_string(), text(1)?.to_string());
            state.variables.handles.insert(tensor(&operator.outputs, 0).ok_or_else(missing)?, key);
            Ok(vec![])
        }
        "READ_VARIABLE" => {
            let key = handle(state, tensor(&operator.inputs, 0).ok_or_else(missing)?)?;
            let info = state.info(tensor(&operator.outputs, 0).ok_or_else(missing)?)?;
            let known = state.variables.all.get(&key).filter(|v| v.now.is_some() || v.initial.is_some());
            if known.is_none() {
                return Err(Stop::because("it reads a variable that nothing has given a value"));
            }
            let dims =
                known.and_then(|v| v.initial.as_ref()).map_or_else(|| shape(&info), |t| t.shape.clone());
            Ok(vec![read(state, key, &info, dims)?])
        }
        "ASSIGN_VARIABLE" => {
            let key = handle(state, tensor(&operator.inputs, 0).ok_or_else(missing)?)?;
            let value = state.value(tensor(&operator.inputs, 1).ok_or_else(missing)?)?;
            assign(state, key, value);
            Ok(vec![])
        }
        _ => {
            let subgraph = options.scalar::<i32>(0, 0)?;
            if state.variables.inner {
                return Err(Stop::because("it is in a graph that is called itself"));
            }
            if state.variables.called.insert(subgraph) {
                call_once(state, subgraph)?;
            }
            Ok(vec![])
        }
    }
}

fn handle(state: &State, tensor: usize) -> Result<Key, Stop> {
    let key = state.variables.handles.get(&tensor).cloned();
    key.ok_or_else(|| Stop::because("its variable comes from no VAR_HANDLE of the same graph"))
}

/// The shape that the file declares; free dimensions are 1.
fn shape(info: &Info) -> Shape {
    Shape(info.dims.iter().map(|d| Dim::Fixed(d.unwrap_or(1))).collect())
}

/// What a variable holds now; `info` and `shape` say what it is like.
pub(super) fn read(state: &mut State, key: Key, info: &Info, shape: Shape) -> Result<TensorId, Stop> {
    let variable = state.variables.all.entry(key.clone()).or_default().clone();
    if let Some(id) = variable.now {
        return Ok(id);
    }
    let (dtype, quant) = info.internal();
    let name = match &key {
        Key::Resource(_, name) if !name.is_empty() => name.as_str(),
        _ => info.name,
    };
    let id = state.build.input_as(Tensor { quant, ..Tensor::value(name, dtype, shape) });
    let changed = Variable { input: Some(id), now: Some(id), ..variable };
    state.variables.all.insert(key, changed);
    Ok(id)
}

/// From now on a variable holds this.
pub(super) fn assign(state: &mut State, key: Key, value: TensorId) {
    state.variables.all.entry(key).or_default().now = Some(value);
}

/// A variable tensor is 0 as a real before the first run.
pub(super) fn start_at_zero(state: &mut State, key: Key, info: &Info) -> Result<(), Stop> {
    let (dtype, quant) = info.internal();
    let zero = quant.as_ref().and_then(Quant::single).map_or(0, |(_, zero)| zero);
    let (DType::U8, Some(dims), true) = (dtype, info.sizes(), zero != 0) else { return Ok(()) };
    let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= state.room);
    let len = len.ok_or_else(|| Stop::because(format!("'{}' is larger than constants may be", info.name)))?;
    state.room -= len;
    let bytes = Data::from_bytes(&vec![zero as u8; len]);
    let tensor = Tensor::constant(format!("{}/initial", info.name), dtype, &dims, bytes);
    state.variables.all.entry(key).or_default().initial = Some(Tensor { quant, ..tensor });
    Ok(())
}

/// Computes what a subgraph without inputs assigns: the values that the first run starts from.
fn call_once(state: &mut State, subgraph: i32) -> Result<(), Stop> {
    let table = usize::try_from(subgraph).ok().map(|i| state.model.subgraphs.get(i)).transpose()?.flatten();
    let table =
        table.ok_or_else(|| Stop::because(format!("it calls graph {subgraph}, which is not there")))?;
    let once = SubGraph::read(table)?;
    let limits = state.limits;
    let mut inner = State::new(state.model, &once, state.room, limits)?;
    inner.variables.inner = true;
    graph::take_operators(&mut inner, once.operators)?;
    state.room = inner.room;
    if inner.variables.all.values().any(|v| v.input.is_some()) {
        return Err(Stop::because("the graph that it calls reads variables"));
    }
    let assigned: Vec<(Key, TensorId)> =
        inner.variables.all.into_iter().filter_map(|(key, v)| Some((key, v.now?))).collect();
    if assigned.is_empty() {
        return Ok(());
    }
    let ids: Vec<TensorId> = assigned.iter().map(|(_, id)| *id).collect();
    let values = evaluate(inner.build.finish(&ids)?, limits)?;
    for ((key, _), mut value) in assigned.into_iter().zip(values) {
        value.name = format!("{}/initial", value.name);
        state.variables.all.entry(key).or_default().initial = Some(value);
    }
    Ok(())
}

/// The outputs of a graph without inputs, as constants.
fn evaluate(graph: crate::graph::Graph, limits: &Limits) -> Result<Vec<Tensor>, Stop> {
    let fault = |e: crate::Error| Stop::because(format!("the graph that it calls can't be run: {e}"));
    let model = Model::from_graph(graph).map_err(fault)?;
    let options = SessionOptions { limits: limits.clone(), ..SessionOptions::default() };
    let mut session = model.session(&options).map_err(fault)?;
    session.run().map_err(fault)?;
    let ports = session.outputs().iter().enumerate();
    ports
        .map(|(i, p)| {
            let data = Data::from_bytes(session.output_bytes(i).map_err(fault)?);
            Ok(Tensor {
                quant: p.quant.clone(),
                ..Tensor::constant(p.name.as_str(), p.dtype, &p.shape, data)
            })
        })
        .collect()
}

/// Makes states of the variables that have been read before they were assigned. `outputs` are the graph's.
pub(super) fn finish(state: &mut State, outputs: &[TensorId]) -> Result<(), ImportError> {
    let mut taken = outputs.to_vec();
    for Variable { input, now, initial } in std::mem::take(&mut state.variables.all).into_values() {
        let (Some(input), Some(now)) = (input, now) else { continue };
        let next = border::alone(&mut state.build, now, &taken)?;
        taken.push(next);
        let initial = initial.map(|tensor| state.build.tensor(tensor));
        state.build.state(input, next, initial);
    }
    Ok(())
}
