//! Resampling: nearest and linear, of u8 (input and output quantized alike) and f32.

use crate::Isa;
use crate::multiversion::multiversion;
use crate::round::{clamp_f32, round_to_i32};
use std::ops::Range;

/// How values between samples are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// The nearest sample.
    Nearest(NearestMode),
    /// Linear between neighbours along each axis.
    Linear,
}

/// Which neighbour is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestMode {
    /// Halves go down.
    RoundPreferFloor,
    /// Halves go up.
    RoundPreferCeil,
    /// Downward.
    Floor,
    /// Upward.
    Ceil,
}

/// How an output coordinate maps to the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeCoord {
    /// (x + 1/2) / scale - 1/2
    HalfPixel,
    /// The same, but 0 where the output has one sample.
    PytorchHalfPixel,
    /// x * (in - 1) / (out - 1)
    AlignCorners,
    /// x / scale
    Asymmetric,
    /// half_pixel, the middle of the output on that of the input also where the scale gives no whole length
    HalfPixelSymmetric,
}

impl ResizeCoord {
    /// The input coordinate of output coordinate `o`.
    pub(crate) fn map(self, o: usize, len: usize, out: usize, scale: f32) -> f32 {
        let o = o as f32;
        match self {
            ResizeCoord::PytorchHalfPixel if out == 1 => 0.0,
            ResizeCoord::HalfPixel | ResizeCoord::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
            ResizeCoord::AlignCorners if out == 1 => 0.0,
            ResizeCoord::AlignCorners => o * (len as f32 - 1.0) / (out as f32 - 1.0),
            ResizeCoord::Asymmetric => o / scale,
            ResizeCoord::HalfPixelSymmetric => {
                let share = out as f32 / (scale * len as f32);
                (len as f32 / 2.0) * (1.0 - share) + (o + 0.5) / scale - 0.5
            }
        }
    }
}

impl NearestMode {
    fn pick(self, x: f32) -> f32 {
        match self {
            NearestMode::RoundPreferFloor => (x - 0.5).ceil(),
            NearestMode::RoundPreferCeil => (x + 0.5).floor(),
            NearestMode::Floor => x.floor(),
            NearestMode::Ceil => x.ceil(),
        }
    }
}

/// Two neighbours of an output coordinate (offsets in elements) and the share of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// Most source rows that one output row may be mixed from.
const MAX_SOURCES: usize = 16;

/// Longest axis.
const MAX_LEN: usize = 1 << 24;

/// Source rows of one output row: offset and weight.
struct Sources {
    rows: [(usize, f32); MAX_SOURCES],
    len: usize,
}

/// A resampling with its coordinates worked out.
///
/// Linear values are, each step one f32 operation: along the last resized axis `v = a + (b - a) * share` within
/// every source row, then the sum of `weight * v` over the source rows in memory order, where weights are products
/// of the shares along the other axes. Quantized values are rounded half to even.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// Taps of every axis up to the last resized one.
    axes: Vec<Vec<Tap>>,
    /// Elements behind the last resized axis, copied or mixed alike.
    inner: usize,
    linear: bool,
}

