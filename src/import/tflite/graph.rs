//! The tables of a file -> a graph.

use super::super::node::Stop;
use super::super::{ImportError, ImportOptions, Problem, bounds};
use super::context::{Context, Options};
use super::flatbuffer::{Buffer, Tables};
use super::schema::{Model, Operator, OperatorCode, SubGraph};
use super::tensor::Info;
use super::variables::{self, Variables};
use super::{border, codes, ops};
use crate::Limits;
use crate::graph::{DType, Graph, GraphBuilder, Quant, Tensor, TensorId};
use std::collections::HashSet;

/// What became of a tensor of the file.
#[derive(Clone, Copy)]
enum Value {
    /// Nothing yet.
    Absent,
    /// This.
    Made(TensorId),
    /// It would be computed by an operator that can't be imported.
    Failed,
}

/// The graph so far, and what the file's tensors are in it.
pub(super) struct State<'a, 'b> {
    pub build: GraphBuilder,
    pub model: Model<'a, 'b>,
    pub variables: Variables,
    /// For what is computed on the way.
    pub limits: &'b Limits,
    /// Bytes that constants may still take, all together.
    pub room: usize,
    tensors: Tables<'a, 'b>,
    values: Vec<Value>,
    /// Tensors that the graph gives out.
    outputs: HashSet<usize>,
    /// What `QUANTIZE` reads and writes: of i32 these alone stand for reals.
    rescaled: HashSet<usize>,
}

impl<'a, 'b> State<'a, 'b> {
    /// Nothing of a graph yet.
    pub fn new(
        model: Model<'a, 'b>,
        graph: &SubGraph<'a, 'b>,
        room: usize,
        limits: &'b Limits,
    ) -> Result<State<'a, 'b>, ImportError> {
        check_counts(graph, limits)?;
        Ok(State {
            build: GraphBuilder::new(graph.name),
            model,
            variables: Variables::default(),
            limits,
            room,
            tensors: graph.tensors,
            values: vec![Value::Absent; graph.tensors.len()],
            outputs: graph.outputs.iter().filter_map(|&i| usize::try_from(i).ok()).collect(),
            rescaled: rescaled(&model, graph)?,
        })
    }

    /// What the file says of a tensor.
    pub fn info(&self, i: usize) -> Result<Info<'a>, ImportError> {
        let table = self.tensors.get(i)?.ok_or_else(|| {
            ImportError::damaged(format!("tensor {i} is named, but there are {}", self.tensors.len()))
        })?;
        let info = Info::read(table, &self.model)?;
        // Files tell scales of counts and indices too.
        let counts = info.dtype == DType::I32 && !self.rescaled.contains(&i);
        Ok(if counts { Info { quant: None, ..info } } else { info })
    }

    /// A tensor of the file as it is inside of the graph. Constants are made when they are first asked for.
    pub fn value(&mut self, i: usize) -> Result<TensorId, Stop> {
        let info = match self.values.get(i) {
            Some(Value::Made(id)) => return Ok(*id),
            Some(Value::Failed) => return Err(Stop::Upstream),
            _ => self.info(i)?,
        };
        let (Some(data), Some(dims)) = (info.internal_data(), info.sizes()) else {
            return Err(Stop::because(format!("'{}' is read before anything computes it", info.name)));
        };
        let (dtype, quant) = info.internal();
        let id = self.constant(Tensor { quant, ..Tensor::constant(info.name, dtype, &dims, data) })?;
        self.set(i, Value::Made(id));
        Ok(id)
    }

    /// A new constant. Refused if constants grow out of proportion to the file.
    pub fn constant(&mut self, tensor: Tensor) -> Result<TensorId, Stop> {
        let bytes = tensor.data.as_ref().map_or(0, |d| d.bytes().len());
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            Stop::because(
                "the constants made of this model's weights would be many times as large as the file",
            )
        })?;
        Ok(self.build.tensor(tensor))
    }

    /// The name that a tensor has inside: a graph output that gets another form at the border leaves its name to
    /// that.
    pub fn inner_name(&self, i: Option<usize>, info: &Info) -> String {
        match i.is_some_and(|i| self.outputs.contains(&i)) && border::changes(info) {
            true => format!("{}/inner", info.name),
            false => info.name.to_string(),
        }
    }

    fn set(&mut self, i: usize, value: Value) {
        if let Some(v) = self.values.get_mut(i) {
            *v = value;
        }
    }
}

