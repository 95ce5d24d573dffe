//! graph -> plan: kernels chosen, weights packed, memory laid out. Everything is decided here, so that a run
//! decides and allocates nothing.

mod arena;
mod entries;
mod guard;
mod op;
mod parts;
mod passes;
mod shared;

use crate::graph::{DType, Data, Graph, GraphError, Node, Op, TensorId};
use crate::limits::Limits;
use crate::run::{Io, Operands, Place, Pool, RunError};
use ottava_kernels::{Isa, SLACK};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

pub(crate) use entries::apart;
use guard::Guard;
pub use op::PackedWeights;
use parts::Part;
pub(crate) use passes::Passes;
pub(crate) use shared::{Made, Shared};

/// Why a graph can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No kernel computes this node.
    #[error("node '{node}' ({op}) can't be run: {why}")]
    Unsupported {
        /// The node's name.
        node: String,
        /// The operator.
        op: &'static str,
        /// What is missing.
        why: String,
    },
    /// An accumulator could leave 32 bits.
    #[error(
        "node '{node}': {products} products of 8-bit values plus the bias may reach {bound}, more than an i32 \
         accumulator holds; quantize this node's input in two halves, or keep the node in float"
    )]
    Accumulator {
        /// The node's name.
        node: String,
        /// Products per output.
        products: usize,
        /// The largest sum possible.
        bound: i64,
    },
    /// The plan needs more than the limits allow.
    #[error("the model needs {needs} {what}, the limit is {limit}; raise Limits::{field} if you trust it")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// How much the plan needs.
        needs: u64,
        /// How much is allowed.
        limit: u64,
        /// The field of [`Limits`] that bounds it.
        field: &'static str,
    },
    /// The graph itself is wrong.
    #[error("{0}")]
    Graph(#[from] GraphError),
}

impl PlanError {
    fn unsupported(node: &Node, why: impl Into<String>) -> PlanError {
        PlanError::Unsupported { node: node.name.clone(), op: node.op.name(), why: why.into() }
    }
}

/// One step's computation: made at plan time, run without allocating.
pub(crate) trait Kernel: Send + Sync {
    /// What runs, for people: operation, tile, instruction set.
    fn name(&self) -> String;
    /// Multiply-adds.
    fn macs(&self) -> u64 {
        0
    }
    /// What the run costs, in multiply-adds of the best kernels: decides whether threads pay.
    fn cost(&self) -> u64 {
        self.macs()
    }
    /// Bytes of constants that it reads.
    fn weight_bytes(&self) -> usize {
        0
    }
    /// Bytes of scratch for this many threads.
    fn scratch_len(&self, _threads: usize) -> usize {
        0
    }
    /// Weights in the kernel's own order, if it has any that a file could store.
    fn packed(&self) -> Option<&PackedWeights> {
        None
    }
    /// Computes the outputs from the inputs. Only values that are not allowed can fail it.
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError>;
}

/// What becomes of one node.
pub(crate) enum Planned {
    /// It is computed by a kernel, from these tensors to these.
    Step { kernel: Box<dyn Kernel>, inputs: Vec<TensorId>, outputs: Vec<TensorId> },
    /// Its output is its input under another shape.
    Alias { from: TensorId },
    /// Its output is there as soon as its inputs are, which are parts of it.
    InPlace,
}

impl Planned {
    fn step(kernel: impl Kernel + 'static, inputs: &[TensorId], outputs: &[TensorId]) -> Planned {
        Planned::Step { kernel: Box::new(kernel), inputs: inputs.to_vec(), outputs: outputs.to_vec() }
    }
}

/// One step of a plan.
pub(crate) struct Step {
    /// Index in the graph's nodes.
    pub node: usize,
    pub kernel: Box<dyn Kernel>,
    pub operands: Operands,
    /// Conditions, and the values that they must have for the step to run.
    pub guards: Vec<(Place, bool)>,
}

impl Step {
    /// Computes the step, unless it belongs to a branch that is not taken: then false.
    pub fn run(&self, arena: &mut [u8], constants: &[Data], pool: &Pool) -> Result<bool, RunError> {
        let holds = |(place, value): &(Place, bool)| {
            place.bytes(arena, constants).first().is_some_and(|&byte| (byte != 0) == *value)
        };
        if !self.guards.iter().all(holds) {
            return Ok(false);
        }
        self.kernel.run(&mut Io { arena, constants, operands: &self.operands }, pool)?;
        Ok(true)
    }
}

