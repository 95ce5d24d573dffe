//! Depthwise convolution of any window on vectors of channels.
//!
//! Channels are taken in blocks of one byte vector. For one output row and one block, the kernel rows' bytes of
//! every input column are interleaved once: 32-bit words that hold the taps of one channel, ready for a dot
//! product with 32-bit words of weights. Every output pixel then reads the columns that its window covers.
//! Bias, multipliers and weights are packed in the order of these words.
//!
//! Where a pixel has so few channels that several fill a vector (and the stride is 1), a vector covers that many
//! neighbouring pixels instead.
//!
//! The usual windows have a driver of their own ([`windows`]).
//!
//! The loops are plain functions that are always inlined into one entry point per instruction set; no closures,
//! as these would be compiled without it.
//!
//! Packed, per block: 64 bytes of which the first is the number of its parts, bias i32, multiplier f32 (both in word
//! order), offset f32 (likewise) if there are any, then for each part, each kernel column and each group of kernel rows
//! four vectors of weight words. A weight is the sum of its parts; most blocks have one.

#![allow(clippy::needless_range_loop)]

use super::QDepthwise;
use super::vectors::{Vectors, channel_of_word, load_four, part_of, store_four};
use super::windows::{self, Windows};
use crate::Filter;
use std::ops::Range;

/// Bytes of interleaved columns that are worked on at a time: well within a first-level cache.
const TILE_BYTES: usize = 24 << 10;

/// Bytes in front of a block's biases.
const BLOCK_HEADER: usize = 64;

/// Most output pixels that are computed together on any instruction set.
const MAX_PIXELS: usize = 4;

/// Sizes that follow from a shape.
struct Layout {
    /// Groups of kernel rows.
    groups: usize,
    /// Pixels that one vector covers.
    together: usize,
    /// Channel blocks.
    blocks: usize,
    /// Bytes of one interleaved column.
    column: usize,
    /// The most parts that a block has.
    parts: usize,
    /// Where in a block, counted from its biases, the weights start.
    weights: usize,
    /// Packed bytes of one block.
    block_bytes: usize,
    /// Output pixels of a tile.
    tile: usize,
    /// Input columns of a tile.
    columns: usize,
}

impl Layout {
    fn new<V: Vectors>(conv: &QDepthwise) -> Layout {
        let (shape, y_stride) = (&conv.shape, conv.y_stride);
        let parts = if V::WIDE_WEIGHTS { 1 } else { conv.parts };
        let groups = shape.kernel[0].div_ceil(V::TAPS);
        let fits =
            shape.c > 0 && V::BYTES.is_multiple_of(shape.c) && shape.strides[1] == 1 && y_stride == shape.c;
        let together = if fits { V::BYTES / shape.c } else { 1 };
        let column = groups * 4 * V::BYTES;
        let weights = if conv.offsets { 12 } else { 8 } * V::BYTES;
        let at_once = together * V::PIXELS;
        let reach = (shape.kernel[1] - 1).saturating_mul(shape.dilations[1]);
        let room = (TILE_BYTES / column).saturating_sub(reach + 1) / shape.strides[1] + 1;
        let tile = room.min(shape.ow).next_multiple_of(at_once);
        Layout {
            groups,
            together,
            blocks: shape.c.div_ceil(V::BYTES),
            column,
            parts,
            weights,
            block_bytes: BLOCK_HEADER + weights + parts * shape.kernel[1] * column,
            tile,
            columns: ((tile - 1) * shape.strides[1]).saturating_add(reach + 1),
        }
    }
}

/// Which of the packed layouts.
pub(crate) fn form<V: Vectors>(conv: &QDepthwise) -> u32 {
    match Windows::new::<V>(conv) {
        Some(windows) => windows.form(),
        None => u32::from(Layout::new::<V>(conv).together > 1),
    }
}

/// Parts of threads best start at multiples of so many lines.
pub(crate) fn grain<V: Vectors>(conv: &QDepthwise) -> usize {
    Windows::new::<V>(conv).map_or(1, |windows| windows.grain())
}

pub(crate) fn packed_len<V: Vectors>(conv: &QDepthwise) -> usize {
    if let Some(windows) = Windows::new::<V>(conv) {
        return windows.packed_len();
    }
    let layout = Layout::new::<V>(conv);
    layout.blocks * layout.block_bytes
}

pub(crate) fn scratch_len<V: Vectors>(conv: &QDepthwise) -> usize {
    if let Some(windows) = Windows::new::<V>(conv) {
        return windows.scratch_len();
    }
    let layout = Layout::new::<V>(conv);
    // The border row, the columns, and what aligning them may cost.
    V::BYTES.saturating_add(layout.columns.saturating_mul(layout.column)).saturating_add(64)
}

