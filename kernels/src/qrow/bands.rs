//! The micro-kernel: one row times bands of panels, generic over the instruction set.
//!
//! A tile is 1x64: a quad of inputs meets four lines of weights. There is one load for each product, and from the second
//! cache comes about a line a cycle: with two products a cycle a half of the limit can be reached, where weights stay in
//! the first cache, and a quarter to a third where they don't.

use super::layout::{BAND, NUMBERS, Numbers, band};
use crate::qconv::layout::{COLUMNS, LINE, QUAD};
use crate::qconv::requantize::Epilogue;
use crate::qconv::tile::Columns16;

/// What a call of the micro-kernel is given.
pub(crate) struct Bands<'a> {
    /// The row.
    pub x: *const u8,
    /// Its bytes.
    pub k: usize,
    /// The first band.
    pub weights: *const u8,
    /// How many panels there are from there on.
    pub panels: usize,
    /// What bands hold besides biases, weights and multipliers.
    pub numbers: Numbers,
    /// The first output.
    pub y: *mut u8,
    /// Outputs that are wanted.
    pub columns: usize,
    pub out: &'a Epilogue,
}

/// The micro-kernel.
///
/// # Safety
/// The processor has the instruction set it was compiled for; `x` can be read for `k` bytes rounded up to a multiple of
/// 4, and panels as the [layout](super::layout) has them, with sums if it needs them; there are panels for all outputs,
/// which can be written, and the last of these is either of the last panel or the last one of a band.
pub(crate) type RowFn = unsafe fn(&Bands<'_>);

/// All bands. `WIDE` of four panels at a time are gone through (1, 2 or 4), of narrower bands 2 or 1; successive lines go to
/// `CHAINS`, `CHAINS2` or `CHAINS1` sets of accumulators in turn.
///
/// # Safety
/// As for [`RowFn`].
#[inline(always)]
pub(crate) unsafe fn bands<
    S: Columns16,
    const WIDE: usize,
    const CHAINS: usize,
    const CHAINS2: usize,
    const CHAINS1: usize,
>(
    b: &Bands<'_>,
) {
    // SAFETY: the caller vouches for the instruction set and the pointers: bands follow each other.
    unsafe {
        let sum = match b.numbers.zeros {
            true => S::all(S::more(S::none(), b.x, b.k)),
            false => 0,
        };
        let quads = b.k.div_ceil(QUAD);
        let rows = b.numbers.before() + b.numbers.behind();
        let (mut weights, mut panel) = (b.weights, 0);
        while panel < b.panels && panel * COLUMNS < b.columns {
            let wide = band(b.panels - panel);
            match wide {
                BAND => {
                    for v in (0..BAND).step_by(WIDE) {
                        tile::<S, WIDE, BAND, CHAINS>(b, weights, [panel, v], sum);
                    }
                }
                2 => tile::<S, 2, 2, CHAINS2>(b, weights, [panel, 0], sum),
                _ => tile::<S, 1, 1, CHAINS1>(b, weights, [panel, 0], sum),
            }
            weights = weights.add(wide * (rows * NUMBERS + quads * LINE));
            panel += wide;
        }
    }
}

/// The `NV` panels from `v` on of the band of `WIDE` that starts at `weights` and with panel `panel`, if outputs of theirs
/// are wanted.
///
/// # Safety
/// As for [`RowFn`].
#[inline(always)]
unsafe fn tile<S: Columns16, const NV: usize, const WIDE: usize, const CHAINS: usize>(
    b: &Bands<'_>,
    weights: *const u8,
    [panel, v]: [usize; 2],
    sum: i32,
) {
    let column = (panel + v) * COLUMNS;
    if v > 0 && column >= b.columns {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let (before, row) = (b.numbers.before(), WIDE * NUMBERS);
        let biases = weights.add(v * NUMBERS);
        let mut acc = [[S::zero(); NV]; CHAINS];
        for (v, acc) in acc[0].iter_mut().enumerate() {
            let bias = biases.add(v * NUMBERS);
            // Instruction sets that need no sums don't read them.
            *acc = S::start(bias, bias.add(row));
            if b.numbers.zeros {
                *acc = S::add(*acc, S::zeros(bias.add((before - 1) * row), sum));
            }
        }
        let quads = b.k.div_ceil(QUAD);
        let (mut line, mut quad) = (weights.add(before * row + v * LINE), 0);
        while quad + CHAINS <= quads {
            for (chain, acc) in acc.iter_mut().enumerate() {
                let quad = b.x.add((quad + chain) * QUAD);
                step::<S, NV>(acc, quad, line.add(chain * WIDE * LINE));
            }
            quad += CHAINS;
            line = line.add(CHAINS * WIDE * LINE);
        }
        while CHAINS > 1 && quad < quads {
            step::<S, NV>(&mut acc[0], b.x.add(quad * QUAD), line);
            quad += 1;
            line = line.add(WIDE * LINE);
        }
        let mut totals = [S::total(acc[0][0]); NV];
        for (v, total) in totals.iter_mut().enumerate() {
            let mut all = acc[0][v];
            for chain in &acc[1..] {
                all = S::add(all, chain[v]);
            }
            *total = S::total(all);
        }
        let multipliers = weights.add(before * row + quads * WIDE * LINE + v * NUMBERS);
        leave::<S, NV>(b, totals, (multipliers, row), column);
    }
}

/// One line of each panel times one quad.
///
/// # Safety
/// As for [`RowFn`].
#[inline(always)]
unsafe fn step<S: Columns16, const NV: usize>(acc: &mut [S::Acc; NV], x: *const u8, line: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        let quad = S::quad(x);
        for (v, acc) in acc.iter_mut().enumerate() {
            *acc = S::dot(*acc, quad, S::line(line.add(v * LINE)));
        }
    }
}

/// Makes outputs of the sums of `NV` panels from `column` on: where their multipliers start, and how far behind those
/// their offsets, if there are any.
///
/// # Safety
/// As for [`RowFn`].
#[inline(always)]
unsafe fn leave<S: Columns16, const NV: usize>(
    b: &Bands<'_>,
    totals: [S::Total; NV],
    (multipliers, row): (*const u8, usize),
    column: usize,
) {
    // SAFETY: the caller's promise; of the last panel only `columns` outputs are written.
    unsafe {
        let scales = |v: usize| {
            let multipliers = multipliers.add(v * NUMBERS);
            let offsets = if b.numbers.offsets { multipliers.add(row).cast() } else { std::ptr::null() };
            (multipliers, offsets)
        };
        let columns = (b.columns - column).min(NV * COLUMNS);
        match b.out {
            Epilogue::Bytes(out) => {
                let mut scaled = [S::scale(totals[0], scales(0), out); NV];
                for (v, scaled) in scaled.iter_mut().enumerate().skip(1) {
                    *scaled = S::scale(totals[v], scales(v), out);
                }
                S::write(scaled, out, b.y.add(column), columns);
            }
            Epilogue::Reals(out) => {
                let y = b.y.cast::<f32>().add(column);
                for (v, &total) in totals.iter().enumerate().take(columns.div_ceil(COLUMNS)) {
                    let columns = (columns - v * COLUMNS).min(COLUMNS);
                    S::write_reals(total, scales(v), out, y.add(v * COLUMNS), columns);
                }
            }
            Epilogue::Dynamic(_) => panic!("outputs are bytes or reals"),
        }
    }
}