/// A graph laid out for one instruction set and number of threads.
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// Bytes of activations and scratch.
    pub arena_len: usize,
    /// Constants that kernels read like activations, each with slack behind it.
    pub constants: Vec<Data>,
    /// Where each tensor lies that the caller may touch.
    pub places: HashMap<TensorId, Place>,
    /// Tensors whose rows lie apart, inside of a concatenation.
    pub parts: HashMap<TensorId, Part>,
    /// Multiply-adds of one run.
    pub macs: u64,
    /// What the steps of all passes cost together that threads share out.
    pub shared_cost: u64,
    /// How often a run goes through the steps.
    pub passes: Passes,
    /// Operands that lie elsewhere in each pass.
    moving: Vec<Moving>,
}

/// An operand that is a part of the caller's inputs or outputs.
struct Moving {
    step: usize,
    operand: Operand,
    /// Where that of entry 0 starts.
    first: usize,
    /// Bytes from one entry to the next.
    entry: usize,
}

/// Which operand of a step.
enum Operand {
    Input(usize),
    Output(usize),
}

impl Plan {
    /// Goes through all steps, pass by pass. `done` gets each step that was computed.
    pub fn run(
        &mut self,
        arena: &mut [u8],
        pool: &Pool,
        mut done: impl FnMut(&Step),
    ) -> Result<(), RunError> {
        for pass in 0..self.passes.count() {
            self.enter(pass);
            for step in &self.steps {
                step.run(arena, &self.constants, pool)?;
                done(step);
            }
        }
        Ok(())
    }

    /// The caller's inputs and outputs are read and written where they are.
    fn enter(&mut self, pass: usize) {
        for Moving { step, operand, first, entry } in &self.moving {
            let Operands { inputs, outputs, .. } = &mut self.steps[*step].operands;
            let range = match operand {
                Operand::Input(i) => match &mut inputs[*i] {
                    Place::Arena(range) => range,
                    Place::Constant(_) => continue,
                },
                Operand::Output(o) => &mut outputs[*o],
            };
            let start = first + self.passes.start(pass) * entry;
            *range = start..start + range.len();
        }
    }
}

/// Packed weights that a file brought, by the tensor of the canonical weights.
pub(crate) type PackedStore = HashMap<TensorId, Vec<PackedWeights>>;

/// What kernels are chosen by.
pub(crate) struct Planner<'a> {
    pub graph: &'a Graph,
    pub isa: Isa,
    pub packed: &'a PackedStore,
    pub shared: &'a Shared,
    pub pool: &'a Pool,
    /// By tensor: the node that makes it.
    producers: Vec<Option<usize>>,
    /// Bytes of all constants.
    constants: usize,
}

impl<'a> Planner<'a> {
    pub fn new(
        graph: &'a Graph,
        isa: Isa,
        packed: &'a PackedStore,
        shared: &'a Shared,
        pool: &'a Pool,
    ) -> Planner<'a> {
        let constants = graph.tensors.iter().filter_map(|t| t.data.as_ref());
        let constants = constants.fold(0usize, |sum, data| sum.saturating_add(data.bytes().len()));
        Planner { graph, isa, packed, shared, pool, producers: graph.producers(), constants }
    }

    /// The operator that makes a tensor.
    fn producer(&self, id: TensorId) -> Option<&'a Op> {
        self.producers[id.index()].map(|node| &self.graph.nodes[node].op)
    }
}

