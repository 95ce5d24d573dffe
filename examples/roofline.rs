//! Draws the layers of a model under the roofs of this processor: multiply-adds per second against multiply-adds per
//! byte that a layer must touch. Below the slope reading bounds it, below the flat roof the multipliers do. Crosses are
//! depthwise convolutions, which no multiplier of four products can be fed well.
//!
//! `cargo run --release --example roofline -- OUT.svg MODEL ...` (one thread, each model about two seconds)

use ottava::graph::DType;
use ottava::import::{self, ImportOptions};
use ottava::report::measure_steps;
use ottava::{Model, Session, SessionOptions, optimize};
use ottava_kernels::Isa;
use ottava_kernels::limit::{Limit, read_bandwidth};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One layer: what it reaches, and whether each of its channels sees only itself.
struct Point {
    /// Multiply-adds per byte, multiply-adds per second.
    at: (f64, f64),
    depthwise: bool,
}

/// A color for each model, dark enough to be seen on white.
const COLORS: [RGBColor; 6] = [
    RGBColor(200, 30, 60),
    RGBColor(0, 110, 190),
    RGBColor(20, 140, 60),
    RGBColor(140, 60, 180),
    RGBColor(190, 110, 0),
    RGBColor(60, 60, 60),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, models @ ..] = &args[..] else { return Err("usage: roofline OUT.svg MODEL ...".into()) };
    let isa = Isa::best();
    let limit =
        Limit::measure(isa, Duration::from_millis(400)).ok_or("this processor has no vector kernels")?;
    // Weights and activations of most layers lie in the second cache.
    let bandwidth = read_bandwidth(isa, &vec![1; 1 << 16], Duration::from_millis(200));
    let series: Result<Vec<(String, Vec<Point>)>> = models.iter().map(|m| layers(Path::new(m))).collect();
    draw(Path::new(out), &format!("int8, {isa}, one thread"), limit.int8, bandwidth, &series?)
}

/// Name and integer layers of a model.
fn layers(file: &Path) -> Result<(String, Vec<Point>)> {
    let graph = optimize::float(import::load(file, &ImportOptions::default())?)?;
    let mut session = Model::from_graph(graph)?.session(&SessionOptions::default())?;
    let times = measure_steps(2.0, session.steps().len(), &mut |see| session.run_timed(see))?;
    let points = times.iter().enumerate().filter_map(|(i, &ms)| point(&session, i, ms)).collect();
    Ok((file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), points))
}

/// Where step `i` stands that took `ms`; nothing where it multiplies no bytes.
fn point(session: &Session, i: usize, ms: f64) -> Option<Point> {
    let (graph, step) = (session.graph(), &session.steps()[i]);
    let node = &graph.nodes[i];
    let activations = node.inputs.iter().flatten().chain(&node.outputs).map(|&t| graph.tensor(t));
    let bytes: usize = activations.filter(|t| t.data.is_none()).filter_map(|t| t.byte_len()).sum();
    let counts = step.macs > 0 && ms > 0.0 && step.dtype != DType::F32;
    let macs = step.macs as f64;
    let at = (macs / (bytes + step.weight_bytes) as f64, macs / (ms / 1e3));
    counts.then(|| Point { at, depthwise: step.kernel.contains("depthwise") })
}

fn draw(out: &Path, title: &str, peak: f64, bandwidth: f64, series: &[(String, Vec<Point>)]) -> Result<()> {
    let root = SVGBackend::new(out, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((0.5f64..2000.0).log_scale(), (10.0f64..1000.0).log_scale())?;
    chart.configure_mesh().x_desc("multiply-adds per byte").y_desc("10^9 multiply-adds per second").draw()?;
    let roof = |x: f64| (x, peak.min(bandwidth * x) / 1e9);
    let name = format!("{:.0} GMAC/s in registers, {:.0} GB/s from the cache", peak / 1e9, bandwidth / 1e9);
    let line = LineSeries::new([0.5, peak / bandwidth, 2000.0].map(roof), BLACK.stroke_width(2));
    chart.draw_series(line)?.label(name).legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], BLACK));
    for (i, (name, points)) in series.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let (crosses, dots): (Vec<_>, Vec<_>) = points.iter().partition(|p| p.depthwise);
        let place = |p: &Point| (p.at.0, p.at.1 / 1e9);
        chart.draw_series(crosses.iter().map(|p| Cross::new(place(p), 4, color.stroke_width(2))))?;
        let dots = dots.iter().map(|p| Circle::new(place(p), 4, color.mix(0.6).filled()));
        chart.draw_series(dots)?.label(name).legend(move |(x, y)| Circle::new((x + 7, y), 4, color.filled()));
    }
    let cross =
        chart.draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())?.label("depthwise convolutions");
    cross.legend(|(x, y)| Cross::new((x + 7, y), 4, BLACK.stroke_width(2)));
    let mut labels = chart.configure_series_labels();
    labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
    labels.position(SeriesLabelPosition::LowerRight).draw()?;
    Ok(root.present()?)
}
