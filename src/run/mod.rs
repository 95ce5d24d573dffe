//! Running plans: models and sessions.

use crate::graph::{DType, Graph, Quant, TensorId};
use crate::{Limits, Result};
use ottava_kernels::Isa;
use std::path::Path;

/// A session was used wrongly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {}

/// A graph that is ready to run, shared by its sessions.
#[derive(Clone)]
pub struct Model {}

impl Model {
    /// Reads a `.8va` file into memory.
    pub fn open(_path: impl AsRef<Path>, _limits: &Limits) -> Result<Model> {
        todo!()
    }
    /// Takes a `.8va` file that is already in memory.
    pub fn from_bytes(_bytes: Vec<u8>, _limits: &Limits) -> Result<Model> {
        todo!()
    }
    /// Takes a graph.
    pub fn from_graph(_graph: Graph) -> Result<Model> {
        todo!()
    }
    /// The graph.
    pub fn graph(&self) -> &Graph {
        todo!()
    }
    /// A session: plan, arena, threads.
    pub fn session(&self, _options: &SessionOptions) -> Result<Session> {
        todo!()
    }
}

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Threads that take part, the caller's among them.
    pub threads: usize,
    /// Kernels up to this instruction set.
    pub isa: Isa,
    /// Bounds on arena and multiply-adds.
    pub limits: Limits,
    /// Shapes of inputs by name, where free dimensions are to be other than 1.
    pub shapes: Vec<(String, Vec<usize>)>,
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
}

/// What the plan made of one node.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// Index of the node in the graph.
    pub node: usize,
    /// Which kernel runs (`folded` where the result was computed at plan time).
    pub kernel: String,
    /// Element type it computes in.
    pub dtype: DType,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of the weights it reads.
    pub weight_bytes: usize,
    /// Shape of its first output.
    pub out_shape: Vec<usize>,
}

/// One network being run: plan, arena and threads. `run` allocates nothing.
pub struct Session {}

impl Session {
    /// Inputs in the model's order.
    pub fn inputs(&self) -> &[Port] {
        todo!()
    }
    /// Outputs in the model's order.
    pub fn outputs(&self) -> &[Port] {
        todo!()
    }
    /// Input `i` in place, typed.
    pub fn input_mut<T: bytemuck::Pod>(&mut self, _i: usize) -> Result<&mut [T]> {
        todo!()
    }
    /// Output `i` of the last run in place, typed.
    pub fn output<T: bytemuck::Pod>(&self, _i: usize) -> Result<&[T]> {
        todo!()
    }
    /// Input `i` in place, as bytes.
    pub fn input_bytes_mut(&mut self, _i: usize) -> Result<&mut [u8]> {
        todo!()
    }
    /// Output `i` of the last run in place, as bytes.
    pub fn output_bytes(&self, _i: usize) -> Result<&[u8]> {
        todo!()
    }
    /// One inference.
    pub fn run(&mut self) -> Result<()> {
        todo!()
    }
    /// One inference; after each node `see` is given each output tensor and its bytes (element type as in the
    /// graph). Graph inputs are shown first.
    pub fn run_observed(&mut self, _see: &mut dyn FnMut(TensorId, &[u8])) -> Result<()> {
        todo!()
    }
    /// What runs, node by node.
    pub fn steps(&self) -> &[StepInfo] {
        todo!()
    }
    /// Multiply-adds of one inference.
    pub fn macs(&self) -> u64 {
        todo!()
    }
    /// Bytes of activations and scratch.
    pub fn arena_bytes(&self) -> usize {
        todo!()
    }
    /// Bytes of weights as the kernels read them.
    pub fn weights_bytes(&self) -> usize {
        todo!()
    }
}
