//! `ottava bench`: how fast a model is.

mod layers;

use super::failure::Failure;
use super::model;
use super::options::{LoadArgs, RunArgs, ShapeArgs};
use super::output::{say, say_json};
use super::random::{self, Random};
use super::show;
use crate::Session;
use crate::data::Shapes;
use crate::report::{Timing, measure};
use clap::Args;
use layers::LayerTime;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// Time inferences of a model on random input
#[derive(Args)]
#[command(after_help = "Examples:
  ottava bench model.8va
  ottava bench model.onnx --threads 1 --shape input_ids=1x128 --fill attention_mask=1
  ottava bench model.8va --shape x=1x16 --shape x=1x64 --shape x=1x256
  ottava bench model.8va --per-layer
  ottava bench model.8va --isa scalar --json")]
pub(super) struct Bench {
    /// .8va, .onnx or .tflite
    model: PathBuf,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Set an input to one value instead of random ones
    #[arg(long = "fill", value_name = "NAME=V", value_parser = named_value)]
    fills: Vec<(String, f64)>,
    /// Also time every layer, beside what a core can do at most
    #[arg(long)]
    per_layer: bool,
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

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    timing: Timing,
    threads: usize,
    isa: &'static str,
    macs: u64,
    load_ms: f64,
    first_ms: f64,
    arena_bytes: usize,
    weights_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<LayerTime>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<Turn>,
}

/// The same session with other shapes.
#[derive(Serialize)]
struct Turn {
    shapes: BTreeMap<String, Vec<usize>>,
    /// Until the session was ready for them.
    plan_ms: f64,
    #[serde(flatten)]
    timing: Timing,
}

impl Bench {
    pub fn execute(&self) -> Result<(), Failure> {
        let turns = self.shape.turns()?;
        let first = turns.first().cloned().unwrap_or_default();
        let options = self.run.session(&self.load, first.clone())?;
        let start = Instant::now();
        let model = model::load(&self.model, &self.load, &|| Ok(first.clone()))?.model;
        let mut session = model.session(&options)?;
        let load_ms = milliseconds(start);
        self.feed(&mut session)?;
        let start = Instant::now();
        session.run()?;
        let first_ms = milliseconds(start);
        let timing = measure(self.seconds, &mut || session.run())?;
        let layers = if self.per_layer {
            Some(layers::measure(&mut session, options.isa, options.threads, self.seconds)?)
        } else {
            None
        };
        let (macs, arena_bytes) = (session.macs(), session.arena_bytes());
        let turns = turns.iter().skip(1).map(|shapes| self.turn(&mut session, shapes));
        let turns = turns.collect::<Result<Vec<Turn>, Failure>>()?;
        let report = Report {
            timing,
            threads: options.threads,
            isa: options.isa.name(),
            macs,
            load_ms,
            first_ms,
            arena_bytes,
            weights_bytes: session.weights_bytes(),
            layers,
            turns,
        };
        if self.json {
            return say_json(&report);
        }
        say(report.table())?;
        if !report.turns.is_empty() {
            say(turn_table(&report.turns))?;
        }
        report.layers.as_deref().map_or(Ok(()), |layers| say(layers::table(layers)))
    }

    /// Times the session with these shapes.
    fn turn(&self, session: &mut Session, shapes: &Shapes) -> Result<Turn, Failure> {
        let named: Vec<_> = shapes.iter().map(|(name, dims)| (&name[..], &dims[..])).collect();
        let start = Instant::now();
        session.reshape(&named)?;
        let plan_ms = milliseconds(start);
        self.feed(session)?;
        let timing = measure(self.seconds, &mut || session.run())?;
        Ok(Turn { shapes: shapes.iter().cloned().collect(), plan_ms, timing })
    }

    fn feed(&self, session: &mut Session) -> Result<(), Failure> {
        let ports = session.inputs().to_vec();
        if let Some((name, _)) = self.fills.iter().find(|(n, _)| ports.iter().all(|p| p.name != *n)) {
            let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
            let names = names.join(", ");
            return Err(Failure::refused(format!(
                "--fill: the model has no input '{name}'; its inputs are: {names}"
            )));
        }
        let mut random = Random::new(0);
        for (i, port) in ports.iter().enumerate() {
            let bytes = session.input_bytes_mut(i)?;
            match self.fills.iter().find(|(name, _)| *name == port.name) {
                None => random.fill(port.dtype, bytes),
                Some((name, value)) => random::constant(port.dtype, *value, bytes).ok_or_else(|| {
                    Failure::refused(format!(
                        "--fill: {value} is no {}, which input '{name}' takes",
                        port.dtype
                    ))
                })?,
            }
        }
        Ok(())
    }
}

fn turn_table(turns: &[Turn]) -> comfy_table::Table {
    let mut table = show::table(&["shapes", "median", "fastest", "plan"], 1);
    for turn in turns {
        let shapes = turn.shapes.iter().map(|(name, dims)| format!("{name} {}", show::shape(dims)));
        let times = [turn.timing.median_ms, turn.timing.min_ms, turn.plan_ms].map(show::time);
        let shapes = shapes.collect::<Vec<_>>().join(", ");
        table.add_row(std::iter::once(shapes).chain(times));
    }
    table
}

impl Report {
    fn table(&self) -> comfy_table::Table {
        let giga = self.macs as f64 / self.timing.median_ms / 1e6;
        show::facts([
            ("median", show::time(self.timing.median_ms)),
            ("fastest", show::time(self.timing.min_ms)),
            ("9 of 10 within", show::time(self.timing.p90_ms)),
            ("runs", self.timing.runs.to_string()),
            ("threads", self.threads.to_string()),
            ("instruction set", self.isa.to_string()),
            ("multiply-adds", show::count(self.macs)),
            ("per second", format!("{giga:.1} G")),
            ("load", show::time(self.load_ms)),
            ("first inference", show::time(self.first_ms)),
            ("activations", show::bytes(self.arena_bytes as u64)),
            ("weights", show::bytes(self.weights_bytes as u64)),
        ])
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn seconds(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|s| (0.0..=86_400.0).contains(s));
    value.ok_or_else(|| "expected seconds, 0 to 86400".to_string())
}

fn named_value(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.rsplit_once('=').ok_or("expected NAME=VALUE")?;
    let value = value.parse().map_err(|_| format!("'{value}' is no number"))?;
    Ok((name.to_string(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_names() {
        assert_eq!(named_value("sr=16000"), Ok(("sr".into(), 16000.0)));
        assert!(["x", "x=", "x=a"].iter().all(|t| named_value(t).is_err()));
    }
}
