//! Product of one row most of whose inputs may be 0, as they are behind a ReLU: weights of such inputs are not read.
//!
//! Where weights don't fit the first cache, a product of one row takes as long as they take to be read. So each input has
//! weights of its own, a line for 64 output channels, and those that are not 0 are gone through by fours: their lines are
//! interleaved to quads as they are read, 8 shuffles for 4 lines. That costs as much as reading them from the second cache
//! does, so that nothing is lost where all inputs count, but where weights stay in the first cache: those better are packed
//! as [`QRow`](super::QRow) has them.
//!
//! ```text
//! header | block | block | ...                                           (all little endian)
//! block:  bias i32 x 64 | weights of input 0, i8 x 64 | of input 1 | ... | multiplier f32 x 64
//! ```
//!
//! The last block is filled up with zeros. Biases and multipliers are in the order in which interleaving leaves sums
//! ([`place`]). Layout 0x308.

use super::header::Header;
use super::layout::put;
use crate::isa::Level;
use crate::qconv::layout::HEADER;
use crate::qconv::requantize::{Requantize, scaled};
use crate::{Filter, Isa, Output, SLACK};
use std::ops::Range;

/// Output channels of a block: a line of weights.
pub(crate) const BLOCK: usize = 64;
/// Bytes of a number for each output channel of a block.
pub(crate) const BLOCK_NUMBERS: usize = 4 * BLOCK;

/// Output channels that threads share out at once: two blocks, which take their inputs together.
const UNIT: usize = 2 * BLOCK;

/// What a call of the micro-kernel is given.
pub(crate) struct Blocks<'a> {
    pub x: &'a [u8],
    /// The first block.
    pub weights: *const u8,
    /// From a block to the next.
    pub block_len: usize,
    /// The outputs, those of the last block perhaps less than 64.
    pub y: &'a mut [u8],
    /// As long as [`scratch_len`] says.
    pub scratch: &'a mut [u8],
    pub out: Requantize,
}

/// `y[n] = requantize(bias[n] + w[n][k] x[k])` for inputs and weights with zero point 0.
///
/// Results are those of [`QConv`](crate::QConv).
#[derive(Clone, Debug)]
pub struct QSparseRow {
    isa: Isa,
    header: Header,
    out: Requantize,
    k: usize,
    n: usize,
    block_len: usize,
    packed_len: usize,
}

impl QSparseRow {
    /// Panics if the output's range is empty or weights of this size cannot be.
    pub fn new(isa: Isa, k: usize, n: usize, out: Output) -> QSparseRow {
        let block_len = k.checked_mul(BLOCK).and_then(|lines| lines.checked_add(2 * BLOCK_NUMBERS));
        let packed_len = block_len.and_then(|len| n.div_ceil(BLOCK).checked_mul(len)?.checked_add(HEADER));
        let fits = |len: &usize| isize::try_from(*len).is_ok() && u32::try_from(k * BLOCK).is_ok();
        let (Some(block_len), Some(packed_len)) = (block_len, packed_len.filter(fits)) else {
            panic!("weights too large: {n} x {k}");
        };
        let header = Header::new(*b"8vaK1N64", LAYOUT, [k, n], 0);
        QSparseRow { isa, header, out: Requantize::new(out), k, n, block_len, packed_len }
    }

    /// True if it pays: the instruction set has a kernel of its own for it, and weights that are not read would have come
    /// from the second cache or from farther.
    pub fn pays(isa: Isa, k: usize, n: usize) -> bool {
        const FIRST_CACHE: usize = 12 << 10;
        isa.level() == Level::Avx512Vnni && n >= BLOCK && k.saturating_mul(n) >= FIRST_CACHE
    }

