//! Float against int8, kernel by kernel, one thread, every instruction set that the machine has.
//!
//! `cargo bench --bench kernels -- conv3x3`; the throughput is multiply-adds (of `add`: elements) per second.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ottava::graph::AlignedBytes;
use ottava_kernels::binary::{BinaryFn, binary_f32};
use ottava_kernels::broadcast::Broadcast;
use ottava_kernels::fconv::FConv;
use ottava_kernels::fdepthwise::FDepthwise;
use ottava_kernels::qbinary::{Operand, QAdd, qadd};
use ottava_kernels::{ConvShape, Filter, Isa, Output, QConv, QDepthwise, SLACK};
use std::time::Duration;

const OUT: Output = Output { zero_point: 128, min: 0, max: 255 };

/// A square convolution that keeps the image's size.
fn conv(side: usize, c: usize, oc: usize, kernel: usize, groups: usize) -> ConvShape {
    ConvShape {
        n: 1,
        h: side,
        w: side,
        c,
        oc,
        kernel: [kernel; 2],
        strides: [1; 2],
        dilations: [1; 2],
        pad: [kernel / 2; 2],
        oh: side,
        ow: side,
        groups,
    }
}

/// The instruction sets that are there to be fast; the scalar kernels are there to be right.
fn isas() -> Vec<Isa> {
    let mut isas = Isa::available();
    isas.retain(|&isa| isa != Isa::SCALAR);
    isas
}

/// Bytes without a pattern that a processor could learn, the same on every run.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(next).collect()
}

fn floats(len: usize) -> Vec<f32> {
    bytes(len).into_iter().map(|b| (f32::from(b) - 127.5) / 127.5).collect()
}

fn weights(shape: &ConvShape) -> Vec<i8> {
    bytes(shape.oc * shape.k()).into_iter().map(|b| (b as i8).max(-127)).collect()
}

/// An integer and a float kernel over one shape. `rows` is what one call counts.
macro_rules! against {
    ($group:expr, $shape:expr, $rows:expr, $int:ident, $float:ident) => {{
        let (group, shape, rows): (&mut BenchmarkGroup<'_, WallTime>, ConvShape, usize) =
            ($group, $shape, $rows);
        group.throughput(Throughput::Elements(shape.macs()));
        for isa in isas() {
            let kernel = $int::new(isa, shape, 128, OUT, shape.oc);
            let mut packed = AlignedBytes::zeroed(kernel.packed_len());
            let multiplier = vec![1e-3; shape.oc];
            let weights = weights(&shape);
            let filter = Filter { weights: &weights, multiplier: &multiplier, ..Filter::default() };
            kernel.pack(&filter, packed.as_mut());
            let (x, mut y) = (bytes(shape.x_len() + SLACK), vec![0u8; shape.y_len() + SLACK]);
            let mut scratch = AlignedBytes::zeroed(kernel.scratch_len());
            group.bench_function(format!("int8 {isa} ({})", kernel.kernel()), |b| {
                b.iter(|| kernel.run(packed.as_ref(), &x, &mut y, 0..rows, scratch.as_mut()))
            });
        }
        let clamp = [f32::NEG_INFINITY, f32::INFINITY];
        let kernel = $float::new(Isa::best(), shape, clamp, shape.oc);
        let mut packed = vec![0.0; kernel.packed_len()];
        kernel.pack(&floats(shape.oc * shape.k()), &vec![0.0; shape.oc], &mut packed);
        let (x, mut y) = (floats(shape.x_len() + SLACK), vec![0.0; shape.y_len()]);
        let mut scratch = vec![0.0; kernel.scratch_len()];
        group.bench_function(format!("float {} ({})", Isa::best(), kernel.kernel()), |b| {
            b.iter(|| kernel.run(&packed, &x, &mut y, 0..rows, &mut scratch))
        });
    }};
}

/// A group of benchmarks over one shape.
fn group<'a>(c: &'a mut Criterion, name: &str, shape: String) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(format!("{name} {shape}"));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group
}

fn convolutions(c: &mut Criterion) {
    let shapes = [
        // MobileNet's expansions and projections, early and late.
        ("pointwise", conv(56, 24, 144, 1, 1)),
        ("pointwise", conv(14, 576, 96, 1, 1)),
        ("pointwise", conv(7, 320, 1280, 1, 1)),
        // ResNet's bodies and a first layer.
        ("conv3x3", conv(56, 64, 64, 3, 1)),
        ("conv3x3", conv(14, 256, 256, 3, 1)),
        ("conv3x3", conv(112, 3, 32, 3, 1)),
    ];
    for (name, shape) in shapes {
        let label = format!("{0}x{0}x{1} to {2}", shape.h, shape.c, shape.oc);
        against!(&mut group(c, name, label), shape, shape.rows(), QConv, FConv);
    }
}

fn depthwise(c: &mut Criterion) {
    for (side, channels, kernel) in [(56, 144, 3), (14, 576, 3), (14, 480, 5)] {
        let shape = conv(side, channels, channels, kernel, channels);
        let label = format!("{kernel}x{kernel} {side}x{side}x{channels}");
        // Rows of a depthwise kernel are lines of the image.
        against!(&mut group(c, "depthwise", label), shape, shape.n * shape.oh, QDepthwise, FDepthwise);
    }
}

fn products(c: &mut Criterion) {
    let shapes =
        [("gemm", 128, 384, 1536), ("gemm", 256, 256, 256), ("gemv", 1, 1280, 1000), ("gemv", 1, 784, 128)];
    for (name, m, k, n) in shapes {
        let shape = ConvShape::linear(m, k, n);
        against!(&mut group(c, name, format!("{m}x{k}x{n}")), shape, shape.rows(), QConv, FConv);
    }
}

fn add(c: &mut Criterion) {
    let len = 56 * 56 * 64;
    let mut group = group(c, "add", len.to_string());
    group.throughput(Throughput::Elements(len as u64));
    let Some(walk) = Broadcast::new(&[len], [&[len], &[len]]) else { return };
    let (a, b, mut y) = (bytes(len + SLACK), bytes(len + SLACK), vec![0u8; len]);
    let operand = |scale, zero_point| Operand { scale, zero_point };
    let op = QAdd::new(operand(0.7, 128), operand(0.4, 120), 1.0, OUT);
    for isa in isas() {
        group.bench_function(format!("int8 {isa}"), |bench| {
            bench.iter(|| qadd(isa, &op, &walk, &a, &b, &mut y))
        });
    }
    let (a, b, mut y) = (floats(len), floats(len), vec![0f32; len]);
    let (isa, clamp) = (Isa::best(), [f32::NEG_INFINITY, f32::INFINITY]);
    group.bench_function(format!("float {isa}"), |bench| {
        bench.iter(|| binary_f32(isa, BinaryFn::Add, clamp, &walk, &a, &b, &mut y))
    });
}

criterion_group!(benches, convolutions, depthwise, products, add);
criterion_main!(benches);
