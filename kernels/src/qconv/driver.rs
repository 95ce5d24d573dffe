//! The loops around the micro-kernels: groups, parts of the weights, tiles of output positions, panels.

use super::geometry::{Geometry, Parts, Windows};
use super::indirection::{self, Indirection, MAX_ROWS};
use super::layout::{COLUMNS, LINE, Layout, OFFSETS, PANEL_HEADER, Packed, QUAD};
use super::lines::{self, Lines};
use super::requantize::Epilogue;
use super::tile::{Ladder, Operation, Tile};
use super::walk::{Slice, Source, Target, Walk};
use crate::team::Team;
#[cfg(target_arch = "x86_64")]
use crate::x86_64::ladder;
use crate::{Isa, SLACK, scalar};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Weights of this many bytes are gone through for one tile of positions after the other, so that they are
/// read from the second cache and not from memory.
const CACHED_WEIGHTS: usize = 256 << 10;

/// A convolution of any [`Geometry`]: what [`QConv`](super::QConv) and each phase of
/// [`QConvTranspose`](super::QConvTranspose) are.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    isa: Isa,
    pub geometry: Geometry,
    /// Shared by copies, which are made while a network runs.
    windows: Arc<Windows>,
    /// Tiles read copies of lines.
    lines: bool,
    pub layout: Layout,
    pub x_zero_point: u8,
    pub out: Epilogue,
}

/// The micro-kernels of an instruction set; none where plain loops run.
#[cfg(not(target_arch = "x86_64"))]
fn ladder(_: Isa, _: bool) -> Option<&'static Ladder> {
    None
}

/// How many panels tiles take at once: as many as they can. If these do not fit the first cache and there are rows enough
/// for high tiles, two: every byte of weights that comes from the second cache then meets twice as many rows.
fn band(ladder: &Ladder, geometry: &Geometry) -> usize {
    const FIRST_CACHE: usize = 40 << 10;
    let widest = ladder.rungs.len();
    let lines = geometry.taps().iter().product::<usize>() * geometry.tap_len().div_ceil(QUAD);
    let streamed = lines.saturating_mul(widest * LINE) > FIRST_CACHE;
    match ladder.rungs.get(1) {
        Some(two) if streamed && geometry.rows() >= two.tiles.len() => 2,
        _ => widest,
    }
}

impl Correlation {
    pub fn new(isa: Isa, geometry: Geometry, x_zero_point: u8, out: Epilogue) -> Correlation {
        let band = ladder(isa, false).map_or(1, |ladder| band(ladder, &geometry));
        let layout = Layout::new(&geometry, x_zero_point, band);
        let (windows, lines) = (Arc::new(geometry.windows()), lines::pay(&geometry));
        Correlation { isa, geometry, windows, lines, layout, x_zero_point, out }
    }

