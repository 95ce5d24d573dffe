//! The micro-kernel: a tile of output positions by panels of 16 channels, generic over the instruction set.

use super::defer::Left;
use super::dynamic::Dynamic;
use super::layout::{LINE, MULTIPLIERS, PANEL_HEADER, QUAD, SUMS, ZEROS};
use super::requantize::{Bounds, Epilogue, Requantize};
use super::row_sums::ByteSums;
use crate::prefetch::{Cache, prefetch};

/// What one call of a micro-kernel of `MR` rows and `NV` panels is given: tiles of as many rows over the same panels.
pub(crate) struct Tiles<'a> {
    /// What the inputs of all have in common.
    pub rows: &'a Rows,
    /// Where each starts; there is at least one.
    pub places: &'a [Place],
    /// Taps of a window.
    pub taps: usize,
    /// Lines of a tap.
    pub quads: usize,
    /// The headers of `NV` panels, one after the other.
    pub headers: *const u8,
    /// The first lines of `NV` panels, one after the other.
    pub lines: *const u8,
    /// From a line of a panel to its next.
    pub line_step: usize,
    /// `[NV][16]`: what is added to scaled sums; null: nothing.
    pub offsets: *const f32,
    /// `[tiles][MR]`: the sum of every row's input bytes; null where all weights' zero points are 0.
    pub sums: *const i32,
    /// Bytes from where the outputs of a row start to those that are computed here.
    pub y_offset: usize,
    /// Bytes from a row of outputs to the next.
    pub y_step: usize,
    /// Outputs of a row that are computed here; the last panel may have columns that are none.
    pub columns: usize,
    /// How they are made.
    pub out: &'a Epilogue,
    /// From the lines that the first tile multiplies to those that it asks for meanwhile, in bytes: they come from memory
    /// or the third cache where another layer ran in between, and what the processor fetches by itself is a few lines.
    pub ahead: usize,
    /// Where [`defer`](super::defer) leaves tiles; null where none is deferred.
    pub left: *mut Left,
}

/// Where a tile starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The window of row 0.
    pub x: *const u8,
    /// The outputs of row 0.
    pub y: *mut u8,
    /// `[taps][rows]`: the bytes under every tap, where windows do not lie equally far apart. Null: by steps from `x`.
    pub pointers: *const *const u8,
}

impl Place {
    /// Nowhere.
    pub const NONE: Place =
        Place { x: std::ptr::null(), y: std::ptr::null_mut(), pointers: std::ptr::null() };
}

/// How the bytes under the taps of tiles' rows are found from where these start. Fields are set and read one by one:
/// whatever is copied as a whole is waited for.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Bytes from one row's window to the next.
    pub step: usize,
    /// `[taps]`: from the start of a window to a tap.
    pub offsets: *const usize,
}

impl Rows {
    /// None yet.
    pub fn none() -> Rows {
        Rows { step: 0, offsets: std::ptr::null() }
    }

    /// The rows of one tap of the tile at `place`.
    ///
    /// # Safety
    /// There are `MR` rows, and this tap.
    #[inline(always)]
    pub unsafe fn tap<const MR: usize>(&self, place: &Place, tap: usize) -> [*const u8; MR] {
        let mut rows = [std::ptr::null(); MR];
        // SAFETY: the caller's promise.
        unsafe {
            if place.pointers.is_null() {
                let first = place.x.add(*self.offsets.add(tap));
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = first.add(i * self.step);
                }
            } else {
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = *place.pointers.add(tap * MR + i);
                }
            }
        }
        rows
    }
}

