//! Depthwise convolution with windows of 3x3 and 5x5, stride 1 or 2.
//!
//! At stride 1 words of columns are made in scratch, tile by tile, for pairs of output lines, so that words of four rows
//! serve both: for 3x3 the rows 0 to 3 under the pair, met by weights `(w0, w1, w2, 0)` for the upper line and
//! `(0, w0, w1, w2)` for the lower; for 5x5 the rows 1 to 4, met by `(w1, w2, w3, w4)` and `(w0, w1, w2, w3)`. What 5x5
//! then lacks is one outer row for each line (0 and 5). Its words hold four columns: a window's five columns lie in two
//! of them, wherever it starts, and meet the weights of that phase. So 25 taps are seven words, where columns of rows
//! alone would take ten. Words of two taps (AVX2) hold all rows of a pair.
//!
//! At stride 2 words hold patches of 2x2 (AVX2: of 1x2), of which four or nine lie under a window. A patch has the same
//! place in all windows that it is part of, left or right, on this line or the next, so that each is made only once, one
//! for each output (`patches.rs`). Words of columns would be two or five for each, made of rows that are read again for
//! the next line.
//!
//! Where there are registers for it, 3x3 goes line by line through a stream of columns in registers instead
//! (`stream.rs`), at stride 2 with the words of the upper line.
//!
//! The best mix for 64 outputs on AVX-512, in vector instructions besides loads and stores: to make words 8 for each
//! quad of them (3x3: a quad for each column; 5x5 at stride 1: one of columns for two lines, and a fourth of one of an
//! outer row; at stride 2: a patch), products 12, 28 or 36, to requantize 19. Of all these four can be done at a time, of
//! products and multiplications by floats only two.
//!
//! | window, stride | words | products | requantize | cycles | multiply-adds a cycle | of what whole words reach |
//! |---|---|---|---|---|---|---|
//! | 3x3, 1 | 8 | 12 | 19 | 9.75 | 59 | 46 % |
//! | 3x3, 2 | 16 | 12 | 19 | 11.75 | 49 | 38 % |
//! | 5x5, 1 | 6 | 28 | 19 | 16 | 100 | 78 % |
//! | 5x5, 2 | 8 | 36 | 19 | 20 | 80 | 62 % |
//!
//! Of that, 3x3 reaches 49 to 74 % at stride 1 and 44 to 72 % at stride 2 where vectors are full, 5x5 less than half: its
//! words go through memory, and making them does not overlap with products. Shares per shape are in
//! `docs/performance.md`.
//!
//! Each block's weights are asked for while the block before is computed: in a network they come from far caches.
//!
//! Where a block has so few channels that they fill half or a quarter of a vector, its pieces hold as many parts of a
//! band, or as many lines (streams).
//!
//! Lines go block by block of channels, in bands of some hundred pixels or more, so that weights are read from the first
//! cache.
//!
//! Packed, per block: 64 bytes of which the first is the number of its parts and the second says whether some multiplier
//! is large; then for each of the four vectors of words its bias i32, multiplier f32, for each part the words for
//! the columns `[group of rows][kernel column][line]` and for the outer rows `[line][phase][2]`, or those for patches
//! `[row of patches][patch]`, and its offset f32 if there are any.

mod columns;
mod lines;
mod patches;
mod stream;
mod tile;
mod words;

pub(super) use lines::{Ahead, Call, Span};
pub(super) use stream::stream;

use super::QDepthwise;
use super::vectors::{Vectors, channel_of_word, part_of};
use crate::prefetch::{Cache, prefetch};
use crate::{ConvShape, Filter};
use columns::{ColumnWords, PHASES};
use patches::{across, down, patch_rows};
use std::ops::Range;

/// Bytes of words that are worked on at a time: well within a first-level cache.
const TILE_BYTES: usize = 24 << 10;

/// As much for the words of patches, all of which are read for each line.
const PATCH_BYTES: usize = 28 << 10;

/// Output pixels of a band, for which a block's weights are read from a far cache once.
const BAND: usize = 256;

