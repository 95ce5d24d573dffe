//! Some lines of one block of channels: where they are read and written, and what computes them.

use super::super::QDepthwise;
use super::super::vectors::Vectors;
use super::Windows;
use super::stream::{PARTED, PLAIN, SHIFTED};

/// Most rows of the image under the lines of one piece.
pub(super) const ROWS: usize = 6;

/// What all parts of one call share.
pub(crate) struct Call<'a, V: Vectors> {
    pub conv: &'a QDepthwise,
    pub windows: &'a Windows,
    pub bounds: V::Bounds,
    /// What lies beside the image: as many bytes as a row, and a vector.
    pub border: *const u8,
    pub x: &'a [u8],
    /// Room for a tile's words, then for the outer words of each line.
    pub words: *mut u8,
}

impl<V: Vectors> Call<'_, V> {
    /// Where the channels of `span` start in row `iy` of its image, counted from the upper edge of the padding.
    #[inline(always)]
    pub fn row(&self, span: &Span<'_>, iy: usize) -> *const u8 {
        let s = &self.conv.shape;
        let iy = iy.wrapping_sub(s.pad[0]);
        match iy < s.h {
            true => self.x.as_ptr().wrapping_add((span.image * s.h + iy) * s.w * s.c + span.block.c0),
            false => self.border,
        }
    }
}

/// Channels that are computed together.
pub(crate) struct Block<'a> {
    /// The first.
    pub c0: usize,
    pub channels: usize,
    /// Pieces of a vector that hold these channels of different lines.
    pub pieces: usize,
    /// Parts of its weights.
    pub parts: usize,
    /// Some multiplier is 1 or more, or no number.
    pub large: bool,
    pub quarters: &'a [u8],
}

/// Weights of the next block, which are asked for while lines are computed.
pub(crate) struct Ahead<'a> {
    /// Those that are not yet asked for.
    pub bytes: &'a [u8],
    /// Bytes for each line.
    pub share: usize,
}

impl Ahead<'_> {
    /// Asks for the share of some lines.
    #[inline(always)]
    pub fn ask(&mut self, lines: usize) {
        let (now, later) = self.bytes.split_at(self.bytes.len().min(lines * self.share));
        super::ask(now);
        self.bytes = later;
    }
}

/// Lines of the output that are computed together.
pub(crate) struct Span<'a> {
    pub block: &'a Block<'a>,
    pub image: usize,
    /// The first.
    pub oy: usize,
    /// Lines of each piece, one behind the other, and all of them.
    pub each: usize,
    pub count: usize,
    /// What sums need.
    pub sums: u8,
}

/// Computes some of the lines from `oy` of an image on, where there are `left`, and returns how many; `y` starts with the
/// first output.
///
/// Safety: the processor has `V`'s instruction set; `block` is one of `call.conv`, whose input is `call.x`.
#[inline(always)]
pub(super) unsafe fn compute<V: Vectors, const K: usize, const S: usize>(
    call: &Call<'_, V>,
    block: &Block<'_>,
    [image, oy, left]: [usize; 3],
    ahead: &mut Ahead<'_>,
    y: &mut [u8],
) -> usize {
    let (conv, s) = (call.conv, &call.conv.shape);
    let sums = match (block.parts, block.large || conv.offsets) {
        (0 | 1, false) => PLAIN,
        (0 | 1, true) => SHIFTED,
        _ => PARTED,
    };
    // Pairs of lines are faster with parts than one by one.
    let streams = V::STREAMS && K == 3 && (S == 2 || sums != PARTED);
    let each = if streams { 1 } else { left.div_ceil(block.pieces) };
    let count = left.min(each * block.pieces);
    assert!(y.len() >= ((count * s.ow) - 1) * conv.y_stride + block.channels);
    assert!(block.quarters.len() >= 4 * call.windows.quarter() && block.channels <= V::BYTES / block.pieces);
    let span = Span { block, image, oy, each, count, sums };
    let y = y.as_mut_ptr();
    // SAFETY: the caller's promise; the block's weights are there, and `count` lines of the output.
    unsafe {
        if streams {
            ahead.ask(count);
            match sums {
                PLAIN => stream::<V, S, PLAIN>(call, &span, y),
                SHIFTED => stream::<V, S, SHIFTED>(call, &span, y),
                _ => stream::<V, S, PARTED>(call, &span, y),
            }
        } else {
            V::tiles::<K, S>(call, &span, ahead, y);
        }
    }
    count
}

/// Safety: as [`Vectors::stream`].
#[inline(always)]
unsafe fn stream<V: Vectors, const S: usize, const SUMS: u8>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    y: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match span.block.pieces {
            1 => V::stream::<S, 1, SUMS>(call, span, y),
            2 => V::stream::<S, 2, SUMS>(call, span, y),
            _ => V::stream::<S, 4, SUMS>(call, span, y),
        }
    }
}

/// Where the rows are that lie under `lines` lines of each piece, from line `l` of it on.
#[inline(always)]
pub(super) fn rows<V: Vectors, const K: usize, const S: usize, const PIECES: usize>(
    call: &Call<'_, V>,
    span: &Span<'_>,
    l: usize,
    lines: usize,
) -> [[*const u8; PIECES]; ROWS] {
    let mut rows = [[call.border; PIECES]; ROWS];
    for piece in 0..PIECES {
        // Pieces behind the last line have any rows, and so have weights of 0.
        let first = (span.oy + piece * span.each + l) * S;
        for (r, row) in rows.iter_mut().enumerate().take(K + 1) {
            row[piece] = call.row(span, first + r.min(K + lines - 2));
        }
    }
    rows
}
