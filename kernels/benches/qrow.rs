//! Products of one row: all weights read, beside only those of inputs that are not 0, turn by turn.
//!
//! `cargo bench -p ottava-kernels --bench qrow`: for each share of zeros both medians in µs, and the second over the first.

use ottava_kernels::{Filter, Isa, Output, QRow, QSparseRow, SLACK};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHAPES: [[usize; 2]; 6] = [[128, 64], [128, 128], [256, 256], [512, 512], [1024, 1024], [2048, 2048]];
/// Of ten inputs, how many are 0.
const ZEROS: [usize; 5] = [0, 3, 5, 7, 9];
const TURNS: usize = 60;
const TURN: Duration = Duration::from_micros(500);

/// Bytes that start with a line of cache, as they do in files and arenas; they live as long as the process.
fn aligned(len: usize) -> &'static mut [u8] {
    let bytes = vec![0; len + 63].leak();
    let start = bytes.as_ptr().align_offset(64);
    &mut bytes[start..][..len]
}

/// Time of one call in µs, of as many as fit a turn.
fn turn(mut call: impl FnMut()) -> f64 {
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < TURN {
        (0..8).for_each(|_| call());
        calls += 8;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (isa, out) = (Isa::best(), Output { zero_point: 3, min: 0, max: 255 });
    if !QSparseRow::pays(isa, 1 << 10, 1 << 10) {
        return println!("{isa} reads all weights: there is nothing to compare");
    }
    for [k, n] in SHAPES {
        let weights: Vec<i8> = (0..n * k).map(|i| ((i * 7919 % 255) as u8 as i8).max(-127)).collect();
        let multiplier = vec![1e-3; n];
        let filter = Filter { weights: &weights, multiplier: &multiplier, ..Filter::default() };
        let (row, sparse) = (QRow::new(isa, k, n, 0, out), QSparseRow::new(isa, k, n, out));
        let packed = [aligned(row.packed_len()), aligned(sparse.packed_len())];
        row.pack(&filter, packed[0]);
        sparse.pack(&filter, packed[1]);
        let (x, y, mut scratch) = (aligned(k + SLACK), aligned(n), vec![0; sparse.scratch_len()]);
        print!("{:12}", format!("{k}x{n}"));
        for zeros in ZEROS {
            // In no order that a processor could learn.
            let zero = |i: usize| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 0xffff;
            x[..k].iter_mut().enumerate().for_each(|(i, x)| *x = u8::from(zero(i) % 10 >= zeros) * 77);
            let (mut all, mut some) = (vec![], vec![]);
            for _ in 0..TURNS {
                all.push(turn(|| row.run(packed[0], x, black_box(&mut *y), 0..row.units(), &mut [])));
                let units = 0..sparse.units();
                some.push(turn(|| sparse.run(packed[1], x, black_box(&mut *y), units.clone(), &mut scratch)));
            }
            let (all, some) = (median(all), median(some));
            print!("  {:2} %: {all:6.2} {some:6.2} {:4.2}", 10 * zeros, some / all);
        }
        println!();
    }
}