/// A micro-kernel.
///
/// # Safety
/// The processor has the instruction set it was compiled for, and all pointers of the tiles are good: every
/// row for `4 * quads` bytes to read (for every tap), the `NV` panels to read, `offsets` and `sums` unless null, every
/// row of outputs for `columns` to write, and `columns` is more than `16 * (NV - 1)` and at most `16 * NV`.
pub(crate) type TileFn = unsafe fn(&Tiles<'_>);

/// What 16 sums are scaled with: 16 multipliers, and 16 offsets, or null if there are none.
pub(crate) type Scales = (*const u8, *const f32);

/// An instruction set's operations on 16 columns. All are unsafe because the processor must have it.
///
/// # Safety
/// Callers of any function here have checked that the processor has the instruction set, and are inlined into
/// a function that is compiled for it.
pub(crate) trait Columns16: ByteSums {
    /// 16 accumulators.
    type Acc: Copy;
    /// 16 sums with everything added.
    type Total: Copy;
    /// 16 rounded results.
    type Scaled: Copy;
    /// A line of weights: 16 columns x 4.
    type Line: Copy;
    /// 4 activations, made ready for products with every column.
    type Quad: Copy;
    /// Numbers of 16 columns.
    type Terms: Copy;

    /// No products yet.
    unsafe fn zero() -> Self::Acc;
    /// What all rows start with: the bias, and whatever of the sums of weights does not depend on the row.
    unsafe fn start(bias: *const u8, sums: *const u8) -> Self::Acc;
    /// What the weights' zero points (with the other sign) take from a row whose input bytes add up to `sum`.
    unsafe fn zeros(zeros: *const u8, sum: i32) -> Self::Acc;
    /// Reads 64 bytes.
    unsafe fn line(p: *const u8) -> Self::Line;
    /// Reads 4 bytes.
    unsafe fn quad(p: *const u8) -> Self::Quad;
    /// Adds 4 products to each column.
    unsafe fn dot(acc: Self::Acc, quad: Self::Quad, line: Self::Line) -> Self::Acc;
    /// Adds two partial results.
    unsafe fn add(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Brings partial sums together.
    unsafe fn total(acc: Self::Acc) -> Self::Total;
    /// Multiplies and adds offsets: rounded, at most the upper bound, the zero point not yet added.
    unsafe fn scale(total: Self::Total, scales: Scales, out: &Requantize) -> Self::Scaled;
    /// Adds the zero point and writes `columns` bytes of one row, more than `16 * (NV - 1)` and at most `16 *
    /// NV`.
    unsafe fn write<const NV: usize>(row: [Self::Scaled; NV], out: &Requantize, y: *mut u8, columns: usize);
    /// Writes `columns` bytes (17 to 32) of each of 2 rows that start `y_step` bytes apart.
    #[inline(always)]
    unsafe fn write_pair(
        rows: [[Self::Scaled; 2]; 2],
        out: &Requantize,
        y: *mut u8,
        y_step: usize,
        columns: usize,
    ) {
        for (i, row) in rows.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { Self::write(row, out, y.add(i * y_step), columns) };
        }
    }
    /// Writes `columns` bytes (1 to 16) of each of 4 rows that start `y_step` bytes apart.
    #[inline(always)]
    unsafe fn write_rows(
        rows: [Self::Scaled; 4],
        out: &Requantize,
        y: *mut u8,
        y_step: usize,
        columns: usize,
    ) {
        for (i, row) in rows.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { Self::write([row], out, y.add(i * y_step), columns) };
        }
    }
    /// Multiplies, adds offsets, takes the bounds and writes `columns` reals (1 to 16) to `y`, which need not be
    /// aligned.
    unsafe fn write_reals(total: Self::Total, scales: Scales, out: &Bounds, y: *mut f32, columns: usize);
    /// What [`Dynamic::apply`] of the columns of `panel` has in common in all rows.
    unsafe fn terms(panel: *const u8, out: &Dynamic) -> Self::Terms;
    /// Writes what [`Dynamic::apply`] makes of `columns` sums (1 to 16), 4 bytes each, to `y`, which need not be
    /// aligned.
    unsafe fn write_dynamic(
        total: Self::Total,
        terms: &Self::Terms,
        out: &Dynamic,
        y: *mut u8,
        columns: usize,
    );
}

