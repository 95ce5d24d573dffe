//! Depthwise convolutions whose windows are three or five columns wide: tiles of several vectors that lie side by side in
//! a line, so that a vector of the input is read once for all outputs of the tile that it belongs to.
//!
//! A vector is some channels of a pixel; the last one starts as many channels back as it takes to be whole. Where there
//! are half as many channels as lanes, it is two pixels of the line. Packed, per vector: the bias, then the weights of
//! every tap.
#![allow(clippy::needless_range_loop)]

use super::depthwise::{VECTORS, lines};
use super::{Depthwise, Floats, Variant, plain, tile};
use crate::ConvShape;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx;

/// Columns that the widest tile reads: eight windows of five, two apart.
const MOST_COLUMNS: usize = 19;

/// Computes output rows; see [`run`].
type Driver = unsafe fn(&Depthwise<'_>, &[f32], &[f32], &mut [f32], Range<usize>);

/// The drivers for windows of so many columns, so many columns apart, by the vectors of a tile less one: at most eight,
/// since with a line of weights that is what the registers of AVX2 hold.
macro_rules! by_width {
    ($driver:ident, $columns:literal, $apart:literal) => {
        [
            $driver::<$columns, $apart, 1>,
            $driver::<$columns, $apart, 2>,
            $driver::<$columns, $apart, 3>,
            $driver::<$columns, $apart, 4>,
            $driver::<$columns, $apart, 5>,
            $driver::<$columns, $apart, 6>,
            $driver::<$columns, $apart, 7>,
            $driver::<$columns, $apart, 8>,
        ]
    };
}

/// The drivers of an instruction set: for three and for five columns, one and two columns apart.
macro_rules! drivers {
    ($driver:path) => {{
        use $driver as driver;
        const DRIVERS: [[[Driver; 8]; 2]; 2] = [
            [by_width!(driver, 3, 1), by_width!(driver, 3, 2)],
            [by_width!(driver, 5, 1), by_width!(driver, 5, 2)],
        ];
        &DRIVERS
    }};
}

/// The driver for a shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    variant: Variant,
    driver: Driver,
}

impl Windows {
    /// None if there is no driver for such windows or so few channels.
    pub(crate) fn new(variant: Variant, s: &ConvShape, y_stride: usize) -> Option<Windows> {
        let pixels = pixels(s, variant.lanes());
        if s.w == 0 || s.ow < pixels {
            return None;
        }
        let fits = match pixels {
            1 => s.c >= variant.lanes(),
            _ => s.strides[1] == 1 && y_stride == s.c,
        };
        let columns = match s.kernel[1] {
            3 => 0,
            5 => 1,
            _ => return None,
        };
        let apart = s.strides[1].saturating_mul(pixels);
        // Only the columns at both ends of a tile are looked at whether they are in the image.
        let most = s.kernel[1] - 1;
        let right = ((s.ow - 1) * s.strides[1] + most).saturating_sub(s.pad[1] + s.w - 1);
        let inside = s.dilations[1] == 1 && s.pad[1] <= most && right <= most;
        if !fits || !inside || apart > 2 {
            return None;
        }
        let drivers = match variant {
            Variant::Plain => drivers!(plain::windows_plain),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => drivers!(avx::windows_avx2),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => drivers!(avx::windows_avx512),
        };
        let width = tile::height(s.ow / pixels, drivers[0][0].len());
        // Tiles between the first and the last one are not looked at.
        let tiles = s.ow.div_ceil(width * pixels);
        let reach = (width - 1) * apart + s.kernel[1] + pixels - 1;
        let step = width * pixels * s.strides[1];
        if tiles > 2 && (step < s.pad[1] || (tiles - 2) * step + reach > s.w + s.pad[1]) {
            return None;
        }
        Some(Windows { variant, driver: drivers[columns][apart - 1][width - 1] })
    }

