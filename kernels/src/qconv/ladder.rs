//! The micro-kernels of an instruction set, by panels and rows.

use super::defer::FinishFn;
use super::row_sums::RowSumsFn;
use super::tile::TileFn;
use crate::qrow::bands::RowFn;

/// How many sets of accumulators a tile takes: as few as keep `wanted` sums going at once.
pub(crate) const fn chains(wanted: usize, mr: usize, nv: usize) -> usize {
    let mut chains = 1;
    while chains * mr * nv < wanted {
        chains *= 2;
    }
    chains
}

/// What a micro-kernel is part of, for its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One row times a matrix.
    Gemv,
    /// Every output reads one pixel: a matrix product.
    Pointwise,
    /// A tap per kernel position.
    Conv,
    /// A tap per kernel row.
    ConvRows,
    /// In groups.
    ConvGrouped,
    /// Transposed, as one convolution per phase.
    ConvTranspose,
}

/// The micro-kernels of one instruction set that are as many panels wide.
pub(crate) struct Rung {
    /// The kernel of `i + 1` rows at `i`.
    pub tiles: &'static [TileFn],
    /// By [`Operation`].
    pub names: [&'static str; 6],
}

/// The first rung, if there is one.
pub(crate) const fn first(rungs: &'static [Rung]) -> Option<&'static Rung> {
    rungs.first()
}

/// The kernels of one instruction set.
pub(crate) struct Ladder {
    /// The micro-kernels of `i + 1` panels at `i`.
    pub rungs: &'static [Rung],
    /// Two panels wide, for outputs that are bytes and weights that stay in the first cache: these finish one tile while
    /// they multiply for the next ([`stream`](super::stream)).
    pub stream: Option<&'static Rung>,
    /// Two panels wide, for outputs that are bytes and many products: these leave a tile to be finished while the next ones'
    /// products are made ([`defer`](super::defer)), the last one by [`finish`](Self::finish).
    pub defer: Option<&'static Rung>,
    /// Finishes what is left.
    pub finish: FinishFn,
    /// One panel wide, for windows that overlap ([`slide`](super::slide)).
    pub slide: Option<&'static Rung>,
    /// Sums of rows, for weights with zero points.
    pub row_sums: RowSumsFn,
    /// A row times [bands of panels](crate::qrow), and its name.
    pub row: RowFn,
    pub row_name: &'static str,
}

/// The micro-kernels of an instruction set; none where plain loops run.
#[cfg(target_arch = "x86_64")]
pub(crate) use crate::x86_64::ladder as of;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn of(_: crate::Isa, _: bool) -> Option<&'static Ladder> {
    None
}

/// Names by [`Operation`].
macro_rules! names {
    ($rows:literal, $columns:literal, $isa:literal) => {
        [
            concat!("gemv 1x", $columns, " ", $isa),
            concat!("pointwise ", $rows, "x", $columns, " ", $isa),
            concat!("conv ", $rows, "x", $columns, " ", $isa),
            concat!("conv-rows ", $rows, "x", $columns, " ", $isa),
            concat!("conv-grouped ", $rows, "x", $columns, " ", $isa),
            concat!("conv-transpose ", $rows, "x", $columns, " ", $isa),
        ]
    };
}

/// A [`Ladder`] `LADDER` of the micro-kernels over the operations `$simd`, compiled for `$features`. A tile
/// keeps at least `$chains` sums of 16 columns going, a [row](crate::qrow) `$row`, going
/// through `$wide` panels at once; `streamed` heights overlap with the tile before.
macro_rules! ladder {
    ($simd:ty, $isa:literal, $features:literal, $chains:literal, row $wide:literal x $row:literal,
     $([$nv:literal: $most:literal x $columns:literal = $($mr:literal)+])+
     $(stream $stream:ident $s_most:literal x $s_columns:literal
        = $($plain:literal)+ streamed $($streamed:literal)+)?
     $(defer $defer:ident $d_most:literal x $d_columns:literal
        = $($whole:literal)+ deferred $($deferred:literal)+)?
     $(slide $slide:ident $w_most:literal x $w_columns:literal = $($slid:literal)+)?) => {
        /// # Safety
        /// As for `TileFn`.
        #[target_feature(enable = $features)]
        unsafe fn tiles<const MR: usize, const NV: usize, const CHAINS: usize>(t: &$crate::qconv::tile::Tiles<'_>) {
            for (place, i) in t.places.iter().zip(0..) {
                // SAFETY: the caller's promise.
                unsafe { tile::<MR, NV, CHAINS>(t, place, i) };
            }
        }

        /// One of them. Not in the loop itself, in front of which it would be prepared for whatever outputs there may be.
        ///
        /// # Safety
        /// As for `TileFn`.
        #[target_feature(enable = $features)]
        #[inline(never)]
        unsafe fn tile<const MR: usize, const NV: usize, const CHAINS: usize>(
            t: &$crate::qconv::tile::Tiles<'_>,
            place: &$crate::qconv::tile::Place,
            index: usize,
        ) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::tile::tile::<$simd, MR, NV, CHAINS>(t, place, index) }
        }