pub(crate) fn pack<V: Vectors>(conv: &QDepthwise, filter: &Filter<'_>, packed: &mut [u8]) {
    if let Some(windows) = Windows::new::<V>(conv) {
        return windows.pack::<V>(conv, filter, packed);
    }
    let shape = &conv.shape;
    let [kh, kw] = shape.kernel;
    let layout = Layout::new::<V>(conv);
    packed[..layout.blocks * layout.block_bytes].fill(0);
    for (b, packed) in packed.chunks_exact_mut(layout.block_bytes).take(layout.blocks).enumerate() {
        for i in 0..V::BYTES {
            let byte = b * V::BYTES + channel_of_word::<V>(i);
            let c = if layout.together > 1 { byte % shape.c } else { byte };
            if c >= shape.c {
                continue;
            }
            let (header, packed) = packed.split_at_mut(BLOCK_HEADER);
            let mut put = |at: usize, bytes: [u8; 4]| packed[at + 4 * i..][..4].copy_from_slice(&bytes);
            put(0, conv.folded_bias(filter, c).to_le_bytes());
            put(4 * V::BYTES, filter.multiplier[c].to_le_bytes());
            if conv.offsets {
                put(8 * V::BYTES, filter.offset[c].to_le_bytes());
            }
            for kx in 0..kw {
                for g in 0..layout.groups {
                    let mut left = [0; 4];
                    for (t, tap) in left.iter_mut().enumerate().take(V::TAPS) {
                        let ky = g * V::TAPS + t;
                        if ky < kh {
                            *tap = conv.weight(filter, c, ky * kw + kx);
                        }
                    }
                    for part in 0..layout.parts {
                        let taps = part_of::<V>(&mut left);
                        if taps != [0; 4] {
                            header[0] = header[0].max(part as u8 + 1);
                        }
                        let at = (part * kw + kx) * layout.groups + g;
                        put(layout.weights + at * 4 * V::BYTES, V::weights(taps));
                    }
                }
            }
        }
    }
}

/// Where the bytes of one kernel row are: a row of the image, or the border, whose columns are all the same.
#[derive(Clone, Copy)]
struct RowSource {
    start: *const u8,
    /// Bytes from one column to the next.
    step: usize,
}

/// What all parts of one call share.
struct Call<'a, V: Vectors> {
    conv: &'a QDepthwise,
    layout: Layout,
    bounds: V::Bounds,
    /// What lies beside the image.
    border: RowSource,
}

/// Safety: the processor has `V`'s instruction set; the slices are as [`QDepthwise::run`] has checked them.
#[inline(always)]
pub(crate) unsafe fn run<V: Vectors>(
    conv: &QDepthwise,
    packed: &[u8],
    x: &[u8],
    y: &mut [u8],
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    if let Some(windows) = Windows::new::<V>(conv) {
        // SAFETY: the caller's promise.
        return unsafe { windows::run::<V>(conv, &windows, packed, x, y, rows, scratch) };
    }
    let s = &conv.shape;
    let layout = Layout::new::<V>(conv);
    let aligned = scratch.as_ptr().align_offset(64).min(64);
    let (columns, border) = scratch[aligned..].split_at_mut(layout.columns * layout.column);
    border[..V::BYTES].fill(conv.x_zero_point);
    let border = RowSource { start: border.as_ptr(), step: 0 };
    let packed = &packed[..layout.blocks * layout.block_bytes];
    // SAFETY: the caller has the instruction set.
    let call = Call::<V> { conv, layout, bounds: unsafe { V::bounds(conv.out) }, border };
    let layout = &call.layout;
    for (i, row) in rows.enumerate() {
        let (image, oy) = (row / s.oh, row % s.oh);
        for (b, packed) in packed.chunks_exact(layout.block_bytes).enumerate() {
            let c0 = b * V::BYTES;
            for left in (0..s.ow).step_by(layout.tile) {
                let width = layout.tile.min(s.ow - left);
                for g in 0..layout.groups {
                    let sources = sources(conv, x, border, [image, oy, c0], g * V::TAPS);
                    let to = &mut columns[g * 4 * V::BYTES..];
                    // SAFETY: see `fill_columns`; image rows are inside `x`.
                    unsafe { fill_columns::<V>(&call, sources, left, width, to) };
                }
                let at = (i * s.ow + left) * conv.y_stride + c0;
                let y = &mut y[at..];
                // SAFETY: the instruction set is the caller's promise.
                unsafe { dot_tile::<V>(&call, packed, columns, width, s.c - c0, y) };
            }
        }
    }
}

