//! Walking over output positions, several tiles at a time: where the inputs of each tile are, and where its outputs go.
//!
//! Tiles of equal height are given out together, so that one call of a micro-kernel makes them all: it reads the same
//! weights for each, and may finish one while it multiplies for the next.

use super::geometry::{Geometry, Parts, Span, Spans, Windows};
use super::indirection::{Indirection, TABLES};
use super::lines::Lines;
use super::tile::{Place, Rows};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most tiles that are given out at once.
pub(crate) const MOST_TILES: usize = 64;

/// How tiles find their inputs.
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

/// How positions are cut into tiles.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// The most rows of a tile.
    pub rows: usize,
    /// The most tiles at once, at most [`MOST_TILES`].
    pub tiles: usize,
}

/// A walk over output positions.
pub(crate) struct Walk<'a> {
    geometry: &'a Geometry,
    windows: &'a Windows,
    target: &'a Target<'a>,
    slice: Slice,
    spans: Spans,
    cut: Cut,
    /// Tiles that positions were last shared out among.
    tiles: Parts,
    next: usize,
    /// Going tile by tile: positions from the next tile's first one on whose windows and outputs lie equally far apart,
    /// and where it starts.
    alike: usize,
    first: Place,
    /// Going by lines: those that are gone through, and the tiles of each that are equally high.
    block: Block,
    /// Rows of each of the tiles that the walk is at.
    pub mr: usize,
    /// What their inputs have in common.
    pub rows: Rows,
    /// Of these, `count` are there; the others are not even cleared.
    places: [MaybeUninit<Place>; MOST_TILES],
    count: usize,
}

/// Lines of output that are all cut into tiles alike.
struct Block {
    /// How many lines.
    lines: usize,
    /// The line of the next tile.
    line: usize,
    /// Tiles of a line that are equally high.
    alike: Range<usize>,
    /// Where the first line starts, and bytes from the windows of a line to those of the next.
    first: Place,
    step: usize,
}

