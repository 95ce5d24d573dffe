//! A network for one set of shapes: dimensions bound, laid out.

use super::fold::fold;
use super::state::States;
use super::{Model, Place, Pool};
use crate::Result;
use crate::graph::{DType, Graph, Quant, TensorId, infer};
use crate::limits::Limits;
use crate::plan::{self, Passes, Plan, Planner};
use ottava_kernels::Isa;

/// One input or output of a session.
#[derive(Clone, Debug)]
pub struct Port {
    /// The tensor in the graph.
    pub tensor: TensorId,
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// All dimensions, bound.
    pub shape: Vec<usize>,
    /// What its integers mean.
    pub quant: Option<Quant>,
    pub(super) place: Place,
}

/// What the plan made of one node.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// Name of the node.
    pub name: String,
    /// Its operator.
    pub op: &'static str,
    /// Which kernel runs; `view` where the output is the input's bytes under another shape.
    pub kernel: String,
    /// Element type it computes in.
    pub dtype: DType,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of the weights it reads.
    pub weight_bytes: usize,
    /// Shape of its first output.
    pub out_shape: Vec<usize>,
    /// Its first output.
    pub output: TensorId,
}

/// A graph whose dimensions are bound, and its plan.
pub(super) struct Bound {
    /// Of the free dimensions.
    pub lengths: Vec<usize>,
    /// Of all entries, also where the plan takes fewer at a time.
    pub graph: Graph,
    pub plan: Plan,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub steps: Vec<StepInfo>,
    pub states: States,
}

impl Bound {
    /// Binds, folds and plans. What does not depend on the lengths is taken from the model, where other plans left it.
    pub fn new(model: &Model, how: &How<'_>, pool: &Pool, lengths: &[usize]) -> Result<Bound> {
        let limits = how.limits;
        let graph = infer::bind_lengths(&model.graph, lengths)?;
        let graph = fold(graph, &model.shared, limits)?;
        let piece = in_passes(model, how, lengths, &graph);
        let (planned, passes) =
            piece.as_ref().map_or((&graph, Passes::ONE), |(piece, passes)| (piece, *passes));
        let (packed, shared) = (&*model.packed, &*model.shared);
        let planner = Planner::new(planned, how.isa, packed, shared, pool);
        let plan = plan::build(&planner, limits, passes)?;
        let inputs = ports(&graph, &plan, graph.caller_inputs())?;
        let outputs = ports(&graph, &plan, graph.caller_outputs())?;
        let fed = ports(&graph, &plan, graph.states.iter().map(|s| graph.inputs[s.input]))?;
        let kept = ports(&graph, &plan, graph.states.iter().map(|s| graph.outputs[s.output]))?;
        let states = States::new(&graph, fed, kept)?;
        let steps = describe(&graph, &plan);
        Ok(Bound { lengths: lengths.to_vec(), graph, plan, inputs, outputs, steps, states })
    }
}

/// What a session plans by.
pub(super) struct How<'a> {
    pub isa: Isa,
    pub limits: &'a Limits,
    /// Batches that take more go through in passes.
    pub cache_bytes: usize,
}

/// The graph for the entries of one pass, if the batch is to go through in passes, and can.
fn in_passes(model: &Model, how: &How<'_>, lengths: &[usize], whole: &Graph) -> Option<(Graph, Passes)> {
    let passes = Passes::new(whole, how.cache_bytes)?;
    let piece = passes.bind(&model.graph, lengths).ok()?;
    let piece = fold(piece, &model.shared, how.limits).ok()?;
    plan::apart(whole, &piece, passes).then_some((piece, passes))
}

fn ports(graph: &Graph, plan: &Plan, ids: impl Iterator<Item = TensorId>) -> Result<Vec<Port>> {
    ids.map(|tensor| {
        let t = graph.tensor(tensor);
        let missing = || crate::graph::GraphError::tensor(t, "has no place in the plan");
        Ok(Port {
            tensor,
            name: t.name.clone(),
            dtype: t.dtype,
            shape: t.shape.dims().ok_or_else(missing)?,
            quant: t.quant.clone(),
            place: plan.places.get(&tensor).cloned().ok_or_else(missing)?,
        })
    })
    .collect()
}

fn describe(graph: &Graph, plan: &Plan) -> Vec<StepInfo> {
    let mut steps = plan.steps.iter().peekable();
    let nodes = graph.nodes.iter().enumerate();
    nodes
        .map(|(index, node)| {
            let kernel = steps.next_if(|s| s.node == index).map(|s| &s.kernel);
            StepInfo {
                name: node.name.clone(),
                op: node.op.name(),
                kernel: kernel.map_or("view".to_string(), |k| k.name()),
                dtype: plan::compute_dtype(graph, node),
                macs: kernel.map_or(0, |k| plan.passes.of_all(k.macs())),
                weight_bytes: kernel.map_or(0, |k| k.weight_bytes()),
                out_shape: graph.tensor(node.outputs[0]).shape.dims().unwrap_or_default(),
                output: node.outputs[0],
            }
        })
        .collect()
}
