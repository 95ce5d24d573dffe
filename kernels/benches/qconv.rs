//! Integer products and convolutions on every instruction set, beside what the processor can do at most.
//!
//! `cargo bench -p ottava-kernels --bench qconv`; the unit of throughput is multiply-adds.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottava_kernels::isa::Level;
use ottava_kernels::limit::Limit;
use ottava_kernels::qconv::QConv;
use ottava_kernels::{ConvShape, Filter, Isa, Output, SLACK};
use std::hint::black_box;
use std::time::Duration;

/// Names as they appear in reports, products `m x k x n`.
const PRODUCTS: [(&str, [usize; 3]); 8] = [
    ("512x512x512", [512, 512, 512]),
    ("1024x1024x1024", [1024, 1024, 1024]),
    ("64x64x64", [64, 64, 64]),
    ("196x512x512", [196, 512, 512]),
    ("3136x64x64", [3136, 64, 64]),
    ("49x960x160", [49, 960, 160]),
    ("784x24x144", [784, 24, 144]),
    ("gemv 1024x1024", [1, 1024, 1024]),
];

/// A square convolution with padding on all sides.
fn square(size: usize, c: usize, oc: usize, kernel: usize, stride: usize) -> ConvShape {
    let pad = kernel / 2;
    let out = (size + 2 * pad - kernel) / stride + 1;
    ConvShape {
        n: 1,
        h: size,
        w: size,
        c,
        oc,
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pad: [pad; 2],
        oh: out,
        ow: out,
        groups: 1,
    }
}

fn shapes() -> Vec<(&'static str, ConvShape)> {
    let products = PRODUCTS.map(|(name, [m, k, n])| (name, ConvShape::linear(m, k, n)));
    let convolutions = [
        ("3x3 56x56 64-64", square(56, 64, 64, 3, 1)),
        ("3x3 14x14 256-256", square(14, 256, 256, 3, 1)),
        ("3x3 28x28 32-32", square(28, 32, 32, 3, 1)),
        ("first layer 3x3/2 224x224 3-32", square(224, 3, 32, 3, 2)),
        ("first layer 7x7/2 224x224 3-64", square(224, 3, 64, 7, 2)),
    ];
    products.into_iter().chain(convolutions).collect()
}

fn convolution(c: &mut Criterion) {
    for (name, shape) in shapes() {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.macs()));
        for isa in Isa::available().into_iter().filter(|isa| isa.level() != Level::Scalar) {
            let conv = QConv::new(isa, shape, 3, Output { zero_point: 3, min: 0, max: 255 }, shape.oc);
            let weights: Vec<i8> = (0..shape.oc * shape.k()).map(|i| (i * 7919 % 255) as u8 as i8).collect();
            let weights: Vec<i8> = weights.into_iter().map(|w| w.max(-127)).collect();
            let mut packed = vec![0; conv.packed_len()];
            let multiplier = vec![1e-3; shape.oc];
            let filter = Filter { weights: &weights, multiplier: &multiplier, ..Filter::default() };
            conv.pack(&filter, &mut packed);
            let x = vec![77; shape.x_len() + SLACK];
            let mut y = vec![0; shape.y_len()];
            let mut scratch = vec![0; conv.scratch_len()];
            group.bench_function(BenchmarkId::from_parameter(conv.kernel()), |b| {
                b.iter(|| conv.run(&packed, &x, black_box(&mut y), 0..shape.rows(), &mut scratch));
            });
        }
        group.finish();
    }
}

/// Printed beside, not timed by criterion: the rate is what counts.
fn limit(_: &mut Criterion) {
    for isa in Isa::available() {
        if let Some(limit) = Limit::measure(isa, Duration::from_millis(300)) {
            println!("limit {isa}: {:.1} GMAC/s in registers", limit.int8 / 1e9);
        }
    }
}

criterion_group!(benches, limit, convolution);
criterion_main!(benches);
