//! A decoded model -> a graph.

use super::super::{ImportError, ImportOptions, Problem, bounds};
use super::context::{Context, State, Stop};
use super::external::ExternalData;
use super::narrow::Narrow;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};
use super::tensor::{computed_dtype, constant, type_name};
use super::{OPSETS, lengths, ops, outputs, qoperator, sort};
use crate::custom;
use crate::graph::{Cast, DType, Dim, Graph, GraphBuilder, Shape, Tensor, TensorId};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// The graph of a model whose file has `file_bytes` bytes.
pub(super) fn import(
    model: &ModelProto,
    file_bytes: u64,
    options: &ImportOptions,
) -> Result<Graph, ImportError> {
    let Some(graph) = &model.graph else {
        return Err(ImportError::damaged("it has no graph: it is cut off, empty or of another kind"));
    };
    let opset = opset(model)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(ImportError::model("it has sparse constants: store them dense"));
    }
    let nodes = qoperator::expanded(&graph.node);
    let source = Source { model, graph, nodes: &nodes, opset, file_bytes };
    let mut assumed = 0;
    let first = attempt(&source, options, true, &mut assumed);
    match &first {
        // Where branches don't fit together, what is behind them may tell which one is meant.
        Err(ImportError::Unsupported { .. }) if assumed > 0 => {
            attempt(&source, options, false, &mut 0).or(first)
        }
        _ => first,
    }
}

/// What an import is made from.
struct Source<'a> {
    model: &'a ModelProto,
    graph: &'a GraphProto,
    nodes: &'a [NodeProto],
    opset: i64,
    file_bytes: u64,
}

/// Imports under the assumption that conditions whose branches don't fit together are `assume`; tells how many there
/// were.
fn attempt(
    source: &Source,
    options: &ImportOptions,
    assume: bool,
    assumed: &mut usize,
) -> Result<Graph, ImportError> {
    let Source { model, graph, nodes, opset, file_bytes } = *source;
    let mut state = State {
        build: GraphBuilder::new(graph.name.as_str()),
        values: HashMap::new(),
        read: read_names(nodes, graph),
        opset,
        external: ExternalData {
            folder: options.external_data.as_deref(),
            left: Cell::new(options.limits.file_bytes),
        },
        room: 0,
        nodes_left: options.limits.nodes,
        computed: HashSet::new(),
        reordered: HashMap::new(),
        dequantized: HashMap::new(),
        narrow: HashMap::new(),
        assume,
        assumed: 0,
    };
    let lengths = lengths::fixed(graph, &options.shapes)?;
    let given = take_inputs(&mut state, graph, &lengths)?;
    let order = sort::order(nodes, &given)?;
    take_constants(&mut state, graph)?;
    let external = options.limits.file_bytes - state.external.left.get();
    state.room = bounds::room(file_bytes.saturating_add(external));
    let problems = take_nodes(&mut state, nodes, &order, "");
    *assumed = state.assumed;
    if !problems.is_empty() {
        return Err(ImportError::Unsupported { problems });
    }
    let mut done = outputs::take(state, graph)?;
    done.metadata = metadata(model, opset);
    done.sweep();
    bounds::check(&done, &options.limits)?;
    done.validate()?;
    Ok(done)
}

fn opset(model: &ModelProto) -> Result<i64, ImportError> {
    let mut own = model.opset_import.iter().filter(|o| is_own(&o.domain)).map(|o| o.version);
    let own_nodes = || model.graph.iter().any(|g| g.node.iter().any(|n| is_own(&n.domain)));
    // Models of other domains' operators only, which are then refused by name.
    let of_others = || (!model.opset_import.is_empty() && !own_nodes()).then_some(*OPSETS.end());
    let Some(version) = own.next().or_else(of_others) else {
        return Err(ImportError::model("it does not say which version of ONNX's operator set it uses"));
    };
    // Some exporters name it by both of its names.
    if let Some(other) = own.find(|other| *other != version) {
        let what = format!("it uses versions {version} and {other} of ONNX's operator set at once");
        return Err(ImportError::model(what));
    }
    if !OPSETS.contains(&version) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        let what = format!(
            "it uses version {version} of ONNX's operator set; {first} to {last} are supported: export it again \
             or convert it with onnx.version_converter"
        );
        return Err(ImportError::model(what));
    }
    Ok(version)
}

