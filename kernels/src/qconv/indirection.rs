//! Pointers to the input bytes under every tap of a tile of output positions: convolution without an im2col
//! copy.

use super::geometry::{Geometry, Span, Windows};
use super::layout::{Layout, QUAD};
use super::tile::Rows;
use crate::SLACK;
use std::cell::Cell;
use std::mem::{MaybeUninit, align_of, size_of};

/// The most output positions of a tile.
pub(crate) const MAX_ROWS: usize = 16;

/// Tiles whose pointers are kept at once.
pub(crate) const TABLES: usize = 4;

type Pointer = MaybeUninit<*const u8>;

/// The pointers of some tiles, over one scratch buffer.
pub(crate) struct Indirection<'a> {
    geometry: &'a Geometry,
    x: &'a [u8],
    x_zero_point: u8,
    windows: &'a Windows,
    /// A tap that lies wholly outside.
    border: &'a [u8],
    /// Copies of taps that lie partly outside, `[table][row][tap]`. Cells: writing one copy must not invalidate the
    /// pointers to the others.
    cut: &'a [Cell<u8>],
    /// `[table][tap][row]`. Cells: as above.
    tables: &'a [Cell<Pointer>],
}

/// Bytes that a tap takes where kernels read it: they read whole quads.
fn tap_room(layout: &Layout) -> usize {
    layout.quads() * QUAD
}

fn cut_len(geometry: &Geometry, layout: &Layout) -> usize {
    if geometry.cuts_taps() { TABLES * MAX_ROWS * layout.taps * tap_room(layout) } else { 0 }
}

/// Bytes of scratch that [`Indirection::new`] needs.
pub(crate) fn scratch_len(geometry: &Geometry, layout: &Layout) -> usize {
    let tables = TABLES * MAX_ROWS * layout.taps * size_of::<Pointer>() + align_of::<Pointer>();
    tap_room(layout) + cut_len(geometry, layout) + tables
}

