//! Tiles of float matrix products: what convolution, transposed convolution and matrix product share.
//!
//! Every output element is one chain of multiply-adds, from the bias through the products in the order of the
//! weights. Tiling does not change it, so results don't depend on how the work is split; between instruction sets
//! they differ where one of them has no fused multiply-add.

#[cfg(target_arch = "x86_64")]
mod avx;
mod depthwise;
mod plain;
mod row;
mod tile;
mod windows;

use crate::Isa;
use std::ops::Range;

pub(crate) use depthwise::Depthwise;
pub(crate) use row::Row;
pub(crate) use tile::{Panels, Taps, Tile, cover};
pub(crate) use windows::Windows;

/// The float vectors of one instruction set.
///
/// Safety: all functions need the instruction set; pointers are good for one vector (`_part`: for these elements of it).
pub(crate) trait Floats {
    /// A vector register.
    type Word: Copy;
    /// Which lanes are loaded.
    type Mask: Copy;
    /// Elements of a vector.
    const LANES: usize;
    /// Most rows of a tile that is two vectors wide: what the registers hold.
    const ROWS: usize;
    unsafe fn load(from: *const f32) -> Self::Word;
    /// The first `n` elements; the rest is 0.
    unsafe fn load_part(from: *const f32, n: usize) -> Self::Word;
    /// These lanes and no others.
    unsafe fn mask(lanes: Range<usize>) -> Self::Mask;
    /// The elements of some lanes, each in its lane, as if all of the vector were at `from`; the others are 0.
    unsafe fn load_masked(from: *const f32, lanes: Self::Mask) -> Self::Word;
    unsafe fn store(word: Self::Word, to: *mut f32);
    /// The first `n` elements.
    unsafe fn store_part(word: Self::Word, to: *mut f32, n: usize);
    unsafe fn splat(v: f32) -> Self::Word;
    /// `a * b + sum`
    unsafe fn multiply_add(a: Self::Word, b: Self::Word, sum: Self::Word) -> Self::Word;
    /// Within bounds; what is not a number may become a bound.
    unsafe fn clamp(v: Self::Word, min: Self::Word, max: Self::Word) -> Self::Word;
}

/// Which vectors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Variant {
    pub(crate) fn new(isa: Isa) -> Variant {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            crate::isa::Level::Avx2 | crate::isa::Level::AvxVnni => Variant::Avx2,
            #[cfg(target_arch = "x86_64")]
            crate::isa::Level::Avx512Vnni => Variant::Avx512,
            _ => Variant::Plain,
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Plain => "scalar",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => "avx512",
        }
    }

    /// Elements of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Variant::Plain => plain::Plain::LANES,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => avx::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => avx::Avx512::LANES,
        }
    }

    /// Most rows of a tile.
    pub(crate) fn rows(self) -> usize {
        match self {
            Variant::Plain => plain::Plain::ROWS,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => avx::Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => avx::Avx512::ROWS,
        }
    }

    /// Computes one tile: `tile.rows` pixels (at most [`Variant::rows`]) by `channels` output channels of one panel.
    #[inline]
    pub(crate) fn run(self, tile: &Tile<'_>, panel: &[f32], channels: usize, y: &mut [f32]) {
        match self {
            // SAFETY: plain code needs no instruction set.
            Variant::Plain => unsafe { tile::run::<plain::Plain>(tile, panel, channels, y) },
            // SAFETY: the variant was made from an `Isa` of this level.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => unsafe { avx::tile_avx2(tile, panel, channels, y) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => unsafe { avx::tile_avx512(tile, panel, channels, y) },
        }
    }

    /// Computes some panels of a product of one row; `y` starts at the first channel of the first of them.
    #[inline]
    pub(crate) fn run_row(self, row: &Row<'_>, packed: &[f32], panels: Range<usize>, y: &mut [f32]) {
        match self {
            // SAFETY: plain code needs no instruction set.
            Variant::Plain => unsafe { row::run::<plain::Plain>(row, packed, panels, y) },
            // SAFETY: the variant was made from an `Isa` of this level.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => unsafe { avx::row_avx2(row, packed, panels, y) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => unsafe { avx::row_avx512(row, packed, panels, y) },
        }
    }

    /// Computes output rows of a depthwise convolution.
    pub(crate) fn run_depthwise(
        self,
        call: &Depthwise<'_>,
        packed: &[f32],
        x: &[f32],
        y: &mut [f32],
        rows: Range<usize>,
    ) {
        match self {
            // SAFETY: plain code needs no instruction set.
            Variant::Plain => unsafe { depthwise::run::<plain::Plain>(call, packed, x, y, rows) },
            // SAFETY: the variant was made from an `Isa` of this level.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => unsafe { avx::depthwise_avx2(call, packed, x, y, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => unsafe { avx::depthwise_avx512(call, packed, x, y, rows) },
        }
    }
}