/// The tensors that `QUANTIZE` reads and writes.
fn rescaled(model: &Model, graph: &SubGraph) -> Result<HashSet<usize>, ImportError> {
    let mut found = HashSet::new();
    for i in 0..graph.operators.len() {
        let Some(operator) = graph.operators.get(i)? else { continue };
        let operator = Operator::read(operator)?;
        let Some(code) = model.codes.get(operator.code as usize)? else { continue };
        if codes::name(OperatorCode::read(code)?.builtin) == "QUANTIZE" {
            let touched = operator.inputs.iter().chain(&operator.outputs);
            found.extend(touched.filter_map(|&t| usize::try_from(t).ok()));
        }
    }
    Ok(found)
}

/// The graph of a file.
pub(super) fn import(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let buffer = Buffer::new(bytes);
    let model = Model::read(&buffer)?;
    let main = model.subgraphs.get(0)?.ok_or_else(|| ImportError::damaged("it has no graph"))?;
    let main = SubGraph::read(main)?;
    let description = model.description.to_string();
    let mut state = State::new(model, &main, bounds::room(bytes.len() as u64), &options.limits)?;
    for &i in &main.inputs {
        take_input(&mut state, i)?;
    }
    take_operators(&mut state, main.operators)?;
    let mut ids = vec![];
    for &i in &main.outputs {
        ids.push(take_output(&mut state, i, &ids)?);
    }
    variables::finish(&mut state, &ids)?;
    let mut done = state.build.finish(&ids)?;
    done.metadata = vec![("tflite.description".to_string(), description)];
    done.sweep();
    bounds::check(&done, &options.limits)?;
    done.validate()?;
    Ok(done)
}

/// Before anything is made as often as a file says.
fn check_counts(main: &SubGraph, limits: &Limits) -> Result<(), ImportError> {
    for (what, found, limit) in [
        ("operators", main.operators.len(), limits.nodes),
        ("tensors", main.tensors.len(), limits.tensors),
        ("inputs", main.inputs.len(), bounds::FREE_DIMS),
        ("outputs", main.outputs.len(), bounds::FREE_DIMS),
    ] {
        if found > limit {
            return Err(ImportError::Limit { what, found: found as u64, limit: limit as u64 });
        }
    }
    Ok(())
}

fn index(i: i32) -> Result<usize, ImportError> {
    usize::try_from(i)
        .map_err(|_| ImportError::model(format!("tensor {i} is an input or output of the graph")))
}

fn take_input(state: &mut State, i: i32) -> Result<(), ImportError> {
    let i = index(i)?;
    let info = state.info(i)?;
    if info.data.is_some() || matches!(state.values.get(i), Some(Value::Made(_))) {
        return Err(ImportError::tensor(
            info.name,
            "it is a graph input, and a constant or an input already",
        ));
    }
    let id = border::input(&mut state.build, &info)?;
    state.set(i, Value::Made(id));
    Ok(())
}

fn take_output(state: &mut State, i: i32, taken: &[TensorId]) -> Result<TensorId, ImportError> {
    let i = index(i)?;
    let info = state.info(i)?;
    let id = match state.value(i) {
        Ok(id) => id,
        Err(Stop::Problem(what)) => return Err(ImportError::tensor(info.name, what)),
        Err(Stop::Upstream) => return Err(ImportError::tensor(info.name, "nothing computes it")),
    };
    border::output(&mut state.build, &info, id, taken)
}

