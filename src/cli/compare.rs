//! `ottava compare`: two models on the same data.

use super::failure::Failure;
use super::model::{self, Loaded};
use super::options::{DataArgs, LoadArgs, RunArgs};
use super::output::{progress, say, say_json};
use super::show;
use crate::Session;
use crate::data::{Dataset, InputSpec, Labels};
use crate::report::{Comparison, Contestant, Layer, Side, Task, compare, compare_layers};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Samples that the comparison layer by layer looks at: every activation of each is kept.
const LAYER_SAMPLES: usize = 16;

/// Run two models on the same data: accuracy, speed, size, and how close they are
#[derive(Args)]
#[command(
    after_help = "Metrics: classify = accuracy, top5; segment = accuracy, precision, recall, dice, iou (pixels \
are positive above probability 0.5, or above logit 0 if any output lies outside of 0..1); regress = mse, mae; embed = \
cosine to the other model's embedding, and spearman if labels score pairs of samples (2i, 2i + 1). Embeddings that \
are sequences are averaged over the positions that the input 'attention_mask' marks, or over all.

Examples:
  ottava compare float.onnx int8.8va --data test.npy --labels labels.npy
  ottava compare float.onnx int8.8va --data images/ --labels masks/ --task segment --scale 1/255 --per-layer
  ottava compare float.onnx int8.8va --data pairs.npz --labels scores.npy --task embed --json"
)]
pub(super) struct Compare {
    /// The reference: .8va, .onnx or .tflite
    a: PathBuf,
    /// The other model
    b: PathBuf,
    /// An .npy array whose first axis is samples, an .npz keyed by input name, a folder of images, or a folder of .npz
    /// files, each one sample with shapes of its own
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// What is right, sample by sample: an .npy array, or a folder of mask images
    #[arg(long, value_name = "Y")]
    labels: Option<PathBuf>,
    /// What the first output means
    #[arg(long, value_enum, default_value = "classify")]
    task: TaskArg,
    /// Compare tensors of the same name too, on the first 16 samples
    #[arg(long)]
    per_layer: bool,
    /// Use at most this many samples
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    images: DataArgs,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum TaskArg {
    /// One class per sample
    Classify,
    /// One mask per sample
    Segment,
    /// Numbers
    Regress,
    /// A vector per sample
    Embed,
    /// Boxes per sample
    Detect,
}

/// A model, its session and its view of the data.
struct Ready {
    file_bytes: u64,
    session: Session,
    data: Dataset,
}

impl Ready {
    fn contestant(&mut self) -> Contestant<'_> {
        Contestant { session: &mut self.session, data: &mut self.data }
    }
}

#[derive(Serialize)]
struct SideReport<'a> {
    bytes: u64,
    #[serde(flatten)]
    side: &'a Side,
}

#[derive(Serialize)]
struct Report<'a> {
    a: SideReport<'a>,
    b: SideReport<'a>,
    samples: usize,
    agreement: Option<f64>,
    sqnr_db: f64,
    max_abs_error: f64,
    layers: &'a [Layer],
}

impl Compare {
    pub fn execute(&self) -> Result<(), Failure> {
        let task = match self.task {
            TaskArg::Classify => Task::Classify,
            TaskArg::Segment => Task::Segment,
            TaskArg::Regress => Task::Regress,
            TaskArg::Embed => Task::Embed,
            TaskArg::Detect => {
                return Err(Failure::refused(
                    "--task detect is not supported yet: use regress to compare raw outputs",
                ));
            }
        };
        let mut a = self.ready(&self.a)?;
        let mut b = self.ready(&self.b)?;
        let wanted = task.labels(a.data.len());
        let output = a.session.outputs().first().map(|o| o.shape.clone()).unwrap_or_default();
        let open = |path: &Path| Labels::open(path, wanted, &output, &self.images.images());
        let mut labels = self.labels.as_deref().map(open).transpose()?;
        let bar = progress("comparing", a.data.len());
        let comparison = compare(a.contestant(), b.contestant(), labels.as_mut(), task, &mut |done| {
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let layers = match self.per_layer {
            true => compare_layers(a.contestant(), b.contestant(), LAYER_SAMPLES)?,
            false => Vec::new(),
        };
        if self.json {
            return say_json(&Report {
                a: SideReport { bytes: a.file_bytes, side: &comparison.a },
                b: SideReport { bytes: b.file_bytes, side: &comparison.b },
                samples: comparison.samples,
                agreement: comparison.agreement,
                sqnr_db: comparison.sqnr_db,
                max_abs_error: comparison.max_abs_error,
                layers: &layers,
            });
        }
        say(sides(&comparison, [a.file_bytes, b.file_bytes], ["a", "b"]))?;
        if self.per_layer {
            say(layer_table(&layers))?;
        }
        Ok(())
    }

    fn ready(&self, path: &Path) -> Result<Ready, Failure> {
        let loaded = model::load(path, &self.load, &|| Ok(Vec::new()))?;
        let source = loaded.source(&self.data, &self.load)?;
        let Loaded { model, file_bytes } = loaded;
        let images = self.images.images();
        let shapes = source.shapes(model.graph(), &images);
        let session = model.session(&self.run.session(&self.load, shapes)?)?;
        let mut data = Dataset::new(source, &InputSpec::of(&session), &images)?;
        data.truncate(self.samples.unwrap_or(usize::MAX));
        Ok(Ready { file_bytes, session, data })
    }
}

/// Both models side by side, then what holds between them.
pub(super) fn sides(c: &Comparison, bytes: [u64; 2], names: [&str; 2]) -> comfy_table::Table {
    let mut table = show::table(&["", names[0], names[1], &format!("{} / {}", names[0], names[1])], 1);
    for (metric, a) in &c.a.metrics {
        let b = c.b.metrics.get(metric).copied().unwrap_or(f64::NAN);
        table.add_row([metric.to_string(), format!("{a:.4}"), format!("{b:.4}"), String::new()]);
    }
    let [bytes_a, bytes_b] = bytes;
    let ratio = show::ratio(bytes_a as f64, bytes_b as f64);
    table.add_row(["file".to_string(), show::bytes(bytes_a), show::bytes(bytes_b), ratio]);
    let (a, b) = (c.a.median_ms, c.b.median_ms);
    table.add_row(["median time".to_string(), show::time(a), show::time(b), show::ratio(a, b)]);
    let mut between = |what: &str, value: String| {
        table.add_row([what.to_string(), String::new(), value, String::new()]);
    };
    if let Some(agreement) = c.agreement {
        between("equal decisions", format!("{:.2} %", agreement * 100.0));
    }
    between("signal to noise", show::decibels(c.sqnr_db));
    between("largest difference", format!("{:.4}", c.max_abs_error));
    between("samples", c.samples.to_string());
    table
}

fn layer_table(layers: &[Layer]) -> comfy_table::Table {
    let mut table = show::table(&["tensor", "op", "signal to noise", "largest difference"], 2);
    for layer in layers {
        table.add_row([
            show::shorten(&layer.name, 48),
            layer.op.to_string(),
            show::decibels(layer.sqnr_db),
            format!("{:.4}", layer.max_abs_error),
        ]);
    }
    table
}
