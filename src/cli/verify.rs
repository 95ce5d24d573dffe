//! `ottava verify`: is a file usable?

use super::failure::Failure;
use super::model;
use super::options::{LoadArgs, RunArgs, ShapeArgs};
use super::output::{say, say_json};
use clap::Args;
use std::path::PathBuf;

/// Check a model file completely, run nothing
#[derive(Args)]
#[command(
    after_help = "Checks that the file is whole and well formed and that every node can be planned: shapes, \
types, accumulator bounds, limits; packed weights are compared with the plain ones. Free dimensions are taken as 1 unless --shape says otherwise.

Examples:
  ottava verify model.8va
  ottava verify stranger.onnx --limit-arena-bytes 100000000 --json"
)]
pub(super) struct Verify {
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

impl Verify {
    pub fn execute(&self) -> Result<(), Failure> {
        let checked = self.check();
        if self.json {
            let error = checked.as_ref().err().map(Failure::to_string);
            say_json(&serde_json::json!({ "ok": error.is_none(), "error": error }))?;
        } else if checked.is_ok() {
            say(format!("{}: ok", self.model.display()))?;
        }
        checked
    }

    fn check(&self) -> Result<(), Failure> {
        let options = self.run.session(&self.load, self.shape.shapes.clone())?;
        let model = model::load(&self.model, &self.load, &|| Ok(self.shape.shapes.clone()))?.model;
        model.session(&options)?;
        let unchecked = model.check_packed(&options)?;
        if unchecked > 0 && !self.json {
            say(format!(
                "{unchecked} packed sections are in layouts that no kernel here reads, those of other instruction sets, \
                 shapes or versions: `ottava convert --pack ISA` makes them anew"
            ))?;
        }
        Ok(())
    }
}
