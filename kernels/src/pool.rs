//! Pooling over NHWC: maximum and average, of u8, i16 and f32.

use crate::Output;
use crate::multiversion::multiversion;
use crate::round::{clamp_f32, round_to_i32};
use std::ops::Range;

/// Geometry of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Window height, width.
    pub kernel: [usize; 2],
    /// Down, right.
    pub strides: [usize; 2],
    /// Down, right.
    pub dilations: [usize; 2],
    /// Top, left, bottom, right. Bottom and right matter only to averages that count padding: where a window
    /// hangs over further (its size was rounded up), that part is not counted.
    pub pad: [usize; 4],
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
    /// Averages divide by the whole window, padding counted in.
    pub count_include_pad: bool,
    /// Elements from one output pixel to the next, `c` at least.
    pub y_stride: usize,
}

impl PoolShape {
    /// Output rows: `n * oh`.
    pub const fn rows(&self) -> usize {
        self.n * self.oh
    }

    /// Elements of the input.
    pub const fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output.
    pub const fn y_len(&self) -> usize {
        self.rows() * self.ow * self.c
    }

    /// The lines of the input that output row `row` sees.
    #[inline(always)]
    fn lines(&self, row: usize) -> Extent {
        let lines = Extent::new(self, 0, self.h, row % self.oh);
        Extent { first: row / self.oh * self.h + lines.first, ..lines }
    }

    /// The columns of the output whose windows lie wholly inside of a line.
    fn inner_columns(&self) -> Range<usize> {
        let (stride, pad) = (self.strides[1], self.pad[1]);
        let reach = self.kernel[1].saturating_sub(1) * self.dilations[1] + 1;
        let end = (self.w + pad).checked_sub(reach).map_or(0, |last| last / stride + 1);
        pad.div_ceil(stride)..end.min(self.ow)
    }

    /// The window of position `ox` in these lines.
    #[inline(always)]
    fn window(&self, lines: &Extent, ox: usize) -> Window {
        let x = Extent::new(self, 1, self.w, ox);
        let count = if self.count_include_pad { lines.padded * x.padded } else { lines.taps * x.taps };
        // Whole lines are one run of pixels.
        let taps = match x.taps == self.w && self.dilations == [1, 1] {
            true => [1, lines.taps * x.taps],
            false => [lines.taps, x.taps],
        };
        Window { start: lines.first * self.w + x.first, taps, count }
    }
}

/// One axis of a window.
struct Extent {
    first: usize,
    taps: usize,
    padded: usize,
}

impl Extent {
    #[inline(always)]
    fn new(shape: &PoolShape, axis: usize, len: usize, o: usize) -> Extent {
        let (k, d) = (shape.kernel[axis], shape.dilations[axis]);
        let start = o * shape.strides[axis];
        // Most windows lie wholly inside; what follows for the others are divisions.
        if let Some(first) = start.checked_sub(shape.pad[axis])
            && first + k.saturating_sub(1) * d < len
        {
            return Extent { first, taps: k, padded: k };
        }
        let before = shape.pad[axis].saturating_sub(start).div_ceil(d).min(k);
        let first = (start + before * d).saturating_sub(shape.pad[axis]);
        let taps = len.saturating_sub(first).div_ceil(d).min(k - before);
        let end = shape.pad[axis] + len + shape.pad[axis + 2];
        Extent { first, taps, padded: end.saturating_sub(start).div_ceil(d).min(k) }
    }
}

/// The part of a window that lies in the image.
struct Window {
    /// First pixel.
    start: usize,
    /// Rows, columns.
    taps: [usize; 2],
    /// What an average divides by.
    count: usize,
}

/// What extremes are taken of: u8, i16, f32, i64.
pub trait Extremum: Copy + PartialOrd {
    /// Less than or equal to every value: the maximum of nothing.
    const LOWEST: Self;
    /// Greater than or equal to every value: the minimum of nothing.
    const HIGHEST: Self;
}

impl Extremum for u8 {
    const LOWEST: u8 = u8::MIN;
    const HIGHEST: u8 = u8::MAX;
}

impl Extremum for i16 {
    const LOWEST: i16 = i16::MIN;
    const HIGHEST: i16 = i16::MAX;
}

impl Extremum for i64 {
    const LOWEST: i64 = i64::MIN;
    const HIGHEST: i64 = i64::MAX;
}

impl Extremum for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
    const HIGHEST: f32 = f32::INFINITY;
}

multiversion! {
    /// Greatest value of each window, for these output rows; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn max_pool<T: Extremum>(shape: &PoolShape, x: &[T], y: &mut [T], rows: Range<usize>) => max_pool_body
}

#[inline(always)]
fn max_pool_body<T: Extremum>(shape: &PoolShape, x: &[T], y: &mut [T], rows: Range<usize>) {
    pool(&Greatest, shape, x, y, rows);
}

/// What a window's values become: one value after the other, row by row, left to right.
trait Fold<T> {
    /// What is known so far.
    type State: Copy;
    /// Before the first value.
    fn start(&self, window: &Window) -> Self::State;
    /// One value more.
    fn more(&self, state: Self::State, x: T) -> Self::State;
    /// After the last one.
    fn end(&self, state: Self::State, window: &Window) -> T;
}

