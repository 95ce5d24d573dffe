//! Pointers to the input bytes under every tap of a tile of output positions: convolution without an im2col copy.

use super::geometry::{Geometry, Position};
use super::layout::{Layout, QUAD};
use std::cell::Cell;
use std::mem::{MaybeUninit, align_of, size_of};
use std::ops::Range;

/// The most output positions of a tile.
pub(crate) const MAX_ROWS: usize = 16;

type Pointer = MaybeUninit<*const u8>;

/// The pointers of one tile, over one scratch buffer.
pub(crate) struct Indirection<'a> {
    geometry: &'a Geometry,
    x: &'a [u8],
    x_zero_point: u8,
    /// A tap that lies wholly outside.
    border: &'a [u8],
    /// Copies of taps that lie partly outside, `[row][tap]`. Cells: writing one copy must not invalidate the
    /// pointers to the others.
    cut: &'a [Cell<u8>],
    /// `[tap][row]`.
    table: &'a mut [Pointer],
}

/// Bytes that a tap takes where kernels read it: they read whole quads.
fn tap_room(layout: &Layout) -> usize {
    layout.quads() * QUAD
}

fn cut_len(geometry: &Geometry, layout: &Layout) -> usize {
    if geometry.cuts_taps() { MAX_ROWS * layout.taps * tap_room(layout) } else { 0 }
}

/// Bytes of scratch that [`Indirection::new`] needs.
pub(crate) fn scratch_len(geometry: &Geometry, layout: &Layout) -> usize {
    let table = MAX_ROWS * layout.taps * size_of::<Pointer>() + align_of::<Pointer>();
    tap_room(layout) + cut_len(geometry, layout) + table
}

impl<'a> Indirection<'a> {
    /// `x`: the whole input. Panics if the scratch is too short.
    pub fn new(
        geometry: &'a Geometry,
        layout: &Layout,
        x: &'a [u8],
        x_zero_point: u8,
        scratch: &'a mut [u8],
    ) -> Indirection<'a> {
        let (border, scratch) = scratch.split_at_mut(tap_room(layout));
        let (cut, scratch) = scratch.split_at_mut(cut_len(geometry, layout));
        border.fill(x_zero_point);
        // SAFETY: any bytes are valid values of `MaybeUninit`.
        let (_, table, _) = unsafe { scratch.align_to_mut::<Pointer>() };
        let table = &mut table[..MAX_ROWS * layout.taps];
        let cut = Cell::from_mut(cut).as_slice_of_cells();
        Indirection { geometry, x, x_zero_point, border, cut, table }
    }

    /// Computes the pointers `[tap][row]` of `rows` (at most [`MAX_ROWS`]), of the input channels from `channel` on;
    /// `start` is the position of the first row. Each points to the bytes of a tap that are all readable, and 3 more
    /// if the input has slack.
    pub fn fill(&mut self, rows: Range<usize>, start: Position, channel: usize) -> *const Pointer {
        let mr = rows.len();
        assert!(mr <= MAX_ROWS && rows.end <= self.geometry.rows());
        if self.geometry.is_dense() {
            for (to, row) in self.table.iter_mut().zip(rows) {
                to.write(self.x[row * self.geometry.x[3] + channel..].as_ptr());
            }
            return self.table.as_ptr();
        }
        let mut position = start;
        for i in 0..mr {
            let corner = self.geometry.corner(&position);
            match self.geometry.pixel(position.n, corner) {
                Some(first) if self.geometry.is_inside(corner) => self.fill_inside(i, mr, first + channel),
                _ => self.fill_border(i, mr, position.n, corner, channel),
            }
            self.geometry.step(&mut position);
        }
        self.table.as_ptr()
    }

    /// The window of row `i` lies wholly inside and starts at byte `corner`.
    fn fill_inside(&mut self, i: usize, mr: usize, corner: usize) {
        let g = self.geometry;
        let [taps_y, taps_x] = g.taps();
        let down = g.dilations[0] * g.x[2] * g.x[3];
        let right = g.dilations[1] * g.x[3];
        let mut to = self.table.iter_mut().skip(i).step_by(mr);
        for y in 0..taps_y {
            let line = &self.x[corner + y * down..];
            for x in 0..taps_x {
                if let Some(to) = to.next() {
                    to.write(line[x * right..].as_ptr());
                }
            }
        }
    }

    /// The window of row `i`, its first tap at `corner`, lies partly or wholly outside.
    fn fill_border(&mut self, i: usize, mr: usize, n: usize, corner: [isize; 2], channel: usize) {
        let g = self.geometry;
        let [taps_y, taps_x] = g.taps();
        let columns = g.tap_columns() as isize;
        for tap in 0..taps_y * taps_x {
            let (y, x) = (tap / taps_x * g.dilations[0], tap % taps_x * g.dilations[1]);
            let first = [corner[0] + y as isize, corner[1] + x as isize];
            let last = [first[0], first[1] + columns - 1];
            let pointer = match (g.pixel(n, first), g.pixel(n, last)) {
                (Some(first), Some(_)) => self.x[first + channel..].as_ptr(),
                _ => self.cut_tap(i * taps_y * taps_x + tap, n, first),
            };
            self.table[tap * mr + i].write(pointer);
        }
    }

    /// The bytes of a tap that lies partly or wholly outside: copies what is inside between zero points.
    fn cut_tap(&self, slot: usize, n: usize, at: [isize; 2]) -> *const u8 {
        let g = self.geometry;
        let (left, right) = (at[1].max(0), (at[1] + g.tap_columns() as isize).min(g.x[2] as isize));
        let Some(first) = g.pixel(n, [at[0], left]).filter(|_| left < right) else {
            return self.border.as_ptr();
        };
        let source = &self.x[first..][..(right - left) as usize * g.x[3]];
        let room = self.border.len();
        let copy = &self.cut[slot * room..][..room];
        copy.iter().for_each(|to| to.set(self.x_zero_point));
        let inside = &copy[(left - at[1]) as usize * g.x[3]..][..source.len()];
        inside.iter().zip(source).for_each(|(to, &from)| to.set(from));
        copy.as_ptr().cast()
    }
}
