//! Integer products and convolutions on every instruction set, beside what the processor can do at most.
//!
//! `cargo bench -p ottava-kernels --bench qconv`; the unit of throughput is multiply-adds. Before criterion's figures a
//! table says what share of that limit each shape reaches, both measured turn by turn; `-- none` shows it alone.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottava_kernels::isa::Level;
use ottava_kernels::limit::sustained;
use ottava_kernels::qconv::QConv;
use ottava_kernels::{ConvShape, DynamicQConv, Filter, Isa, Output, QRow, SLACK, Source};
use std::hint::black_box;
use std::time::{Duration, Instant};

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

/// Bytes that start with a line of cache, as they do in files and arenas; they live as long as the process.
fn aligned(len: usize, value: u8) -> &'static mut [u8] {
    let bytes = vec![value; len + 63].leak();
    let start = bytes.as_ptr().align_offset(64);
    &mut bytes[start..][..len]
}

fn weights(shape: &ConvShape) -> Vec<i8> {
    (0..shape.oc * shape.k()).map(|i| ((i * 7919 % 255) as u8 as i8).max(-127)).collect()
}

/// What networks run for a shape.
enum Kernel {
    Conv(QConv),
    Row(QRow),
}

/// A convolution or product to bytes with all that a call takes.
struct Case {
    kernel: Kernel,
    packed: &'static [u8],
    x: &'static [u8],
    y: &'static mut [u8],
    rows: usize,
    scratch: Vec<u8>,
}

impl Case {
    fn new(isa: Isa, shape: ConvShape) -> Case {
        let out = Output { zero_point: 3, min: 0, max: 255 };
        let multiplier = vec![1e-3; shape.oc];
        let filter = Filter { weights: &weights(&shape), multiplier: &multiplier, ..Filter::default() };
        let (kernel, packed, rows, scratch) = if shape.rows() == 1 && shape.is_pointwise() {
            let row = QRow::new(isa, shape.c, shape.oc, 3, out);
            let packed = aligned(row.packed_len(), 0);
            row.pack(&filter, packed);
            let (units, scratch) = (row.units(), row.scratch_len());
            (Kernel::Row(row), packed, units, scratch)
        } else {
            let conv = QConv::new(isa, shape, 3, out, shape.oc);
            let packed = aligned(conv.packed_len(), 0);
            conv.pack(&filter, packed);
            let scratch = conv.scratch_len();
            (Kernel::Conv(conv), packed, shape.rows(), scratch)
        };
        let (x, y) = (aligned(shape.x_len() + SLACK, 77), aligned(shape.y_len(), 0));
        Case { kernel, packed, x, y, rows, scratch: vec![0; scratch] }
    }

    fn name(&self) -> &'static str {
        match &self.kernel {
            Kernel::Conv(conv) => conv.kernel(),
            Kernel::Row(row) => row.kernel(),
        }
    }

    fn run(&mut self) {
        let Case { kernel, packed, x, y, rows, scratch } = self;
        let y = black_box(&mut **y);
        match kernel {
            Kernel::Conv(conv) => conv.run(packed, x, y, 0..*rows, scratch),
            Kernel::Row(row) => row.run(packed, x, y, 0..*rows, scratch),
        }
    }
}

fn convolution(c: &mut Criterion) {
    for (name, shape) in shapes() {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.macs()));
        for isa in Isa::available().into_iter().filter(|isa| isa.level() != Level::Scalar) {
            let mut case = Case::new(isa, shape);
            group.bench_function(BenchmarkId::from_parameter(case.name()), |b| b.iter(|| case.run()));
        }
        group.finish();
    }
}

/// The same products left as they are, in 32 bits: what requantized ones cost more or less.
fn sums(c: &mut Criterion) {
    let isa = Isa::best();
    for (name, [m, k, n]) in [PRODUCTS[0], PRODUCTS[1]] {
        let shape = ConvShape::linear(m, k, n);
        let product = DynamicQConv::sums(isa, shape);
        let packed = aligned(product.packed_len(), 0);
        let multiplier = vec![1.0; n];
        let filter = Filter { weights: &weights(&shape), multiplier: &multiplier, ..Filter::default() };
        product.pack(&filter, &[], packed);
        let (x, y) = (aligned(shape.x_len() + SLACK, 77), aligned(4 * shape.y_len(), 0));
        let mut scratch = vec![0; product.scratch_len()];
        let source = Source { scale: 1.0, zero_point: 3 };
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.macs()));
        group.bench_function(BenchmarkId::from_parameter(format!("sums {isa}")), |b| {
            b.iter(|| product.run(packed, x, source, black_box(&mut *y), 0..m, &mut scratch));
        });
        group.finish();
    }
}

/// Shares of what the processor does in registers, printed and not timed by criterion. Each shape has turns, and between
/// them the limit has turns as long, since a shared machine's speed drifts: the best of the one over the best of the other,
/// and the median of a turn over the limit's next to it.
fn shares(_: &mut Criterion) {
    const TURNS: usize = 60;
    const TURN: Duration = Duration::from_millis(3);
    for isa in Isa::available().into_iter().filter(|isa| isa.level() != Level::Scalar) {
        for (name, shape) in shapes() {
            let mut case = Case::new(isa, shape);
            let (mut best, mut highest, mut ratios) = (0f64, 0f64, Vec::new());
            for _ in 0..TURNS {
                let (start, mut runs) = (Instant::now(), 0);
                while start.elapsed() < TURN {
                    case.run();
                    runs += 1;
                }
                let rate = (runs * shape.macs()) as f64 / start.elapsed().as_secs_f64();
                let limit = sustained(isa, TURN).unwrap_or(f64::INFINITY);
                (best, highest) = (best.max(rate), highest.max(limit));
                ratios.push(100.0 * rate / limit);
            }
            ratios.sort_by(f64::total_cmp);
            let (kernel, share) = (case.name(), 100.0 * best / highest);
            println!(
                "{name:33} {kernel:24} best {share:5.1} %  median {:5.1} %  of {:.0} GMAC/s",
                ratios[TURNS / 2],
                highest / 1e9
            );
        }
    }
}

criterion_group!(benches, shares, convolution, sums);
criterion_main!(benches);