impl Resize {
    /// Resamples a dense tensor to `out`. `scales` are output over input lengths, as the model states them.
    /// `None` if the numbers of dimensions differ, a dimension is 0, a scale is not positive, more than five axes
    /// are interpolated, an axis is longer than 2^24 (each sample has a place in a table, and a file must not make that
    /// large), or the number of elements overflows.
    pub fn new(
        dims: &[usize],
        out: &[usize],
        scales: &[f32],
        mode: ResizeMode,
        coord: ResizeCoord,
    ) -> Option<Resize> {
        if out.len() != dims.len() || scales.len() != dims.len() || dims.contains(&0) || out.contains(&0) {
            return None;
        }
        dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        out.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        if out.iter().any(|&n| n > MAX_LEN) {
            return None;
        }
        if scales.iter().any(|&s| !(s > 0.0 && s.is_finite())) {
            return None;
        }
        let resized = |i: usize| dims[i] != out[i] || scales[i] != 1.0;
        let count = (0..dims.len()).filter(|&i| resized(i)).count();
        let linear = mode == ResizeMode::Linear;
        if linear && count > MAX_SOURCES.ilog2() as usize + 1 {
            return None;
        }
        let split = (0..dims.len()).rev().find(|&i| resized(i)).map_or(0, |i| i + 1);
        let mut inner = dims[split..].iter().product();
        let elements = inner;
        let mut stride: usize = inner;
        let mut axes = Vec::with_capacity(split);
        for i in (0..split).rev() {
            axes.push(if resized(i) {
                taps(dims[i], out[i], scales[i], stride, mode, coord)
            } else {
                (0..out[i]).map(|o| Tap { low: o * stride, high: o * stride, share: 0.0 }).collect()
            });
            stride *= dims[i];
        }
        axes.reverse();
        if axes.is_empty() {
            // Nothing is resized: one row, copied.
            axes.push(vec![Tap { low: 0, high: 0, share: 0.0 }]);
            inner = elements;
        }
        Some(Resize { axes, inner, linear })
    }

    /// Output rows, the unit that calls of `run` are split into.
    pub fn rows(&self) -> usize {
        self.axes.iter().rev().skip(1).map(Vec::len).product()
    }

    /// Elements of an output row.
    pub fn row_len(&self) -> usize {
        self.axes.last().map_or(0, Vec::len) * self.inner
    }

    /// Computes these output rows; `y` starts at the first of them.
    ///
    /// Panics if a slice is too short.
    pub fn run<T: Sample>(&self, isa: Isa, x: &[T], y: &mut [T], rows: Range<usize>) {
        if self.linear { linear(isa, self, x, y, rows) } else { self.nearest(x, y, rows) }
    }

    #[inline(always)]
    fn sources(&self, mut row: usize) -> Sources {
        let mut sources = Sources { rows: [(0, 1.0); MAX_SOURCES], len: 1 };
        for taps in self.axes.iter().rev().skip(1) {
            let tap = taps[row % taps.len()];
            row /= taps.len();
            let len = sources.len;
            if tap.share != 0.0 {
                for i in 0..len {
                    let (at, weight) = sources.rows[i];
                    sources.rows[i + len] = (at + tap.high, weight * tap.share);
                    sources.rows[i].1 = weight * (1.0 - tap.share);
                }
                sources.len = 2 * len;
            }
            for source in &mut sources.rows[..len] {
                source.0 += tap.low;
            }
        }
        sources
    }

    fn nearest<T: Copy>(&self, x: &[T], y: &mut [T], rows: Range<usize>) {
        let Some(columns) = self.axes.last() else { return };
        for (row, y) in rows.zip(y.chunks_exact_mut(self.row_len())) {
            let x = &x[self.sources(row).rows[0].0..];
            for (y, tap) in y.chunks_exact_mut(self.inner).zip(columns) {
                y.copy_from_slice(&x[tap.low..tap.low + self.inner]);
            }
        }
    }
}

fn taps(len: usize, out: usize, scale: f32, stride: usize, mode: ResizeMode, coord: ResizeCoord) -> Vec<Tap> {
    let last = len - 1;
    let tap = |o| {
        let at = coord.map(o, len, out, scale).clamp(0.0, last as f32);
        let (low, high, share) = match mode {
            ResizeMode::Nearest(nearest) => {
                let i = (nearest.pick(at) as usize).min(last);
                (i, i, 0.0)
            }
            ResizeMode::Linear => {
                let low = (at as usize).min(last);
                (low, (low + 1).min(last), at - low as f32)
            }
        };
        Tap { low: low * stride, high: high * stride, share }
    };
    (0..out).map(tap).collect()
}

