//! Float graph -> integer graph.
//!
//! Post-training static quantization in three steps, each usable alone:
//! 1. [`Calibration`] watches a float session and learns the range of every activation;
//! 2. `assign` decides which nodes become integer ones, `scales` gives every activation scale and zero point;
//! 3. `rewrite` makes the integer graph: u8 activations, i8 weights with a scale per output channel, i32 biases.
//!
//! Two other ways need no data: [`without_data`] quantizes weights only, activations while the network runs (`dynamic`)
//! or not at all (`packed`). [`Modes`] says which node goes which way; one graph may mix all of them.
//!
//! Inputs and outputs of the graph stay f32, so that both models are used in the same way.

pub mod affine;
mod assign;
mod calibration;
mod dynamic;
mod ends;
mod entropy;
mod histogram;
mod modes;
mod mse;
mod names;
mod packed;
mod recurrent;
mod rewrite;
mod scales;
mod weights;

pub use calibration::{Calibration, Range};
pub use histogram::Histogram;
pub use modes::{Mode, Modes, Pattern};

use crate::graph::{DType, Graph, Node, Op};
use crate::optimize;
use crate::run::{Model, SessionOptions};
use crate::{Error, Limits, Result};
use ottava_kernels::Isa;

/// Why a graph can't be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// There was nothing to learn ranges from.
    #[error("calibration needs at least one sample: give data that looks like what the network will see")]
    NoSamples,
    /// A sample is not what the network takes.
    #[error("calibration sample {sample}: {what}")]
    Sample {
        /// Counted from 0.
        sample: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A node that should stay float is not in the graph.
    #[error("no node is named '{0}': `inspect` lists the names")]
    UnknownNode(String),
    /// Weights can't be stored in so many bits.
    #[error("weights of {0} bits: 2 to 8 are possible")]
    Bits(u8),
    /// Static quantization without data.
    #[error("node '{0}' is to be quantized statically, which needs data to calibrate on")]
    NoData(String),
    /// The percentile is not one.
    #[error("the percentile {0} is not above 50 and at most 100")]
    Percentile(f32),
}

/// How the range of an activation is chosen from the values that were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// All of them: nothing is clipped, an outlier makes every step coarse.
    MinMax,
    /// Without the outermost values: this percentage of them (above 50, at most 100) lies below the upper end, as
    /// many above the lower end.
    Percentile(f32),
    /// The range with the least mean squared error of the quantized values.
    Mse,
    /// The range whose quantized distribution is closest to the real one (least Kullback-Leibler divergence).
    Entropy,
}

/// How a graph is quantized.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges of activations are chosen.
    pub method: Method,
    /// One scale for all output channels of a weight tensor instead of one for each.
    pub per_tensor: bool,
    /// Names of nodes that stay float.
    pub exclude: Vec<String>,
    /// Functions behind the last products are computed in float, from sums that were not rounded to bytes.
    pub float_ends: bool,
    /// Which nodes are quantized how.
    pub modes: Modes,
}

impl Default for Options {
    /// Min-max ranges, a scale per output channel, every node that can, float ends.
    fn default() -> Options {
        Options {
            method: Method::MinMax,
            per_tensor: false,
            exclude: Vec::new(),
            float_ends: true,
            modes: Modes::all(Mode::Static),
        }
    }
}

impl Options {
    /// What a node is to become.
    fn mode(&self, node: &Node) -> Mode {
        if self.exclude.contains(&node.name) { Mode::Float } else { self.modes.of(node) }
    }
}

/// An integer graph, and what became of the float graph's nodes. Nodes that compute no activations (shapes,
/// indices) are not counted.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The integer graph; its inputs and outputs are those of the float graph.
    pub graph: Graph,
    /// Nodes that compute with 8-bit integers, or whose weights are stored in few bits.
    pub nodes_int8: usize,
    /// Nodes that compute with floats.
    pub nodes_float: usize,
    /// Name of each float node, and why it is one.
    pub float_nodes: Vec<(String, String)>,
}