    /// What runs, for people: operation, tile, instruction set (`gemv sparse 1x128 avx512vnni`).
    pub fn kernel(&self) -> &'static str {
        match self.isa.level() {
            Level::Avx512Vnni => "gemv sparse 1x128 avx512vnni",
            _ => "gemv sparse 1x1 scalar",
        }
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        LAYOUT
    }

    /// Bytes of the packed weights (a multiple of 64).
    pub fn packed_len(&self) -> usize {
        self.packed_len
    }

    /// True if `packed` was packed for this layout and shape: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        self.header.flags(packed) == Some(0) && packed.len() >= self.packed_len
    }

    /// Packs weights `[n][k]`.
    ///
    /// Panics if a slice has another length, or if there are zero points or offsets.
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        let Filter { weights, zero_points, bias, multiplier, .. } = *filter;
        let (k, n) = (self.k, self.n);
        filter.check([n, k], false);
        assert!(zero_points.is_empty(), "weights are what they are");
        assert_eq!(packed.len(), self.packed_len, "packed has room for the weights");
        packed.fill(0);
        self.header.write(0, packed);
        for (channel, multiplier) in multiplier.iter().enumerate() {
            let weights = &weights[channel * k..][..k];
            let (start, column) = (self.block(channel), channel % BLOCK);
            let bias = bias.get(channel).copied().unwrap_or(0);
            put(packed, start + 4 * place(column), bias.to_le_bytes());
            put(packed, start + BLOCK_NUMBERS + k * BLOCK + 4 * place(column), multiplier.to_le_bytes());
            for (i, &w) in weights.iter().enumerate() {
                packed[start + BLOCK_NUMBERS + i * BLOCK + column] = w as u8;
            }
        }
    }

    /// Where the block of an output channel starts.
    fn block(&self, channel: usize) -> usize {
        HEADER + channel / BLOCK * self.block_len
    }

    /// How many units of [`width`](Self::width) output channels there are; the last may be less.
    pub fn units(&self) -> usize {
        self.n.div_ceil(UNIT)
    }

    /// Output channels of a unit.
    pub fn width(&self) -> usize {
        UNIT
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        scratch_len(self.k)
    }

    /// Computes some units of the output channels; `y` starts at the first of them. `x`: the row and
    /// [`SLACK`](crate::SLACK) bytes behind it.
    ///
    /// Panics if a slice is too short or `packed` is not [accepted](Self::accepts).
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], units: Range<usize>, scratch: &mut [u8]) {
        assert!(self.accepts(packed), "the weights are packed for this product");
        let (first, end) = (units.start * UNIT, self.n.min(units.end.saturating_mul(UNIT)));
        let y = &mut y[..end.saturating_sub(first)];
        #[cfg(target_arch = "x86_64")]
        if self.isa.level() == Level::Avx512Vnni && !y.is_empty() {
            let weights = packed[self.block(first)..].as_ptr();
            let (x, scratch) = (&x[..self.k + SLACK], &mut scratch[..self.scratch_len()]);
            let blocks = Blocks { x, weights, block_len: self.block_len, y, scratch, out: self.out };
            // SAFETY: `isa` proves the instruction set; the packed bytes are as long as the layout, whose blocks from a
            // unit on follow each other, for all outputs of `y`.
            unsafe { crate::x86_64::sparse::blocks(blocks) };
            return;
        }
        let _ = scratch;
        self.plain(packed, &x[..self.k + SLACK], y, first);
    }

    /// Where there are no micro-kernels: what `scalar::qconv` says of a convolution, over these packed weights.
    fn plain(&self, packed: &[u8], x: &[u8], y: &mut [u8], first: usize) {
        let word = |at: usize| -> [u8; 4] { std::array::from_fn(|i| packed[at + i]) };
        for (channel, y) in (first..).zip(y) {
            let (start, column) = (self.block(channel), channel % BLOCK);
            let (lines, at) = (start + BLOCK_NUMBERS, 4 * place(column));
            let mut acc = i32::from_le_bytes(word(start + at));
            for (i, &a) in x[..self.k].iter().enumerate() {
                let w = packed[lines + i * BLOCK + column] as i8;
                acc = acc.wrapping_add(i32::from(a).wrapping_mul(w.into()));
            }
            let multiplier = f32::from_le_bytes(word(lines + self.k * BLOCK + at));
            *y = self.out.apply(scaled(acc, multiplier, None));
        }
    }
}

const LAYOUT: u32 = 0x308;

/// Inputs that are taken at once when those that are not 0 are found.
pub(crate) const PIECE: usize = 16;

/// Bytes of scratch for rows of so many inputs: where each of them that is not 0 has its weights (u32), and what it is; of
/// each as many more as are written at once.
pub(crate) const fn scratch_len(k: usize) -> usize {
    5 * (k.next_multiple_of(PIECE) + PIECE)
}

/// Where of a block's numbers that of a column is. Interleaving four lines works within 128 bits, 16 columns; four of each
/// come out side by side.
fn place(column: usize) -> usize {
    let (lane, of_four, one) = (column / 16, column / 4 % 4, column % 4);
    16 * of_four + 4 * lane + one
}
