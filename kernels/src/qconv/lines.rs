//! The lines of an image under a line of output, copied with their borders: where channels are few or lines are short,
//! looking at the taps that edges cut would cost more than copying every line once.
//!
//! Small lines are held for several lines of output, so that tiles of all of these can be given out together. Where lines
//! are long, there are as many as the kernel is high, as a ring: each next line takes the slot of the oldest. What is
//! left and right of the image is the zero point and never changes. All windows of an output line are equally far apart
//! then, at the edges too.

use super::geometry::{Geometry, Parts, Span};
use super::tile::Rows;
use crate::SLACK;
use std::mem::{align_of, size_of};
use std::ops::Range;

/// Copies of lines, over one scratch buffer.
pub(crate) struct Lines<'a> {
    geometry: &'a Geometry,
    x: &'a [u8],
    x_zero_point: u8,
    /// Slots of a line each.
    copies: &'a mut [u8],
    /// By tap: where it starts in the copies, in the first window of a line.
    offsets: &'a mut [usize],
    image: usize,
    /// The lines that are held.
    held: Range<isize>,
    /// The slot of the first of them.
    slot: usize,
    /// Slots whose borders are the zero point.
    filled: usize,
    /// The most lines of output that lines are held for.
    most: usize,
}

/// Columns of a line with its borders.
fn line_columns(g: &Geometry) -> usize {
    (g.out[1].max(1) - 1) * g.strides[1] + g.reach()[1] + 1
}

/// Bytes of a line with its borders.
fn line_len(g: &Geometry) -> usize {
    line_columns(g) * g.x[3]
}

/// True where copying pays, and lines are long enough for tiles not to go over their ends: taps are kernel rows that
/// edges cut, or lines are so short that most tiles meet an edge, and pixels so small that looking at each tap of these
/// costs more than the copies.
pub(crate) fn pay(g: &Geometry) -> bool {
    const SHORTEST: usize = 4;
    const SHORT: usize = 16;
    const SMALL: usize = 64;
    let borders_are_narrow = line_len(g) <= 2 * (g.x[2] + g.kernel[1]) * g.x[3];
    let edges_cost = g.cuts_taps() || g.cuts_lines() && g.out[1] <= SHORT && g.group_channels() <= SMALL;
    edges_cost && g.dilations[0] == 1 && g.out[1] >= SHORTEST && borders_are_narrow
}

/// Lines of output whose inputs are held at once: equally many each time, in a part of the first cache.
fn held_outputs(g: &Geometry) -> usize {
    const ROOM: usize = 20 << 10;
    let more = (ROOM / line_len(g).max(1)).saturating_sub(g.kernel[0]) / g.strides[0];
    Parts::at_most(1 + more, g.out[0]).longest().max(1)
}

/// Lines that are held for them.
fn held_lines(g: &Geometry) -> usize {
    (held_outputs(g) - 1) * g.strides[0] + g.kernel[0]
}

/// Bytes of scratch that [`Lines::new`] needs.
pub(crate) fn scratch_len(g: &Geometry) -> usize {
    let taps = g.taps().iter().product::<usize>();
    held_lines(g) * line_len(g) + SLACK + taps * size_of::<usize>() + align_of::<usize>()
}

impl<'a> Lines<'a> {
    /// `x`: the whole input. Panics if the scratch is too short.
    pub fn new(geometry: &'a Geometry, x: &'a [u8], x_zero_point: u8, scratch: &'a mut [u8]) -> Lines<'a> {
        let (copies, offsets) = scratch.split_at_mut(held_lines(geometry) * line_len(geometry) + SLACK);
        // SAFETY: any bytes are valid numbers.
        let (_, offsets, _) = unsafe { offsets.align_to_mut::<usize>() };
        let offsets = &mut offsets[..geometry.taps().iter().product()];
        let most = held_outputs(geometry);
        Lines { geometry, x, x_zero_point, copies, offsets, image: 0, held: 0..0, slot: 0, filled: 0, most }
    }

    /// The most lines of output that lines are held for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Where the first of the positions `span` has its window, for the input channels from `channel` on, and bytes from
    /// there to the window below. As many columns of the `count` lines from there on (at most [`most`](Self::most)) are
    /// good until the next call.
    pub fn find(&mut self, span: &Span, count: usize, channel: usize, rows: &mut Rows) -> (*const u8, usize) {
        let g = self.geometry;
        assert!(
            count > 0 && count <= self.most && span.y + count <= g.out[0],
            "there is room for as many lines"
        );
        let top = g.top(span.y);
        let lines = top..top + ((count - 1) * g.strides[0] + g.kernel[0]) as isize;
        if self.image != span.n || self.held != lines {
            self.hold(span.n, lines);
        }
        let step = g.strides[1] * g.x[3];
        assert!(span.x.end <= g.out[1] && channel < g.x[3].max(1), "the span is within a line");
        rows.step = step;
        rows.offsets = self.offsets.as_ptr();
        (self.copies[span.x.start * step + channel..].as_ptr(), g.strides[0] * line_len(g))
    }

    /// Copies the lines that are not held yet.
    fn hold(&mut self, image: usize, lines: Range<isize>) {
        let g = self.geometry;
        let [_, height, width, channels] = g.x;
        let (len, high) = (line_len(g), g.kernel[0]);
        // A window's lines go around the end of a ring, but not those of several lines of output.
        let ring = self.most == 1;
        // Columns that both the image and the windows have: where they start in a line, in the copy's and the image's.
        let to = g.origin[1].min(0).unsigned_abs();
        let from = g.origin[1].max(0) as usize;
        let columns = width.saturating_sub(from).min(line_columns(g).saturating_sub(to));
        // Windows go down: lines stay as long as the first one does, in the slots that they have.
        let kept = match ring && image == self.image && self.held.contains(&lines.start) {
            true => self.held.clone(),
            false => lines.start..lines.start,
        };
        self.slot += (lines.start - kept.start) as usize;
        if self.slot >= high {
            self.slot -= high;
        }
        let slots = if ring { high } else { lines.len() };
        if slots > self.filled {
            self.copies[self.filled * len..slots * len].fill(self.x_zero_point);
            self.filled = slots;
        }
        let taps = g.taps()[1];
        for (i, line) in lines.clone().enumerate() {
            let slot = self.slot + i;
            let start = if ring && slot >= high { slot - high } else { slot } * len;
            if i < high {
                for (tap, offset) in self.offsets[i * taps..][..taps].iter_mut().enumerate() {
                    *offset = start + tap * g.dilations[1] * channels;
                }
            }
            if kept.contains(&line) {
                continue;
            }
            let slot = &mut self.copies[start..][..len];
            match usize::try_from(line).ok().filter(|&line| line < height) {
                Some(line) => {
                    let source = ((image * height + line) * width + from) * channels;
                    let source = &self.x[source..][..columns * channels];
                    slot[to * channels..][..columns * channels].copy_from_slice(source);
                }
                None => slot.fill(self.x_zero_point),
            }
        }
        (self.image, self.held) = (image, lines);
    }
}