/// Output pixels that are computed together, if that leaves their states in registers: what is to be found out about a
/// window costs more than folding it.
const PIXELS: usize = 4;
/// Channels that are taken at once. States of more than a byte fill the registers with those of one pixel.
const WIDE: usize = 64;
/// Channels that are taken at once where there are fewer.
const NARROW: usize = 16;

/// Folds each window of these output rows, channel by channel.
#[inline(always)]
fn pool<T: Copy, F: Fold<T>>(fold: &F, shape: &PoolShape, x: &[T], y: &mut [T], rows: Range<usize>) {
    let (c, y_stride) = (shape.c, shape.y_stride);
    assert!(y_stride >= c, "output pixels overlap");
    let pixels = rows.len() * shape.ow;
    if pixels * c == 0 {
        return;
    }
    assert!(y.len() >= (pixels - 1) * y_stride + c, "the output is too short");
    let bytes = size_of::<F::State>() == 1;
    let inner = if bytes || c < WIDE { shape.inner_columns() } else { 0..0 };
    for (row, line) in rows.zip(y.chunks_mut(shape.ow * y_stride)) {
        let lines = shape.lines(row);
        let mut ox = 0;
        while ox < shape.ow {
            let (window, y) = (shape.window(&lines, ox), &mut line[ox * y_stride..]);
            if inner.start <= ox && ox + PIXELS <= inner.end {
                match bytes {
                    true => pool_pixels::<T, F, PIXELS, WIDE>(fold, shape, &window, x, y),
                    false => pool_pixels::<T, F, PIXELS, NARROW>(fold, shape, &window, x, y),
                }
                ox += PIXELS;
            } else {
                pool_pixels::<T, F, 1, WIDE>(fold, shape, &window, x, y);
                ox += 1;
            }
        }
    }
}

/// All channels of `P` pixels with equal windows, the first of which is given: `L` at a time, then 16, then one.
#[inline(always)]
fn pool_pixels<T: Copy, F: Fold<T>, const P: usize, const L: usize>(
    fold: &F,
    shape: &PoolShape,
    window: &Window,
    x: &[T],
    y: &mut [T],
) {
    let mut channel = 0;
    while channel + L <= shape.c {
        pool_channels::<T, F, P, L>(fold, shape, window, x, channel, y);
        channel += L;
    }
    while channel + NARROW <= shape.c {
        pool_channels::<T, F, P, NARROW>(fold, shape, window, x, channel, y);
        channel += NARROW;
    }
    while channel < shape.c {
        pool_channels::<T, F, P, 1>(fold, shape, window, x, channel, y);
        channel += 1;
    }
}

/// `L` channels from `channel` on: as many as stay in registers over all pixels of the windows. Plain loops over arrays,
/// since a closure would not be compiled for the instruction set of its caller.
#[inline(always)]
fn pool_channels<T: Copy, F: Fold<T>, const P: usize, const L: usize>(
    fold: &F,
    shape: &PoolShape,
    window: &Window,
    x: &[T],
    channel: usize,
    y: &mut [T],
) {
    let mut states = [[fold.start(window); L]; P];
    let step = shape.strides[1] * shape.c;
    for i in 0..window.taps[0] {
        let row = window.start + i * shape.dilations[0] * shape.w;
        for j in 0..window.taps[1] {
            let at = (row + j * shape.dilations[1]) * shape.c + channel;
            let x = &x[at..at + (P - 1) * step + L];
            for (p, states) in states.iter_mut().enumerate() {
                for (state, &x) in states.iter_mut().zip(&x[p * step..p * step + L]) {
                    *state = fold.more(*state, x);
                }
            }
        }
    }
    for (p, states) in states.into_iter().enumerate() {
        for (y, state) in y[p * shape.y_stride + channel..][..L].iter_mut().zip(states) {
            *y = fold.end(state, window);
        }
    }
}

struct Greatest;

impl<T: Extremum> Fold<T> for Greatest {
    type State = T;

    #[inline(always)]
    fn start(&self, _: &Window) -> T {
        T::LOWEST
    }
    #[inline(always)]
    fn more(&self, most: T, x: T) -> T {
        if x > most { x } else { most }
    }
    #[inline(always)]
    fn end(&self, most: T, _: &Window) -> T {
        most
    }
}

/// What the bytes of a quantized average mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QAverage {
    /// The input's.
    pub x_zero_point: u8,
    /// The input's.
    pub x_scale: f32,
    /// The output's.
    pub y_scale: f32,
    /// The output's zero point and the clamp.
    pub out: Output,
}

multiversion! {
    /// Average of each window as ONNX Runtime has it: the reals `(x - x_zero_point) * x_scale`, summed in f32 row by
    /// row, left to right, over the count, over `y_scale`, plus the zero point, rounded. For these output rows; `y`
    /// starts at the first of them. A window without a pixel gives the zero point.
    ///
    /// Panics if a slice is too short.
    pub fn avg_pool_u8(
        shape: &PoolShape, op: &QAverage, x: &[u8], y: &mut [u8], rows: Range<usize>,
    ) => avg_pool_u8_body
}

