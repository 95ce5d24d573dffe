//! One tile: a few output pixels by one or two vectors of output channels.
//!
//! Loops over vectors count indices: iterators over registers would be functions without the vector features.
#![allow(clippy::needless_range_loop)]

use super::Floats;

/// The products of one output element: runs of input elements that lie behind each other, at two levels (kernel
/// rows and kernel columns). Strides are in elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) columns: usize,
    pub(crate) column_stride: usize,
    /// Elements of a run.
    pub(crate) run: usize,
}

impl Taps {
    /// Products per output element.
    pub(crate) fn len(&self) -> usize {
        self.rows * self.columns * self.run
    }
}

/// Some output pixels at equal distances and where their input is.
pub(crate) struct Tile<'a> {
    /// The input from the first element that the first pixel reads on.
    pub(crate) x: &'a [f32],
    pub(crate) taps: Taps,
    /// Pixels.
    pub(crate) rows: usize,
    /// Input elements between pixels.
    pub(crate) x_stride: usize,
    /// Output elements between pixels.
    pub(crate) y_stride: usize,
    /// Lowest and highest result.
    pub(crate) clamp: [f32; 2],
}

/// How the output channels of a product of depth `k` are cut into panels: two vectors wide as long as there are
/// channels, the last one a single vector where that is enough. A panel holds the bias, then the weights of one
/// product after the other, each as wide as the panel; missing channels are 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) lanes: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
}

impl Panels {
    /// Panels.
    pub(crate) fn count(&self) -> usize {
        self.n.div_ceil(2 * self.lanes)
    }

    /// Elements of all panels.
    pub(crate) fn len(&self) -> usize {
        self.n.div_ceil(self.lanes).saturating_mul(self.lanes).saturating_mul(self.k.saturating_add(1))
    }

    /// First channel, channels and elements of every panel, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
        (0..self.n).step_by(2 * self.lanes).map(move |first| {
            let channels = (self.n - first).min(2 * self.lanes);
            let width = channels.next_multiple_of(self.lanes);
            let start = first * (self.k + 1);
            (first, channels, start..start + width * (self.k + 1))
        })
    }

    /// Packs a bias (or none) and weights, given by channel and product.
    pub(crate) fn pack(self, bias: &[f32], weight: impl Fn(usize, usize) -> f32, packed: &mut [f32]) {
        for (first, channels, range) in self.iter() {
            let panel = &mut packed[range];
            panel.fill(0.0);
            let width = channels.next_multiple_of(self.lanes);
            for (row, panel) in panel.chunks_exact_mut(width).enumerate() {
                for (i, to) in panel[..channels].iter_mut().enumerate() {
                    *to = match row.checked_sub(1) {
                        Some(k) => weight(first + i, k),
                        None if bias.is_empty() => 0.0,
                        None => bias[first + i],
                    };
                }
            }
        }
    }
}

/// Of the heights up to `max` the one whose tiles cover `count` pixels in the least time, where a tile takes as long as
/// its pixels and one more.
pub(crate) fn height(count: usize, max: usize) -> usize {
    let heights = 1..=max.min(count).max(1);
    heights.rev().min_by_key(|h| count.div_ceil(*h) * (h + 1)).unwrap_or(1)
}

/// Heights and starts of the tiles that cover `count` pixels, none higher than `max`. They are of one height; the last
/// one may overlap the one before and compute the same values again.
pub(crate) fn cover(count: usize, max: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let height = height(count, max);
    (0..count.div_ceil(height)).map(move |i| (height, (i * height).min(count - height)))
}

/// Computes `channels` output channels of every pixel of a tile.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn run<V: Floats>(tile: &Tile<'_>, panel: &[f32], channels: usize, y: &mut [f32]) {
    macro_rules! choose {
        ($($m:literal)*) => {
            match tile.rows {
                $(
                    // SAFETY: the caller's promise.
                    $m if $m <= V::ROWS && channels > V::LANES => unsafe {
                        run_as::<V, $m, 2>(tile, panel, channels, y)
                    },
                    // SAFETY: the caller's promise.
                    $m if $m <= V::ROWS => unsafe { run_as::<V, $m, 1>(tile, panel, channels, y) },
                )*
                rows => unreachable!("no tile has {rows} rows"),
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

/// [`run`] for `M` pixels by `N` vectors.
///
/// Safety: as [`run`].
#[inline(always)]
unsafe fn run_as<V: Floats, const M: usize, const N: usize>(
    tile: &Tile<'_>,
    panel: &[f32],
    channels: usize,
    y: &mut [f32],
) {
    let taps = &tile.taps;
    let width = N * V::LANES;
    assert!(channels <= width && channels > (N - 1) * V::LANES && tile.rows == M);
    assert!(panel.len() >= width * (taps.len() + 1));
    if taps.len() > 0 {
        let last = (M - 1) * tile.x_stride
            + (taps.rows - 1) * taps.row_stride
            + (taps.columns - 1) * taps.column_stride
            + taps.run;
        assert!(tile.x.len() >= last);
    }
    assert!(y.len() >= (M - 1) * tile.y_stride + channels);

    // SAFETY: the caller has the instruction set; by the asserts, bias and weights of every tap lie in `panel`, the
    // taps of every pixel in `x`, and `channels` elements of every pixel in `y`.
    unsafe {
        let mut weights = panel.as_ptr();
        let mut bias = [V::splat(0.0); N];
        for v in 0..N {
            bias[v] = V::load(weights.add(v * V::LANES));
        }
        weights = weights.add(width);
        let mut sums = [bias; M];
        for i in 0..taps.rows {
            for j in 0..taps.columns {
                let mut x = tile.x.as_ptr().add(i * taps.row_stride + j * taps.column_stride);
                for _ in 0..taps.run {
                    let mut w = [V::splat(0.0); N];
                    for v in 0..N {
                        w[v] = V::load(weights.add(v * V::LANES));
                    }
                    for m in 0..M {
                        let x = V::splat(*x.add(m * tile.x_stride));
                        for v in 0..N {
                            sums[m][v] = V::multiply_add(x, w[v], sums[m][v]);
                        }
                    }
                    x = x.wrapping_add(1);
                    weights = weights.wrapping_add(width);
                }
            }
        }
        let [min, max] = tile.clamp;
        let (min, max) = (V::splat(min), V::splat(max));
        for m in 0..M {
            let y = y.as_mut_ptr().add(m * tile.y_stride);
            for v in 0..N {
                let sum = V::clamp(sums[m][v], min, max);
                let to = y.add(v * V::LANES);
                if channels >= (v + 1) * V::LANES {
                    V::store(sum, to);
                } else {
                    V::store_part(sum, to, channels - v * V::LANES);
                }
            }
        }
    }
}
