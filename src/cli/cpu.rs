//! `ottava cpu`: what this machine has, and which kernels run on it.

use super::failure::Failure;
use super::output::{say, say_json};
use super::show;
use clap::Args;
use comfy_table::CellAlignment;
use ottava_kernels::limit::{Limit, read_bandwidth};
use ottava_kernels::{ConvShape, Isa, Output, QConv, QDepthwise, QRow, QSparseRow};
use std::collections::BTreeMap;
use std::time::Duration;

/// Show what this processor has and which kernels will run
#[derive(Args)]
#[command(after_help = "Examples:
  ottava cpu
  ottava cpu --measure
  ottava cpu --json")]
pub(super) struct Cpu {
    /// Also measure what one core can do at most: multiply-adds per instruction set, and bytes read
    #[arg(long)]
    measure: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Cpu {
    pub fn execute(&self) -> Result<(), Failure> {
        let best = Isa::best();
        let available: Vec<&str> = Isa::available().iter().map(|i| i.name()).collect();
        let (features, kernels) = (features(), kernels(best));
        let limits = if self.measure { limits() } else { Vec::new() };
        if self.json {
            return say_json(&serde_json::json!({
                "isa": best.name(),
                "available": available,
                "features": features,
                "kernels": kernels.iter().map(|(_, k)| k).collect::<Vec<_>>(),
                "limits": limits.iter().map(|(name, value, _)| (name.as_str(), *value)).collect::<BTreeMap<_, _>>(),
            }));
        }
        let mut table = show::facts([
            ("best instruction set", best.name().to_string()),
            ("there are (--isa)", available.join(", ")),
            ("processor features", features.join(" ")),
        ]);
        for (layer, kernel) in &kernels {
            table.add_row([*layer, kernel]);
        }
        for (name, value, unit) in &limits {
            table.add_row([format!("at most, {name}"), format!("{:.1} {unit}", value / 1e9)]);
        }
        if let Some(texts) = table.column_mut(1) {
            texts.set_cell_alignment(CellAlignment::Left);
        }
        say(table)
    }
}

/// What one core does at most: what, how much per second, and the unit of billions of it.
fn limits() -> Vec<(String, f64, &'static str)> {
    const TIME: Duration = Duration::from_millis(100);
    let mut limits = Vec::new();
    for isa in Isa::available() {
        if let Some(limit) = Limit::measure(isa, TIME) {
            limits.push((format!("int8, {isa}"), limit.int8, "GMAC/s"));
            limits.push((format!("float, {isa}"), limit.float, "GMAC/s"));
        }
    }
    for (name, kib) in [("32 KiB", 32), ("512 KiB", 512), ("256 MiB", 256 << 10)] {
        let rate = read_bandwidth(Isa::best(), &vec![1; kib * 128], TIME);
        limits.push((format!("reading {name}"), rate, "GB/s"));
    }
    limits
}

/// The kernels that layers of usual shapes get.
fn kernels(isa: Isa) -> Vec<(&'static str, &'static str)> {
    let square = |c: usize, kernel: usize, size: usize| ConvShape {
        n: 1,
        h: size,
        w: size,
        c,
        oc: 64,
        kernel: [kernel; 2],
        strides: [1; 2],
        dilations: [1; 2],
        pad: [kernel / 2; 2],
        oh: size,
        ow: size,
        groups: 1,
    };
    let out = Output { zero_point: 0, min: 0, max: 255 };
    let conv = |shape: ConvShape| QConv::new(isa, shape, 0, out, shape.oc).kernel();
    let mut kernels = vec![
        ("convolution 3x3", conv(square(64, 3, 28))),
        ("convolution 1x1", conv(square(64, 1, 28))),
        ("first convolution", conv(square(3, 3, 112))),
        ("linear, many rows", conv(ConvShape::linear(128, 256, 64))),
        ("linear, one row", QRow::new(isa, 256, 64, 0, out).kernel()),
    ];
    if QSparseRow::pays(isa, 256, 64) {
        kernels.push(("the same, behind a ReLU", QSparseRow::new(isa, 256, 64, out).kernel()));
    }
    let depthwise = ConvShape { groups: 64, ..square(64, 3, 28) };
    kernels.push(("depthwise 3x3", QDepthwise::new(isa, depthwise, 0, out, depthwise.oc).kernel()));
    kernels
}

/// Those instruction set extensions, of the ones that matter here, that the processor has.
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($has:ident: $($name:tt)*) => {
            [$(($name, std::arch::$has!($name)),)*].into_iter().filter(|(_, has)| *has).map(|(n, _)| n).collect()
        };
    }
    #[cfg(target_arch = "x86_64")]
    return detected!(is_x86_feature_detected: "sse4.1" "avx" "avx2" "fma" "avxvnni" "avx512f" "avx512bw"
        "avx512dq" "avx512vl" "avx512vnni" "avx512vbmi");
    #[cfg(target_arch = "aarch64")]
    return detected!(is_aarch64_feature_detected: "neon" "dotprod" "i8mm" "sve" "sve2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Vec::new();
}