/// Lays out the planner's graph, whose dimensions are all bound: those of a pass.
pub(crate) fn build(planner: &Planner<'_>, limits: &Limits, passes: Passes) -> Result<Plan, PlanError> {
    let Planner { graph, pool, shared, .. } = *planner;
    check_sizes(graph, limits)?;
    let parts = parts::find(graph);
    let mut layout = Layout::new(graph, &parts);
    let guards = guard::guards(graph);
    let mut steps = Vec::new();
    let mut macs = 0u64;
    let mut shared_cost = 0u64;
    for (index, node) in graph.nodes.iter().enumerate() {
        match op::plan(planner, &parts, node)? {
            Planned::InPlace => {}
            Planned::Alias { from } => layout.alias(from, node.outputs[0])?,
            Planned::Step { kernel, inputs, outputs } => {
                macs = macs.saturating_add(kernel.macs());
                if pool.shares(kernel.cost()) {
                    shared_cost = shared_cost.saturating_add(kernel.cost());
                }
                layout.step(steps.len(), &inputs, &outputs, kernel.scratch_len(pool.count()))?;
                guards[index].iter().for_each(|guard| layout.touch(steps.len(), guard.condition));
                steps.push((index, kernel, inputs, outputs));
            }
        }
    }
    let macs = passes.of_all(macs);
    if macs > limits.macs {
        let (what, field) = ("multiply-adds", "macs");
        return Err(PlanError::Limit { what, needs: macs, limit: limits.macs, field });
    }
    let memory = layout.place(steps.len(), shared, limits, passes)?;
    let mut moving = Vec::new();
    let steps = steps
        .into_iter()
        .enumerate()
        .map(|(i, (node, kernel, inputs, outputs))| {
            moving.extend(memory.moving(i, &inputs, &outputs));
            let operands = memory.operands(i, &inputs, &outputs);
            let place = |guard: &Guard| (memory.places[&guard.condition].clone(), guard.value);
            Step { node, kernel, operands, guards: guards[node].iter().map(place).collect() }
        })
        .collect();
    let Memory { arena_len, constants, mut places, entry, .. } = memory;
    // What the caller sees is all of it.
    let ports: HashSet<&TensorId> = graph.inputs.iter().chain(&graph.outputs).collect();
    for id in ports {
        if let Some(Place::Arena(range)) = places.get_mut(id) {
            range.end += passes.behind(entry[id.index()]);
        }
    }
    let shared_cost = passes.of_all(shared_cost);
    Ok(Plan { steps, arena_len, constants, places, parts, macs, shared_cost, passes, moving })
}

/// Refuses activations larger than the arena may be, before kernels are made for them: these compute with sizes that
/// they take to be possible.
fn check_sizes(graph: &Graph, limits: &Limits) -> Result<(), PlanError> {
    const POSSIBLE: u64 = isize::MAX as u64 / 64;
    let limit = limits.arena_bytes.min(POSSIBLE);
    for id in graph.nodes.iter().flat_map(|n| n.present_inputs().chain(n.outputs.iter().copied())) {
        let tensor = graph.tensor(id);
        let needs = tensor.byte_len().map_or(u64::MAX, |bytes| bytes as u64);
        if tensor.data.is_none() && needs > limit {
            return Err(PlanError::Limit {
                what: "bytes of activations",
                needs,
                limit,
                field: "arena_bytes",
            });
        }
    }
    Ok(())
}

/// Collects who needs which bytes when.
struct Layout<'a> {
    graph: &'a Graph,
    parts: &'a HashMap<TensorId, Part>,
    /// The tensor whose bytes a tensor shares: itself, or what it is another shape or a part of.
    root: Vec<TensorId>,
    /// Life of each root, in steps; inputs and outputs of the graph live throughout.
    life: Vec<Option<(usize, usize)>>,
    scratch: Vec<(usize, usize)>,
}

