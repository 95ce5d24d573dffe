//! The loops around the micro-kernels: groups, parts of the weights, tiles of output positions, panels.

use super::defer::Left;
use super::geometry::{Geometry, Parts, Span, Windows};
use super::indirection::{self, Indirection, MAX_ROWS};
use super::ladder::{Ladder, Operation, Rung, of as ladder};
use super::layout::{COLUMNS, LINE, Layout, OFFSETS, PANEL_HEADER, Packed, QUAD};
use super::lines::{self, Lines};
use super::requantize::Epilogue;
use super::slide;
use super::tile::{Place, Rows, Tiles};
use super::walk::{Cut, MOST_TILES, Slice, Source, Target, Walk};
use crate::team::Team;
use crate::{Isa, SLACK, scalar};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Weights of this many bytes are gone through for one tile of positions after the other, so that they are
/// read from the second cache and not from memory.
const CACHED_WEIGHTS: usize = 256 << 10;

/// The same where tiles are [deferred](super::defer), which ask for the next part meanwhile.
const DEFERRED_WEIGHTS: usize = 320 << 10;

/// Inputs of this many bytes stay in the second cache while parts of the weights pass, one after the other.
const CACHED_INPUTS: usize = 288 << 10;

/// Weights of this many bytes stay in the first cache from one tile to the next.
const FIRST_CACHE: usize = 25 << 10;

/// How far ahead weights are asked for that may not be in the first cache.
const AHEAD: usize = 12 << 10;

/// Tiles that are made at once where sums of their inputs are needed.
const SUMMED_TILES: usize = 4;

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
    /// Tiles are finished while the next ones' products are made.
    streams: bool,
    /// The same, of higher tiles and by way of memory.
    defers: bool,
    /// Windows overlap so that [`slide`] finds them.
    slides: bool,
    /// The most tiles that are made at once.
    tiles: usize,
    /// Bands of weights are gone through one after the other, each for many tiles.
    by_bands: bool,
    pub layout: Layout,
    pub x_zero_point: u8,
    pub out: Epilogue,
}

/// Lines of 4 input bytes of a whole window.
fn steps(geometry: &Geometry) -> usize {
    geometry.taps().iter().product::<usize>().saturating_mul(geometry.tap_len().div_ceil(QUAD))
}

/// True if tiles are [streamed](super::stream): outputs are bytes, the weights that all tiles read stay in the first
/// cache, and few panels are left alone or tiles less high. `line`: positions that a tile must not go over the end of.
fn streams(ladder: &Ladder, geometry: &Geometry, out: &Epilogue, line: usize) -> bool {
    let Some(rung) = ladder.stream else { return false };
    let highest = rung.tiles.len();
    let panels = (geometry.oc / geometry.groups).div_ceil(COLUMNS);
    let weights = steps(geometry).saturating_mul(2 * LINE);
    matches!(out, Epilogue::Bytes(_))
        && (1..FIRST_CACHE - 2 * PANEL_HEADER).contains(&weights)
        && (panels > 0 && panels.is_multiple_of(2) || panels > 6)
        && geometry.rows() >= 2 * highest
        && Parts::at_most(highest, line).longest() + 1 >= highest
}

/// How many panels tiles take at once: as many as they can. If these do not fit the first cache and there are rows enough
/// for high tiles, two: every byte of weights that comes from the second cache then meets twice as many rows. Two as well
/// where so many panels leave room for a single row and products are few: what each tile costs besides them then tells.
fn band(ladder: &Ladder, geometry: &Geometry) -> usize {
    const ROOM: usize = 40 << 10;
    const FEW: usize = 28;
    let (widest, steps) = (ladder.rungs.len(), steps(geometry));
    let large = steps.saturating_mul(widest * LINE) > ROOM;
    match (ladder.rungs.get(1), ladder.rungs.last()) {
        (Some(two), _) if large && geometry.rows() >= two.tiles.len() => 2,
        (Some(_), Some(last)) if last.tiles.len() == 1 && steps < FEW && geometry.rows() > 1 => 2,
        _ => widest,
    }
}