/// What can be resampled: u8, f32.
pub trait Sample: Copy {
    /// As a float.
    fn to_f32(self) -> f32;
    /// Back, rounded.
    fn from_f32(v: f32) -> Self;
}

impl Sample for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(v: f32) -> f32 {
        v
    }
}

impl Sample for u8 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline(always)]
    fn from_f32(v: f32) -> u8 {
        round_to_i32(clamp_f32(v, 0.0, 255.0)) as u8
    }
}

/// Elements mixed at a time.
const BLOCK: usize = 64;

multiversion! {
    fn linear<T: Sample>(r: &Resize, x: &[T], y: &mut [T], rows: Range<usize>) => linear_body
}

#[inline(always)]
fn linear_body<T: Sample>(r: &Resize, x: &[T], y: &mut [T], rows: Range<usize>) {
    let Some(columns) = r.axes.last() else { return };
    for (row, y) in rows.zip(y.chunks_exact_mut(r.row_len())) {
        let sources = r.sources(row);
        for (y, tap) in y.chunks_exact_mut(r.inner).zip(columns) {
            for (b, y) in y.chunks_mut(BLOCK).enumerate() {
                let mut sums = [0f32; BLOCK];
                for &(at, weight) in &sources.rows[..sources.len] {
                    let low = &x[at + tap.low + b * BLOCK..][..y.len()];
                    let high = &x[at + tap.high + b * BLOCK..][..y.len()];
                    for ((sum, a), b) in sums.iter_mut().zip(low).zip(high) {
                        let (a, b) = (a.to_f32(), b.to_f32());
                        *sum += weight * (a + (b - a) * tap.share);
                    }
                }
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y = T::from_f32(sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    const LINEAR: ResizeMode = ResizeMode::Linear;

    fn nearest(mode: NearestMode) -> ResizeMode {
        ResizeMode::Nearest(mode)
    }

    fn run(dims: &[usize], out: &[usize], mode: ResizeMode, coord: ResizeCoord, x: &[f32]) -> Vec<f32> {
        let scales: Vec<f32> = dims.iter().zip(out).map(|(&d, &o)| o as f32 / d as f32).collect();
        let resize = Resize::new(dims, out, &scales, mode, coord).unwrap();
        let mut y = vec![f32::NAN; out.iter().product()];
        for row in 0..resize.rows() {
            let len = resize.row_len();
            resize.run(Isa::SCALAR, x, &mut y[row * len..(row + 1) * len], row..row + 1);
        }
        y
    }

    /// The examples of ONNX's operator documentation.
    #[test]
    fn known_answers() {
        use NearestMode::*;
        use ResizeCoord::*;
        let ramp = [1.0, 2.0, 3.0, 4.0];
        let y = run(&[2, 2], &[4, 6], nearest(RoundPreferFloor), HalfPixel, &ramp);
        assert_eq!(y[..12], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(y[12..], [3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0]);
        let y = run(&[2, 2], &[4, 4], LINEAR, HalfPixel, &ramp);
        let expected =
            [1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0];
        assert_eq!(y, expected);
        let y = run(&[2, 2], &[4, 4], LINEAR, AlignCorners, &ramp);
        for (i, y) in y.iter().enumerate() {
            let exact = 1.0 + (i % 4) as f32 / 3.0 + 2.0 * (i / 4) as f32 / 3.0;
            assert!((y - exact).abs() < 1e-6);
        }
        let y = run(&[4], &[8], nearest(Floor), Asymmetric, &ramp);
        assert_eq!(y, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(run(&[4], &[2], nearest(RoundPreferFloor), HalfPixel, &ramp), [1.0, 3.0]);
        assert_eq!(run(&[4], &[2], nearest(RoundPreferCeil), HalfPixel, &ramp), [2.0, 4.0]);
        assert_eq!(run(&[4], &[2], nearest(Ceil), HalfPixel, &ramp), [2.0, 4.0]);
        assert_eq!(run(&[4], &[1], LINEAR, PytorchHalfPixel, &ramp), [1.0]);
        assert_eq!(run(&[4], &[1], LINEAR, HalfPixel, &ramp), [2.5]);
    }

    /// Linear interpolation of a linear function is that function.
    #[test]
    fn linear_in_every_axis() {
        let (dims, out) = ([3, 4, 2, 5], [5, 7, 3, 9]);
        let value = |p: [f32; 4]| p[0] + 10.0 * p[1] + 100.0 * p[2] + 1000.0 * p[3];
        let place = |d: [usize; 4], i: usize| {
            [i / (d[1] * d[2] * d[3]), i / (d[2] * d[3]) % d[1], i / d[3] % d[2], i % d[3]]
        };
        let x: Vec<f32> = (0..120).map(|i| value(place(dims, i).map(|p| p as f32))).collect();
        let y = run(&dims, &out, LINEAR, ResizeCoord::AlignCorners, &x);
        for (i, &y) in y.iter().enumerate() {
            let p = place(out, i);
            let exact = value([0, 1, 2, 3].map(|a| (p[a] * (dims[a] - 1)) as f32 / (out[a] - 1) as f32));
            assert!((y - exact).abs() < 1e-2, "{p:?}: {y} for {exact}");
        }
    }

    #[test]
    fn the_same_bits_everywhere() {
        for c in [1, 3, 63, 64, 100] {
            for mode in [LINEAR, nearest(NearestMode::RoundPreferFloor)] {
                let (dims, out) = ([2, 5, 4, c], [2, 7, 9, c]);
                let resize =
                    Resize::new(&dims, &out, &[1.0, 1.4, 2.25, 1.0], mode, ResizeCoord::HalfPixel).unwrap();
                assert_eq!((resize.rows(), resize.row_len()), (14, 9 * c));
                let mut random = Random::new(c as u64);
                let (bytes, floats) = (random.bytes(40 * c), random.floats(40 * c, 9.0));
                let as_floats: Vec<f32> = bytes.iter().map(|&v| f32::from(v)).collect();
                let mut expected = [vec![0.0; 126 * c], vec![0.0; 126 * c]];
                resize.run(Isa::SCALAR, &floats, &mut expected[0], 0..14);
                resize.run(Isa::SCALAR, &as_floats, &mut expected[1], 0..14);
                on_every_isa(|isa| {
                    let (mut y, mut z) = (vec![0.0; 126 * c], vec![0u8; 126 * c]);
                    resize.run(isa, &floats, &mut y, 0..14);
                    resize.run(isa, &bytes, &mut z, 0..14);
                    assert_eq!(y, expected[0], "{isa} {c} {mode:?}");
                    assert!(z.iter().zip(&expected[1]).all(|(&z, e)| f32::from(z) == e.round_ties_even()));
                });
            }
        }
    }

    #[test]
    fn refuses() {
        let new = |dims: &[usize], out: &[usize], scales: &[f32]| {
            Resize::new(dims, out, scales, LINEAR, ResizeCoord::HalfPixel)
        };
        assert!(new(&[2], &[0], &[1.0]).is_none());
        assert!(new(&[2], &[4], &[0.0]).is_none());
        assert!(new(&[2], &[4], &[f32::NAN]).is_none());
        assert!(new(&[2], &[usize::MAX, 4], &[2.0, 2.0]).is_none());
        assert!(new(&[2; 6], &[4; 6], &[2.0; 6]).is_none());
        let same = new(&[2, 3], &[2, 3], &[1.0, 1.0]).unwrap();
        let mut y = [0; 6];
        same.run(Isa::SCALAR, &[1, 2, 3, 4, 5, 6], &mut y, 0..same.rows());
        assert_eq!(y, [1, 2, 3, 4, 5, 6]);
    }
}
