//! One network being run: plans, arena and threads.

use super::bound::{Bound, How, Port, StepInfo};
use super::{Model, Place, Pool, RunError};
use crate::graph::{AlignedBytes, DType, Graph, TensorId, infer};
use crate::limits::Limits;
use crate::plan::PackedWeights;
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
    /// For how many sets of shapes the session keeps plans (at least 1); see [`Session::reshape`]. A plan takes some
    /// kilobytes per node, and constants that depend on the shapes; weights and arena are shared.
    pub plans: usize,
    /// Bytes of a cache that is near: where a layer's inputs and outputs are more, a batch goes through the network in
    /// [passes](Session::passes), if its entries have nothing to do with each other. `usize::MAX`: all entries at once.
    pub cache_bytes: usize,
}

impl Default for SessionOptions {
    /// One thread, the best instruction set, default limits, free dimensions 1, plans for 8 sets of shapes, a
    /// cache of 8 MiB.
    fn default() -> SessionOptions {
        let (limits, shapes) = (Limits::default(), Vec::new());
        SessionOptions { threads: 1, isa: Isa::best(), limits, shapes, plans: 8, cache_bytes: 8 << 20 }
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

/// One network being run. `run` allocates nothing and decides nothing.
pub struct Session {
    model: Model,
    isa: Isa,
    limits: Limits,
    /// At most so many are kept.
    plans: usize,
    cache_bytes: usize,
    /// The one that runs first, then the others, the longest unused one last.
    bound: Vec<Bound>,
    /// Room to look shapes up.
    lengths: Vec<usize>,
    /// As long as any plan so far needed it.
    arena: AlignedBytes,
    /// Room for the states, on their way from output to input or from plan to plan.
    kept: Vec<u8>,
    pool: Pool,
}

impl Session {
    pub(super) fn new(model: &Model, options: &SessionOptions) -> Result<Session> {
        let threads = options.threads.max(1);
        let pool = Pool::new(threads).map_err(|source| RunError::Threads { count: threads, source })?;
        let mut session = Session {
            model: model.clone(),
            isa: options.isa,
            limits: options.limits.clone(),
            plans: options.plans.max(1),
            cache_bytes: options.cache_bytes,
            bound: vec![],
            lengths: vec![],
            arena: AlignedBytes::zeroed(0),
            kept: vec![],
            pool,
        };
        session.select(options.shapes.iter().map(|(name, dims)| (name.as_str(), dims.as_slice())))?;
        Ok(session)
    }

    /// Other shapes of the inputs, by name; as in a new session, free dimensions that they don't tell become 1, all
    /// inputs are 0 and there are no outputs yet. States go on if all of them have the shapes that they had, else they
    /// start anew. The ports of the session (and where they lie) are those of these
    /// shapes.
    ///
    /// The first time for some shapes a plan is made. The session keeps the [`SessionOptions::plans`] plans that were
    /// used last; going back to their shapes allocates nothing. Packed weights are the same for all shapes and stay
    /// where they are.
    ///
    /// # Errors
    /// As [`Model::session`]. The session then keeps the shapes that it had.
    pub fn reshape(&mut self, shapes: &[(&str, &[usize])]) -> Result<()> {
        self.select(shapes.iter().copied())
    }

    fn select<'a>(&mut self, shapes: impl Iterator<Item = (&'a str, &'a [usize])> + Clone) -> Result<()> {
        let graph = &self.model.graph;
        let names = || graph.inputs.iter().map(|&i| graph.tensor(i).name.as_str());
        if let Some((name, _)) = shapes.clone().find(|(name, _)| names().all(|n| n != *name)) {
            let inputs = names().collect::<Vec<_>>().join(", ");
            return Err(RunError::UnknownInput { name: name.to_string(), inputs }.into());
        }
        infer::free_lengths(graph, shapes, 1, &mut self.lengths)?;
        let known = self.bound.iter().position(|b| b.lengths == self.lengths);
        let new = match known {
            Some(_) => None,
            None => Some(self.bind(self.cache_bytes)?),
        };
        if let Some(old) = self.bound.first() {
            old.states.take(self.arena.as_ref(), &mut self.kept);
        }
        match (known, new) {
            (Some(known), _) => self.bound[..=known].rotate_right(1),
            (None, Some(new)) => {
                self.make_room(new.plan.arena_len);
                self.bound.insert(0, new);
            }
            (None, None) => {}
        }
        let old = self.bound.get(usize::from(known != Some(0)));
        let go_on = old.is_some_and(|old| old.states.fits(&self.now().states));
        self.bound.truncate(self.plans);
        for i in 0..self.now().inputs.len() {
            self.input_bytes_mut(i)?.fill(0);
        }
        let states = &self.bound[0].states;
        match go_on {
            true => states.put(&self.kept, self.arena.as_mut()),
            false => states.reset(self.arena.as_mut()),
        }
        self.kept.resize(states.len(), 0);
        Ok(())
    }

    /// A plan for `lengths`.
    fn bind(&self, cache_bytes: usize) -> Result<Bound> {
        let how = How { isa: self.isa, limits: &self.limits, cache_bytes };
        Bound::new(&self.model, &how, &self.pool, &self.lengths)
    }

    /// What runs: a session always has a plan.
    fn now(&self) -> &Bound {
        &self.bound[0]
    }

    /// The graph as it runs: dimensions bound, constant parts computed. Tensor ids are those of the model.
    pub fn graph(&self) -> &Graph {
        &self.now().graph
    }

    /// Inputs in the model's order, without those that states feed.
    pub fn inputs(&self) -> &[Port] {
        &self.now().inputs
    }

    /// Outputs in the model's order, without those that feed states.
    pub fn outputs(&self) -> &[Port] {
        &self.now().outputs
    }

    /// Input `i` in place, typed. What is written stays until it is overwritten.
    ///
    /// # Errors
    /// There is no such input, or it holds another element type.
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T]> {
        check_type::<T>(port(&self.now().inputs, "input", i)?)?;
        Ok(bytemuck::cast_slice_mut(self.input_bytes_mut(i)?))
    }