/// The micro-kernel: the tile `index`, at `place`. Successive lines go to `CHAINS` sets of accumulators in turn, so that
/// small tiles do not wait for the latency of one sum; the order does not matter to sums that wrap.
///
/// # Safety
/// As for [`TileFn`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Columns16, const MR: usize, const NV: usize, const CHAINS: usize>(
    t: &Tiles<'_>,
    place: &Place,
    index: usize,
) {
    // SAFETY: the caller vouches for the instruction set and for the pointers; the loops read `taps * quads` lines
    // of each panel and `quads` quads of each row and tap, and write `columns` bytes of each row.
    unsafe {
        let mut acc = [[[S::zero(); NV]; MR]; CHAINS];
        acc[0] = start::<S, MR, NV>(t, index);
        let mut line = t.lines;
        // Where each line is multiplied often enough that asking costs nothing.
        let asks = const { MR > 4 && NV > 1 } && index == 0;
        for tap in 0..t.taps {
            let rows = t.rows.tap::<MR>(place, tap);
            let mut quad = 0;
            while quad + CHAINS <= t.quads {
                for (chain, acc) in acc.iter_mut().enumerate() {
                    let line = line.add(chain * t.line_step);
                    if asks {
                        for v in 0..NV {
                            // Behind the last one lie those of the next layer, or nothing that matters.
                            prefetch(line.wrapping_add(t.ahead + v * LINE), Cache::First);
                        }
                    }
                    step::<S, MR, NV>(acc, &rows, quad + chain, line);
                }
                quad += CHAINS;
                line = line.add(CHAINS * t.line_step);
            }
            while CHAINS > 1 && quad < t.quads {
                step::<S, MR, NV>(&mut acc[0], &rows, quad, line);
                quad += 1;
                line = line.add(t.line_step);
            }
        }
        let mut sums = acc[0];
        for chain in &acc[1..] {
            for (sums, chain) in sums.iter_mut().zip(chain) {
                for (sum, &more) in sums.iter_mut().zip(chain) {
                    *sum = S::add(*sum, more);
                }
            }
        }
        leave::<S, MR, NV>(&sums, t, place);
    }
}

/// Makes outputs of the sums of the tile at `place`.
///
/// # Safety
/// As for [`TileFn`].
#[inline(always)]
pub(crate) unsafe fn leave<S: Columns16, const MR: usize, const NV: usize>(
    sums: &[[S::Acc; NV]; MR],
    t: &Tiles<'_>,
    place: &Place,
) {
    // SAFETY: the caller's promise; `columns` bytes or numbers of each row are written.
    unsafe {
        let y = place.y.add(t.y_offset);
        let none = std::ptr::null();
        match t.out {
            Epilogue::Bytes(out) if t.offsets.is_null() => {
                // Two small loops instead of one: both are unrolled, and no sum ever leaves its register.
                let first = S::scale(S::total(sums[0][0]), (t.headers.add(MULTIPLIERS), none), out);
                let mut scaled = [[first; NV]; MR];
                for (scaled, sums) in scaled.iter_mut().zip(sums) {
                    for (v, (scaled, &sum)) in scaled.iter_mut().zip(sums).enumerate() {
                        let multipliers = t.headers.add(v * PANEL_HEADER + MULTIPLIERS);
                        *scaled = S::scale(S::total(sum), (multipliers, none), out);
                    }
                }
                let mut i = 0;
                while NV == 1 && i + 4 <= MR {
                    let rows = [scaled[i][0], scaled[i + 1][0], scaled[i + 2][0], scaled[i + 3][0]];
                    S::write_rows(rows, out, y.add(i * t.y_step), t.y_step, t.columns);
                    i += 4;
                }
                while i < MR {
                    S::write(scaled[i], out, y.add(i * t.y_step), t.columns);
                    i += 1;
                }
            }
            Epilogue::Reals(out) if t.offsets.is_null() => {
                for (i, sums) in sums.iter().enumerate() {
                    let y = y.add(i * t.y_step).cast::<f32>();
                    for (v, &sum) in sums.iter().enumerate() {
                        let scales = (t.headers.add(v * PANEL_HEADER + MULTIPLIERS), none);
                        let columns = (t.columns - 16 * v).min(16);
                        S::write_reals(S::total(sum), scales, out, y.add(16 * v), columns);
                    }
                }
            }
            _ => {
                // A copy by panels: this loop is not unrolled, and would have the sums themselves in memory.
                let mut panels = [[sums[0][0]; MR]; NV];
                for (i, sums) in sums.iter().enumerate() {
                    for (panel, &sum) in panels.iter_mut().zip(sums) {
                        panel[i] = sum;
                    }
                }
                for (v, sums) in panels.iter().enumerate() {
                    by_panel::<S, MR>(t, v, sums, y);
                }
            }
        }
    }
}