    /// The name of the micro-kernel that runs as part of `operation`.
    pub fn kernel(&self, operation: Operation) -> &'static str {
        match ladder(self.isa, false) {
            Some(ladder) => {
                let widest = self.layout.bands().longest();
                ladder.rungs[widest.max(1) - 1].names[operation as usize]
            }
            None => scalar::qconv::NAMES[operation as usize],
        }
    }

    /// Parts of the positions best start at multiples of this: no tile is cut, and no line is copied twice.
    pub fn grain(&self) -> usize {
        match ladder(self.isa, false) {
            None => 1,
            Some(_) if self.lines => self.geometry.out[1],
            Some(ladder) => self.tallest(ladder),
        }
    }

    /// Rows of the tallest tile.
    fn tallest(&self, ladder: &Ladder) -> usize {
        let widest = ladder.rungs.len().min(self.layout.bands().longest());
        ladder.rungs[widest.max(1) - 1].tiles.len()
    }

    /// True if threads better share out bands of output channels than positions: there are few positions, or weights
    /// that one thread's cache does not hold and that are more than the input.
    pub fn by_columns(&self) -> bool {
        let weights = self.layout.panels() * self.layout.panel_len();
        let heavy = weights > CACHED_WEIGHTS.max(self.geometry.x_len());
        let few = self.geometry.rows() < 2 * self.grain();
        let can = ladder(self.isa, false).is_some() && self.geometry.groups == 1 && !self.lines;
        can && self.layout.bands().count > 1 && (few || heavy)
    }

    /// Computes all positions where that is better [by columns](Self::by_columns), the bands of output channels shared
    /// out among a team in at most so many units. `row`: bytes from one output position to the next. `scratch`: as much
    /// for every thread.
    ///
    /// Panics as [`run`](Self::run).
    pub fn share_columns(
        &self,
        (team, units): (&Team, usize),
        packed: &[u8],
        x: &[u8],
        (y, row): (&mut [u8], usize),
        scratch: &mut [u8],
    ) {
        assert!(self.by_columns(), "it can be shared out so");
        let bands = self.layout.bands().count;
        let unit = bands.div_ceil(units.max(1));
        let [oh, ow] = self.geometry.out;
        let strides = [oh * ow * row, ow * row, row];
        let work = |units: Range<usize>, y: &[Cell<u8>], scratch: &mut [u8]| {
            let columns = units.start * unit..bands.min(units.end * unit);
            let target = Target { y, strides, start: 0 };
            self.run_part(packed, x, &target, [0..self.geometry.rows(), columns], scratch);
        };
        // SAFETY: different units are different output channels of every position.
        unsafe { team.share_cells(bands.div_ceil(unit), y, scratch, &work) };
    }

    /// Bytes of scratch that [`run`](Self::run) needs.
    pub fn scratch_len(&self) -> usize {
        match self.lines {
            true => lines::scratch_len(&self.geometry),
            false => indirection::scratch_len(&self.geometry, &self.layout),
        }
    }

    /// Computes output positions `rows`. Panics if a slice is too short, or if `packed` is of another
    /// convolution.
    pub fn run(&self, packed: &[u8], x: &[u8], target: &Target<'_>, rows: Range<usize>, scratch: &mut [u8]) {
        self.run_part(packed, x, target, [rows, 0..self.layout.bands().count], scratch);
    }

    /// Computes output positions `rows`, of each group the bands `columns` (plain loops: all).
    fn run_part(
        &self,
        packed: &[u8],
        x: &[u8],
        target: &Target<'_>,
        [rows, columns]: [Range<usize>; 2],
        scratch: &mut [u8],
    ) {
        assert!(x.len() >= self.geometry.x_len() + SLACK, "the input has slack behind it");
        assert!(rows.end <= self.geometry.rows(), "output rows are in range");
        let packed = self.layout.view(packed);
        match ladder(self.isa, packed.has_min) {
            None => {
                let mut spans = self.geometry.spans(rows);
                while let Some(span) = spans.next(1) {
                    let len = self.geometry.oc * self.out.size();
                    let first = target.find(&span, 1, len);
                    scalar::qconv::pixel(self, &packed, x, &span, &target.y[first..][..len]);
                }
            }
            Some(ladder) => {
                let (g, zero) = (&self.geometry, self.x_zero_point);
                let mut source = match self.lines {
                    true => Source::Lines(Lines::new(g, x, zero, scratch)),
                    false => {
                        Source::Image(Indirection::new(g, &self.windows, &self.layout, x, zero, scratch))
                    }
                };
                self.run_tiles(ladder, &packed, &mut source, target, [rows, columns]);
            }
        }
    }

    /// Computes output `positions`, of each group the bands `columns`, with the micro-kernels of `ladder`.
    fn run_tiles(
        &self,
        ladder: &Ladder,
        packed: &Packed<'_>,
        source: &mut Source<'_>,
        target: &Target<'_>,
        [positions, columns]: [Range<usize>; 2],
    ) {
        let (geometry, layout) = (&self.geometry, &self.layout);
        if positions.is_empty() || geometry.oc == 0 {
            return;
        }
        let [group_oc, group_channels] = self.windows.group;
        let bands = layout.bands();
        let widest = ladder.rungs.len().min(bands.longest());
        let most = self.tallest(ladder);
        assert!(columns.end <= bands.count, "output channels are in range");
        let group_weights = layout.panels() * layout.panel_len();
        assert_eq!(packed.panels.len(), geometry.groups * group_weights, "there are panels for every group");
        let weights = columns.len() * bands.longest() * layout.panel_len();
        let parts = Parts::new(columns.len(), weights.div_ceil(CACHED_WEIGHTS).min(columns.len()));
        let mut sums = [0; MAX_ROWS];
        for group in 0..geometry.groups {
            let panels = packed.panels[group * group_weights..][..group_weights].as_ptr();
            let offsets = match packed.offsets.is_empty() {
                true => None,
                false => Some(packed.offsets[group * layout.panels() * OFFSETS..].as_ptr()),
            };
            let slice = Slice { group, oc: group_oc, channels: group_channels, output: self.out.size() };
            for part in (0..parts.count).map(|i| parts.range(i)) {
                let mut walk = Walk::new(geometry, &self.windows, target, slice, positions.clone(), most);
                while let Some(mr) = walk.next(source) {
                    if packed.has_zeros {
                        // SAFETY: `isa` proves the instruction set, and `walk` is at `mr` rows, as below.
                        unsafe {
                            (ladder.row_sums)(&walk.rows, [layout.taps, layout.tap_len], &mut sums[..mr])
                        };
                    }
                    let mut tile = Tile {
                        rows: &walk.rows,
                        taps: layout.taps,
                        quads: layout.quads(),
                        headers: panels,
                        lines: panels,
                        line_step: 0,
                        offsets: std::ptr::null(),
                        sums: if packed.has_zeros { sums.as_ptr() } else { std::ptr::null() },
                        y: walk.y,
                        y_step: walk.y_step(),
                        columns: 0,
                        out: &self.out,
                    };
                    for band in part.clone().map(|i| bands.range(columns.start + i)) {
                        let headers = panels.wrapping_add(band.start * layout.panel_len());
                        let lines = headers.wrapping_add(band.len() * PANEL_HEADER);
                        tile.line_step = band.len() * LINE;
                        let mut first = 0;
                        while first < band.len() {
                            let wide = widest.min(band.len() - first);
                            let column = (band.start + first) * COLUMNS;
                            tile.headers = headers.wrapping_add(first * PANEL_HEADER);
                            tile.lines = lines.wrapping_add(first * LINE);
                            if let Some(offsets) = offsets {
                                tile.offsets = offsets.wrapping_add((band.start + first) * OFFSETS).cast();
                            }
                            tile.y = walk.y.wrapping_add(column * slice.output);
                            tile.columns = (group_oc - column).min(wide * COLUMNS);
                            let kernel = ladder.rungs[wide - 1].tiles[mr - 1];
                            // SAFETY: `isa` proves the instruction set. `walk` is at `mr` rows: for every tap there are
                            // bytes inside of `x` (3 more are slack), the border or a copy, and there are the
                            // `group_oc` outputs, of which these are a part. The bands share out the panels of the
                            // group, and this one holds `wide` from `first` on; every panel has offsets, or none.
                            unsafe { kernel(&tile) };
                            first += wide;
                        }
                    }
                }
            }
        }
    }
}
