//! Time against multiply-adds of one network at growing sizes: cost should grow with the work, and with nothing else.
//!
//! A MobileNet (v1's blocks, int8, random weights) at input sizes 96 to 512 and batches of 1 to 16, one thread. After
//! the benches a table says how far each is from the straight line that fits all of them best.

use criterion::{BenchmarkId, Criterion, Throughput};
use ottava::graph::{
    Clamp, Conv, DType, Dim, Graph, GraphBuilder, Linear, Reduce, ReduceKind, Shape, TensorId,
};
use ottava::quantize::{self, Options};
use ottava::{Model, Result, Session, SessionOptions};
use std::time::{Duration, Instant};

/// Channels out and stride of each depthwise-separable block.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// Input size and batch.
const SIZES: [(usize, usize); 13] = [
    (96, 1),
    (128, 1),
    (160, 1),
    (192, 1),
    (224, 1),
    (256, 1),
    (320, 1),
    (384, 1),
    (448, 1),
    (512, 1),
    (224, 4),
    (224, 16),
    (512, 4),
];

struct Net {
    b: GraphBuilder,
    seed: u64,
}

impl Net {
    fn weights(&mut self, dims: &[usize]) -> TensorId {
        let len: usize = dims.iter().product();
        let bound = (6.0 / (len / dims[0]) as f32).sqrt();
        let mut next = || {
            self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((self.seed >> 40) as f32 / (1 << 23) as f32 - 1.0) * bound
        };
        let values: Vec<f32> = (0..len).map(|_| next()).collect();
        self.b.f32s("w", dims, &values)
    }

    fn conv(&mut self, x: TensorId, [c, out, kernel, stride]: [usize; 4], groups: usize) -> Result<TensorId> {
        let w = self.weights(&[out, kernel, kernel, c / groups]);
        // As TensorFlow pads: a stride of 2 takes its one row and column from the bottom and the right.
        let (before, after) = if kernel == 1 { (0, 0) } else { (2 - stride, 1) };
        let pads = [before, before, after, after];
        let op = Conv { strides: [stride; 2], pads, dilations: [1; 2], groups, clamp: Clamp::RELU };
        Ok(self.b.node("conv", op, &[x, w])?)
    }
}

/// The float network for square images, with a free batch.
fn mobilenet(size: usize) -> Result<Graph> {
    let mut net = Net { b: GraphBuilder::new("mobilenet"), seed: 1 };
    let batch = net.b.free_dim("batch");
    let dims = [batch, Dim::Fixed(size), Dim::Fixed(size), Dim::Fixed(3)];
    let mut x = net.b.input("image", DType::F32, Shape(dims.to_vec()));
    x = net.conv(x, [3, 32, 3, 2], 1)?;
    let mut c = 32;
    for (out, stride) in BLOCKS {
        x = net.conv(x, [c, c, 3, stride], c)?;
        x = net.conv(x, [c, out, 1, 1], 1)?;
        c = out;
    }
    x = net.b.node("mean", Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false }, &[x])?;
    let w = net.weights(&[1000, c]);
    let logits = net.b.node("logits", Linear { clamp: Clamp::NONE }, &[x, w])?;
    Ok(net.b.finish(&[logits])?)
}

fn session(size: usize, batch: usize) -> Result<Session> {
    let float = mobilenet(size)?;
    let sample: Vec<f32> = (0..size * size * 3).map(|i| (i * 7919 % 255) as f32 / 127.5 - 1.0).collect();
    let mut samples = std::iter::once(Ok(vec![bytemuck::cast_slice(&sample).to_vec()]));
    let int8 = quantize::static_int8(float, &mut samples, &Options::default(), &mut |_| {})?.graph;
    let shapes = vec![("image".to_string(), vec![batch, size, size, 3])];
    Model::from_graph(int8)?.session(&SessionOptions { shapes, ..SessionOptions::default() })
}

/// One size: multiply-adds and the shortest time of an inference, in seconds.
struct Point {
    name: String,
    macs: f64,
    time: f64,
}

fn measure(c: &mut Criterion, size: usize, batch: usize) -> Result<Point> {
    let mut session = session(size, batch)?;
    session.run()?;
    let name = format!("{size}x{size}, batch {batch}");
    let mut times = Vec::new();
    let mut group = c.benchmark_group("scaling");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(10);
    group.throughput(Throughput::Elements(session.macs()));
    group.bench_function(BenchmarkId::from_parameter(&name), |b| {
        b.iter_custom(|rounds| {
            let start = Instant::now();
            for _ in 0..rounds {
                let one = Instant::now();
                session.run().expect("it ran before");
                times.push(one.elapsed().as_secs_f64());
            }
            start.elapsed()
        })
    });
    group.finish();
    times.sort_by(f64::total_cmp);
    Ok(Point { name, macs: session.macs() as f64, time: times[times.len() / 2] })
}

/// The line `a + b * macs` whose squared relative distances from the points are least.
fn line(points: &[Point]) -> (f64, f64) {
    let sum = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
    // Divided by its time, a point asks for a * u + b * v = 1.
    let (u, v) = (|p: &Point| 1.0 / p.time, |p: &Point| p.macs / p.time);
    let (uu, uv, vv) = (sum(&|p| u(p) * u(p)), sum(&|p| u(p) * v(p)), sum(&|p| v(p) * v(p)));
    let (u1, v1) = (sum(&u), sum(&v));
    let det = uu * vv - uv * uv;
    ((u1 * vv - v1 * uv) / det, (v1 * uu - u1 * uv) / det)
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let points: Result<Vec<Point>> =
        SIZES.iter().map(|&(size, batch)| measure(&mut criterion, size, batch)).collect();
    criterion.final_summary();
    let points = points?;
    let (a, b) = line(&points);
    println!("best line: {:.3} ms + {:.3} ms per 10^9 multiply-adds", a * 1e3, b * 1e12);
    for p in &points {
        let off = p.time / (a + b * p.macs) - 1.0;
        let (macs, ms) = (p.macs / 1e6, p.time * 1e3);
        println!("{:20} {macs:9.1} M {ms:9.3} ms {:6.1} GMAC/s {:+6.1} %", p.name, macs / ms, off * 100.0);
    }
    Ok(())
}
