//! `ottava demo`: the whole job on the network and the digits that are built in.

mod assets;

use super::calibrate::calibrate;
use super::compare::sides;
use super::failure::Failure;
use super::options::{LoadArgs, RunArgs};
use super::output::{progress, say, say_json};
use super::{model, show};
use crate::data::{Dataset, InputSpec, Labels, NamedArray, Source, write_npy};
use crate::import::{ImportOptions, onnx};
use crate::quantize::Options;
use crate::report::{Comparison, Contestant, Task, Timing, compare, measure};
use crate::{Error, Model, Session, SessionOptions, optimize};
use clap::Args;
use std::path::{Path, PathBuf};

/// How long each round of timing takes, and how many rounds there are. The models take turns, so that a machine
/// that changes its speed does not favour one.
const ROUND_SECONDS: f64 = 0.1;
const ROUNDS: usize = 3;

/// See it at work: a digit classifier from float to int8, all built in
#[derive(Args)]
#[command(after_help = "Examples:
  ottava demo
  ottava demo --keep /tmp/digits
  ottava demo --json")]
pub(super) struct Demo {
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
    /// Leave both models and the digits in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    load: LoadArgs,
}

impl Demo {
    pub fn execute(&self) -> Result<(), Failure> {
        let mut options = self.run.session(&self.load, Vec::new())?;
        if self.run.threads.is_none() {
            // One inference takes microseconds: too little to share.
            options.threads = 1;
        }
        let limits = self.load.limits();
        let folder = Folder::new(self.keep.as_deref())?;

        let import = ImportOptions { limits: limits.clone(), ..ImportOptions::default() };
        let graph = onnx::from_bytes(assets::NETWORK, &import).map_err(Error::from)?;
        let nodes = graph.nodes.len();
        let float = Model::from_graph(optimize::float(graph).map_err(Error::from)?)?;
        let size = show::bytes(assets::NETWORK.len() as u64);
        let left = float.graph().nodes.len();
        self.tell(format!(
            "1. Imported a digit classifier from ONNX: {size}, {nodes} nodes, {left} after fusing."
        ))?;

        let path = folder.path.join("mnist_cnn.8va");
        let bytes = self.quantize(&float, &options, &path)?;
        let int8 = Model::map_own(&path, &limits)?;
        let size = show::bytes(bytes);
        self.tell(format!("3. Wrote a .8va file ({size}) and mapped it: its weights are read in place."))?;

        let mut sessions = [float.session(&options)?, int8.session(&options)?];
        let comparison = classify(&mut sessions)?;
        self.tell(format!("4. Classified {} test digits with both.\n", comparison.samples))?;
        let timings = race(&mut sessions)?;
        self.conclude(comparison, timings, bytes, kernel(&sessions[1]))?;
        folder.finish()
    }

    fn tell(&self, text: String) -> Result<(), Failure> {
        if self.json { Ok(()) } else { say(text) }
    }

    /// Quantizes and writes; tells the length of the file.
    fn quantize(&self, float: &Model, options: &SessionOptions, path: &Path) -> Result<u64, Failure> {
        let mut session = float.session(options)?;
        let inputs = InputSpec::of(&session);
        let mut digits =
            Dataset::new(source(assets::calibration_digits())?, &inputs, &assets::normalization())?;
        let how = Options::default();
        let quantized = calibrate(float, &mut session, &mut digits, &how)?;
        let count = digits.len();
        let (int8, stay) = (quantized.nodes_int8, quantized.nodes_float);
        self.tell(format!(
            "2. Calibrated on {count} digits: {int8} nodes compute in int8, {stay} in float."
        ))?;
        model::save(path, &quantized.graph, &[])
    }

