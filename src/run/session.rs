//! One network being run: plan, arena and threads.

use super::fold::fold;
use super::{Model, Place, Pool, RunError};
use crate::graph::{AlignedBytes, DType, Graph, Quant, TensorId, infer};
use crate::limits::Limits;
use crate::plan::{self, PackedWeights, Plan};
use crate::{Error, Result};
use ottava_kernels::{Isa, SLACK};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Threads that take part, the caller's among them.
    pub threads: usize,
    /// The instruction set whose kernels run.
    pub isa: Isa,
    /// Bounds on arena and multiply-adds.
    pub limits: Limits,
    /// Shapes of inputs by name, where free dimensions are to be other than 1.
    pub shapes: Vec<(String, Vec<usize>)>,
}

impl Default for SessionOptions {
    /// One thread, the best instruction set, default limits, free dimensions 1.
    fn default() -> SessionOptions {
        SessionOptions { threads: 1, isa: Isa::best(), limits: Limits::default(), shapes: Vec::new() }
    }
}

/// A Rust type that tensors hold.
pub trait Element: bytemuck::Pod {
    /// Its name, for messages.
    const NAME: &'static str;
    /// True if a tensor of this type holds it.
    fn fits(dtype: DType) -> bool;
}

macro_rules! elements {
    ($($ty:ty, $name:literal: $($dtype:ident)|+;)*) => {
        $(impl Element for $ty {
            const NAME: &'static str = $name;
            fn fits(dtype: DType) -> bool {
                matches!(dtype, $(DType::$dtype)|+)
            }
        })*
    };
}

elements! {
    f32, "f32": F32;
    f64, "f64": F64;
    half::f16, "f16": F16;
    i8, "i8": I8;
    u8, "u8": U8 | Bool;
    i16, "i16": I16;
    i32, "i32": I32;
    i64, "i64": I64;
}

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
    place: Place,
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

/// One network being run. `run` allocates nothing and decides nothing.
pub struct Session {
    graph: Graph,
    plan: Plan,
    arena: AlignedBytes,
    pool: Pool,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    steps: Vec<StepInfo>,
}

impl Session {
    pub(super) fn new(model: &Model, options: &SessionOptions) -> Result<Session> {
        for (name, _) in &options.shapes {
            let inputs: Vec<&str> =
                model.graph.inputs.iter().map(|&i| model.graph.tensor(i).name.as_str()).collect();
            if !inputs.contains(&name.as_str()) {
                return Err(RunError::UnknownInput { name: name.clone(), inputs: inputs.join(", ") }.into());
            }
        }
        let threads = options.threads.max(1);
        let pool = Pool::new(threads).map_err(|source| RunError::Threads { count: threads, source })?;
        let graph = infer::bind(&model.graph, &options.shapes, 1)?;
        let graph = fold(graph, &options.limits)?;
        let plan = plan::build(&graph, options.isa, &model.packed, &pool, &options.limits)?;
        let arena = AlignedBytes::zeroed(plan.arena_len);
        let inputs = ports(&graph, &plan, &graph.inputs)?;
        let outputs = ports(&graph, &plan, &graph.outputs)?;
        let steps = describe(&graph, &plan);
        Ok(Session { graph, plan, arena, pool, inputs, outputs, steps })
    }

