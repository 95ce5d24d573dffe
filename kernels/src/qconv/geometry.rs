//! Where the windows of a convolution lie in its input.

use crate::ConvShape;
use std::ops::Range;

/// Up to this many channels a whole kernel row is one tap: fewer, longer runs of products, and no padding of
/// every single pixel to 4 channels. With more channels single pixels are long enough, and the border costs
/// no copies.
const ROW_TAP_CHANNELS: usize = 32;

/// A convolution over NHWC as kernels walk it. Unlike in [`ConvShape`] the first window may lie anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Images, input height, width, channels.
    pub x: [usize; 4],
    /// Output channels.
    pub oc: usize,
    /// Parts that the channels are split into.
    pub groups: usize,
    /// Kernel height, width.
    pub kernel: [usize; 2],
    /// Down, right.
    pub strides: [usize; 2],
    /// Down, right.
    pub dilations: [usize; 2],
    /// Input row and column under the first tap of the first output.
    pub origin: [isize; 2],
    /// Output height, width.
    pub out: [usize; 2],
}

/// What follows from a geometry, mostly by divisions: found once, when it is planned.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// Output lines and columns whose windows do not hang over an edge.
    pub inside: [Range<usize>; 2],
    /// No window hangs over an edge.
    pub all_inside: bool,
    /// Position `i` reads just the pixel `i`, all channels of it, in one line.
    pub dense: bool,
    /// Taps down and right.
    pub taps: [usize; 2],
    /// From the first tap of a window to each of them, where none lies outside, in bytes.
    pub offsets: Vec<usize>,
    /// Bytes from a window to the next one in its line.
    pub step: usize,
    /// Bytes from the start of a window to the end of its last pixel.
    pub len: usize,
    /// Output channels, input channels of one group.
    pub group: [usize; 2],
}

/// Output positions side by side in one line.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Image.
    pub n: usize,
    /// Output line.
    pub y: usize,
    /// Output columns.
    pub x: Range<usize>,
}

impl Geometry {
    /// Panics if groups do not divide the channels, a stride or dilation is 0, or an offset would not fit.
    pub fn new(shape: &ConvShape) -> Geometry {
        let origin = shape.pad.map(|p| -isize::try_from(p).expect("padding fits isize"));
        let mut geometry = Geometry {
            x: [shape.n, shape.h, shape.w, shape.c],
            oc: shape.oc,
            groups: shape.groups,
            kernel: shape.kernel,
            strides: shape.strides,
            dilations: shape.dilations,
            origin,
            out: [shape.oh, shape.ow],
        }
        .checked();
        if geometry.is_dense() {
            // A matrix product does not care for lines: let it be a single one.
            geometry.x = [1, 1, shape.rows(), shape.c];
            geometry.out = [1, shape.rows()];
        }
        geometry
    }

    /// Asserts what the rest of the module computes with unchecked: every product and every reach fits
    /// `isize`.
    pub fn checked(self) -> Geometry {
        let [n, h, w, c] = self.x;
        assert!(self.groups > 0 && c.is_multiple_of(self.groups) && self.oc.is_multiple_of(self.groups));
        assert!(
            self.strides.iter().chain(&self.dilations).all(|&s| s > 0),
            "strides and dilations are not 0"
        );
        assert_fits(&[n, h, w, c]);
        assert_fits(&[n, self.out[0], self.out[1], self.oc]);
        assert_fits(&[self.kernel[0], self.kernel[1], c, self.oc]);
        for axis in 0..2 {
            assert_fits(&[self.out[axis], self.strides[axis]]);
            assert_fits(&[self.kernel[axis], self.dilations[axis]]);
            assert_fits(&[self.origin[axis].unsigned_abs()]);
        }
        self
    }

