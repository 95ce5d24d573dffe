//! Float against int8, model by model, through the public API: one inference with batch 1.
//!
//! The digit network is built in; others are read from `../shared/models` (or `$OTTAVA_SHARED/models`) where they
//! are there. Calibrated on random data: the answers mean nothing, the time is that of any weights and ranges.

use criterion::{Criterion, criterion_group, criterion_main};
use ottava::graph::Graph;
use ottava::import::{self, ImportOptions};
use ottava::quantize::{self, Options};
use ottava::{Model, Result, Session, SessionOptions, optimize};
use std::path::PathBuf;
use std::time::Duration;

const SHARED: &[&str] = &[
    "seeds/mnist_mlp.onnx",
    "ort_quantized/mnist_fp32_op13.onnx",
    "efficientnet_lite0/efficientnet_lite0_same.onnx",
    "unet_isbi/unet_isbi_fp32.onnx",
];

/// Name and float graph of every model that is there.
fn models() -> Result<Vec<(String, Graph)>> {
    let options = ImportOptions::default();
    let built_in = import::onnx::from_bytes(include_bytes!("../assets/mnist_cnn.onnx").to_vec(), &options)?;
    let mut models = vec![("mnist_cnn".to_string(), built_in)];
    let dir = std::env::var_os("OTTAVA_SHARED").map(PathBuf::from);
    let dir =
        dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared")).join("models");
    for file in SHARED {
        let path = dir.join(file);
        if !path.exists() {
            eprintln!("left out: {} is not there", path.display());
            continue;
        }
        let name = path.file_stem().map_or_else(|| file.to_string(), |n| n.to_string_lossy().into_owned());
        models.push((name, import::load(&path, &options)?));
    }
    models.into_iter().map(|(name, graph)| Ok((name, optimize::float(graph)?))).collect()
}

/// Values in -1..1 for every input, as bytes.
fn sample(session: &Session, seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut values = |elements: usize| (0..elements).flat_map(|_| next().to_le_bytes()).collect();
    session.inputs().iter().map(|port| values(port.shape.iter().product())).collect()
}

/// A session whose inputs are filled.
fn session(graph: Graph, threads: usize) -> Result<Session> {
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Model::from_graph(graph)?.session(&options)?;
    for (i, bytes) in sample(&session, 7).iter().enumerate() {
        session.input_bytes_mut(i)?.copy_from_slice(bytes);
    }
    Ok(session)
}

fn int8(graph: Graph) -> Result<Graph> {
    let shape_of = session(graph.clone(), 1)?;
    let mut samples = (0..4).map(|seed| Ok(sample(&shape_of, seed)));
    let options = Options::default();
    Ok(quantize::static_int8(graph, &mut samples, &options, &mut |_| {})?.graph)
}

fn float_against_int8(c: &mut Criterion) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads: &[usize] = if cores > 1 { &[1, cores] } else { &[1] };
    for (name, float) in models()? {
        let int8 = int8(float.clone())?;
        let mut group = c.benchmark_group(&name);
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3))
            .sample_size(20);
        for &threads in threads {
            for (kind, graph) in [("float", &float), ("int8", &int8)] {
                let mut session = session(graph.clone(), threads)?;
                session.run()?;
                group.bench_function(format!("{kind} {threads} threads"), |b| b.iter(|| session.run()));
            }
        }
    }
    Ok(())
}

fn all(c: &mut Criterion) {
    float_against_int8(c).expect("every model that is there runs, as float and as int8");
}

criterion_group!(benches, all);
criterion_main!(benches);