    /// Output `i` of the last run in place, typed.
    ///
    /// # Errors
    /// There is no such output, or it holds another element type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T]> {
        check_type::<T>(port(&self.now().outputs, "output", i)?)?;
        Ok(bytemuck::cast_slice(self.output_bytes(i)?))
    }

    /// Input `i` in place, as bytes (little endian).
    ///
    /// # Errors
    /// There is no such input.
    pub fn input_bytes_mut(&mut self, i: usize) -> Result<&mut [u8]> {
        let p = port(&self.bound[0].inputs, "input", i)?;
        let Place::Arena(r) = &p.place else { return Ok(&mut []) };
        Ok(&mut self.arena.as_mut()[r.start..r.end - SLACK])
    }

    /// Output `i` of the last run in place, as bytes (little endian).
    ///
    /// # Errors
    /// There is no such output.
    pub fn output_bytes(&self, i: usize) -> Result<&[u8]> {
        Ok(self.bytes(&port(&self.now().outputs, "output", i)?.place))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        place.bytes(self.arena.as_ref(), &self.now().plan.constants)
    }

    /// What is kept from run to run, under the names of the inputs that it feeds, in the model's order.
    pub fn states(&self) -> &[Port] {
        self.now().states.ports()
    }

    /// Gives all states their initial values, as in a new session.
    pub fn reset(&mut self) {
        self.bound[0].states.reset(self.arena.as_mut());
    }

    /// The bytes of state `i` (little endian): what the next run starts from.
    ///
    /// # Errors
    /// There is no such state.
    pub fn state_bytes(&self, i: usize) -> Result<&[u8]> {
        Ok(self.bytes(&port(self.states(), "state", i)?.place))
    }

    /// All states, to be loaded again by a session of the same model: see `docs/format.md`.
    ///
    /// # Errors
    /// A model made of a graph that no file can hold.
    pub fn save_states(&self) -> Result<Vec<u8>> {
        Ok(self.now().states.save(self.model.fingerprint()?, self.arena.as_ref()))
    }

    /// Takes what [`save_states`](Session::save_states) gave, under whatever instruction set and number of threads.
    ///
    /// # Errors
    /// The bytes are damaged, or are of another model or other shapes. Nothing has changed then.
    pub fn load_states(&mut self, saved: &[u8]) -> Result<()> {
        let model = self.model.fingerprint()?;
        Ok(self.bound[0].states.load(model, saved, self.arena.as_mut())?)
    }

    /// One inference: from the inputs and states as they are to the outputs and the next states.
    ///
    /// # Errors
    /// An input holds an index that is out of range. The states are as they were then.
    pub fn run(&mut self) -> Result<()> {
        let Session { bound, arena, pool, .. } = self;
        let plan = &mut bound[0].plan;
        pool.begin(plan.shared_cost);
        let ran = plan.run(arena.as_mut(), pool, |_| ());
        pool.end();
        ran?;
        self.advance();
        Ok(())
    }

    /// The states of the next run are what this one has made.
    fn advance(&mut self) {
        let Bound { plan, states, .. } = &self.bound[0];
        states.advance(self.arena.as_mut(), &plan.constants, &mut self.kept);
    }

    /// One inference on the caller's thread; after each node `see` gets each of its output tensors with its bytes
    /// (element type as in the graph). Inputs of the graph come first. Tensors are whole: a session that goes through
    /// the batch in [passes](Session::passes) gives that up for these shapes.
    ///
    /// # Errors
    /// As [`Session::run`]; the arena for the whole batch is more than the limits allow.
    pub fn run_observed(&mut self, see: &mut dyn FnMut(TensorId, &[u8])) -> Result<()> {
        self.give_up_passes()?;
        let Bound { graph, plan, inputs, states, .. } = &self.bound[0];
        let arena = self.arena.as_mut();
        for p in inputs.iter().chain(states.ports()) {
            see(p.tensor, p.place.bytes(arena, &plan.constants));
        }
        let mut next = 0;
        // Tensors of branches that are not taken hold nothing.
        let mut skipped = HashSet::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut ran = true;
            if let Some(step) = plan.steps.get(next).filter(|s| s.node == index) {
                ran = step.run(arena, &plan.constants, &Pool::SERIAL)?;
                next += 1;
            } else if node.input(0).is_some_and(|id| skipped.contains(&id)) {
                ran = false;
            }
            if !ran {
                skipped.extend(node.outputs.iter().copied());
                continue;
            }
            for id in &node.outputs {
                let Some(place) = plan.places.get(id) else { continue };
                let bytes = place.bytes(arena, &plan.constants);
                match plan.parts.get(id) {
                    Some(part) => see(*id, &part.gather(bytes)),
                    None => see(*id, bytes),
                }
            }
        }
        self.advance();
        Ok(())
    }

    /// Plans the whole batch, if it goes through in passes. Inputs stay what they are.
    fn give_up_passes(&mut self) -> Result<()> {
        if self.passes() == 1 {
            return Ok(());
        }
        self.lengths.clone_from(&self.bound[0].lengths);
        let whole = self.bind(usize::MAX)?;
        let count = self.inputs().len();
        let inputs = (0..count).map(|i| Ok(self.input_bytes_mut(i)?.to_vec())).collect::<Result<Vec<_>>>()?;
        self.make_room(whole.plan.arena_len);
        self.bound[0] = whole;
        for (i, bytes) in inputs.iter().enumerate() {
            self.input_bytes_mut(i)?.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// An arena of this length or more; what is in it may be lost.
    fn make_room(&mut self, len: usize) {
        if self.arena.as_ref().len() < len {
            self.arena = AlignedBytes::zeroed(len);
        }
    }

    /// One inference; when it is over `see` gets the index in [`steps`](Session::steps) of each step that computes
    /// something, and how long it took, in all passes together.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_timed(&mut self, see: &mut dyn FnMut(usize, Duration)) -> Result<()> {
        let Session { bound, arena, pool, .. } = self;
        let Bound { plan, steps, .. } = &mut bound[0];
        let mut times = vec![Duration::ZERO; steps.len()];
        pool.begin(plan.shared_cost);
        let mut last = Instant::now();
        plan.run(arena.as_mut(), pool, |step| {
            let now = Instant::now();
            times[step.node] += now - last;
            last = now;
        })?;
        pool.end();
        plan.steps.iter().for_each(|step| see(step.node, times[step.node]));
        self.advance();
        Ok(())
    }

    /// What runs, node by node.
    pub fn steps(&self) -> &[StepInfo] {
        &self.now().steps
    }

    /// Weights in the kernels' own order, as a file may store them.
    pub fn packed_weights(&self) -> impl Iterator<Item = &PackedWeights> {
        self.now().plan.steps.iter().filter_map(|s| s.kernel.packed())
    }

    /// How often a run goes through the steps, with a part of the batch each time: 1 unless the batch is so large that what
    /// a layer writes would have left the caches before the next one reads it.
    pub fn passes(&self) -> usize {
        self.now().plan.passes.count()
    }

    /// Multiply-adds of one inference.
    pub fn macs(&self) -> u64 {
        self.now().plan.macs
    }

    /// Bytes of activations and scratch.
    pub fn arena_bytes(&self) -> usize {
        self.now().plan.arena_len
    }

    /// Bytes of weights as the kernels read them.
    pub fn weights_bytes(&self) -> usize {
        self.now().steps.iter().map(|s| s.weight_bytes).sum()
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