    /// Output positions.
    pub fn rows(&self) -> usize {
        self.x[0] * self.out[0] * self.out[1]
    }

    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.x.iter().product()
    }

    /// Input channels of one group.
    pub fn group_channels(&self) -> usize {
        self.x[3] / self.groups
    }

    /// Kernel columns that one tap covers: a tap is a run of bytes that lie side by side in the input.
    pub fn tap_columns(&self) -> usize {
        let merged = self.groups == 1 && self.dilations[1] == 1 && self.x[3] <= ROW_TAP_CHANNELS;
        if merged { self.kernel[1].max(1) } else { 1 }
    }

    /// Taps down and right.
    pub fn taps(&self) -> [usize; 2] {
        [self.kernel[0], self.kernel[1] / self.tap_columns()]
    }

    /// What follows.
    pub fn windows(&self) -> Windows {
        let inside = [0, 1].map(|axis| self.inside(axis));
        let all_inside = (0..2).all(|axis| inside[axis] == (0..self.out[axis]));
        let taps @ [down, right] = self.taps();
        let offset = |tap: usize| {
            let [y, x] = [tap / right * self.dilations[0], tap % right * self.dilations[1]];
            (y * self.x[2] + x) * self.x[3]
        };
        let group = [self.oc / self.groups, self.group_channels()];
        let offsets = (0..down * right).map(offset).collect();
        let (reach, [.., width, channels]) = (self.reach(), self.x);
        let len = (reach[0] * width + reach[1] + 1) * channels;
        let dense = self.is_dense() && self.groups == 1 && self.out[0] == 1 && self.x[0] == 1;
        Windows { inside, all_inside, dense, taps, offsets, step: self.strides[1] * channels, len, group }
    }

    /// Bytes of one tap.
    pub fn tap_len(&self) -> usize {
        self.tap_columns() * self.group_channels()
    }

    /// True if output position `i` reads just the pixel `i`.
    pub fn is_dense(&self) -> bool {
        self.kernel == [1, 1]
            && self.strides == [1, 1]
            && self.origin == [0, 0]
            && self.out == [self.x[1], self.x[2]]
    }

    /// True if some window may hang over the left or right edge, so that a tap of several columns is cut.
    pub fn cuts_taps(&self) -> bool {
        self.tap_columns() > 1 && self.cuts_lines()
    }

    /// True if some window may hang over the left or right edge.
    pub fn cuts_lines(&self) -> bool {
        let last = self.origin[1] + ((self.out[1].max(1) - 1) * self.strides[1] + self.reach()[1]) as isize;
        self.origin[1] < 0 || last >= self.x[2] as isize
    }

    /// Output rows line by line.
    pub fn spans(&self, rows: Range<usize>) -> Spans {
        let [oh, ow] = self.out.map(|d| d.max(1));
        let [n, y, x] = match rows.start {
            // Most often: spares the divisions.
            0 => [0; 3],
            row => [row / ow / oh, row / ow % oh, row % ow],
        };
        Spans { out: [oh, ow], n, y, x, left: rows.len() }
    }

    /// Input row under the first tap of an output line; may lie outside.
    pub fn top(&self, y: usize) -> isize {
        (y * self.strides[0]) as isize + self.origin[0]
    }

    /// Input column under the first tap of an output column; may lie outside.
    pub fn left(&self, x: usize) -> isize {
        (x * self.strides[1]) as isize + self.origin[1]
    }

    /// From the first to the last tap.
    pub fn reach(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.kernel[axis].saturating_sub(1) * self.dilations[axis])
    }

    /// The output lines (axis 0) or columns (axis 1) whose windows do not hang over an edge.
    pub fn inside(&self, axis: usize) -> Range<usize> {
        let (origin, stride) = (self.origin[axis], self.strides[axis]);
        let first = if origin < 0 { origin.unsigned_abs().div_ceil(stride) } else { 0 };
        let room = self.x[1 + axis] as isize - self.reach()[axis] as isize - origin;
        let end = if room > 0 { (room as usize).div_ceil(stride) } else { 0 };
        first..end.min(self.out[axis])
    }

    /// Where in the input the pixel `at` of image `n` starts; `None` outside.
    pub fn pixel(&self, n: usize, at: [isize; 2]) -> Option<usize> {
        let [_, h, w, c] = self.x;
        let inside = |at: isize, len: usize| usize::try_from(at).ok().filter(|&at| at < len);
        let (y, x) = (inside(at[0], h)?, inside(at[1], w)?);
        Some(((n * h + y) * w + x) * c)
    }

    /// The tap that a kernel position belongs to, and where in its bytes it starts.
    pub fn tap(&self, ky: usize, kx: usize) -> [usize; 2] {
        let columns = self.tap_columns();
        [ky * self.taps()[1] + kx / columns, kx % columns * self.group_channels()]
    }
}