/// True for the name of ONNX's own operator set.
fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Adds the graph inputs. Returns the names of all tensors that are there before a node runs.
fn take_inputs<'a>(
    state: &mut State,
    graph: &'a GraphProto,
    lengths: &HashMap<String, usize>,
) -> Result<HashSet<&'a str>, ImportError> {
    let mut given = HashSet::new();
    for tensor in &graph.initializer {
        if tensor.name.is_empty() {
            return Err(ImportError::model("it has a constant without a name"));
        }
        if !given.insert(tensor.name.as_str()) {
            return Err(ImportError::tensor(&tensor.name, "there are two constants with this name"));
        }
    }
    let mut listed = HashSet::new();
    for input in &graph.input {
        if input.name.is_empty() {
            return Err(ImportError::model("it has an input without a name"));
        }
        if !listed.insert(input.name.as_str()) {
            return Err(ImportError::tensor(&input.name, "there are two inputs with this name"));
        }
        // Constants that are listed as inputs are defaults: they stay constants.
        if given.insert(input.name.as_str()) {
            let id = take_input(state, input, lengths)?;
            state.values.insert(input.name.clone(), Some(id));
        }
    }
    Ok(given)
}

fn take_input(
    state: &mut State,
    input: &ValueInfoProto,
    lengths: &HashMap<String, usize>,
) -> Result<TensorId, ImportError> {
    let fault = |what: String| ImportError::tensor(&input.name, what);
    let dtype = border_dtype(input)?;
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(shape) = tensor.and_then(|t| t.shape.as_ref()) else {
        return Err(fault("the input has no shape: its rank at least must be known".into()));
    };
    if shape.dim.len() > crate::graph::MAX_RANK {
        return Err(fault(format!("its rank is {}, more than {}", shape.dim.len(), crate::graph::MAX_RANK)));
    }
    let mut dims = Vec::with_capacity(shape.dim.len());
    for (i, dim) in shape.dim.iter().enumerate() {
        dims.push(match (dim.dim_value, dim.dim_param.as_deref()) {
            (Some(..-1), _) => {
                let value = dim.dim_value.unwrap_or_default();
                return Err(fault(format!("dimension {i} of the input is {value}")));
            }
            (Some(-1) | None, param) => {
                let name = lengths::dim_name(&input.name, i, param);
                match lengths.get(&name) {
                    Some(&n) => Dim::Fixed(n),
                    None => state.build.free_dim(&name),
                }
            }
            (Some(n), _) => {
                let n = usize::try_from(n);
                Dim::Fixed(n.map_err(|_| fault(format!("dimension {i} of the input is too large")))?)
            }
        });
    }
    if state.build.graph().dims.len() > bounds::FREE_DIMS {
        let what = format!("its inputs have more than {} free dimensions", bounds::FREE_DIMS);
        return Err(ImportError::model(what));
    }
    let id = state.build.input(&input.name, dtype, Shape(dims));
    if !matches!(dtype, DType::F16 | DType::F64) {
        return Ok(id);
    }
    let name = format!("{}/f32", input.name);
    let wide = Tensor::value(name.as_str(), DType::F32, Shape::default());
    Ok(state.build.node_as(&name, Cast {}, &[id], wide)?)
}