        $(
        /// # Safety
        /// As for `TileFn`.
        #[target_feature(enable = $features)]
        unsafe fn $stream<const MR: usize>(t: &$crate::qconv::tile::Tiles<'_>) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::stream::stream::<$simd, MR>(t) }
        }
        )?

        $(
        /// # Safety
        /// As for `TileFn`.
        #[target_feature(enable = $features)]
        unsafe fn $defer<const MR: usize>(t: &$crate::qconv::tile::Tiles<'_>) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::defer::defer::<$simd, MR>(t) }
        }
        )?

        /// # Safety
        /// As for `FinishFn`.
        #[target_feature(enable = $features)]
        unsafe fn finish(left: &mut $crate::qconv::defer::Left, out: &$crate::qconv::requantize::Epilogue) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::defer::finish::<$simd>(left, out) }
        }

        $(
        /// # Safety
        /// As for `TileFn`.
        #[target_feature(enable = $features)]
        unsafe fn $slide<const MR: usize>(t: &$crate::qconv::tile::Tiles<'_>) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::slide::slide::<$simd, MR>(t) }
        }
        )?

        /// # Safety
        /// As for `RowSumsFn`.
        #[target_feature(enable = $features)]
        unsafe fn row_sums(
            rows: (&$crate::qconv::tile::Rows, &$crate::qconv::tile::Place),
            taps: [usize; 2],
            sums: &mut [i32],
        ) {
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe { $crate::qconv::row_sums::row_sums::<$simd>(rows, taps, sums) }
        }

        /// # Safety
        /// As for `RowFn`.
        #[target_feature(enable = $features)]
        unsafe fn row(b: &$crate::qrow::bands::Bands<'_>) {
            use $crate::qconv::ladder::chains;
            // SAFETY: the caller's promise, and this function is compiled for the instruction set.
            unsafe {
                $crate::qrow::bands::bands::<
                    $simd,
                    $wide,
                    { chains($row, 1, $wide) },
                    { chains($row, 1, 2) },
                    { chains($row, 1, 1) },
                >(b)
            }
        }

        /// The kernels of this instruction set.
        pub(crate) static LADDER: $crate::qconv::ladder::Ladder = $crate::qconv::ladder::Ladder {
            rungs: &[$($crate::qconv::ladder::Rung {
                tiles: &[$(tiles::<$mr, $nv, { $crate::qconv::ladder::chains($chains, $mr, $nv) }>),+],
                names: $crate::qconv::ladder::names!($most, $columns, $isa),
            }),+],
            stream: $crate::qconv::ladder::first(&[$($crate::qconv::ladder::Rung {
                tiles: &[
                    $(tiles::<$plain, 2, { $crate::qconv::ladder::chains($chains, $plain, 2) }>,)+
                    $($stream::<$streamed>),+
                ],
                names: $crate::qconv::ladder::names!($s_most, $s_columns, $isa),
            })?]),
            defer: $crate::qconv::ladder::first(&[$($crate::qconv::ladder::Rung {
                tiles: &[
                    $(tiles::<$whole, 2, { $crate::qconv::ladder::chains($chains, $whole, 2) }>,)+
                    $($defer::<$deferred>),+
                ],
                names: $crate::qconv::ladder::names!($d_most, $d_columns, $isa),
            })?]),
            finish,
            slide: $crate::qconv::ladder::first(&[$($crate::qconv::ladder::Rung {
                tiles: &[$($slide::<$slid>),+],
                names: $crate::qconv::ladder::names!($w_most, $w_columns, $isa),
            })?]),
            row_sums,
            row,
            row_name: concat!("gemv 1x64 ", $isa),
        };
    };
}
pub(crate) use {ladder, names};
