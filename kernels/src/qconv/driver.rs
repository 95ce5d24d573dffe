//! The loops around the micro-kernels: groups, parts of the weights, tiles of output positions, panels.

use super::geometry::{Geometry, Span, part};
use super::indirection::{self, Indirection, MAX_ROWS};
use super::layout::{COLUMNS, Layout};
use super::requantize::Requantize;
use super::tile::{Ladder, Operation, Tile};
use crate::isa::Level;
use crate::{Isa, Output, SLACK, scalar};
use std::cell::Cell;
use std::ops::Range;

/// Weights of this many bytes are gone through for one tile of positions after the other, so that they are read
/// from the second cache and not from memory.
const CACHED_WEIGHTS: usize = 256 << 10;

/// A convolution of any [`Geometry`]: what [`QConv`](super::QConv) and each phase of
/// [`QConvTranspose`](super::QConvTranspose) are.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    isa: Isa,
    pub geometry: Geometry,
    pub layout: Layout,
    pub x_zero_point: u8,
    pub out: Requantize,
}

/// Where output positions go.
pub(crate) struct Target<'a> {
    /// Outputs. Cells: a pointer to one row must not be invalidated by making the next.
    pub y: &'a [Cell<u8>],
    /// Bytes from one image to the next, from one line to the next, from one pixel to the next.
    pub strides: [usize; 3],
    /// Where in `y` the output of position 0 is; before its start if `y` starts at a later one.
    pub start: isize,
}

impl Target<'_> {
    /// Where the rows of `len` outputs of a span go. Panics if that is outside.
    fn rows(&self, span: &Span, len: usize) -> impl Iterator<Item = &[Cell<u8>]> {
        let [image, line, pixel] = self.strides;
        let start = (span.n * image + span.y * line + span.x.start * pixel).wrapping_add_signed(self.start);
        (0..span.x.len()).map(move |i| &self.y[start + i * pixel..][..len])
    }
}

/// The micro-kernels of an instruction set; none where plain loops run.
fn ladder(isa: Isa, has_min: bool) -> Option<&'static Ladder> {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::x86_64::{avx2, avx2_wide, avx512vnni, avxvnni};
        match isa.level() {
            Level::Avx512Vnni => Some(avx512vnni::LADDER),
            Level::AvxVnni => Some(avxvnni::LADDER),
            Level::Avx2 if has_min => Some(avx2_wide::LADDER),
            Level::Avx2 => Some(avx2::LADDER),
            _ => None,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let (Level::Scalar | _, _) = (isa.level(), has_min);
        None
    }
}

impl Correlation {
    pub fn new(isa: Isa, geometry: Geometry, x_zero_point: u8, out: Output) -> Correlation {
        let layout = Layout::new(&geometry, x_zero_point);
        Correlation { isa, geometry, layout, x_zero_point, out: Requantize::new(out) }
    }

    /// The name of the micro-kernel that runs as part of `operation`.
    pub fn kernel(&self, operation: Operation) -> &'static str {
        let blocks = |ladder: &'static Ladder| self.layout.panels().div_ceil(ladder.len()).max(1);
        match ladder(self.isa, false) {
            Some(ladder) => {
                let widest = self.layout.panels().div_ceil(blocks(ladder)).max(1);
                ladder[widest - 1].names[operation as usize]
            }
            None => scalar::qconv::NAMES[operation as usize],
        }
    }

    /// Bytes of scratch that [`run`](Self::run) needs.
    pub fn scratch_len(&self) -> usize {
        indirection::scratch_len(&self.geometry, &self.layout)
    }

    /// Computes output positions `rows`. Panics if a slice is too short, or if `packed` is of another convolution.
    pub fn run(&self, packed: &[u8], x: &[u8], target: &Target<'_>, rows: Range<usize>, scratch: &mut [u8]) {
        let x_len = self.geometry.x_len();
        assert!(x.len() >= x_len + SLACK, "the input has slack behind it");
        assert!(rows.end <= self.geometry.rows(), "output rows are in range");
        let packed = self.layout.view(packed);
        match ladder(self.isa, packed.has_min) {
            None => {
                let mut spans = self.geometry.spans(rows);
                while let Some(span) = spans.next(1) {
                    for y in target.rows(&span, self.geometry.oc) {
                        scalar::qconv::pixel(self, &packed, x, &span, y);
                    }
                }
            }
            Some(ladder) => {
                let x = &x[..x_len];
                let mut indirection =
                    Indirection::new(&self.geometry, &self.layout, x, self.x_zero_point, scratch);
                self.run_tiles(ladder, packed.panels, &mut indirection, target, rows);
            }
        }
    }

    fn run_tiles(
        &self,
        ladder: &Ladder,
        panels: &[u8],
        indirection: &mut Indirection<'_>,
        target: &Target<'_>,
        rows: Range<usize>,
    ) {
        let (geometry, layout) = (&self.geometry, &self.layout);
        if rows.is_empty() || geometry.oc == 0 {
            return;
        }
        let (group_panels, group_oc) = (layout.panels(), geometry.oc / geometry.groups);
        let blocks = group_panels.div_ceil(ladder.len());
        let widest = group_panels.div_ceil(blocks);
        let most_rows = ladder[widest - 1].tiles.len();
        let tiles = rows.len().div_ceil(most_rows);
        let parts = (group_panels * layout.panel_len()).div_ceil(CACHED_WEIGHTS).min(blocks);
        for group in 0..geometry.groups {
            let channel = group * geometry.group_channels();
            for blocks_of_part in (0..parts).map(|i| part(blocks, parts, i)) {
                let mut spans = geometry.spans(rows.clone());
                for mr in (0..tiles).map(|i| part(rows.len(), tiles, i).len()) {
                    let mut y = [std::ptr::null_mut(); MAX_ROWS];
                    let mut filled = 0;
                    while let Some(span) = spans.next(mr - filled) {
                        for (to, y) in y[filled..].iter_mut().zip(target.rows(&span, geometry.oc)) {
                            *to = y[group * group_oc..].as_ptr().cast_mut().cast();
                        }
                        indirection.fill(mr, filled, &span, channel);
                        filled += span.x.len();
                    }
                    assert_eq!(filled, mr);
                    for block in blocks_of_part.clone() {
                        let block_panels = part(group_panels, blocks, block);
                        let column = block_panels.start * COLUMNS;
                        let first = (group * group_panels + block_panels.start) * layout.panel_len();
                        let panel = &panels[first..first + block_panels.len() * layout.panel_len()];
                        let call = Tile {
                            rows: indirection.table().cast(),
                            taps: layout.taps,
                            quads: layout.quads(),
                            panel: panel.as_ptr(),
                            panel_len: layout.panel_len(),
                            y: y.as_ptr(),
                            column,
                            columns: (group_oc - column).min(block_panels.len() * COLUMNS),
                            out: &self.out,
                        };
                        let kernel = ladder[block_panels.len() - 1].tiles[mr - 1];
                        // SAFETY: `isa` proves the instruction set. `fill` wrote a pointer for every tap and row to
                        // bytes of a tap inside `x` (3 more are slack), the border or a copy. The slice `panel` holds
                        // the panels of the block. Each `y` is a slice of `group_oc` bytes, no two of them overlap.
                        unsafe { kernel(&call) };
                    }
                }
            }
        }
    }
}
