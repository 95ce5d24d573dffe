//! `ottava quantize`: a float model to 8-bit integers, after training.

use super::calibrate::calibrate;
use super::convert::Written;
use super::failure::Failure;
use super::options::{DataArgs, LoadArgs, RunArgs};
use super::output::{say, say_json};
use super::{model, show};
use crate::data::{Dataset, InputSpec};
use crate::quantize::{Method, Options, Quantized};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Instant;

/// Quantize a float model to 8-bit integers, with data to calibrate on
#[derive(Args)]
#[command(
    after_help = "DATA is an .npy array whose first axis is samples, an .npz of such arrays keyed by input \
name, or a folder of images. 100 samples are usually enough.

Examples:
  ottava quantize model.onnx -o model.8va --calibrate samples.npy
  ottava quantize model.onnx -o model.8va --calibrate images/ --resize 256 \\
      --scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  ottava quantize model.onnx -o model.8va --calibrate samples.npz --method percentile --percentile 99.99 \\
      --exclude /head/conv"
)]
pub(super) struct Quantize {
    /// A float model: .onnx or .8va
    model: PathBuf,
    /// The .8va file to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Data to find the ranges of activations with
    #[arg(long, value_name = "DATA", required_unless_present_any = ["dynamic", "weights_only"])]
    calibrate: Option<PathBuf>,
    /// How ranges are chosen
    #[arg(long, value_enum, default_value = "minmax")]
    method: MethodArg,
    /// Share of values, in percent, that the percentile method keeps inside
    #[arg(long, value_name = "P", default_value_t = 99.99, value_parser = percentile)]
    percentile: f32,
    /// One scale per weight tensor instead of one per output channel
    #[arg(long)]
    per_tensor: bool,
    /// Quantize weights now and activations at run time; needs no data
    #[arg(long, conflicts_with = "calibrate")]
    dynamic: bool,
    /// Quantize weights only; activations stay float
    #[arg(long, requires = "bits", conflicts_with = "dynamic")]
    weights_only: bool,
    /// Bits of a weight, with --weights-only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8), requires = "weights_only")]
    bits: Option<u8>,
    /// Keep a node in float (repeatable)
    #[arg(long, value_name = "NODE")]
    exclude: Vec<String>,
    /// Use at most this many samples
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Refuse if any node stays float
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodArg {
    /// The whole range that was seen
    Minmax,
    /// Without the outermost values
    Percentile,
    /// The range with the least squared error
    Mse,
    /// The range that keeps the most information
    Entropy,
}

impl Quantize {
    pub fn execute(&self) -> Result<(), Failure> {
        let start = Instant::now();
        let Some(data) = &self.calibrate else {
            let what = if self.dynamic { "--dynamic" } else { "--weights-only" };
            let why = "is not supported yet: give data to calibrate on with --calibrate DATA";
            return Err(Failure::refused(format!("{what} {why}")));
        };
        if self.weights_only {
            return Err(Failure::refused(
                "--weights-only is not supported yet: leave it out to quantize to int8",
            ));
        }
        let loaded = model::load(&self.model, &self.load)?;
        if model::count_nodes(loaded.model.graph()).0 > 0 {
            let why = "is quantized already: start from the float model, or use `ottava convert`";
            return Err(Failure::refused(format!("{} {why}", self.model.display())));
        }
        let source = loaded.source(data, &self.load)?;
        let images = self.data.images();
        let shapes = source.shapes(loaded.model.graph(), &images);
        let options = self.run.session(&self.load, shapes)?;
        let mut session = loaded.model.session(&options)?;
        let mut data = Dataset::new(source, &InputSpec::of(&session), &images)?;
        data.truncate(self.samples.unwrap_or(usize::MAX));
        let quantized = calibrate(&loaded.model, &mut session, &mut data, &self.options())?;
        self.check_strict(&quantized)?;
        let bytes_out = model::save(&self.output, &quantized.graph, &[])?;
        let written = Written {
            bytes_in: loaded.file_bytes,
            bytes_out,
            nodes_int8: quantized.nodes_int8,
            nodes_float: quantized.nodes_float,
            seconds: start.elapsed().as_secs_f64(),
        };
        if self.json {
            return say_json(&written);
        }
        say(written.table())?;
        if !quantized.float_nodes.is_empty() {
            let mut table = show::table(&["stays float", "because"], 2);
            for (node, why) in &quantized.float_nodes {
                table.add_row([show::shorten(node, 40), why.clone()]);
            }
            say(table)?;
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let method = match self.method {
            MethodArg::Minmax => Method::MinMax,
            MethodArg::Percentile => Method::Percentile(self.percentile),
            MethodArg::Mse => Method::Mse,
            MethodArg::Entropy => Method::Entropy,
        };
        // Float ends are a choice, not a need: --strict makes the other one.
        let float_ends = !self.strict;
        Options { method, per_tensor: self.per_tensor, exclude: self.exclude.clone(), float_ends }
    }

    fn check_strict(&self, quantized: &Quantized) -> Result<(), Failure> {
        match quantized.float_nodes.as_slice() {
            [] => Ok(()),
            _ if !self.strict => Ok(()),
            nodes => {
                let list: Vec<String> = nodes.iter().map(|(n, why)| format!("'{n}' ({why})")).collect();
                Err(Failure::refused(format!("--strict: these nodes would stay float: {}", list.join(", "))))
            }
        }
    }
}

fn percentile(text: &str) -> Result<f32, String> {
    let value = text.parse::<f32>().ok().filter(|p| *p > 50.0 && *p <= 100.0);
    value.ok_or_else(|| "expected a percentage above 50, up to 100".to_string())
}