    /// The graph as it runs: dimensions bound, constant parts computed. Tensor ids are those of the model.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Inputs in the model's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Outputs in the model's order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Input `i` in place, typed. What is written stays until it is overwritten.
    ///
    /// # Errors
    /// There is no such input, or it holds another element type.
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T]> {
        check_type::<T>(port(&self.inputs, "input", i)?)?;
        Ok(bytemuck::cast_slice_mut(self.input_bytes_mut(i)?))
    }

    /// Output `i` of the last run in place, typed.
    ///
    /// # Errors
    /// There is no such output, or it holds another element type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T]> {
        check_type::<T>(port(&self.outputs, "output", i)?)?;
        Ok(bytemuck::cast_slice(self.output_bytes(i)?))
    }

    /// Input `i` in place, as bytes (little endian).
    ///
    /// # Errors
    /// There is no such input.
    pub fn input_bytes_mut(&mut self, i: usize) -> Result<&mut [u8]> {
        let p = port(&self.inputs, "input", i)?;
        let Place::Arena(r) = &p.place else { return Ok(&mut []) };
        Ok(&mut self.arena.as_mut()[r.start..r.end - SLACK])
    }

    /// Output `i` of the last run in place, as bytes (little endian).
    ///
    /// # Errors
    /// There is no such output.
    pub fn output_bytes(&self, i: usize) -> Result<&[u8]> {
        Ok(self.bytes(&port(&self.outputs, "output", i)?.place))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        match place {
            Place::Arena(r) => &self.arena.as_ref()[r.start..r.end - SLACK],
            Place::Constant(r) => &self.plan.constants.as_ref()[r.start..r.end - SLACK],
        }
    }

    /// One inference: from the inputs as they are to the outputs.
    ///
    /// # Errors
    /// An input holds an index that is out of range.
    pub fn run(&mut self) -> Result<()> {
        let Session { plan, arena, pool, .. } = self;
        let (arena, constants) = (arena.as_mut(), plan.constants.as_ref());
        let walk = || plan.steps.iter().try_for_each(|step| step.run(&mut *arena, constants, pool).map(drop));
        Ok(pool.enter(plan.parallel, walk)?)
    }

    /// One inference on the caller's thread; after each node `see` gets each of its output tensors with its bytes
    /// (element type as in the graph). Inputs of the graph come first.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed(&mut self, see: &mut dyn FnMut(TensorId, &[u8])) -> Result<()> {
        for p in &self.inputs {
            see(p.tensor, self.bytes(&p.place));
        }
        let mut next = 0;
        // Tensors of branches that are not taken hold nothing.
        let mut skipped = HashSet::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let mut ran = true;
            if let Some(step) = self.plan.steps.get(next).filter(|s| s.node == index) {
                let (arena, constants) = (self.arena.as_mut(), self.plan.constants.as_ref());
                ran = step.run(arena, constants, &Pool::SERIAL)?;
                next += 1;
            } else if node.input(0).is_some_and(|id| skipped.contains(&id)) {
                ran = false;
            }
            if !ran {
                skipped.extend(node.outputs.iter().copied());
                continue;
            }
            for id in &node.outputs {
                if let Some(place) = self.plan.places.get(id) {
                    see(*id, self.bytes(place));
                }
            }
        }
        Ok(())
    }

    /// One inference on the caller's thread; `see` gets the index in [`steps`](Session::steps) of each step that
    /// computes something, and how long it took.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_timed(&mut self, see: &mut dyn FnMut(usize, Duration)) -> Result<()> {
        let (arena, constants) = (self.arena.as_mut(), self.plan.constants.as_ref());
        let mut last = Instant::now();
        for step in &self.plan.steps {
            step.run(&mut *arena, constants, &Pool::SERIAL)?;
            let now = Instant::now();
            see(step.node, now - last);
            // What `see` takes is nobody's time.
            last = Instant::now();
        }
        Ok(())
    }

    /// What runs, node by node.
    pub fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    /// Weights in the kernels' own order, as a file may store them.
    pub fn packed_weights(&self) -> impl Iterator<Item = &PackedWeights> {
        self.plan.steps.iter().filter_map(|s| s.kernel.packed())
    }

    /// Multiply-adds of one inference.
    pub fn macs(&self) -> u64 {
        self.plan.macs
    }

    /// Bytes of activations and scratch.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_len
    }

    /// Bytes of weights as the kernels read them.
    pub fn weights_bytes(&self) -> usize {
        self.steps.iter().map(|s| s.weight_bytes).sum()
    }
}

fn port<'a>(ports: &'a [Port], what: &'static str, index: usize) -> Result<&'a Port> {
    let missing = RunError::NoSuchPort { what, index, count: ports.len() };
    ports.get(index).ok_or(Error::Run(missing))
}

fn check_type<T: Element>(port: &Port) -> Result<()> {
    if T::fits(port.dtype) {
        return Ok(());
    }
    Err(RunError::WrongType { name: port.name.clone(), dtype: port.dtype, asked: T::NAME }.into())
}

fn ports(graph: &Graph, plan: &Plan, ids: &[TensorId]) -> Result<Vec<Port>> {
    ids.iter()
        .map(|&tensor| {
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
                macs: kernel.map_or(0, |k| k.macs()),
                weight_bytes: kernel.map_or(0, |k| k.weight_bytes()),
                out_shape: graph.tensor(node.outputs[0]).shape.dims().unwrap_or_default(),
                output: node.outputs[0],
            }
        })
        .collect()
}