/// Where the bytes of four kernel rows from `first` on are, under line `oy` of an image, from channel `c0` on.
#[inline(always)]
fn sources(
    conv: &QDepthwise,
    x: &[u8],
    border: RowSource,
    [image, oy, c0]: [usize; 3],
    first: usize,
) -> [RowSource; 4] {
    let s = &conv.shape;
    let mut sources = [border; 4];
    for (t, source) in sources.iter_mut().enumerate() {
        // Rows behind the last have weights of 0: any bytes do.
        let ky = (first + t).min(s.kernel[0] - 1);
        if let Some(iy) = (oy * s.strides[0] + ky * s.dilations[0]).checked_sub(s.pad[0])
            && iy < s.h
        {
            let at = (image * s.h + iy) * s.w * s.c + c0;
            *source = RowSource { start: x[at..].as_ptr(), step: s.c };
        }
    }
    sources
}

/// Interleaves the columns that `width` output pixels from `left` on need.
///
/// Safety: as [`run`]; every source that is a row of the image has `w * c` bytes (less the block's start) and
/// [`SLACK`](crate::SLACK) behind the image.
#[inline(always)]
unsafe fn fill_columns<V: Vectors>(
    call: &Call<'_, V>,
    sources: [RowSource; 4],
    left: usize,
    width: usize,
    to: &mut [u8],
) {
    let (s, layout) = (&call.conv.shape, &call.layout);
    let last = (width.next_multiple_of(layout.together) - layout.together) * s.strides[1];
    let count = last + (s.kernel[1] - 1) * s.dilations[1] + 1;
    assert!(to.len() >= (count - 1) * layout.column + 4 * V::BYTES);
    // Columns are counted from the left edge of the padding.
    let first = left * s.strides[1];
    let end = first + count;
    let inside =
        s.pad[1].clamp(first, end)..(s.pad[1] + s.w + 1).saturating_sub(layout.together).clamp(first, end);
    let mut to = to.as_mut_ptr();
    for column in first..inside.start {
        // SAFETY: `count` columns fit `to`, as asserted.
        unsafe { edge_column::<V>(call, sources, column, to) };
        to = to.wrapping_add(layout.column);
    }
    for column in inside.start..inside.end.max(inside.start) {
        let ix = column - s.pad[1];
        // SAFETY: pixels `ix .. ix + together` are in the image; a vector that reaches behind the last one ends
        // within the slack. `count` columns fit `to`, as asserted.
        unsafe {
            let [a, b, c, d] = sources;
            let rows = [
                V::load(a.start.add(ix * a.step)),
                V::load(b.start.add(ix * b.step)),
                V::load(c.start.add(ix * c.step)),
                V::load(d.start.add(ix * d.step)),
            ];
            store_four::<V>(V::interleave(rows), to);
        }
        to = to.wrapping_add(layout.column);
    }
    for column in inside.end.max(inside.start)..end {
        // SAFETY: `count` columns fit `to`, as asserted.
        unsafe { edge_column::<V>(call, sources, column, to) };
        to = to.wrapping_add(layout.column);
    }
}

/// A column of which some pixels, or all, lie beside the image.
///
/// Safety: as [`fill_columns`]; `to` has room for four vectors.
#[inline(always)]
unsafe fn edge_column<V: Vectors>(call: &Call<'_, V>, sources: [RowSource; 4], column: usize, to: *mut u8) {
    let (s, layout) = (&call.conv.shape, &call.layout);
    if layout.together == 1 {
        // SAFETY: the border is a vector of bytes; the caller has the instruction set.
        unsafe {
            let border = V::load(call.border.start);
            store_four::<V>(V::interleave([border; 4]), to);
        }
        return;
    }
    let mut bytes = [[call.conv.x_zero_point; 64]; 4];
    for p in 0..layout.together {
        let Some(ix) = (column + p).checked_sub(s.pad[1]).filter(|&ix| ix < s.w) else { continue };
        for (bytes, row) in bytes.iter_mut().zip(sources) {
            let to = bytes[p * s.c..(p + 1) * s.c].as_mut_ptr();
            // SAFETY: pixel `ix` is in the image, and the border has a vector of bytes.
            unsafe { std::ptr::copy_nonoverlapping(row.start.add(ix * row.step), to, s.c) };
        }
    }
    let [a, b, c, d] = &bytes;
    // SAFETY: 64 bytes are a vector at least, and the caller has the instruction set.
    unsafe {
        let rows = [V::load(a.as_ptr()), V::load(b.as_ptr()), V::load(c.as_ptr()), V::load(d.as_ptr())];
        store_four::<V>(V::interleave(rows), to);
    }
}

