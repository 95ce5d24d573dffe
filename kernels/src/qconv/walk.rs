//! Walking over output positions tile by tile: where the inputs of each tile are, and where its outputs go.
//!
//! Most tiles follow one whose windows lie in the same line, at the same distances: all that changes then is where the
//! first one starts. Little else may be done between two tiles. A processor works ahead on the next one only as far as
//! its instruction window reaches, and what is done in between fills that window.

use super::geometry::{Geometry, Parts, Span, Spans, Windows};
use super::indirection::Indirection;
use super::lines::Lines;
use super::tile::Rows;
use std::cell::Cell;
use std::ops::Range;

/// How a tile finds its inputs.
pub(crate) enum Source<'a> {
    /// In the image, by steps or through pointers.
    Image(Indirection<'a>),
    /// In copies of its lines.
    Lines(Lines<'a>),
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
    /// Where the outputs of a span of positions start. Panics if not all of `len` bytes of each position, one pixel
    /// after the other, are in `y`.
    pub fn find(&self, span: &Span, positions: usize, len: usize) -> usize {
        let [image, line, pixel] = self.strides;
        let first = (span.n * image + span.y * line + span.x.start * pixel).wrapping_add_signed(self.start);
        let last = first.checked_add((positions - 1) * pixel + len);
        assert!(last.is_some_and(|last| last <= self.y.len()), "the output has room for every row");
        first
    }

    /// True if a line follows the one before as a pixel follows a pixel.
    fn is_dense(&self, [oh, ow]: [usize; 2]) -> bool {
        let [image, line, pixel] = self.strides;
        line == ow * pixel && image == oh * line
    }
}

/// One group's share of the channels.
#[derive(Clone, Copy)]
pub(crate) struct Slice {
    /// Which group.
    pub group: usize,
    /// Output channels of one group.
    pub oc: usize,
    /// Input channels of one group.
    pub channels: usize,
    /// Bytes of one output.
    pub output: usize,
}

/// A walk over output positions.
pub(crate) struct Walk<'a> {
    geometry: &'a Geometry,
    windows: &'a Windows,
    target: &'a Target<'a>,
    slice: Slice,
    spans: Spans,
    /// The most rows of a tile.
    most: usize,
    tiles: Parts,
    next: usize,
    /// Rows of the tile that the walk is at.
    mr: usize,
    /// Positions from this tile's first one on whose windows and outputs lie equally far apart.
    alike: usize,
    /// Where the inputs of this tile are.
    pub rows: Rows,
    /// Where its outputs start; from row to row they lie [`y_step`](Self::y_step) apart.
    pub y: *mut u8,
}

impl<'a> Walk<'a> {
    /// Starts before the first tile of `positions`.
    pub fn new(
        geometry: &'a Geometry,
        windows: &'a Windows,
        target: &'a Target<'a>,
        slice: Slice,
        positions: Range<usize>,
        most: usize,
    ) -> Walk<'a> {
        let spans = geometry.spans(positions);
        let (tiles, y) = (Parts::new(0, 0), std::ptr::null_mut());
        Walk {
            geometry,
            windows,
            target,
            slice,
            spans,
            most,
            tiles,
            next: 1,
            mr: 0,
            alike: 0,
            rows: Rows::none(),
            y,
        }
    }

    /// Bytes from the outputs of one row to those of the next.
    #[inline(always)]
    pub fn y_step(&self) -> usize {
        self.target.strides[2]
    }

    /// Goes to the next tile and returns how many rows it has; `None` behind the last one. `rows` are then good for as
    /// many rows and all taps, and there are the outputs of the group.
    #[inline(always)]
    pub fn next(&mut self, source: &mut Source<'_>) -> Option<usize> {
        if self.next == self.tiles.count {
            self.share_out(source);
        }
        let before = std::mem::replace(&mut self.mr, self.tiles.len(self.next));
        self.next += 1;
        self.alike -= before;
        if self.mr == 0 {
            return None;
        }
        if self.alike < self.mr {
            self.place(source);
        } else {
            self.rows.first = self.rows.first.wrapping_add(before * self.rows.step);
            self.y = self.y.wrapping_add(before * self.y_step());
            self.spans.next(self.mr);
        }
        Some(self.mr)
    }

    /// Shares out the next positions among tiles: all that are left, or those of a line where a tile must not go over
    /// its end.
    fn share_out(&mut self, source: &Source<'_>) {
        let within_lines = matches!(source, Source::Lines(_)) || !self.target.is_dense(self.geometry.out);
        let positions = if within_lines { self.spans.left_in_line() } else { self.spans.left() };
        (self.tiles, self.next) = (Parts::at_most(self.most, positions), 0);
    }

    /// Finds the windows and outputs of a tile that does not follow from the one before.
    #[inline(never)]
    fn place(&mut self, source: &mut Source<'_>) {
        let Slice { group, oc, channels, output } = self.slice;
        let (mr, line) = (self.mr, self.spans.rest_of_line());
        let indirection = match source {
            Source::Lines(lines) => {
                lines.find(&line, group * channels, &mut self.rows);
                self.alike = line.x.len();
                None
            }
            Source::Image(indirection) => {
                let inside = &self.windows.inside;
                let end = line.x.end.min(inside[1].end);
                let span = Span { x: line.x.start..end, ..line };
                let whole = inside[0].contains(&line.y) && inside[1].start <= line.x.start;
                if whole && line.x.start + mr <= end {
                    indirection.find(&span, group * channels, &mut self.rows);
                    self.alike = span.x.len();
                    None
                } else {
                    self.alike = mr;
                    Some(indirection)
                }
            }
        };
        let first = self.target.find(&line, self.alike, self.geometry.oc * output);
        self.y = self.target.y.as_ptr().wrapping_add(first + group * oc * output).cast_mut().cast();
        let Some(indirection) = indirection else {
            self.spans.next(mr);
            return;
        };
        let mut filled = 0;
        while let Some(span) = self.spans.next(mr - filled) {
            indirection.fill(mr, filled, &span, group * channels);
            filled += span.x.len();
        }
        assert_eq!(filled, mr, "there are as many positions as tiles have rows");
        self.rows.pointers = indirection.table();
    }
}