/// Makes bytes of the sums of a row of two panels, and of the row below if there is one, and writes `columns` of each (17
/// to 32) to `y` and `y_step` bytes behind it.
///
/// # Safety
/// As for [`TileFn`]: the panels' headers, their offsets unless null, and the outputs are there.
#[inline(always)]
pub(crate) unsafe fn leave_pair<S: Columns16>(
    above: [S::Acc; 2],
    below: Option<[S::Acc; 2]>,
    (headers, offsets): (*const u8, [*const f32; 2]),
    out: &Requantize,
    (y, y_step): (*mut u8, usize),
    columns: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let multipliers = headers.add(MULTIPLIERS);
        let scales = [(multipliers, offsets[0]), (multipliers.add(PANEL_HEADER), offsets[1])];
        let [a, b] = above;
        let above = [S::scale(S::total(a), scales[0], out), S::scale(S::total(b), scales[1], out)];
        let Some([a, b]) = below else {
            return S::write(above, out, y, columns);
        };
        let below = [S::scale(S::total(a), scales[0], out), S::scale(S::total(b), scales[1], out)];
        S::write_pair([above, below], out, y, y_step, columns);
    }
}

/// What becomes of the sums of panel `v` where there is more to be read of it than its multipliers; the tile's outputs
/// start at `y`.
///
/// # Safety
/// As for [`TileFn`]; there are offsets unless the outputs are [dynamic](Epilogue::Dynamic).
#[inline(always)]
unsafe fn by_panel<S: Columns16, const MR: usize>(t: &Tiles<'_>, v: usize, sums: &[S::Acc; MR], y: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        let panel = t.headers.add(v * PANEL_HEADER);
        let columns = (t.columns - 16 * v).min(16);
        let y = y.add(16 * v * t.out.size());
        match t.out {
            Epilogue::Bytes(out) => {
                let scales = (panel.add(MULTIPLIERS), t.offsets.add(16 * v));
                for (i, &sum) in sums.iter().enumerate() {
                    S::write([S::scale(S::total(sum), scales, out)], out, y.add(i * t.y_step), columns);
                }
            }
            Epilogue::Reals(out) => {
                let scales = (panel.add(MULTIPLIERS), t.offsets.add(16 * v));
                for (i, &sum) in sums.iter().enumerate() {
                    S::write_reals(S::total(sum), scales, out, y.add(i * t.y_step).cast(), columns);
                }
            }
            Epilogue::Dynamic(out) => {
                let terms = S::terms(panel, out);
                for (i, &sum) in sums.iter().enumerate() {
                    S::write_dynamic(S::total(sum), &terms, out, y.add(i * t.y_step), columns);
                }
            }
        }
    }
}

/// What the sums of the tile `index` start with.
///
/// # Safety
/// As for [`TileFn`].
#[inline(always)]
pub(crate) unsafe fn start<S: Columns16, const MR: usize, const NV: usize>(
    t: &Tiles<'_>,
    index: usize,
) -> [[S::Acc; NV]; MR] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut start = [S::start(t.headers, t.headers.add(SUMS)); NV];
        for (v, start) in start.iter_mut().enumerate().skip(1) {
            let panel = t.headers.add(v * PANEL_HEADER);
            *start = S::start(panel, panel.add(SUMS));
        }
        let mut acc = [start; MR];
        if !t.sums.is_null() {
            let sums = t.sums.add(index * MR);
            for (i, acc) in acc.iter_mut().enumerate() {
                for (v, acc) in acc.iter_mut().enumerate() {
                    let zeros = t.headers.add(v * PANEL_HEADER + ZEROS);
                    *acc = S::add(*acc, S::zeros(zeros, *sums.add(i)));
                }
            }
        }
        acc
    }
}

/// One line of each panel times one quad of each row.
///
/// # Safety
/// As for [`TileFn`]; there are the quad and the line.
#[inline(always)]
pub(crate) unsafe fn step<S: Columns16, const MR: usize, const NV: usize>(
    acc: &mut [[S::Acc; NV]; MR],
    rows: &[*const u8; MR],
    quad: usize,
    line: *const u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut lines = [S::line(line); NV];
        for (v, to) in lines.iter_mut().enumerate().skip(1) {
            *to = S::line(line.add(v * LINE));
        }
        for (acc, row) in acc.iter_mut().zip(rows) {
            let a = S::quad(row.add(quad * QUAD));
            for (acc, &line) in acc.iter_mut().zip(&lines) {
                *acc = S::dot(*acc, a, line);
            }
        }
    }
}