/// Imports operators in the order of the file.
pub(super) fn take_operators<'a, 'b>(
    state: &mut State<'a, 'b>,
    operators: Tables<'a, 'b>,
) -> Result<(), ImportError> {
    let mut problems = vec![];
    for i in 0..operators.len() {
        let Some(table) = operators.get(i)? else { break };
        let operator = Operator::read(table)?;
        let code = state.model.codes.get(operator.code as usize)?;
        let code = code.ok_or_else(|| {
            ImportError::damaged(format!("operator {i} is of kind {}, which is not there", operator.code))
        })?;
        let code = OperatorCode::read(code)?;
        let op = match code.custom {
            "" => codes::name(code.builtin),
            custom => format!("{}{custom}", ops::CUSTOM),
        };
        let name = format!("{op}_{i}");
        let made = take_operator(state, &operator, &op, &name).unwrap_or_else(|stop| {
            if let Stop::Problem(reason) = stop {
                problems.push(Problem { node: name.clone(), op: op.clone(), reason });
            }
            vec![]
        });
        for (o, &t) in operator.outputs.iter().enumerate() {
            let value = made.get(o).map_or(Value::Failed, |&id| Value::Made(id));
            state.set(index(t)?, value);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ImportError::Unsupported { problems })
}

fn take_operator<'a, 'b>(
    state: &mut State<'a, 'b>,
    operator: &Operator<'a, 'b>,
    op: &str,
    name: &str,
) -> Result<Vec<TensorId>, Stop> {
    if variables::OPERATORS.contains(&op) {
        return variables::import(state, operator, op);
    }
    let known = ops::find(op).ok_or_else(|| Stop::because(unknown(op)))?;
    known.check(operator)?;
    check_width(state, operator, op)?;
    let mut cx = Context { state, operator, options: Options(operator.options), op, name };
    let made = (known.import)(&mut cx)?;
    for (o, &id) in made.iter().enumerate() {
        check_output(&cx, o, id)?;
    }
    Ok(made)
}

/// What can be done about an operator that nobody knows.
fn unknown(op: &str) -> String {
    match op.strip_prefix(ops::CUSTOM) {
        None => "this operator is not supported".to_string(),
        Some(name) => format!(
            "the operator '{name}' is not registered: call ottava::custom::register before the model is loaded"
        ),
    }
}

/// Operators that take 16-bit integers that stand for reals: those that move elements, and those that compute with
/// them.
const WIDE: [&str; 44] = [
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "SPACE_TO_BATCH_ND",
    "BATCH_TO_SPACE_ND",
    "TILE",
    "BROADCAST_TO",
    "REVERSE_V2",
    "MIRROR_PAD",
    "PAD",
    "PADV2",
    "SLICE",
    "STRIDED_SLICE",
    "RESHAPE",
    "TRANSPOSE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "SPLIT",
    "SPLIT_V",
    "PACK",
    "UNPACK",
    "GATHER",
    "CONCATENATION",
    "MAX_POOL_2D",
    "RESIZE_NEAREST_NEIGHBOR",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "ARG_MAX",
    "MAXIMUM",
    "MINIMUM",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV",
    "FULLY_CONNECTED",
    "ADD",
    "SUB",
    "MUL",
    "RELU",
    "RELU6",
    "LEAKY_RELU",
    "LOGISTIC",
    "TANH",
    "MEAN",
    "SUM",
    "AVERAGE_POOL_2D",
];

/// Operators that take 16-bit integers with zero points or beside other types.
const MIXED: [&str; 5] = ["UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF", "QUANTIZE", "DEQUANTIZE", "SOFTMAX"];

/// Refuses to compute with 16-bit integers where that is not defined.
fn check_width(state: &State, operator: &Operator, op: &str) -> Result<(), Stop> {
    let touched = operator.inputs.iter().chain(&operator.outputs);
    for t in touched.filter_map(|&t| usize::try_from(t).ok()) {
        let info = state.info(t)?;
        if !info.scaled16 || MIXED.contains(&op) {
            continue;
        }
        if !WIDE.contains(&op) {
            return Err(Stop::because(format!(
                "'{}' is quantized to i16, which this operator can't compute with: quantize its inputs and outputs to \
                 8 bits, or leave them floats",
                info.name
            )));
        }
        if info.quant.as_ref().and_then(Quant::single).is_none_or(|(_, zero)| zero != 0) {
            return Err(Stop::because(format!(
                "'{}' is quantized to i16, it must have one scale and the zero point 0",
                info.name
            )));
        }
    }
    Ok(())
}

/// Holds what came out against what the file declares.
fn check_output(cx: &Context, o: usize, id: TensorId) -> Result<(), Stop> {
    let (declared, found) = (cx.out(o)?, cx.tensor(id));
    let agrees = declared.dims.len() == found.shape.rank()
        && declared.dims.iter().zip(found.shape.iter()).all(|(d, f)| match (d, f.fixed()) {
            (Some(d), Some(f)) => *d == f,
            _ => true,
        });
    if agrees {
        return Ok(());
    }
    let shape = cx.state.build.graph().show_shape(&found.shape);
    Err(Stop::because(format!(
        "'{}' is declared as {:?}, but {shape} is computed",
        declared.name, declared.dims
    )))
}