/// Bytes of the image under a band, which go through the first cache for each block.
const BAND_BYTES: usize = 128 << 10;

/// The same where words are in patches: at the head of each band several rows of them are made for a line.
const PATCHES_BAND_BYTES: usize = 512 << 10;

/// Packed weights of this size are hardly in near caches when their layer's turn comes; less is not worth asking for.
const FAR_BYTES: usize = 16 << 10;

/// Bytes in front of a block's words.
const BLOCK_HEADER: usize = 64;

/// Words hold patches instead of columns.
#[inline(always)]
const fn in_patches<V: Vectors>(k: usize, stride: usize) -> bool {
    stride == 2 && (k == 5 || !V::STREAMS)
}

/// Lines whose weights are packed.
#[inline(always)]
const fn packed_lines(stride: usize) -> usize {
    3 - stride
}

/// Sizes that follow from a shape.
pub(super) struct Windows {
    /// Channels.
    c: usize,
    /// Bytes of a row of the image, and a vector.
    border_len: usize,
    /// Height and width of a window.
    k: usize,
    stride: usize,
    /// Words hold patches instead of columns.
    patches: bool,
    /// Bytes of a word that count.
    taps: usize,
    /// Bytes of a vector.
    bytes: usize,
    /// The most parts that a weight has.
    parts: usize,
    /// Vectors of weights of one part, in one of four vectors of words.
    part: usize,
    /// There is a vector of offsets behind them.
    offsets: bool,
    /// Output pixels of a tile: a multiple of four.
    tile: usize,
    /// Bytes of a tile's words, outer ones apart.
    words_len: usize,
    /// Bytes of one line's outer words in a tile.
    outer_len: usize,
}

impl Windows {
    /// `None` if the shape's windows are others.
    pub fn new<V: Vectors>(conv: &QDepthwise) -> Option<Windows> {
        let s = &conv.shape;
        let ([k, kw], [stride, right]) = (s.kernel, s.strides);
        // One or two channels go further with neighbouring pixels in a vector.
        let few = s.c <= 2 && stride == 1;
        if !(matches!(k, 3 | 5) && kw == k && matches!(stride, 1 | 2) && right == stride)
            || s.dilations != [1, 1]
            || few
        {
            return None;
        }
        let quad = 4 * V::BYTES;
        let (part, tile, words_len, outer_len);
        let patches = in_patches::<V>(k, stride);
        if patches {
            let (across, down) = (across(k), down(V::TAPS, k));
            let row = (PATCH_BYTES / (quad * down) - (across - 1)) / 4 * 4;
            part = down * across;
            tile = s.ow.max(1).next_multiple_of(4).min(row);
            words_len = (tile + across - 1) * down * quad;
            outer_len = 0;
        } else {
            let words = ColumnWords::new(V::TAPS, k);
            let outer = if words.outer { PHASES * 2 } else { 0 };
            part = packed_lines(stride) * (words.groups * k + outer);
            tile = s.ow.max(1).next_multiple_of(4).min(TILE_BYTES / (quad * words.groups) / 4 * 4);
            words_len = (tile - 1 + k) * words.groups * quad;
            outer_len = if words.outer { ((tile - 1) / PHASES + 2) * quad } else { 0 };
        }
        let parts = if V::WIDE_WEIGHTS { 1 } else { conv.parts };
        Some(Windows {
            c: s.c,
            border_len: (s.w * s.c + V::BYTES).next_multiple_of(64),
            k,
            stride,
            patches,
            taps: V::TAPS,
            bytes: V::BYTES,
            parts,
            part,
            offsets: conv.offsets,
            tile,
            words_len,
            outer_len,
        })
    }

    /// Which of the packed layouts: the one for pairs of lines, for lines at stride 2, or for patches.
    pub fn form(&self) -> u32 {
        if self.patches { 4 } else { 1 + self.stride as u32 }
    }

    /// Lines of the output that are computed together at most.
    pub fn grain(&self) -> usize {
        packed_lines(self.stride) * self.pieces(self.c.clamp(1, self.bytes))
    }

