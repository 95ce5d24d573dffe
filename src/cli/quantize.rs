//! `ottava quantize`: a float model to 8-bit integers, after training.

use super::calibrate::calibrate;
use super::convert::Written;
use super::failure::Failure;
use super::model::{self, Loaded};
use super::options::{DataArgs, LoadArgs, RunArgs};
use super::output::{say, say_json};
use super::show;
use crate::data::{Dataset, InputSpec};
use crate::quantize::{Method, Mode, Modes, Options, Pattern, Quantized, without_data};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Quantize a float model to 8-bit integers, with data to calibrate on
#[derive(Args)]
#[command(
    after_help = "DATA is an .npy array whose first axis is samples, an .npz of such arrays keyed by input \
name, or a folder of images. 100 samples are usually enough.

What is quantized how: with --calibrate all that can be, statically; with --dynamic all products, with scales found at \
run time; with --weights-only nothing but the weights. --set makes exceptions, so that one file may mix all of them: \
PATTERN is a node's name (* and ? as in a shell) or op:OPERATOR, MODE is static, dynamic, weights2 to weights8 or \
float; of several that match a node the last one counts. `ottava inspect` shows names, operators and what became of \
them.

Examples:
  ottava quantize model.onnx -o model.8va --calibrate samples.npy
  ottava quantize model.onnx -o model.8va --calibrate images/ --resize 256 \\
      --scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  ottava quantize model.onnx -o model.8va --calibrate samples.npz --method percentile --percentile 99.99 \\
      --exclude /head/conv
  ottava quantize model.onnx -o model.8va --dynamic --set 'op:Conv=float'
  ottava quantize model.onnx -o model.8va --weights-only --bits 4 --set 'op:Gather=weights8'
  ottava quantize model.onnx -o model.8va --calibrate samples.npy --set '/decoder/*=dynamic' --set '/head/fc=float'"
)]
pub(super) struct Quantize {
    /// A float model: .onnx or .8va
    model: PathBuf,
    /// The file to write: OUT.8va or OUT.onnx
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Data to find the ranges of activations with
    #[arg(long, value_name = "DATA", required_unless_present_any = ["dynamic", "weights_only"])]
    calibrate: Option<PathBuf>,
    /// How ranges are chosen (minmax if nothing is said)
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// Share of values, in percent, that the percentile method keeps inside (99.99 if nothing is said); chooses
    /// that method
    #[arg(long, value_name = "P", value_parser = percentile)]
    percentile: Option<f32>,
    /// One scale per weight tensor instead of one per output channel
    #[arg(long)]
    per_tensor: bool,
    /// Quantize weights now and activations at run time; needs no data
    #[arg(long, conflicts_with_all = ["calibrate", "strict"])]
    dynamic: bool,
    /// Quantize weights only; activations stay float
    #[arg(long, requires = "bits", conflicts_with_all = ["dynamic", "calibrate", "strict"])]
    weights_only: bool,
    /// Bits of a weight, with --weights-only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8), requires = "weights_only")]
    bits: Option<u8>,
    /// Quantize some nodes in another way (repeatable)
    #[arg(long, value_name = "PATTERN=MODE", value_parser = choice)]
    set: Vec<(Pattern, Mode)>,
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
        model::check_output(&self.output)?;
        let quantize_options = self.options()?;
        let loaded = model::load(&self.model, &self.load, &|| Ok(Vec::new()))?;
        if model::count_nodes(loaded.model.graph()).0 > 0 {
            let why = "is quantized already: start from the float model, or use `ottava convert`";
            return Err(Failure::refused(format!("{} {why}", self.model.display())));
        }
        let quantized = match &self.calibrate {
            Some(data) => self.calibrated(&loaded, data, &quantize_options)?,
            None => without_data(loaded.model.graph(), &quantize_options)?,
        };
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
        model::say_states(&self.output, &quantized.graph)
    }

    fn calibrated(&self, loaded: &Loaded, data: &Path, options: &Options) -> Result<Quantized, Failure> {
        let source = loaded.source(data, &self.load)?;
        let images = self.data.images();
        let shapes = source.shapes(loaded.model.graph(), &images);
        let session = self.run.session(&self.load, shapes)?;
        let mut session = loaded.model.session(&session)?;
        let mut data = Dataset::new(source, &InputSpec::of(&session), &images)?;
        data.truncate(self.samples.unwrap_or(usize::MAX));
        calibrate(&loaded.model, &mut session, &mut data, options)
    }

    fn options(&self) -> Result<Options, Failure> {
        let method = match (self.method, self.percentile) {
            (Some(MethodArg::Percentile), p) => Method::Percentile(p.unwrap_or(99.99)),
            (None, Some(p)) => Method::Percentile(p),
            (Some(_), Some(_)) => {
                return Err(Failure::refused(
                    "--percentile belongs to --method percentile: leave one of them out",
                ));
            }
            (Some(MethodArg::Mse), None) => Method::Mse,
            (Some(MethodArg::Entropy), None) => Method::Entropy,
            (Some(MethodArg::Minmax) | None, None) => Method::MinMax,
        };
        let default = match (self.bits, self.dynamic) {
            (Some(bits), _) => Mode::Weights(bits),
            (None, true) => Mode::Dynamic,
            (None, false) => Mode::Static,
        };
        Ok(Options {
            method,
            per_tensor: self.per_tensor,
            exclude: self.exclude.clone(),
            // Float ends are a choice, not a need: --strict makes the other one.
            float_ends: !self.strict,
            modes: Modes { default, choices: self.set.clone() },
        })
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

/// `PATTERN=MODE`
fn choice(text: &str) -> Result<(Pattern, Mode), String> {
    let (pattern, mode) = text.rsplit_once('=').ok_or("expected PATTERN=MODE")?;
    let bits = mode.strip_prefix("weights").and_then(|bits| bits.parse::<u8>().ok());
    let mode = match (mode, bits) {
        ("static", _) => Mode::Static,
        ("dynamic", _) => Mode::Dynamic,
        ("float", _) => Mode::Float,
        (_, Some(bits @ 2..=8)) => Mode::Weights(bits),
        _ => return Err(format!("'{mode}' is not static, dynamic, weights2 to weights8 or float")),
    };
    Ok((Pattern::parse(pattern), mode))
}

fn percentile(text: &str) -> Result<f32, String> {
    let value = text.parse::<f32>().ok().filter(|p| *p > 50.0 && *p <= 100.0);
    value.ok_or_else(|| "expected a percentage above 50, up to 100".to_string())
}
