//! Options that several commands share.

use super::failure::Failure;
use crate::data::{ImageOptions, Layout, Normalize, Shapes};
use crate::import::ImportOptions;
use crate::{Limits, SessionOptions};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use ottava_kernels::Isa;
use ottava_kernels::isa::Level;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How models are read.
#[derive(Args)]
pub(super) struct LoadArgs {
    /// Folder that an ONNX file's external tensors may be read from; without it they are refused
    #[arg(long, value_name = "DIR", help_heading = "Trust")]
    external_data: Option<PathBuf>,
    /// A state: input IN gets, from the second run on, what output OUT was in the run before
    #[arg(long = "state", value_name = "IN=OUT", value_parser = named_state)]
    pub states: Vec<(String, String)>,
    // Named as the fields of `Limits` are: messages name those.
    /// Largest model or data file in bytes (Limits::file_bytes)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().file_bytes)]
    limit_file_bytes: u64,
    /// Most tensors of a model (Limits::tensors)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().tensors)]
    limit_tensors: usize,
    /// Most nodes of a model (Limits::nodes)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().nodes)]
    limit_nodes: usize,
    /// Highest rank of a tensor (Limits::rank)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().rank)]
    limit_rank: usize,
    /// Most bytes of activations and scratch (Limits::arena_bytes)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().arena_bytes)]
    limit_arena_bytes: u64,
    /// Most multiply-adds of one inference (Limits::macs)
    #[arg(long, value_name = "N", help_heading = "Trust", default_value_t = Limits::default().macs)]
    limit_macs: u64,
}

impl LoadArgs {
    /// Bounds on what a model may ask for.
    pub fn limits(&self) -> Limits {
        Limits {
            file_bytes: self.limit_file_bytes,
            tensors: self.limit_tensors,
            nodes: self.limit_nodes,
            rank: self.limit_rank,
            arena_bytes: self.limit_arena_bytes,
            macs: self.limit_macs,
        }
    }

    /// How models of other kinds are taken in.
    pub fn import(&self, shapes: Shapes) -> ImportOptions {
        ImportOptions { external_data: self.external_data.clone(), limits: self.limits(), shapes }
    }
}

/// The names that `--isa` takes.
pub(super) fn isa_names() -> PossibleValuesParser {
    let names = Level::ALL.into_iter().map(Level::name);
    PossibleValuesParser::new(std::iter::once("auto").chain(names).collect::<Vec<_>>())
}

/// More threads than this are a slip of the hand: starting them would take minutes.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let given = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= MAX_THREADS);
    given.ok_or_else(|| format!("expected a number from 1 to {MAX_THREADS}"))
}

/// How models are run.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Threads that take part; all processors if it is left out
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// Kernels to use; the best that this processor has if it is left out
    #[arg(long, value_name = "ISA", default_value = "auto", hide_default_value = true, value_parser = isa_names())]
    pub isa: String,
}

impl RunArgs {
    /// Options of a session.
    pub fn session(&self, load: &LoadArgs, shapes: Shapes) -> Result<SessionOptions, Failure> {
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.threads.map_or_else(all, NonZeroUsize::get);
        Ok(SessionOptions {
            threads,
            isa: Isa::named(&self.isa)?,
            limits: load.limits(),
            shapes,
            ..Default::default()
        })
    }
}

/// Shapes that a model leaves open.
#[derive(Args)]
pub(super) struct ShapeArgs {
    /// Shape of an input with free dimensions, which are 1 otherwise: input=1x3x224x224; a scalar: sr=
    #[arg(long = "shape", value_name = "NAME=AxBxC", value_parser = named_shape)]
    // Spelled out: a Vec under another name would be one value to the parser.
    pub shapes: Vec<(String, Vec<usize>)>,
}

impl ShapeArgs {
    /// A name that is given several times has so many shapes in turn; one that is given once has the same each time.
    pub fn turns(&self) -> Result<Vec<Shapes>, Failure> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.shapes {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let given =
            |name: &str| self.shapes.iter().filter(|(n, _)| n == name).map(|(_, dims)| dims).collect();
        let all: Vec<(&str, Vec<&Vec<usize>>)> = names.into_iter().map(|name| (name, given(name))).collect();
        let count = all.iter().map(|(_, shapes)| shapes.len()).max().unwrap_or(1);
        if let Some((name, shapes)) = all.iter().find(|(_, shapes)| ![1, count].contains(&shapes.len())) {
            let found = shapes.len();
            let what =
                format!("--shape: '{name}' has {found} shapes, others have {count}: give one or {count}");
            return Err(Failure::refused(what));
        }
        let turn = |i: usize| {
            let shape = |(name, shapes): &(&str, Vec<&Vec<usize>>)| {
                (name.to_string(), shapes[if shapes.len() == 1 { 0 } else { i }].clone())
            };
            all.iter().map(shape).collect()
        };
        Ok((0..count).map(turn).collect())
    }
}

/// Where the channels of images go.
#[derive(Clone, Copy, ValueEnum)]
enum LayoutArg {
    /// Channels, height, width
    Nchw,
    /// Height, width, channels
    Nhwc,
}