/// Quantizes an optimized float graph. Each sample is one value per input that a caller gives, as bytes; states start
/// anew with each. `progress` is told how many samples have been seen.
///
/// # Errors
/// There are no samples, one doesn't fit the inputs, the float graph can't be run, or an option makes no sense.
pub fn static_int8(
    graph: Graph,
    samples: &mut dyn Iterator<Item = Result<Vec<Vec<u8>>>>,
    options: &Options,
    progress: &mut dyn FnMut(usize),
) -> Result<Quantized> {
    check(&graph, options)?;
    let mut calibration = Calibration::new(&graph, options.method);
    let model = Model::from_graph(graph)?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let limits = Limits::default();
    let mut session =
        model.session(&SessionOptions { threads, isa: Isa::best(), limits, ..Default::default() })?;
    let mut seen = 0;
    for sample in samples {
        let sample = sample?;
        let fault = |what: String| Error::from(QuantizeError::Sample { sample: seen, what });
        if sample.len() != session.inputs().len() {
            let (given, wanted) = (sample.len(), session.inputs().len());
            return Err(fault(format!("has {given} values, the network has {wanted} inputs")));
        }
        for (i, bytes) in sample.iter().enumerate() {
            let input = session.input_bytes_mut(i)?;
            if input.len() != bytes.len() {
                let (given, wanted) = (bytes.len(), input.len());
                return Err(fault(format!("input {i} is {given} bytes long, the network takes {wanted}")));
            }
            input.copy_from_slice(bytes);
        }
        session.reset();
        session.run_observed(&mut |tensor, bytes| calibration.observe(tensor, bytes))?;
        seen += 1;
        progress(seen);
    }
    if seen == 0 {
        return Err(QuantizeError::NoSamples.into());
    }
    with_calibration(model.graph(), &calibration, options)
}

/// Quantizes an optimized float graph with ranges that are known.
///
/// # Errors
/// An option makes no sense.
pub fn with_calibration(graph: &Graph, calibration: &Calibration, options: &Options) -> Result<Quantized> {
    check(graph, options)?;
    let graph = &wide(graph);
    let apart = |node: &Node| options.mode(node) != Mode::Static;
    let mut fates = assign::assign(graph, calibration, &apart);
    if options.float_ends {
        ends::float_ends(graph, &mut fates);
    }
    let scales = scales::Scales::choose(graph, &fates, calibration);
    let known = rewrite::Known { scales: &scales, calibration, per_tensor: options.per_tensor };
    finish(rewrite::rewrite(graph, fates, &known), options)
}

/// Quantizes an optimized float graph whose modes need no data.
///
/// # Errors
/// An option makes no sense, or a node is to be quantized statically.
pub fn without_data(graph: &Graph, options: &Options) -> Result<Quantized> {
    check(graph, options)?;
    let is_product = |n: &&Node| matches!(n.op, Op::Linear(_) | Op::Conv(_) | Op::ConvTranspose(_));
    let mut products = graph.nodes.iter().filter(is_product);
    if let Some(node) = products.find(|n| options.mode(n) == Mode::Static) {
        return Err(QuantizeError::NoData(node.name.clone()).into());
    }
    let graph = &wide(graph);
    let computes = |n: &&Node| {
        n.outputs.iter().all(|&t| graph.tensor(t).dtype == DType::F32)
            && assign::data_inputs(graph, n).next().is_some()
    };
    let float = graph.nodes.iter().filter(computes);
    let float_nodes: Vec<_> = float.map(|n| (n.name.clone(), "has no weights".to_string())).collect();
    let nodes_float = float_nodes.len();
    finish(Quantized { graph: graph.clone(), nodes_int8: 0, nodes_float, float_nodes }, options)
}

/// The same graph with its weights in f32.
fn wide(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    optimize::widen(&mut graph);
    graph
}

/// What became of a node that was to be quantized.
enum Outcome {
    Quantized,
    /// It stays float, because of this.
    Float(String),
}

/// The modes that change single nodes.
fn finish(mut quantized: Quantized, options: &Options) -> Result<Quantized> {
    let graph = &mut quantized.graph;
    let mut outcomes = dynamic::apply(graph, |n| options.mode(n) == Mode::Dynamic, options.per_tensor);
    outcomes.extend(packed::apply(graph, |n| match options.mode(n) {
        Mode::Weights(bits) => Some(bits),
        _ => None,
    }));
    for (name, outcome) in outcomes {
        let listed = quantized.float_nodes.iter().position(|(n, _)| *n == name);
        match outcome {
            Outcome::Quantized => {
                quantized.nodes_int8 += 1;
                listed.map(|i| quantized.float_nodes.remove(i));
            }
            Outcome::Float(why) => match listed {
                Some(i) => quantized.float_nodes[i].1 = why,
                None => quantized.float_nodes.push((name, why)),
            },
        }
    }
    quantized.nodes_float = quantized.float_nodes.len();
    quantized.graph.sweep();
    // Nodes that stay float keep what the file had.
    optimize::narrow(&mut quantized.graph);
    quantized.graph.validate()?;
    Ok(quantized)
}

fn check(graph: &Graph, options: &Options) -> std::result::Result<(), QuantizeError> {
    if let Method::Percentile(p) = options.method
        && !(p > 50.0 && p <= 100.0)
    {
        return Err(QuantizeError::Percentile(p));
    }
    options.modes.check(graph)?;
    match options.exclude.iter().find(|name| graph.nodes.iter().all(|n| n.name != **name)) {
        Some(name) => Err(QuantizeError::UnknownNode(name.clone())),
        None => Ok(()),
    }
}