    /// Commands to try; those with the built-in files work as they stand.
    fn what_next(&self) -> String {
        let Some(folder) = &self.keep else {
            return "Try next:
  ottava demo --keep digits    the same, and all its files in a folder to play with
  ottava quantize model.onnx -o model.8va --calibrate samples.npy    your own network"
                .to_string();
        };
        let at = |name: &str| folder.join(name).display().to_string();
        let (onnx, int8) = (at("mnist_cnn.onnx"), at("mnist_cnn.8va"));
        let pixels = "--scale 1/255 --mean 0.1307 --std 0.3081";
        let (samples, test, labels) =
            (at("calibration_digits.npy"), at("test_digits.npy"), at("test_labels.npy"));
        format!(
            "Try next:
  ottava inspect {int8}
  ottava bench {int8}
  ottava quantize {onnx} -o {int8} --method mse --calibrate {samples} {pixels}
  ottava compare {onnx} {int8} --per-layer --data {test} --labels {labels} {pixels}"
        )
    }

    fn conclude(
        &self,
        mut comparison: Comparison,
        [float, int8]: [Timing; 2],
        bytes: u64,
        kernel: String,
    ) -> Result<(), Failure> {
        comparison.a.median_ms = float.median_ms;
        comparison.b.median_ms = int8.median_ms;
        let sizes = [assets::NETWORK.len() as u64, bytes];
        if self.json {
            let side = |side: &crate::report::Side, bytes: u64| {
                let accuracy = side.metrics.get("accuracy");
                serde_json::json!({ "accuracy": accuracy, "bytes": bytes, "median_ms": side.median_ms })
            };
            return say_json(&serde_json::json!({
                "float": side(&comparison.a, sizes[0]),
                "int8": side(&comparison.b, sizes[1]),
                "kernel": kernel,
            }));
        }
        say(sides(&comparison, sizes, ["float", "int8"]))?;
        say(format!("Most of the int8 work runs in: {kernel}\n"))?;
        say(self.what_next())
    }
}

fn source(digits: NamedArray) -> Result<Source, Failure> {
    Ok(Source::from_arrays(vec![digits.try_into()?]))
}

fn classify([float, int8]: &mut [Session; 2]) -> Result<Comparison, Failure> {
    let images = assets::normalization();
    let mut for_float = Dataset::new(source(assets::test_digits())?, &InputSpec::of(float), &images)?;
    let mut for_int8 = Dataset::new(source(assets::test_digits())?, &InputSpec::of(int8), &images)?;
    let mut labels = Labels::new(assets::labels().try_into()?, for_float.len())?;
    let bar = progress("classifying", for_float.len());
    let comparison = compare(
        Contestant { session: float, data: &mut for_float },
        Contestant { session: int8, data: &mut for_int8 },
        Some(&mut labels),
        Task::Classify,
        &mut |done| bar.set_position(done as u64),
    )?;
    bar.finish_and_clear();
    Ok(comparison)
}

/// Times both models in turn; the round with the median time counts.
fn race(sessions: &mut [Session; 2]) -> Result<[Timing; 2], Failure> {
    let mut rounds: [Vec<Timing>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (session, rounds) in sessions.iter_mut().zip(&mut rounds) {
            rounds.push(measure(ROUND_SECONDS, &mut || session.run())?);
        }
    }
    Ok(rounds.map(|mut r| {
        r.sort_by(|a, b| a.median_ms.total_cmp(&b.median_ms));
        r[ROUNDS / 2]
    }))
}

/// The kernel that has the most multiply-adds to do.
fn kernel(session: &Session) -> String {
    session.steps().iter().max_by_key(|s| s.macs).map(|s| s.kernel.clone()).unwrap_or_default()
}

/// Where the models are written: a folder that is kept, or one that goes away.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Folder, Failure> {
        let (path, temporary) = match keep {
            Some(path) => (path.to_path_buf(), false),
            None => (std::env::temp_dir().join(format!("ottava-demo-{}", std::process::id())), true),
        };
        let made = if temporary { std::fs::create_dir(&path) } else { std::fs::create_dir_all(&path) };
        made.map_err(|e| Error::io(&path, e))?;
        Ok(Folder { path, temporary })
    }

    fn finish(self) -> Result<(), Failure> {
        if self.temporary {
            return Ok(());
        }
        let network = self.path.join("mnist_cnn.onnx");
        std::fs::write(&network, assets::NETWORK).map_err(|e| Error::io(&network, e))?;
        for array in [assets::calibration_digits(), assets::test_digits(), assets::labels()] {
            write_npy(&self.path.join(format!("{}.npy", array.name)), &array)?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What can't be removed is a few kilobytes in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