/// How images and pixels become a model's input.
#[derive(Args)]
pub(super) struct DataArgs {
    /// Size that images are cut to: N or HxW; needed only where the model leaves it open
    #[arg(long, value_name = "HxW", value_parser = size, help_heading = "Images")]
    image_size: Option<(usize, usize)>,
    /// Bring the shorter side of images to this length before the middle is cut out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Images")]
    resize: Option<u16>,
    /// Where the input has its channels; told by its shape if left out
    #[arg(long, help_heading = "Images")]
    layout: Option<LayoutArg>,
    /// Pixels of 0..=255 (images, or u8 arrays for a float input) become (pixel * SCALE - mean) / std; 1 if left
    /// out. Takes fractions: 1/255
    #[arg(long, value_name = "SCALE", value_parser = fraction, help_heading = "Images")]
    scale: Option<f32>,
    /// One value, or one per channel: 0.485,0.456,0.406
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Images"
    )]
    mean: Option<Vec<f32>>,
    /// One value, or one per channel: 0.229,0.224,0.225
    #[arg(long, value_name = "S,..", value_delimiter = ',', help_heading = "Images")]
    std: Option<Vec<f32>>,
}

impl DataArgs {
    /// As the data set takes it.
    pub fn images(&self) -> ImageOptions {
        let given = self.scale.is_some() || self.mean.is_some() || self.std.is_some();
        let plain = Normalize::default();
        let normalize = given.then(|| Normalize {
            scale: self.scale.unwrap_or(plain.scale),
            mean: self.mean.clone().unwrap_or(plain.mean),
            std: self.std.clone().unwrap_or(plain.std),
        });
        let layout = self.layout.map(|l| match l {
            LayoutArg::Nchw => Layout::Nchw,
            LayoutArg::Nhwc => Layout::Nhwc,
        });
        ImageOptions { size: self.image_size, resize: self.resize.map(usize::from), layout, normalize }
    }
}

/// `NAME=AxBxC`; names may contain `=`, so the last one counts.
fn named_shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, dims) = text.rsplit_once('=').ok_or("expected NAME=AxBxC, or NAME= for a scalar")?;
    let dims = match dims {
        "" => Vec::new(),
        _ => dims.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| "expected NAME=AxBxC")?,
    };
    Ok((name.to_string(), dims))
}

/// `IN=OUT`; names may contain `=`, so the last one counts.
fn named_state(text: &str) -> Result<(String, String), String> {
    let (input, output) = text.rsplit_once('=').ok_or("expected IN=OUT")?;
    Ok((input.to_string(), output.to_string()))
}

/// `224` or `224x320`.
fn size(text: &str) -> Result<(usize, usize), String> {
    let side = |t: &str| t.parse::<u16>().ok().filter(|n| *n > 0).map(usize::from);
    let sides = match text.split_once('x') {
        Some((h, w)) => side(h).zip(side(w)),
        None => side(text).map(|n| (n, n)),
    };
    sides.ok_or_else(|| "expected N or HxW, each of 1 to 65535".to_string())
}

/// `0.5` or `1/255`.
fn fraction(text: &str) -> Result<f32, String> {
    let number = |t: &str| t.trim().parse::<f64>().ok().filter(|v| v.is_finite());
    let value = match text.split_once('/') {
        Some((a, b)) => number(a).zip(number(b).filter(|b| *b != 0.0)).map(|(a, b)| a / b),
        None => number(text),
    };
    value.map(|v| v as f32).ok_or_else(|| "expected a number or a fraction like 1/255".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_names() {
        assert_eq!(named_shape("x=1x3x24"), Ok(("x".into(), vec![1, 3, 24])));
        assert_eq!(named_shape("sr="), Ok(("sr".into(), vec![])));
        assert_eq!(named_shape("a=b=2"), Ok(("a=b".into(), vec![2])));
        assert!(["x", "x=1x", "x=-1", "x=99999999999999999999"].iter().all(|t| named_shape(t).is_err()));
    }

    #[test]
    fn shapes_come_in_turn() {
        let turns = |given: &[(&str, &[usize])]| {
            let shapes = given.iter().map(|(name, dims)| (name.to_string(), dims.to_vec())).collect();
            ShapeArgs { shapes }.turns().map_err(|e| e.to_string())
        };
        assert_eq!(turns(&[]), Ok(vec![vec![]]));
        let [x, y, one] = [("x", vec![1]), ("x", vec![2]), ("y", vec![3])].map(|(n, d)| (n.to_string(), d));
        let two = turns(&[("x", &[1]), ("y", &[3]), ("x", &[2])]);
        assert_eq!(two, Ok(vec![vec![x, one.clone()], vec![y, one]]));
        let uneven = turns(&[("x", &[1]), ("x", &[2]), ("x", &[3]), ("y", &[1]), ("y", &[2])]);
        assert!(uneven.unwrap_err().contains("'y' has 2 shapes"));
    }

    #[test]
    fn sizes_and_fractions() {
        assert_eq!(size("224"), Ok((224, 224)));
        assert_eq!(size("24x32"), Ok((24, 32)));
        assert!(["", "x", "0", "1x0", "1x2x3", "-1", "99999"].iter().all(|t| size(t).is_err()));
        assert_eq!(fraction("1/255"), Ok((1.0 / 255.0) as f32));
        assert_eq!(fraction("2"), Ok(2.0));
        assert!(["", "1/0", "a", "nan", "1/2/3"].iter().all(|t| fraction(t).is_err()));
    }
}