/// The element type of a graph input or output, which stays as it is in the file.
pub(super) fn border_dtype(value: &ValueInfoProto) -> Result<DType, ImportError> {
    let fault = |what: String| ImportError::tensor(&value.name, what);
    let Some(tensor) = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(fault(
            "it is not declared as a tensor: sequences, maps and the like can't be imported".into(),
        ));
    };
    match tensor.elem_type {
        data_type::FLOAT16 => Ok(DType::F16),
        data_type::DOUBLE => Ok(DType::F64),
        data_type::BFLOAT16 => {
            Err(fault("it is BFLOAT16, which inputs and outputs can't be: export them as FLOAT".into()))
        }
        other => computed_dtype(other)
            .ok_or_else(|| fault(format!("its element type {} can't be imported", type_name(other)))),
    }
}

fn take_constants(state: &mut State, graph: &GraphProto) -> Result<(), ImportError> {
    for proto in &graph.initializer {
        let tensor = constant(&proto.name, proto, &state.external)?;
        let id = state.build.tensor(tensor);
        state.narrow.extend(Narrow::of(proto.data_type).map(|narrow| (id, narrow)));
        state.values.insert(proto.name.clone(), Some(id));
    }
    Ok(())
}

/// Adds the nodes, whose names get this prefix. Returns those that can't be taken in, in the order of the file.
fn take_nodes<'a>(
    state: &mut State<'a>,
    nodes: &'a [NodeProto],
    order: &[usize],
    prefix: &str,
) -> Vec<Problem> {
    let mut problems = vec![];
    let mut names = HashSet::new();
    for &i in order {
        let node = &nodes[i];
        let name = match node.name.as_str() {
            "" => format!("{prefix}{}_{i}", node.op_type),
            // Made unique here: tensors are named after nodes, and many equal names would be slow to tell apart.
            name if !names.insert(name) => format!("{prefix}{name}_{i}"),
            name => format!("{prefix}{name}"),
        };
        let made = take_node(state, node, &name).unwrap_or_else(|stop| {
            if let Stop::Problem(reason) = stop {
                problems.push((i, Problem { node: name.clone(), op: full_op(node), reason }));
            }
            vec![]
        });
        for (o, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            state.values.insert(output.clone(), made.get(o).copied());
        }
    }
    problems.sort_by_key(|(i, _)| *i);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

/// Everything that a node reads, at any depth, or a graph gives out.
fn read_names<'a>(nodes: &'a [NodeProto], graph: &'a GraphProto) -> HashSet<&'a str> {
    let mut read: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    for node in nodes {
        read.extend(node.input.iter().map(String::as_str).filter(|n| !n.is_empty()));
        node.graphs().for_each(|inner| read.extend(read_names(&inner.node, inner)));
    }
    read
}

/// Adds the nodes of a graph that lies in an attribute, reading `inputs` for its inputs. Returns its outputs. Names
/// of the graphs around it can be read inside; its own are forgotten afterwards.
pub(super) fn take_body<'a>(
    state: &mut State<'a>,
    body: &'a GraphProto,
    inputs: &[TensorId],
    prefix: &str,
) -> Result<Vec<TensorId>, Stop> {
    if body.input.len() != inputs.len() {
        let found = body.input.len();
        return Err(Stop::because(format!(
            "its graph '{}' has {found} inputs, not {}",
            body.name,
            inputs.len()
        )));
    }
    if !body.sparse_initializer.is_empty() {
        return Err(Stop::because("its graph has sparse constants: store them dense"));
    }
    let as_problem = |e: ImportError| Stop::because(e.to_string());
    let own = body.initializer.iter().map(|t| t.name.as_str());
    let own: HashSet<&str> = own.chain(body.input.iter().map(|i| i.name.as_str())).collect();
    let given = own.iter().copied().chain(body.captures()).collect();
    let order = sort::order(&body.node, &given).map_err(as_problem)?;
    let computed = body.node.iter().flat_map(|n| n.output.iter().map(String::as_str));
    let before: Vec<(&str, Option<Option<TensorId>>)> =
        own.iter().copied().chain(computed).map(|name| (name, state.values.get(name).copied())).collect();
    take_constants(state, body).map_err(as_problem)?;
    for (input, &id) in body.input.iter().zip(inputs) {
        state.values.insert(input.name.clone(), Some(id));
    }
    let problems = take_nodes(state, &body.node, &order, prefix);
    let outputs = body.output.iter().map(|o| match state.values.get(&o.name) {
        Some(Some(id)) => Ok(*id),
        _ => Err(Stop::because(format!("nothing computes the output '{}' of its graph", o.name))),
    });
    let outputs: Result<Vec<TensorId>, Stop> = outputs.collect();
    if outputs.iter().flatten().any(|id| state.narrow.contains_key(id)) {
        return Err(Stop::because(format!(
            "its graph '{}' gives integers of 4 or unsigned 16 bits, which can't leave it",
            body.name
        )));
    }
    for (name, value) in before {
        match value {
            Some(value) => state.values.insert(name.to_string(), value),
            None => state.values.remove(name),
        };
    }
    match problems.first() {
        None => outputs,
        Some(first) => Err(Stop::because(format!("in its graph '{}': {first}", body.name))),
    }
}