impl Correlation {
    pub fn new(isa: Isa, geometry: Geometry, x_zero_point: u8, out: Epilogue) -> Correlation {
        let ladder = ladder(isa, false);
        let (windows, lines) = (Arc::new(geometry.windows()), lines::pay(&geometry));
        let line = if lines || windows.all_inside { geometry.out[1] } else { geometry.rows() };
        let streams = ladder.is_some_and(|ladder| streams(ladder, &geometry, &out, line));
        let band = if streams { 2 } else { ladder.map_or(1, |ladder| band(ladder, &geometry)) };
        let bytes = matches!(out, Epilogue::Bytes(_));
        let defers = bytes && !streams && band == 2 && ladder.is_some_and(|ladder| ladder.defer.is_some());
        let layout = Layout::new(&geometry, x_zero_point, band);
        let slides = lines
            && geometry.tap_columns() == slide::WIDTH
            && geometry.strides[1] == 1
            && geometry.x[3].is_multiple_of(QUAD);
        let mut correlation = Correlation {
            isa,
            geometry,
            windows,
            lines,
            streams,
            defers,
            slides,
            tiles: MOST_TILES,
            by_bands: false,
            layout,
            x_zero_point,
            out,
        };
        if let Some(ladder) = ladder
            && correlation.layout.bands().count > 1
        {
            let rows = correlation.tallest(ladder);
            correlation.by_bands = correlation.pass_by_bands(rows);
            correlation.tiles =
                if correlation.by_bands { MOST_TILES } else { correlation.tiles_at_once(rows) };
        }
        correlation
    }

    /// How many tiles of so many rows are made at once where several bands read the same inputs: as many as the first
    /// cache holds from one band to the next, if it holds the weights of a band from one tile to the next.
    fn tiles_at_once(&self, rows: usize) -> usize {
        const INPUTS: usize = 20 << 10;
        let weights = self.layout.bands().longest() * self.layout.panel_len();
        let fitting = INPUTS / rows.saturating_mul(self.windows.step).max(1);
        if weights > FIRST_CACHE { 1 } else { fitting.clamp(1, MOST_TILES) }
    }

    /// True for products of many rows where the first cache just holds a band of weights beside the inputs of a tile of so
    /// many rows: then the inputs, which are less, come from the second cache and not the weights.
    fn pass_by_bands(&self, rows: usize) -> bool {
        const ROOM: usize = 46 << 10;
        const MANY: usize = 8;
        let weights = self.layout.bands().longest() * self.layout.panel_len();
        let inputs = rows.saturating_mul(self.windows.step);
        let holds = weights > FIRST_CACHE && weights.saturating_add(inputs) <= ROOM;
        holds && self.windows.dense && self.geometry.rows() >= MANY * rows
    }

