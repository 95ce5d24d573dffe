//! `ottava inspect`: what is in a model, node by node.

use super::failure::Failure;
use super::model::{self, Loaded};
use super::options::{LoadArgs, RunArgs, ShapeArgs};
use super::output::{say, say_json};
use super::show;
use crate::Session;
use crate::graph::{Dim, Graph, State, TensorId};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Show a model: nodes, shapes, kernels, cost
#[derive(Args)]
#[command(after_help = "Examples:
  ottava inspect model.8va
  ottava inspect model.onnx --shape input=1x3x224x224 --isa avx2
  ottava inspect model.8va --json")]
pub(super) struct Inspect {
    /// .8va, .onnx or .tflite
    model: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// One node. What only a plan knows is absent if the model can't be planned.
#[derive(Serialize)]
struct NodeInfo {
    name: String,
    op: &'static str,
    dtype: &'static str,
    kernel: Option<String>,
    macs: Option<u64>,
    out_shape: Vec<Extent>,
    weight_bytes: Option<usize>,
}

/// A number, or the name of a free dimension.
#[derive(Serialize)]
#[serde(untagged)]
enum Extent {
    Fixed(usize),
    Free(String),
}

#[derive(Serialize)]
struct PortInfo {
    name: String,
    dtype: &'static str,
    shape: Vec<Extent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zero_point: Option<i32>,
}

/// An input that an output of the run before feeds.
#[derive(Serialize)]
struct StateInfo {
    #[serde(flatten)]
    input: PortInfo,
    output: String,
    /// Where the first run starts: `zeros` or the name of a constant.
    initial: String,
}

#[derive(Serialize)]
struct Report {
    nodes: Vec<NodeInfo>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    states: Vec<StateInfo>,
    macs: Option<u64>,
    bytes: u64,
    weights_bytes: Option<usize>,
    arena_bytes: Option<usize>,
    /// How often a run goes through the nodes, with a part of the batch each time.
    passes: Option<usize>,
    metadata: std::collections::BTreeMap<String, String>,
    /// Why the model can't be planned.
    error: Option<String>,
}

impl Inspect {
    pub fn execute(&self) -> Result<(), Failure> {
        let loaded = model::load(&self.model, &self.load, &|| Ok(self.shape.shapes.clone()))?;
        let options = self.run.session(&self.load, self.shape.shapes.clone())?;
        let planned = loaded.model.session(&options);
        let report = report(&loaded, planned.as_ref().ok(), planned.as_ref().err().map(|e| e.to_string()));
        if self.json {
            return say_json(&report);
        }
        say(report.node_table())?;
        say(report.port_table())?;
        say(report.totals())?;
        if let Some(error) = &report.error {
            say(format!("This model can't be run as it is: {error}"))?;
        }
        Ok(())
    }
}

fn report(loaded: &Loaded, session: Option<&Session>, error: Option<String>) -> Report {
    let graph = session.map_or_else(|| loaded.model.graph(), Session::graph);
    Report {
        nodes: match session {
            Some(session) => planned_nodes(session),
            None => unplanned_nodes(graph),
        },
        inputs: graph.caller_inputs().map(|id| port_info(graph, id)).collect(),
        outputs: graph.caller_outputs().map(|id| port_info(graph, id)).collect(),
        states: graph.states.iter().map(|s| state_info(graph, s)).collect(),
        macs: session.map(Session::macs),
        bytes: loaded.file_bytes,
        weights_bytes: session.map(Session::weights_bytes),
        arena_bytes: session.map(Session::arena_bytes),
        passes: session.map(Session::passes),
        metadata: graph.metadata.iter().cloned().collect(),
        error,
    }
}

fn planned_nodes(session: &Session) -> Vec<NodeInfo> {
    let steps = session.steps().iter().map(|s| NodeInfo {
        name: s.name.clone(),
        op: s.op,
        dtype: s.dtype.name(),
        kernel: Some(s.kernel.clone()),
        macs: Some(s.macs),
        out_shape: s.out_shape.iter().map(|n| Extent::Fixed(*n)).collect(),
        weight_bytes: Some(s.weight_bytes),
    });
    steps.collect()
}

fn unplanned_nodes(graph: &Graph) -> Vec<NodeInfo> {
    let nodes = graph.nodes.iter().filter_map(|node| {
        let output = *node.outputs.first()?;
        Some(NodeInfo {
            name: node.name.clone(),
            op: node.op.name(),
            dtype: graph.tensor(output).dtype.name(),
            kernel: None,
            macs: None,
            out_shape: extents(graph, output),
            weight_bytes: None,
        })
    });
    nodes.collect()
}

fn extents(graph: &Graph, id: TensorId) -> Vec<Extent> {
    let dims = graph.tensor(id).shape.iter().map(|d| match d {
        Dim::Fixed(n) => Extent::Fixed(*n),
        Dim::Free(i) => Extent::Free(graph.dims.get(*i as usize).cloned().unwrap_or_default()),
    });
    dims.collect()
}

fn port_info(graph: &Graph, id: TensorId) -> PortInfo {
    let tensor = graph.tensor(id);
    let quant = tensor.quant.as_ref().and_then(|q| q.single());
    PortInfo {
        name: tensor.name.clone(),
        dtype: tensor.dtype.name(),
        shape: extents(graph, id),
        scale: quant.map(|q| q.0),
        zero_point: quant.map(|q| q.1),
    }
}

fn state_info(graph: &Graph, state: &State) -> StateInfo {
    let name = |id: TensorId| graph.tensor(id).name.clone();
    StateInfo {
        input: port_info(graph, graph.inputs[state.input]),
        output: name(graph.outputs[state.output]),
        initial: state.initial.map_or_else(|| "zeros".to_string(), name),
    }
}

fn shape_text(shape: &[Extent]) -> String {
    let dims = shape.iter().map(|d| match d {
        Extent::Fixed(n) => n.to_string(),
        Extent::Free(name) => name.clone(),
    });
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

impl Report {
    fn node_table(&self) -> comfy_table::Table {
        let mut table = show::table(&["node", "op", "output", "dtype", "kernel", "MACs", "weights"], 5);
        for node in &self.nodes {
            table.add_row([
                show::shorten(&node.name, 32),
                node.op.to_string(),
                shape_text(&node.out_shape),
                node.dtype.to_string(),
                node.kernel.clone().unwrap_or_else(|| "-".into()),
                node.macs.map_or_else(|| "-".into(), show::count),
                node.weight_bytes.map_or_else(|| "-".into(), |b| show::bytes(b as u64)),
            ]);
        }
        table
    }

    fn port_table(&self) -> comfy_table::Table {
        let mut table = show::table(&["", "name", "dtype", "shape", "scale", "zero point"], 4);
        let inputs = self.inputs.iter().map(|p| ("input", p));
        let states = self.states.iter().map(|s| ("state", &s.input));
        let outputs = self.outputs.iter().map(|p| ("output", p));
        for (what, port) in inputs.chain(states).chain(outputs) {
            table.add_row([
                what.to_string(),
                show::shorten(&port.name, 40),
                port.dtype.to_string(),
                shape_text(&port.shape),
                port.scale.map(|s| s.to_string()).unwrap_or_default(),
                port.zero_point.map(|z| z.to_string()).unwrap_or_default(),
            ]);
        }
        table
    }

    fn totals(&self) -> comfy_table::Table {
        let unknown = || "-".to_string();
        let mut table = show::facts([
            ("nodes", self.nodes.len().to_string()),
            ("multiply-adds", self.macs.map_or_else(unknown, show::count)),
            ("weights", self.weights_bytes.map_or_else(unknown, |b| show::bytes(b as u64))),
            ("activations", self.arena_bytes.map_or_else(unknown, |b| show::bytes(b as u64))),
            ("file", show::bytes(self.bytes)),
        ]);
        if let Some(passes) = self.passes.filter(|passes| *passes > 1) {
            table.add_row(["passes over the batch", &passes.to_string()]);
        }
        for (key, value) in &self.metadata {
            table.add_row([show::shorten(key, 32), show::shorten(value, 48)]);
        }
        table
    }
}
