//! The loops around the micro-kernels: groups, parts of the weights, tiles of output positions, panels.

use super::geometry::{Geometry, Parts, Span, Spans, Windows};
use super::indirection::{self, Indirection, MAX_ROWS};
use super::layout::{COLUMNS, LINE, Layout, PANEL_HEADER, Packed};
use super::lines::{self, Lines};
use super::requantize::Epilogue;
use super::tile::{Ladder, Operation, Rows, Tile};
#[cfg(target_arch = "x86_64")]
use crate::x86_64::ladder;
use crate::{Isa, SLACK, scalar};
use std::cell::Cell;
use std::ops::Range;

/// Weights of this many bytes are gone through for one tile of positions after the other, so that they are
/// read from the second cache and not from memory.
const CACHED_WEIGHTS: usize = 256 << 10;

/// A convolution of any [`Geometry`]: what [`QConv`](super::QConv) and each phase of
/// [`QConvTranspose`](super::QConvTranspose) are.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    isa: Isa,
    pub geometry: Geometry,
    windows: Windows,
    /// Tiles read copies of lines.
    lines: bool,
    pub layout: Layout,
    pub x_zero_point: u8,
    pub out: Epilogue,
}

/// How a tile finds its inputs.
enum Source<'a> {
    /// In the image, by steps or through pointers.
    Image(Indirection<'a>),
    /// In copies of its lines.
    Lines(Lines<'a>),
}

impl Source<'_> {
    /// The positions behind `spans` that tiles of at most `most` rows share out equally.
    fn tiles(&self, spans: &Spans, most: usize) -> Parts {
        Parts::at_most(
            most,
            match self {
                Source::Image(_) => spans.left(),
                Source::Lines(_) => spans.left_in_line(),
            },
        )
    }
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
    /// Where the rows of `len` outputs of a span go: the first one, and from one to the next. Panics if a row
    /// is outside.
    fn rows(&self, span: &Span, len: usize) -> (usize, usize) {
        let [image, line, pixel] = self.strides;
        let first = (span.n * image + span.y * line + span.x.start * pixel).wrapping_add_signed(self.start);
        let last = first.checked_add((span.x.len() - 1) * pixel + len);
        assert!(last.is_some_and(|last| last <= self.y.len()), "the output has room for every row");
        (first, pixel)
    }
}

/// The micro-kernels of an instruction set; none where plain loops run.
#[cfg(not(target_arch = "x86_64"))]
fn ladder(_: Isa, _: bool) -> Option<&'static Ladder> {
    None
}

