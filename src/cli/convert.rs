//! `ottava convert`: to `.8va` or ONNX, without changing numbers.

use super::failure::Failure;
use super::options::{LoadArgs, ShapeArgs, isa_names};
use super::output::{say, say_json};
use super::{model, show};
use crate::SessionOptions;
use clap::Args;
use ottava_kernels::Isa;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Write a model as .8va or .onnx without changing its numbers
#[derive(Args)]
#[command(after_help = "Examples:
  ottava convert model.onnx -o model.8va
  ottava convert model.8va -o packed.8va --pack avx512vnni
  ottava convert model.onnx -o model.8va --state state=stateN
  ottava convert model.8va -o model.onnx
  ottava convert loop.onnx -o loop.8va --shape x=20x3

A loop along a free dimension is unrolled: --shape gives the length, for good. All other free dimensions stay free.")]
pub(super) struct Convert {
    /// .8va, .onnx or .tflite
    model: PathBuf,
    /// The file to write: its ending says which kind
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Store weights ready for an instruction set too: a larger file that loads without packing
    #[arg(long, value_name = "ISA", value_parser = isa_names())]
    pack: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// What became of a model's file.
#[derive(Serialize)]
pub(super) struct Written {
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub nodes_int8: usize,
    pub nodes_float: usize,
    pub seconds: f64,
}

impl Written {
    /// A table of it.
    pub fn table(&self) -> comfy_table::Table {
        show::facts([
            ("bytes before", show::bytes(self.bytes_in)),
            ("bytes after", show::bytes(self.bytes_out)),
            ("before / after", show::ratio(self.bytes_in as f64, self.bytes_out as f64)),
            ("nodes in int8", self.nodes_int8.to_string()),
            ("nodes in float", self.nodes_float.to_string()),
            ("seconds", format!("{:.2}", self.seconds)),
        ])
    }
}

impl Convert {
    pub fn execute(&self) -> Result<(), Failure> {
        let start = Instant::now();
        model::check_output(&self.output)?;
        if self.pack.is_some() && model::is_onnx(&self.output) {
            let what = "an ONNX file can't hold packed weights; leave --pack out or write OUT.8va";
            return Err(Failure::refused(format!("{}: {what}", self.output.display())));
        }
        let loaded = model::load(&self.model, &self.load, &|| Ok(self.shape.shapes.clone()))?;
        let packed = match &self.pack {
            None => Vec::new(),
            Some(isa) => {
                let isa = Isa::named(isa)?;
                let limits = self.load.limits();
                let session =
                    loaded.model.session(&SessionOptions { isa, limits, ..SessionOptions::default() })?;
                loaded.model.packed_sections(&session)
            }
        };
        let bytes_out = model::save(&self.output, loaded.model.graph(), &packed)?;
        let (nodes_int8, nodes_float) = model::count_nodes(loaded.model.graph());
        let seconds = start.elapsed().as_secs_f64();
        let written = Written { bytes_in: loaded.file_bytes, bytes_out, nodes_int8, nodes_float, seconds };
        if self.json {
            return say_json(&written);
        }
        say(written.table())?;
        model::say_states(&self.output, loaded.model.graph())
    }
}