    /// The channel that lane `lane` of vector `vector` computes.
    pub(crate) fn channel(&self, s: &ConvShape, vector: usize, lane: usize) -> usize {
        let lanes = self.variant.lanes();
        (first_channel(s, lanes, vector) + lane) % s.c
    }

    /// Computes output rows `rows` of `n * oh`; `y` starts at the first of them. The shape is that of [`Windows::new`].
    ///
    /// Panics if a slice is too short.
    pub(crate) fn run(
        &self,
        call: &Depthwise<'_>,
        packed: &[f32],
        x: &[f32],
        y: &mut [f32],
        rows: Range<usize>,
    ) {
        // SAFETY: the variant was made from an `Isa` of this level, and the driver is one of it.
        unsafe { (self.driver)(call, packed, x, y, rows) }
    }
}

/// Pixels of a vector.
fn pixels(s: &ConvShape, lanes: usize) -> usize {
    if 2 * s.c == lanes { 2 } else { 1 }
}

/// The channel of the first lane of a vector.
fn first_channel(s: &ConvShape, lanes: usize, vector: usize) -> usize {
    (vector * lanes).min(s.c.saturating_sub(lanes))
}

/// Computes output rows `rows` by tiles of `M` vectors of windows of `K` columns, whose windows are `S` columns apart.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
pub(super) unsafe fn run<V: Floats, const K: usize, const S: usize, const M: usize>(
    call: &Depthwise<'_>,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
    rows: Range<usize>,
) {
    let s = call.shape;
    let width = pixels(s, V::LANES) * M;
    let (vectors, tiles) = (s.c.div_ceil(V::LANES), s.ow.div_ceil(width));
    let place = |tile: usize| (tile * width).min(s.ow - width);
    let column = |tile: usize| (place(tile) * s.strides[1]) as isize - s.pad[1] as isize;
    // SAFETY: the caller's promise.
    let [first, last] = unsafe { [masks::<V>(s, column(0)), masks::<V>(s, column(tiles - 1))] };
    // SAFETY: as above.
    let whole = unsafe { [V::mask(0..V::LANES); MOST_COLUMNS] };
    for (i, row) in rows.enumerate() {
        let (ky, top) = lines(s, row);
        for some in (0..vectors).step_by(VECTORS) {
            for at in 0..tiles {
                let masks = match at {
                    0 => &first,
                    _ if at + 1 == tiles => &last,
                    _ => &whole,
                };
                let (column, vectors) = (column(at), some..vectors.min(some + VECTORS));
                let tile = Tile { x, line: top, ky: ky.clone(), column, vectors };
                let y = &mut y[(i * s.ow + place(at)) * call.y_stride..];
                let between = at > 0 && at + 1 < tiles;
                assert!(!between || tile.is_inside::<V, K, S, M>(s));
                // SAFETY: the caller's promise; the masks are those of the tile's columns.
                unsafe { tile.run::<V, K, S, M>(call, masks, packed, y) }
            }
        }
    }
}

/// The lanes that lie in the image, of the vectors at a column and at those behind it.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn masks<V: Floats>(s: &ConvShape, column: isize) -> [V::Mask; MOST_COLUMNS] {
    let pixels = pixels(s, V::LANES);
    let lane = |pixel: isize| pixel.clamp(0, pixels as isize) as usize * (V::LANES / pixels);
    // SAFETY: the caller's promise.
    let mut masks = unsafe { [V::mask(0..0); MOST_COLUMNS] };
    for j in 0..MOST_COLUMNS {
        let column = column + j as isize;
        let first = lane(-column);
        // SAFETY: the caller's promise.
        masks[j] = unsafe { V::mask(first..lane(s.w as isize - column).max(first)) };
    }
    masks
}

/// Some vectors that lie side by side in a line, of some channels.
struct Tile<'a> {
    /// All of the input, and the line in it that the first of these taps is in.
    x: &'a [f32],
    line: usize,
    /// Lines of taps that are in the image.
    ky: Range<usize>,
    /// The column of the first tap of the first vector: below 0 if it is in the padding.
    column: isize,
    /// Which vectors of the channels.
    vectors: Range<usize>,
}