impl Correlation {
    pub fn new(isa: Isa, geometry: Geometry, x_zero_point: u8, out: Epilogue) -> Correlation {
        let band = ladder(isa, false).map_or(1, |ladder| ladder.rungs.len());
        let layout = Layout::new(&geometry, x_zero_point, band);
        let (windows, lines) = (geometry.windows(), lines::pay(&geometry));
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
        assert!(x.len() >= self.geometry.x_len() + SLACK, "the input has slack behind it");
        assert!(rows.end <= self.geometry.rows(), "output rows are in range");
        let packed = self.layout.view(packed);
        match ladder(self.isa, packed.has_min) {
            None => {
                let mut spans = self.geometry.spans(rows);
                while let Some(span) = spans.next(1) {
                    let len = self.geometry.oc * self.out.size();
                    let (first, _) = target.rows(&span, len);
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
                self.run_tiles(ladder, &packed, &mut source, target, rows);
            }
        }
    }

    /// Computes output `positions` with the micro-kernels of `ladder`.
    fn run_tiles(
        &self,
        ladder: &Ladder,
        packed: &Packed<'_>,
        source: &mut Source<'_>,
        target: &Target<'_>,
        positions: Range<usize>,
    ) {
        let (geometry, layout) = (&self.geometry, &self.layout);
        if positions.is_empty() || geometry.oc == 0 {
            return;
        }
        let group_oc = self.windows.group[0];
        let bands = layout.bands();
        let widest = ladder.rungs.len().min(bands.longest());
        let most = ladder.rungs[widest - 1].tiles.len();
        let group_weights = layout.panels() * layout.panel_len();
        let parts = Parts::new(bands.count, group_weights.div_ceil(CACHED_WEIGHTS).min(bands.count));
        // Filled in place, tile by tile: an array that is returned is copied, and waited for.
        let mut y = [std::ptr::null_mut(); MAX_ROWS];
        let mut rows = Rows::none();
        let mut sums = [0; MAX_ROWS];
        for group in 0..geometry.groups {
            let panels = &packed.panels[group * group_weights..][..group_weights];
            for part in (0..parts.count).map(|i| parts.range(i)) {
                let mut spans = geometry.spans(positions.clone());
                let mut tiles = source.tiles(&spans, most);
                let mut next = 0;
                while tiles.len(next) > 0 {
                    let mr = tiles.len(next);
                    self.place(group, &mut y[..mr], &mut rows, &mut spans, target, source);
                    if packed.has_zeros {
                        // SAFETY: `isa` proves the instruction set, and `place` has made `mr` rows, as below.
                        unsafe { (ladder.row_sums)(&rows, [layout.taps, layout.tap_len], &mut sums[..mr]) };
                    }
                    for band in part.clone().map(|i| bands.range(i)) {
                        let (headers, lines) = panels[band.start * layout.panel_len()..]
                            [..band.len() * layout.panel_len()]
                            .split_at(band.len() * PANEL_HEADER);
                        let mut first = 0;
                        while first < band.len() {
                            let wide = widest.min(band.len() - first);
                            let column = (band.start + first) * COLUMNS;
                            let tile = Tile {
                                rows: &rows,
                                taps: layout.taps,
                                quads: layout.quads(),
                                headers: headers[first * PANEL_HEADER..].as_ptr(),
                                lines: lines[first * LINE..].as_ptr(),
                                line_step: band.len() * LINE,
                                sums: if packed.has_zeros { sums.as_ptr() } else { std::ptr::null() },
                                y: y.as_ptr(),
                                column,
                                columns: (group_oc - column).min(wide * COLUMNS),
                                out: &self.out,
                            };
                            let kernel = ladder.rungs[wide - 1].tiles[mr - 1];
                            // SAFETY: `isa` proves the instruction set. `place` has made `mr` rows: a pointer for every
                            // tap to bytes inside of `x` (3 more are slack), the border or a copy, and one to the
                            // `group_oc` outputs, of which these are a part. `headers` and `lines` hold the panels
                            // of the band, from panel `first` on `wide` ones.
                            unsafe { kernel(&tile) };
                            first += wide;
                        }
                    }
                    next += 1;
                    if next == tiles.count {
                        (tiles, next) = (source.tiles(&spans, most), 0);
                    }
                }
            }
        }
    }

    /// The next positions of `spans`, as many as `y` has room for: fills `rows` with where their inputs are, and `y`
    /// with where their outputs of `group` go.
    fn place(
        &self,
        group: usize,
        y: &mut [*mut u8],
        rows: &mut Rows,
        spans: &mut Spans,
        target: &Target<'_>,
        source: &mut Source<'_>,
    ) {
        let geometry = &self.geometry;
        let mr = y.len();
        let mut filled = 0;
        let [group_oc, group_channels] = self.windows.group;
        let channel = group * group_channels;
        while let Some(span) = spans.next(mr - filled) {
            let size = self.out.size();
            let (first, step) = target.rows(&span, geometry.oc * size);
            let row = target.y.as_ptr().wrapping_add(first + group * group_oc * size);
            for (i, to) in y[filled..][..span.x.len()].iter_mut().enumerate() {
                *to = row.wrapping_add(i * step).cast_mut().cast();
            }
            match source {
                Source::Lines(lines) => {
                    assert_eq!(span.x.len(), mr, "a tile ends where the line ends");
                    return lines.find(&span, rows);
                }
                Source::Image(indirection) => {
                    if span.x.len() == mr && indirection.find(&span, channel, rows) {
                        return;
                    }
                    indirection.fill(mr, filled, &span, channel);
                    rows.pointers = indirection.table();
                }
            }
            filled += span.x.len();
        }
        assert_eq!(filled, mr, "there are as many positions as tiles have rows");
    }
}