#[inline(always)]
fn avg_pool_u8_body(shape: &PoolShape, op: &QAverage, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    let Output { zero_point, min, max } = op.out;
    let [zero_point, min, max] = [zero_point, min, max].map(f32::from);
    pool(&RealMean { op, zero_point, min, max }, shape, x, y, rows);
}

struct RealMean<'a> {
    op: &'a QAverage,
    zero_point: f32,
    min: f32,
    max: f32,
}

impl Fold<u8> for RealMean<'_> {
    type State = f32;

    #[inline(always)]
    fn start(&self, _: &Window) -> f32 {
        0.0
    }
    #[inline(always)]
    fn more(&self, sum: f32, x: u8) -> f32 {
        sum + (i32::from(x) - i32::from(self.op.x_zero_point)) as f32 * self.op.x_scale
    }
    #[inline(always)]
    fn end(&self, sum: f32, window: &Window) -> u8 {
        let v = sum / window.count.max(1) as f32 / self.op.y_scale + self.zero_point;
        round_to_i32(clamp_f32(v, self.min, self.max)) as u8
    }
}

multiversion! {
    /// Average of each window's integers as TensorFlow Lite has it: rounded, halves away from `centre`. For these
    /// output rows; `y` starts at the first of them. Padding is not counted; a window without a pixel gives `centre`.
    ///
    /// Panics if a slice is too short.
    pub fn avg_pool_codes(
        shape: &PoolShape, centre: u8, x: &[u8], y: &mut [u8], rows: Range<usize>,
    ) => avg_pool_codes_body
}

#[inline(always)]
fn avg_pool_codes_body(shape: &PoolShape, centre: u8, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    pool(&CodeMean { centre: i32::from(centre) }, shape, x, y, rows);
}

multiversion! {
    /// As [`avg_pool_codes`], of 16 bits: halves away from 0.
    ///
    /// Panics if a slice is too short.
    pub fn avg_pool_i16(shape: &PoolShape, x: &[i16], y: &mut [i16], rows: Range<usize>) => avg_pool_i16_body
}

#[inline(always)]
fn avg_pool_i16_body(shape: &PoolShape, x: &[i16], y: &mut [i16], rows: Range<usize>) {
    pool(&CodeMean { centre: 0 }, shape, x, y, rows);
}

struct CodeMean {
    centre: i32,
}

impl CodeMean {
    #[inline(always)]
    fn start(&self, window: &Window) -> i32 {
        -self.centre * (window.taps[0] * window.taps[1]) as i32
    }
    #[inline(always)]
    fn end(&self, sum: i32, window: &Window) -> i32 {
        let taps = (window.taps[0] * window.taps[1]) as i32;
        // Exact, and unlike a division of integers many at a time: a quotient of 16 bits that is not whole is at least
        // 1 / taps away from one, far more than f64 rounds.
        let mean = (f64::from(sum.abs() + taps / 2) / f64::from(taps.max(1))) as i32;
        self.centre + sum.signum() * mean
    }
}

impl Fold<i16> for CodeMean {
    type State = i32;

    #[inline(always)]
    fn start(&self, window: &Window) -> i32 {
        CodeMean::start(self, window)
    }
    #[inline(always)]
    fn more(&self, sum: i32, x: i16) -> i32 {
        sum + i32::from(x)
    }
    #[inline(always)]
    fn end(&self, sum: i32, window: &Window) -> i16 {
        CodeMean::end(self, sum, window) as i16
    }
}

impl Fold<u8> for CodeMean {
    type State = i32;

    #[inline(always)]
    fn start(&self, window: &Window) -> i32 {
        CodeMean::start(self, window)
    }
    #[inline(always)]
    fn more(&self, sum: i32, x: u8) -> i32 {
        sum + i32::from(x)
    }
    #[inline(always)]
    fn end(&self, sum: i32, window: &Window) -> u8 {
        CodeMean::end(self, sum, window) as u8
    }
}

multiversion! {
    /// Average of each window, summed row by row, left to right, then divided by the count. For these output rows;
    /// `y` starts at the first of them. A window without a pixel gives 0.
    ///
    /// Panics if a slice is too short.
    pub fn avg_pool_f32(shape: &PoolShape, x: &[f32], y: &mut [f32], rows: Range<usize>) => avg_pool_f32_body
}

#[inline(always)]
fn avg_pool_f32_body(shape: &PoolShape, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    pool(&FloatMean, shape, x, y, rows);
}

struct FloatMean;

impl Fold<f32> for FloatMean {
    type State = f32;

    #[inline(always)]
    fn start(&self, _: &Window) -> f32 {
        0.0
    }
    #[inline(always)]
    fn more(&self, sum: f32, x: f32) -> f32 {
        sum + x
    }
    #[inline(always)]
    fn end(&self, sum: f32, window: &Window) -> f32 {
        sum / window.count.max(1) as f32
    }
}

#[cfg(test)]
mod tests;