/// Walks through output positions, line by line.
#[derive(Clone)]
pub(crate) struct Spans {
    out: [usize; 2],
    n: usize,
    y: usize,
    x: usize,
    left: usize,
}

impl Spans {
    /// Positions that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Positions to the end of the line, of those that are left.
    pub fn left_in_line(&self) -> usize {
        self.left.min(self.out[1] - self.x)
    }

    /// The positions to the end of the line, of those that are left.
    pub fn rest_of_line(&self) -> Span {
        Span { n: self.n, y: self.y, x: self.x..self.x + self.left_in_line() }
    }

    /// Goes over so many positions, or all that are left.
    #[inline(always)]
    pub fn skip(&mut self, mut positions: usize) {
        while let Some(span) = self.next(positions) {
            positions -= span.x.len();
        }
    }

    /// The rest of a line, or at most `most` whole lines of an image: those positions in the first line, and how many
    /// lines; `None` at the end of all.
    pub fn block(&mut self, most: usize) -> Option<(Span, usize)> {
        let [height, width] = self.out;
        let span = self.next(width)?;
        let more = match span.x.len() == width {
            true => (most.max(1) - 1).min(self.left / width).min(height - 1 - span.y),
            false => 0,
        };
        self.skip(more * width);
        Some((span, 1 + more))
    }

    /// The next positions, at most `longest`, up to the end of the line; `None` at the end of all.
    #[inline(always)]
    pub fn next(&mut self, longest: usize) -> Option<Span> {
        let len = longest.min(self.left).min(self.out[1] - self.x);
        let span = Span { n: self.n, y: self.y, x: self.x..self.x + len };
        self.left -= len;
        self.x += len;
        if self.x == self.out[1] {
            self.x = 0;
            self.y += 1;
            if self.y == self.out[0] {
                self.y = 0;
                self.n += 1;
            }
        }
        (len > 0).then_some(span)
    }
}

/// Panics if the product of sizes is too large to compute with: a few of them can be added within `isize`.
pub(crate) fn assert_fits(sizes: &[usize]) {
    let product = sizes.iter().try_fold(1usize, |p, &size| p.checked_mul(size.max(1)));
    assert!(product.is_some_and(|p| p <= isize::MAX as usize / 64), "convolution too large: {sizes:?}");
}

/// A whole split into parts whose sizes differ by at most one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// How many there are.
    pub count: usize,
    size: usize,
    longer: usize,
}

impl Parts {
    /// The fewest parts of at most `most`.
    pub fn at_most(most: usize, total: usize) -> Parts {
        Parts::new(total, if total <= most { 1 } else { total.div_ceil(most) })
    }

    /// This many parts (at least 1).
    pub fn new(total: usize, count: usize) -> Parts {
        match count {
            0 | 1 => Parts { count: 1, size: total, longer: 0 },
            _ => Parts { count, size: total / count, longer: total % count },
        }
    }

    /// The size of the largest part.
    pub fn longest(&self) -> usize {
        self.len(0)
    }

    /// The size of part `i`.
    #[inline(always)]
    pub fn len(&self, i: usize) -> usize {
        self.size + usize::from(i < self.longer)
    }

    /// How many parts from part `i` on are of its size.
    pub fn alike(&self, i: usize) -> usize {
        if i < self.longer { self.longer - i } else { self.count - i }
    }

    /// The part that holds element `at` of the whole.
    pub fn containing(&self, at: usize) -> Range<usize> {
        let long = self.longer * (self.size + 1);
        match at < long {
            true => self.range(at / (self.size + 1)),
            false => self.range(self.longer + (at - long) / self.size.max(1)),
        }
    }

    /// Part `i`.
    pub fn range(&self, i: usize) -> Range<usize> {
        let start = i * self.size + i.min(self.longer);
        start..start + self.len(i)
    }
}