impl Tile<'_> {
    /// True if all of its columns are in the image.
    #[inline(always)]
    fn is_inside<V: Floats, const K: usize, const S: usize, const M: usize>(&self, s: &ConvShape) -> bool {
        let columns = (M - 1) * S + K + pixels(s, V::LANES) - 1;
        self.column >= 0 && self.column + columns as isize <= s.w as isize
    }

    /// `y` starts at the first pixel.
    ///
    /// Safety: the processor has `V`'s instruction set, and `masks` are [those](masks) of the tile's column, or all
    /// lanes and the tile is inside.
    #[inline(always)]
    unsafe fn run<V: Floats, const K: usize, const S: usize, const M: usize>(
        self,
        call: &Depthwise<'_>,
        masks: &[V::Mask; MOST_COLUMNS],
        packed: &[f32],
        y: &mut [f32],
    ) {
        let s = call.shape;
        let pixels = pixels(s, V::LANES);
        let between = if pixels == 1 { call.y_stride } else { V::LANES };
        let (len, row) = (s.w * s.c, s.dilations[0] * s.w * s.c);
        let columns = (M - 1) * S + K;
        // Columns that are in the image however the tile lies.
        let middle = K - 1..columns - (K - 1);
        let vector = (s.kernel[0] * K + 1) * V::LANES;
        assert!(self.ky.end <= s.kernel[0] && packed.len() >= self.vectors.end * vector);
        assert!(self.ky.is_empty() || self.line * len + (self.ky.len() - 1) * row + len <= self.x.len());
        assert!(s.c >= V::LANES || pixels * s.c == V::LANES && self.vectors.end <= 1);
        assert!(y.len() >= (M - 1) * between + s.c.max(V::LANES));
        assert!(
            middle.is_empty()
                || self.column + middle.start as isize >= 0
                    && self.column + (middle.end + pixels - 1) as isize <= s.w as isize
        );
        // SAFETY: the caller has the instruction set. By the asserts, bias and taps lie in `packed`, whole lines in `x`,
        // of which nothing outside is read, and the outputs in `y`: the last vector of a pixel ends with its channels.
        unsafe {
            let (min, max) = (V::splat(call.clamp[0]), V::splat(call.clamp[1]));
            for b in self.vectors {
                let c = first_channel(s, V::LANES, b);
                let packed = packed.as_ptr().add(b * vector);
                let mut sums = [V::load(packed); M];
                let mut weights = packed.add((self.ky.start * K + 1) * V::LANES);
                let start = (self.line * len + c) as isize + self.column * s.c as isize;
                let mut line = self.x.as_ptr().wrapping_offset(start);
                for _ in self.ky.clone() {
                    let mut w = [V::splat(0.0); K];
                    for k in 0..K {
                        w[k] = V::load(weights.add(k * V::LANES));
                    }
                    // Written out: a loop over columns would keep the sums in memory.
                    macro_rules! columns {
                        ($($j:literal)*) => {$(
                            if $j < columns {
                                let from = line.wrapping_add($j * s.c);
                                let x = if middle.contains(&$j) {
                                    V::load(from)
                                } else {
                                    V::load_masked(from, masks[$j])
                                };
                                for k in 0..K {
                                    if $j >= k && ($j - k) % S == 0 && ($j - k) / S < M {
                                        let m = ($j - k) / S;
                                        sums[m] = V::multiply_add(x, w[k], sums[m]);
                                    }
                                }
                            }
                        )*};
                    }
                    columns!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
                    weights = weights.wrapping_add(K * V::LANES);
                    line = line.wrapping_add(row);
                }
                for m in 0..M {
                    V::store(V::clamp(sums[m], min, max), y.as_mut_ptr().add(m * between + c));
                }
            }
        }
    }
}