fn full_op(node: &NodeProto) -> String {
    match is_own(&node.domain) {
        true => node.op_type.clone(),
        false => format!("{}.{}", node.domain, node.op_type),
    }
}

fn take_node<'a>(state: &mut State<'a>, node: &'a NodeProto, name: &str) -> Result<Vec<TensorId>, Stop> {
    let operator = match node.domain.as_str() {
        ops::contrib::DOMAIN => ops::contrib::find(&node.op_type),
        own if is_own(own) && node.op_type == qoperator::BIAS => Some(ops::bias()),
        own if is_own(own) && node.op_type == qoperator::MEAN => Some(ops::mean()),
        own if is_own(own) => ops::find(&node.op_type),
        _ => None,
    };
    state.nodes_left = state.nodes_left.checked_sub(1).ok_or_else(|| {
        Stop::because("the model, with its loops unrolled, has more nodes than Limits::nodes allows")
    })?;
    let Some(operator) = operator else {
        let full = full_op(node);
        if custom::is_registered(&full) {
            if node.input.iter().any(|input| narrow(state, input).is_some()) {
                return Err(Stop::because(
                    "it reads integers of 4 or unsigned 16 bits, which it can't be given",
                ));
            }
            return ops::custom::import(&mut Context { state, node, name }, full);
        }
        let why = match is_own(&node.domain) || node.domain == ops::contrib::DOMAIN {
            true if matches!(node.op_type.as_str(), "NonMaxSuppression" | "Unique") => {
                "how many values it gives depends on the data, but shapes must follow from shapes: cut the model in \
                 front of it and do this step with what the session gives"
                    .to_string()
            }
            true => "this operator is not supported".to_string(),
            false => format!(
                "operators of the domain '{}' are not supported; one of the application's must be registered as \
                 '{full}'",
                node.domain
            ),
        };
        return Err(Stop::because(why));
    };
    let read: Vec<Option<Narrow>> = node.input.iter().map(|input| narrow(state, input)).collect();
    let first = read.iter().copied().flatten().next();
    let moved = first.map(|n| n.read_by(&node.op_type, &read)).transpose()?.unwrap_or(false);
    let mut context = Context { state, node, name };
    operator.check(&context)?;
    let made = (operator.import)(&mut context)?;
    if let Some(narrow) = first.filter(|_| moved) {
        state.narrow.extend(made.iter().map(|&id| (id, narrow)));
    }
    Ok(made)
}

/// The element type of a tensor in the file, if the graph does not have it.
fn narrow(state: &State, name: &str) -> Option<Narrow> {
    let id = state.values.get(name).copied().flatten()?;
    state.narrow.get(&id).copied()
}

fn metadata(model: &ModelProto, opset: i64) -> Vec<(String, String)> {
    let producer = format!("{} {}", model.producer_name, model.producer_version);
    let mut metadata = vec![
        ("onnx.producer".to_string(), producer.trim().to_string()),
        ("onnx.opset".to_string(), opset.to_string()),
    ];
    metadata.extend(model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())));
    metadata
}