/// Computes `width` output pixels from their columns; `left` channels are in this block or behind it.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn dot_tile<V: Vectors>(
    call: &Call<'_, V>,
    packed: &[u8],
    columns: &[u8],
    width: usize,
    left: usize,
    y: &mut [u8],
) {
    let (layout, y_stride) = (&call.layout, call.conv.y_stride);
    let s = &call.conv.shape;
    let step = s.strides[1] * layout.together * layout.column;
    let mut done = 0;
    while done < width {
        let vectors = (width - done).div_ceil(layout.together).min(V::PIXELS);
        let at = done / layout.together * step;
        // A vector past the last pixel computes the last one again: its columns are filled.
        let mut starts = [at; MAX_PIXELS];
        for (p, start) in starts.iter_mut().enumerate() {
            *start += p.min(vectors - 1) * step;
        }
        // SAFETY: the caller's promise.
        let results = unsafe { dot_pixels::<V>(call, packed, columns, starts) };
        for p in 0..vectors {
            let result = results[p];
            let pixel = done + p * layout.together;
            let bytes = if layout.together > 1 {
                (width - pixel).min(layout.together) * s.c
            } else {
                left.min(V::BYTES)
            };
            let y = &mut y[pixel * y_stride..][..bytes];
            // SAFETY: `y` has `bytes` bytes, at most a vector.
            unsafe {
                if bytes == V::BYTES {
                    V::store(result, y.as_mut_ptr());
                } else {
                    V::store_part(result, y.as_mut_ptr(), bytes);
                }
            }
        }
        done += vectors * layout.together;
    }
}

/// Window sums of `V::PIXELS` vectors whose first columns start at `starts`, requantized. (Where `V::PIXELS` is
/// less than the array, the rest repeats the first.)
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn dot_pixels<V: Vectors>(
    call: &Call<'_, V>,
    packed: &[u8],
    columns: &[u8],
    starts: [usize; MAX_PIXELS],
) -> [V::Word; MAX_PIXELS] {
    let (conv, layout, bounds) = (call.conv, &call.layout, call.bounds);
    let (kw, groups, column) = (conv.shape.kernel[1], layout.groups, layout.column);
    let column_step = conv.shape.dilations[1] * column;
    let reach = (kw - 1) * column_step + column;
    let parts = usize::from(packed[0]).min(layout.parts);
    let packed = &packed[BLOCK_HEADER..];
    assert!(packed.len() >= layout.weights + parts * kw * column);
    assert!(starts.iter().all(|&s| s + reach <= columns.len()));
    // SAFETY: by the assert, `packed` starts with four vectors of bias.
    let mut sums = [unsafe { load_four::<V>(packed.as_ptr()) }; MAX_PIXELS];
    // SAFETY: by the assert, a block holds bias, multipliers, offsets if there are any, and `parts * kw * groups` quads of
    // weights.
    let mut weights = unsafe { packed.as_ptr().add(layout.weights) };
    for _ in 0..parts {
        for kx in 0..kw {
            for g in 0..groups {
                // SAFETY: as said where `weights` was made.
                let w = unsafe { load_four::<V>(weights) };
                weights = weights.wrapping_add(4 * V::BYTES);
                let at = kx * column_step + g * 4 * V::BYTES;
                for p in 0..V::PIXELS {
                    // SAFETY: by the assert, `reach` bytes from every start lie in `columns`.
                    let x = unsafe { load_four::<V>(columns.as_ptr().add(starts[p] + at)) };
                    for v in 0..4 {
                        // SAFETY: the caller has the instruction set.
                        sums[p][v] = unsafe { V::dot(sums[p][v], x[v], w[v]) };
                    }
                }
            }
        }
    }
    // SAFETY: by the assert, the multipliers follow the bias.
    let multipliers = unsafe { load_four::<V>(packed.as_ptr().add(4 * V::BYTES)) };
    if conv.offsets {
        // SAFETY: by the assert, the offsets follow the multipliers; the caller has the instruction set.
        unsafe {
            let offsets = load_four::<V>(packed.as_ptr().add(8 * V::BYTES));
            for p in 0..V::PIXELS {
                for v in 0..4 {
                    sums[p][v] = V::scale_and_add(sums[p][v], multipliers[v], offsets[v], bounds);
                }
            }
        }
    } else {
        for p in 0..V::PIXELS {
            for v in 0..4 {
                // SAFETY: the caller has the instruction set.
                sums[p][v] = unsafe { V::scale(sums[p][v], multipliers[v], true, bounds) };
            }
        }
    }
    // SAFETY: the caller has the instruction set.
    let mut results = [unsafe { narrow::<V>(sums[0], bounds) }; MAX_PIXELS];
    for p in 1..V::PIXELS {
        // SAFETY: the caller has the instruction set.
        results[p] = unsafe { narrow::<V>(sums[p], bounds) };
    }
    results
}

/// Scaled words to bytes in channel order.
///
/// Safety: the processor has `V`'s instruction set.
#[inline(always)]
unsafe fn narrow<V: Vectors>([a, b, c, d]: [V::Word; 4], bounds: V::Bounds) -> V::Word {
    // SAFETY: the caller's promise.
    unsafe { V::whole(V::half(a, b, bounds), V::half(c, d, bounds), bounds) }
}