    /// The name of the micro-kernel that runs as part of `operation`.
    pub fn kernel(&self, operation: Operation) -> &'static str {
        match ladder(self.isa, false) {
            Some(ladder) => self.rung(ladder, self.layout.bands().longest()).names[operation as usize],
            None => scalar::qconv::NAMES[operation as usize],
        }
    }

    /// The micro-kernels of so many panels (0: of one).
    fn rung(&self, ladder: &Ladder, panels: usize) -> &'static Rung {
        match (ladder.stream, ladder.defer, ladder.slide) {
            (Some(stream), ..) if self.streams && panels == 2 => stream,
            (_, Some(defer), _) if self.defers && panels == 2 => defer,
            (.., Some(slide)) if self.slides && panels == 1 => slide,
            _ => &ladder.rungs[panels.clamp(1, ladder.rungs.len()) - 1],
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
        self.rung(ladder, self.layout.bands().longest()).tiles.len()
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
            Some(_) if rows.is_empty() || self.geometry.oc == 0 => {}
            Some(ladder) if rows.len() == 1 && self.windows.dense => {
                self.run_row(ladder, &packed, x, target, [rows, columns]);
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

    /// Computes one row of a product, of which the bands `columns`: what a walk would find out is known. Networks have it
    /// where the input's quantization came with it; else they have [`QRow`](crate::QRow).
    fn run_row(
        &self,
        ladder: &Ladder,
        packed: &Packed<'_>,
        x: &[u8],
        target: &Target<'_>,
        [positions, columns]: [Range<usize>; 2],
    ) {
        let row = positions.start;
        let first = target.find(&Span { n: 0, y: 0, x: positions }, 1, self.geometry.oc * self.out.size());
        let place = Place {
            x: x[row * self.windows.step..].as_ptr(),
            y: target.y.as_ptr().wrapping_add(first).cast_mut().cast(),
            pointers: std::ptr::null(),
        };
        let rows = Rows { step: self.windows.step, offsets: self.windows.offsets.as_ptr() };
        let mut sums = packed.has_zeros.then_some([0; SUMMED_TILES * MAX_ROWS]);
        let (at, left) = ((&rows, &[place][..], 1, 0), std::ptr::null_mut());
        // SAFETY: the row of `x` is there, with slack, and the outputs are. Tiles of one row are not deferred.
        unsafe { self.run_bands(ladder, packed, at, target, (0, columns), (&mut sums, left)) };
    }

    /// So many grains of positions in blocks, each of which all `parts` of the weights pass before the next is begun.
    fn blocks(&self, grains: usize, parts: usize) -> Parts {
        let inputs = self.geometry.x_len().div_ceil(self.geometry.rows().max(1)).saturating_mul(self.grain());
        match parts {
            0 | 1 => Parts::new(grains, 1),
            _ => Parts::at_most((CACHED_INPUTS / inputs.max(1)).max(1), grains),
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
        let [oc, channels] = self.windows.group;
        let weights = columns.len() * self.layout.bands().longest() * self.layout.panel_len();
        let parts = match self.by_bands {
            true => columns.len(),
            false if self.defers => weights.div_ceil(DEFERRED_WEIGHTS).min(columns.len()),
            false => weights.div_ceil(CACHED_WEIGHTS).min(columns.len()),
        };
        let parts = Parts::new(columns.len(), parts);
        // Where there are none, nothing is cleared.
        let mut sums = packed.has_zeros.then_some([0; SUMMED_TILES * MAX_ROWS]);
        let tiles = if packed.has_zeros { self.tiles.min(SUMMED_TILES) } else { self.tiles };
        let cut = Cut { rows: self.tallest(ladder), tiles };
        let grain = self.grain();
        let blocks = self.blocks(positions.len().div_ceil(grain), parts.count);
        let mut left = Left::none();
        for group in 0..self.geometry.groups {
            let slice = Slice { group, oc, channels, output: self.out.size() };
            for i in 0..blocks.count * parts.count {
                let [block, part] = [blocks.range(i / parts.count), parts.range(i % parts.count)];
                let part = columns.start + part.start..columns.start + part.end;
                let block = positions.start + block.start * grain..positions.start + block.end * grain;
                let block = block.start..block.end.min(positions.end);
                if self.defers {
                    // Of what lies behind the last part nothing is known, not even that it is the next layer's.
                    let last = i + 1 == blocks.count * parts.count;
                    let (group, next) = match last {
                        false => (group, columns.start + parts.range((i + 1) % parts.count).start),
                        true => (group + 1, columns.start),
                    };
                    let bands = if group < self.geometry.groups { part.len() } else { 0 };
                    let bytes = bands * self.layout.bands().longest() * self.layout.panel_len();
                    let next = packed.panels.as_ptr().wrapping_add(self.layout.start(group, next));
                    let tiles = block.len().div_ceil(cut.rows) * part.len();
                    left.ask(next, bytes, tiles * self.layout.taps, self.layout.quads());
                }
                let mut walk = Walk::new(&self.geometry, &self.windows, target, slice, block, cut);
                let mut ahead = AHEAD;
                while walk.next(source) {
                    let at = (&walk.rows, walk.places(), walk.mr, ahead);
                    // SAFETY: `walk` is at tiles of `mr` rows, at most as many as there is room for sums: for every tap
                    // there are bytes inside of `x` (3 more are slack), the border or a copy, and there are the outputs
                    // of the group.
                    unsafe {
                        self.run_bands(
                            ladder,
                            packed,
                            at,
                            target,
                            (group, part.clone()),
                            (&mut sums, &raw mut left),
                        )
                    };
                    // Several tiles at once are made over weights that then stay in the first cache; those of a single
                    // part stay in the second, which high tiles do not wait for.
                    let near = self.tiles > 1 || self.defers && parts.count == 1;
                    ahead = if near { 0 } else { AHEAD };
                }
            }
        }
        if self.defers {
            // SAFETY: `isa` proves the instruction set; nothing that tiles lead to is gone.
            unsafe { (ladder.finish)(&mut left, &self.out) };
        }
    }

    /// Computes tiles, of a group the bands `columns`; `sums` where weights have zero points. `left`: where tiles are
    /// deferred.
    ///
    /// # Safety
    /// What `left` leads to is there for tiles of more than one row, and nothing else leads there.
    /// At every place there are as many rows (not 0), with the bytes under all taps, and the outputs of the group. Each
    /// band's outputs are a part of these.
    #[inline(always)]
    unsafe fn run_bands(
        &self,
        ladder: &Ladder,
        packed: &Packed<'_>,
        (rows, places, mr, ahead): (&Rows, &[Place], usize, usize),
        target: &Target<'_>,
        (group, columns): (usize, Range<usize>),
        (sums, left): (&mut Option<[i32; SUMMED_TILES * MAX_ROWS]>, *mut Left),
    ) {
        let (layout, bands) = (&self.layout, self.layout.bands());
        let ([group_oc, _], output) = (self.windows.group, self.out.size());
        let widest = ladder.rungs.len().min(bands.longest());
        assert!(columns.end <= bands.count, "output channels are in range");
        let len = layout.panels() * layout.panel_len();
        let panels = packed.panels[group * len..][..len].as_ptr();
        let offsets = match packed.offsets.is_empty() {
            true => None,
            false => Some(packed.offsets[group * layout.panels() * OFFSETS..].as_ptr()),
        };
        let sums = match sums {
            None => std::ptr::null(),
            Some(sums) => {
                assert!(places.len() * mr <= sums.len(), "there is room for the sums of every row");
                for (place, sums) in places.iter().zip(sums.chunks_exact_mut(mr)) {
                    // SAFETY: `isa` proves the instruction set, the caller vouches for the rest.
                    unsafe { (ladder.row_sums)((rows, place), [layout.taps, layout.tap_len], sums) };
                }
                sums.as_ptr()
            }
        };
        let mut tiles = Tiles {
            rows,
            places,
            taps: layout.taps,
            quads: layout.quads(),
            headers: panels,
            lines: panels,
            line_step: 0,
            offsets: std::ptr::null(),
            sums,
            y_offset: 0,
            y_step: target.strides[2],
            columns: 0,
            out: &self.out,
            ahead,
            left,
        };
        for band in columns.map(|i| bands.range(i)) {
            let headers = panels.wrapping_add(band.start * layout.panel_len());
            let lines = headers.wrapping_add(band.len() * PANEL_HEADER);
            tiles.line_step = band.len() * LINE;
            let mut first = 0;
            while first < band.len() {
                let wide = widest.min(band.len() - first);
                let column = (band.start + first) * COLUMNS;
                tiles.headers = headers.wrapping_add(first * PANEL_HEADER);
                tiles.lines = lines.wrapping_add(first * LINE);
                if let Some(offsets) = offsets {
                    tiles.offsets = offsets.wrapping_add((band.start + first) * OFFSETS).cast();
                }
                tiles.y_offset = column * output;
                tiles.columns = (group_oc - column).min(wide * COLUMNS);
                let kernel = self.rung(ladder, wide).tiles[mr - 1];
                // SAFETY: `isa` proves the instruction set, the caller vouches for rows and outputs. The bands share
                // out the panels of the group, and this one holds `wide` from `first` on; every panel has offsets, or
                // none.
                unsafe { kernel(&tiles) };
                first += wide;
            }
        }
    }
}