impl<'a> Indirection<'a> {
    /// `x`: the whole input and its slack. Panics if the scratch is too short.
    pub fn new(
        geometry: &'a Geometry,
        windows: &'a Windows,
        layout: &Layout,
        x: &'a [u8],
        x_zero_point: u8,
        scratch: &'a mut [u8],
    ) -> Indirection<'a> {
        let (border, scratch) = scratch.split_at_mut(tap_room(layout));
        let (cut, scratch) = scratch.split_at_mut(cut_len(geometry, layout));
        if !windows.all_inside {
            border.fill(x_zero_point);
        }
        // SAFETY: any bytes are valid values of `MaybeUninit`.
        let (_, table, _) = unsafe { scratch.align_to_mut::<Pointer>() };
        let tables = Cell::from_mut(&mut table[..TABLES * MAX_ROWS * layout.taps]).as_slice_of_cells();
        let cut = Cell::from_mut(cut).as_slice_of_cells();
        Indirection { geometry, x, x_zero_point, windows, border, cut, tables }
    }

    /// The pointers of a table, `[tap][row]`. Each that was filled in points to the bytes of a tap that are all
    /// readable, and 3 more if the input has slack.
    pub fn table(&self, table: usize) -> *const *const u8 {
        self.pointers(table).as_ptr().cast()
    }

    fn pointers(&self, table: usize) -> &'a [Cell<Pointer>] {
        let len = self.tables.len() / TABLES;
        &self.tables[table * len..][..len]
    }

    /// Where the first of the positions `span` has its window, all of which lie wholly inside, for the input channels
    /// from `channel` on: no pointers are needed there. Each tap's bytes are readable, and 3 more. Panics where a window
    /// leaves the input.
    pub fn find(&self, span: &Span, channel: usize, rows: &mut Rows) -> *const u8 {
        let (first, step) = self.steps(span);
        rows.step = step;
        rows.offsets = self.windows.offsets.as_ptr();
        self.x[first + channel..].as_ptr()
    }

    /// Where in the input the windows of `span` start, which lie wholly inside, and from one to the next. Panics
    /// where they leave it.
    #[inline]
    fn steps(&self, span: &Span) -> (usize, usize) {
        let g = self.geometry;
        let at = [g.top(span.y), g.left(span.x.start)];
        let first = g.pixel(span.n, at).expect("the window is inside");
        let step = self.windows.step;
        assert!(first + (span.x.len() - 1) * step + self.windows.len + SLACK <= self.x.len());
        (first, step)
    }

    /// Computes the pointers of the rows `row..` of a tile of `mr` rows (at most [`MAX_ROWS`]), which are the
    /// positions `span`, to the input channels from `channel` on.
    pub fn fill(&self, table: usize, [mr, row]: [usize; 2], span: &Span, channel: usize) {
        assert!(row + span.x.len() <= mr && mr <= MAX_ROWS);
        let clamp = |x: usize| x.clamp(span.x.start, span.x.end);
        let inside = &self.windows.inside;
        let whole = inside[0].contains(&span.y);
        let inside = if whole { clamp(inside[1].start)..clamp(inside[1].end) } else { 0..0 };
        if inside.is_empty() {
            self.fill_border(table, [mr, row], span.clone(), channel);
            return;
        }
        if span.x.start < inside.start {
            self.fill_border(table, [mr, row], Span { x: span.x.start..inside.start, ..*span }, channel);
        }
        if inside.end < span.x.end {
            let row = row + inside.end - span.x.start;
            self.fill_border(table, [mr, row], Span { x: inside.end..span.x.end, ..*span }, channel);
        }
        let row = row + inside.start - span.x.start;
        self.fill_inside(table, [mr, row], Span { x: inside, ..*span }, channel);
    }

    /// The windows lie wholly inside: equal steps from row to row and from tap to tap.
    fn fill_inside(&self, table: usize, [mr, row]: [usize; 2], span: Span, channel: usize) {
        let ((first, step), pointers) = (self.steps(&span), self.pointers(table));
        for (tap, offset) in self.windows.offsets.iter().enumerate() {
            let pointer = self.x.as_ptr().wrapping_add(first + offset + channel);
            let rows = &pointers[tap * mr + row..][..span.x.len()];
            // By index and not by adding up: several at a time, none waits for the one before.
            for (i, to) in rows.iter().enumerate() {
                to.set(Pointer::new(pointer.wrapping_add(i * step)));
            }
        }
    }

    /// The windows lie partly or wholly outside: each tap is looked at.
    fn fill_border(&self, table: usize, [mr, row]: [usize; 2], span: Span, channel: usize) {
        let (g, pointers) = (self.geometry, self.pointers(table));
        let [taps_y, taps_x] = self.windows.taps;
        let (columns, width) = (g.tap_columns() as isize, g.x[2] as isize);
        for tap_y in 0..taps_y {
            let line = g.pixel(span.n, [g.top(span.y) + (tap_y * g.dilations[0]) as isize, 0]);
            for (row, x) in (row..).zip(span.x.clone()) {
                for tap_x in 0..taps_x {
                    let tap = tap_y * taps_x + tap_x;
                    let left = g.left(x) + (tap_x * g.dilations[1]) as isize;
                    let pointer = match line {
                        Some(line) if left >= 0 && left + columns <= width => {
                            self.x.as_ptr().wrapping_add(line + left as usize * g.x[3] + channel)
                        }
                        Some(line) if left + columns > 0 && left < width => {
                            self.cut_tap((table * MAX_ROWS + row) * taps_y * taps_x + tap, line, left)
                        }
                        _ => self.border.as_ptr(),
                    };
                    pointers[tap * mr + row].set(Pointer::new(pointer));
                }
            }
        }
    }

    /// A copy of the tap from column `left` on that is cut by an edge; the line starts at byte `line`. What
    /// is outside is filled up with the zero point.
    fn cut_tap(&self, slot: usize, line: usize, left: isize) -> *const u8 {
        let g = self.geometry;
        let (start, end) =
            (left.max(0) as usize, (left + g.tap_columns() as isize).min(g.x[2] as isize) as usize);
        let source = &self.x[line + start * g.x[3]..line + end * g.x[3]];
        let room = self.border.len();
        let copy = &self.cut[slot * room..][..room];
        let before = (start as isize - left) as usize * g.x[3];
        let (outside, inside) = copy.split_at(before);
        let (inside, behind) = inside.split_at(source.len());
        // SAFETY: cells may be written through their pointers; there are as many as bytes are written, and they lie
        // in another buffer than the source. In whole vectors: kernels would wait for single bytes to be stored.
        unsafe {
            outside.as_ptr().cast_mut().cast::<u8>().write_bytes(self.x_zero_point, outside.len());
            inside.as_ptr().cast_mut().cast::<u8>().copy_from_nonoverlapping(source.as_ptr(), source.len());
            behind.as_ptr().cast_mut().cast::<u8>().write_bytes(self.x_zero_point, behind.len());
        }
        copy.as_ptr().cast()
    }
}