    /// Bytes of one of four vectors of words, with its weights.
    fn quarter(&self) -> usize {
        self.offsets_at() + if self.offsets { self.bytes } else { 0 }
    }

    /// Bytes of it in front of its offsets.
    fn offsets_at(&self) -> usize {
        (2 + self.parts * self.part) * self.bytes
    }

    fn block_bytes(&self) -> usize {
        BLOCK_HEADER + 4 * self.quarter()
    }

    pub fn packed_len(&self) -> usize {
        self.c.div_ceil(self.bytes) * self.block_bytes()
    }

    /// A row of the border, a tile's words, and what aligning them may cost.
    pub fn scratch_len(&self) -> usize {
        self.border_len + self.words_len + packed_lines(self.stride) * self.outer_len + 64
    }

    /// Lines of a band.
    fn band(&self, s: &ConvShape) -> usize {
        if self.patches {
            return 1 + PATCHES_BAND_BYTES / (self.stride * s.w * s.c).max(1);
        }
        let most = 1 + BAND_BYTES / (self.stride * s.w * s.c).max(1);
        (BAND / s.ow).clamp(1, most).next_multiple_of(self.grain())
    }

    /// Pieces of a vector that each hold `channels`.
    fn pieces(&self, channels: usize) -> usize {
        self.bytes / 16 / channels.div_ceil(16)
    }

    pub fn pack<V: Vectors>(&self, conv: &QDepthwise, filter: &Filter<'_>, packed: &mut [u8]) {
        packed[..self.packed_len()].fill(0);
        let blocks = packed.chunks_exact_mut(self.block_bytes());
        for (c0, packed) in (0..self.c).step_by(V::BYTES).zip(blocks) {
            let channels = (self.c - c0).min(V::BYTES);
            let piece = V::BYTES / self.pieces(channels);
            let (header, quarters) = packed.split_at_mut(BLOCK_HEADER);
            for i in 0..V::BYTES {
                let within = channel_of_word::<V>(i) % piece;
                if within >= channels {
                    continue;
                }
                let (c, words) = (c0 + within, V::BYTES / 4);
                let (quarter, word) = (&mut quarters[i / words * self.quarter()..], i % words);
                let mut put = |at: usize, bytes: [u8; 4]| {
                    quarter[at * V::BYTES + 4 * word..][..4].copy_from_slice(&bytes);
                };
                put(0, conv.folded_bias(filter, c).to_le_bytes());
                put(1, filter.multiplier[c].to_le_bytes());
                if conv.offsets {
                    put(self.offsets_at() / V::BYTES, filter.offset[c].to_le_bytes());
                }
                let size = filter.multiplier[c].abs();
                if size >= 1.0 || size.is_nan() {
                    header[1] = 1;
                }
                for at in 0..self.part {
                    let mut left = self.taps(at).map(|tap| match tap {
                        Some(tap) => conv.weight(filter, c, tap),
                        None => 0,
                    });
                    for part in 0..self.parts {
                        let taps = part_of::<V>(&mut left);
                        if taps != [0; 4] {
                            header[0] = header[0].max(part as u8 + 1);
                        }
                        put(2 + part * self.part + at, V::weights(taps));
                    }
                }
            }
        }
    }

    /// The taps of a window in weight word `at` of a part.
    fn taps(&self, at: usize) -> [Option<usize>; 4] {
        let (n, k, stride) = (self.taps, self.k, self.stride);
        if self.patches {
            return [0, 1, 2, 3].map(|t| {
                let (ky, kx) = (at / across(k) * patch_rows(n) + t / 2, at % across(k) * 2 + t % 2);
                (t < n && ky < k && kx < k).then_some(ky * k + kx)
            });
        }
        let (lines, words) = (packed_lines(stride), ColumnWords::new(n, k));
        let columns = lines * words.groups * k;
        [0, 1, 2, 3].map(|t| {
            if at >= columns {
                let (line, phase, half) =
                    ((at - columns) / (2 * PHASES), (at - columns) / 2 % PHASES, (at - columns) % 2);
                let kx = (4 * half + t).checked_sub(phase).filter(|&kx| kx < k)?;
                return Some(if line == 0 { kx } else { (k - 1) * k + kx });
            }
            let (group, kx, line) = (at / (k * lines), at / lines % k, at % lines);
            let first = usize::from(words.outer);
            let ky = (first + group * n + t).checked_sub(line).filter(|&ky| t < n && ky < k)?;
            Some(ky * k + kx)
        })
    }
}