impl<'a> Layout<'a> {
    fn new(graph: &'a Graph, parts: &'a HashMap<TensorId, Part>) -> Layout<'a> {
        let ids = (0..graph.tensors.len() as u32).map(TensorId);
        let root = ids.map(|id| parts.get(&id).map_or(id, |part| part.whole)).collect();
        Layout { graph, parts, root, life: vec![None; graph.tensors.len()], scratch: Vec::new() }
    }

    fn touch(&mut self, step: usize, id: TensorId) {
        let life = &mut self.life[self.root[id.index()].index()];
        let (first, last) = life.unwrap_or((step, step));
        *life = Some((first.min(step), last.max(step)));
    }

    fn alias(&mut self, from: TensorId, to: TensorId) -> Result<(), PlanError> {
        let (a, b) = (self.graph.tensor(from), self.graph.tensor(to));
        if a.byte_len() != b.byte_len() {
            return Err(GraphError::tensor(b, format!("should be '{}' in another shape", a.name)).into());
        }
        self.root[to.index()] = self.root[from.index()];
        Ok(())
    }

    fn step(
        &mut self,
        step: usize,
        inputs: &[TensorId],
        outputs: &[TensorId],
        scratch: usize,
    ) -> Result<(), PlanError> {
        for &id in inputs.iter().chain(outputs) {
            self.touch(step, id);
        }
        self.scratch.push((step, scratch));
        Ok(())
    }

    /// Decides all offsets.
    fn place(
        mut self,
        steps: usize,
        shared: &Shared,
        limits: &Limits,
        passes: Passes,
    ) -> Result<Memory, PlanError> {
        // Of what the caller gives and gets all entries are there throughout.
        let graph = self.graph;
        let mut entry = vec![0; graph.tensors.len()];
        for &id in graph.inputs.iter().chain(&graph.outputs) {
            self.touch(0, id);
            self.touch(steps, id);
            let root = self.root[id.index()];
            entry[root.index()] = graph.tensor(root).byte_len().map_or(0, |bytes| passes.entry(bytes));
        }
        let too_much = || PlanError::Limit {
            what: "bytes of activations",
            needs: u64::MAX,
            limit: limits.arena_bytes,
            field: "arena_bytes",
        };
        let mut buffers = Vec::new();
        let mut owner = Vec::new();
        let mut constants = Vec::new();
        let mut home: Vec<Option<Place>> = vec![None; graph.tensors.len()];
        for (i, t) in graph.tensors.iter().enumerate() {
            let Some((first, last)) = self.life[i] else { continue };
            let len = t.byte_len().and_then(|n| n.checked_add(SLACK)).ok_or_else(too_much)?;
            match &t.data {
                Some(data) => {
                    home[i] = Some(Place::Constant(constants.len()));
                    constants.push(shared.with_slack(TensorId(i as u32), data));
                }
                None => {
                    let len = len.checked_add(passes.behind(entry[i])).ok_or_else(too_much)?;
                    buffers.push(arena::Buffer { len, first, last });
                    owner.push(i);
                }
            }
        }
        let tensors = buffers.len();
        buffers.extend(self.scratch.iter().map(|&(step, len)| arena::Buffer {
            len,
            first: step,
            last: step,
        }));
        let (at, arena_len) = arena::place(&buffers).ok_or_else(too_much)?;
        if arena_len as u64 > limits.arena_bytes {
            let (what, field) = ("bytes of activations", "arena_bytes");
            return Err(PlanError::Limit { what, needs: arena_len as u64, limit: limits.arena_bytes, field });
        }
        for (b, &i) in owner.iter().enumerate() {
            home[i] = Some(Place::Arena(at[b]..at[b] + buffers[b].len - passes.behind(entry[i])));
        }
        let places = (0..graph.tensors.len()).filter_map(|i| {
            let (id, home) = (TensorId(i as u32), home[self.root[i].index()].clone()?);
            Some((id, self.parts.get(&id).map_or(home.clone(), |part| within(home, part))))
        });
        let scratch = (tensors..buffers.len()).map(|b| at[b]..at[b] + buffers[b].len).collect();
        let entry = self.root.iter().map(|root| entry[root.index()]).collect();
        Ok(Memory { places: places.collect(), entry, scratch, arena_len, constants })
    }
}

/// The place of a part in that of the whole.
fn within(whole: Place, part: &Part) -> Place {
    match whole {
        Place::Arena(r) => Place::Arena(r.start + part.at..r.start + part.at + part.span() + SLACK),
        constant => constant,
    }
}

/// The layout, decided.
struct Memory {
    /// In the first pass.
    places: HashMap<TensorId, Place>,
    /// Bytes from one entry of the batch to the next, of tensors that are there for all of them; else 0.
    entry: Vec<usize>,
    scratch: Vec<Range<usize>>,
    arena_len: usize,
    constants: Vec<Data>,
}

impl Memory {
    fn operands(&self, step: usize, inputs: &[TensorId], outputs: &[TensorId]) -> Operands {
        let written = |id: &TensorId| match &self.places[id] {
            Place::Arena(r) => r.start..r.end - SLACK,
            Place::Constant(_) => 0..0,
        };
        Operands {
            inputs: inputs.iter().map(|id| self.places[id].clone()).collect(),
            outputs: outputs.iter().map(written).collect(),
            scratch: self.scratch[step].clone(),
        }
    }

    /// The operands of a step that lie elsewhere in each pass.
    fn moving(&self, step: usize, inputs: &[TensorId], outputs: &[TensorId]) -> Vec<Moving> {
        let inputs = inputs.iter().enumerate().map(|(i, id)| (Operand::Input(i), id));
        let outputs = outputs.iter().enumerate().map(|(o, id)| (Operand::Output(o), id));
        let moving = inputs.chain(outputs).filter_map(|(operand, id)| match &self.places[id] {
            Place::Arena(range) if self.entry[id.index()] > 0 => {
                Some(Moving { step, operand, first: range.start, entry: self.entry[id.index()] })
            }
            _ => None,
        });
        moving.collect()
    }
}

/// The element type that a node computes in: that of its first data operand.
pub(crate) fn compute_dtype(graph: &Graph, node: &Node) -> DType {
    let out = graph.tensor(node.outputs[0]).dtype;
    match node.op {
        Op::Quantize(_) | Op::Dequantize(_) | Op::Cast(_) | Op::ArgMax(_) => out,
        _ => node.input(0).map_or(out, |i| graph.tensor(i).dtype),
    }
}