impl<'a> Walk<'a> {
    /// Starts before the first tile of `positions`.
    pub fn new(
        geometry: &'a Geometry,
        windows: &'a Windows,
        target: &'a Target<'a>,
        slice: Slice,
        positions: Range<usize>,
        cut: Cut,
    ) -> Walk<'a> {
        Walk {
            geometry,
            windows,
            target,
            slice,
            spans: geometry.spans(positions),
            cut,
            tiles: Parts::new(0, 0),
            next: 1,
            alike: 0,
            first: Place::NONE,
            block: Block { lines: 0, line: 0, alike: 0..1, first: Place::NONE, step: 0 },
            mr: 0,
            rows: Rows::none(),
            places: [const { MaybeUninit::uninit() }; MOST_TILES],
            count: 0,
        }
    }

    /// Where the tiles are that the walk is at.
    pub fn places(&self) -> &[Place] {
        // SAFETY: the first `count` were written.
        unsafe { self.places[..self.count].assume_init_ref() }
    }

    /// Goes to the next tiles; false behind the last one. `rows` and [`places`](Self::places) are then good for `mr`
    /// rows of each and all taps, and there are the outputs of the group.
    pub fn next(&mut self, source: &mut Source<'_>) -> bool {
        /// Tiles that do not go over the end of a line should not be much less high than others.
        const SHORT: usize = 8;
        self.count = 0;
        match source {
            Source::Image(image) if !self.windows.all_inside || self.geometry.out[1] < SHORT => {
                self.next_across_lines(image)
            }
            _ => self.next_in_lines(source),
        }
        self.count > 0
    }

    /// Lines that are short, or whose windows hang over edges: tiles go over their ends.
    fn next_across_lines(&mut self, indirection: &mut Indirection<'_>) {
        if self.next == self.tiles.count {
            // A tile must not go over the end of a line behind which outputs do not go on.
            let dense = self.target.is_dense(self.geometry.out);
            let positions = if dense { self.spans.left() } else { self.spans.left_in_line() };
            (self.tiles, self.next) = (Parts::at_most(self.cut.rows, positions), 0);
        }
        self.mr = self.tiles.len(self.next);
        if self.mr == 0 {
            return;
        }
        let most = self.cut.tiles.min(self.tiles.alike(self.next));
        let mut tables = 0;
        while self.count < most && tables < TABLES {
            if self.alike < self.mr {
                tables += usize::from(self.place(indirection, tables));
            }
            self.places[self.count].write(self.first);
            self.count += 1;
            self.first.x = self.first.x.wrapping_add(self.mr * self.rows.step);
            self.first.y = self.first.y.wrapping_add(self.mr * self.target.strides[2]);
            self.alike -= self.mr;
            self.spans.skip(self.mr);
        }
        self.next += self.count;
    }

    /// Finds the windows and outputs of a tile that does not follow from the one before; true if through pointers, for
    /// which `table` is used.
    #[inline(never)]
    fn place(&mut self, indirection: &mut Indirection<'_>, table: usize) -> bool {
        let Slice { group, oc, channels, output } = self.slice;
        let (mr, line) = (self.mr, self.spans.rest_of_line());
        let inside = &self.windows.inside;
        let end = line.x.end.min(inside[1].end);
        let span = Span { x: line.x.start..end, ..line };
        let whole =
            inside[0].contains(&line.y) && inside[1].start <= line.x.start && line.x.start + mr <= end;
        self.alike = if whole { span.x.len() } else { mr };
        if whole {
            self.first.pointers = std::ptr::null();
            self.first.x = indirection.find(&span, group * channels, &mut self.rows);
        }
        let first = self.target.find(&line, self.alike, self.geometry.oc * output);
        self.first.y = self.target.y.as_ptr().wrapping_add(first + group * oc * output).cast_mut().cast();
        if whole {
            return false;
        }
        let (mut filled, mut spans) = (0, self.spans.clone());
        while let Some(span) = spans.next(mr - filled) {
            indirection.fill(table, [mr, filled], &span, group * channels);
            filled += span.x.len();
        }
        assert_eq!(filled, mr, "there are as many positions as tiles have rows");
        self.first.pointers = indirection.table(table);
        true
    }

    /// Tiles do not go over the end of a line: all windows of a line are equally far apart.
    fn next_in_lines(&mut self, source: &mut Source<'_>) {
        if self.block.line == self.block.lines {
            let done = self.block.alike.end;
            if done < self.tiles.count {
                self.block.alike = done..self.tiles.count;
            } else if !self.next_block(source) {
                return;
            }
            (self.block.line, self.next) = (0, self.block.alike.start);
        }
        let ([_, line, pixel], step, block) = (self.target.strides, self.rows.step, &mut self.block);
        self.mr = self.tiles.len(self.next);
        while self.count < self.cut.tiles && block.line < block.lines {
            let x = self.tiles.range(self.next).start;
            self.places[self.count].write(Place {
                x: block.first.x.wrapping_add(block.line * block.step + x * step),
                y: block.first.y.wrapping_add(block.line * line + x * pixel),
                ..block.first
            });
            self.count += 1;
            self.next += 1;
            if self.next == block.alike.end {
                self.next = block.alike.start;
                block.line += 1;
            }
        }
    }

    /// Goes to the next lines, or the rest of one; false if there are none.
    #[inline(never)]
    fn next_block(&mut self, source: &mut Source<'_>) -> bool {
        let Slice { group, oc, channels, output } = self.slice;
        let most = match source {
            Source::Lines(lines) => lines.most(),
            Source::Image(_) => usize::MAX,
        };
        let Some((span, lines)) = self.spans.block(most) else {
            return false;
        };
        let last = Span { y: span.y + lines - 1, ..span.clone() };
        let (x, step) = match source {
            Source::Lines(copies) => copies.find(&span, lines, group * channels, &mut self.rows),
            Source::Image(image) => {
                image.find(&last, group * channels, &mut self.rows);
                let line = self.geometry.strides[0] * self.geometry.x[2] * self.geometry.x[3];
                (image.find(&span, group * channels, &mut self.rows), line)
            }
        };
        let [first, _] = [&span, &last].map(|s| self.target.find(s, s.x.len(), self.geometry.oc * output));
        let y = self.target.y.as_ptr().wrapping_add(first + group * oc * output).cast_mut().cast();
        self.tiles = Parts::at_most(self.cut.rows, span.x.len());
        let first = Place { x, y, pointers: std::ptr::null() };
        self.block = Block { lines, line: 0, alike: 0..self.tiles.alike(0), first, step };
        true
    }
}