/// Safety: the processor has `V`'s instruction set; `windows` are those of `conv`, and the slices are as
/// [`QDepthwise::run`] has checked them.
#[inline(always)]
pub(super) unsafe fn run<V: Vectors>(
    conv: &QDepthwise,
    windows: &Windows,
    packed: &[u8],
    x: &[u8],
    y: &mut [u8],
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    let s = &conv.shape;
    let aligned = scratch.as_ptr().align_offset(64).min(64);
    let (border, words) = scratch[aligned..].split_at_mut(windows.border_len);
    border.fill(conv.x_zero_point);
    let words = words[..windows.words_len + packed_lines(windows.stride) * windows.outer_len].as_mut_ptr();
    let border = border.as_ptr();
    // SAFETY: the caller has the instruction set.
    let call = unsafe { lines::Call::<V> { conv, windows, bounds: V::bounds(conv.out), border, x, words } };
    let line = s.ow * conv.y_stride;
    let band = windows.band(s);
    let block_bytes = windows.block_bytes();
    let packed = &packed[..windows.packed_len()];
    // Each block's weights are asked for while the block before is computed, the first's now.
    let ahead = if packed.len() < FAR_BYTES { 0 } else { block_bytes };
    ask(&packed[..ahead]);
    let first = rows.start;
    let mut row = first;
    while row < rows.end {
        let (image, oy) = (row / s.oh, row % s.oh);
        let count = band.min(rows.end - row).min(s.oh - oy);
        let share = ahead.div_ceil(count).next_multiple_of(64);
        for (b, c0) in (0..s.c).step_by(V::BYTES).enumerate() {
            let (block, behind) = packed[b * block_bytes..].split_at(block_bytes);
            let mut next = Ahead { bytes: &behind[..ahead.min(behind.len())], share };
            let channels = (s.c - c0).min(V::BYTES);
            let (header, quarters) = block.split_at(BLOCK_HEADER);
            let block = lines::Block {
                c0,
                channels,
                pieces: windows.pieces(channels),
                parts: usize::from(header[0]).min(windows.parts),
                large: header[1] != 0,
                quarters,
            };
            let mut done = 0;
            while done < count {
                let y = &mut y[(row - first + done) * line + c0..];
                let at = [image, oy + done, count - done];
                // SAFETY: the caller's promise.
                done += unsafe {
                    match (windows.k, windows.stride) {
                        (3, 1) => lines::compute::<V, 3, 1>(&call, &block, at, &mut next, y),
                        (3, _) => lines::compute::<V, 3, 2>(&call, &block, at, &mut next, y),
                        (_, 1) => lines::compute::<V, 5, 1>(&call, &block, at, &mut next, y),
                        _ => lines::compute::<V, 5, 2>(&call, &block, at, &mut next, y),
                    }
                };
            }
        }
        row += count;
    }
}

/// Lines of one block of channels, by words in scratch.
///
/// Safety: the processor has `V`'s instruction set; the lines are those of a convolution whose input is `call.x`, and `y`
/// has them.
#[inline(always)]
pub(super) unsafe fn tiles<V: Vectors, const K: usize, const S: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    ahead: &mut Ahead<'_>,
    y: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if in_patches::<V>(K, S) {
            patches::patches::<V, K>(call, span, ahead, y);
        } else {
            columns::columns::<V, K>(call, span, ahead, y);
        }
    }
}

/// Asks for bytes that will be read soon.
fn ask(bytes: &[u8]) {
    bytes.chunks(64).for_each(|line| prefetch(line.as_ptr(), Cache::First));
}
