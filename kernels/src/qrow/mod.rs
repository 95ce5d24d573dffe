//! Integer product of one row with packed weights: u8 activations, i8 weights, i32 accumulators, u8 or f32 out.
//!
//! What it costs is to read the weights, and to get started: a network of small products spends half of its time there.
//! So everything is decided when it is made, and one call goes over all [bands](bands) of weights, which lie in the order
//! in which they are read ([`layout`]).

pub(crate) mod bands;
mod header;
mod layout;
pub(crate) mod sparse;
#[cfg(test)]
mod tests;

use crate::isa::Level;
use crate::qconv::ladder::of as ladder;
use crate::qconv::layout::{COLUMNS, HEADER};
use crate::qconv::requantize::{Bounds, Epilogue, Requantize, scaled};
use crate::{Filter, Isa, Output, SLACK};
use bands::{Bands, RowFn};
use layout::{BAND, Layout, Numbers};
use std::ops::Range;

/// Output channels that threads share out at once: those of a band.
const UNIT: usize = BAND * COLUMNS;

/// `y[n] = requantize(bias[n] + w[n][k] x[k])`, with everything decided but the data.
///
/// Results are those of [`QConv`](crate::QConv).
#[derive(Clone, Debug)]
pub struct QRow {
    isa: Isa,
    /// For weights without and with some -128; none: plain loops.
    kernels: [Option<RowFn>; 2],
    out: Epilogue,
    layout: Layout,
}

impl QRow {
    /// Panics if the output's range is empty or weights of this size cannot be.
    pub fn new(isa: Isa, k: usize, n: usize, x_zero_point: u8, out: Output) -> QRow {
        QRow::with_epilogue(isa, [k, n], x_zero_point, Epilogue::Bytes(Requantize::new(out)))
    }

    /// The same sums as f32: `clamp(acc as f32 * multiplier)`, an offset added where there are any, each step one IEEE
    /// f32 operation; `clamp` = lowest and highest result. `run` takes outputs as bytes.
    ///
    /// Panics as [`new`](Self::new).
    pub fn to_f32(isa: Isa, k: usize, n: usize, x_zero_point: u8, clamp: [f32; 2]) -> QRow {
        QRow::with_epilogue(isa, [k, n], x_zero_point, Epilogue::Reals(Bounds::new(clamp)))
    }

    /// For filters with [offsets](Filter::offset), which must have them then. Those of f32 outputs are reals.
    pub fn with_offsets(self) -> QRow {
        let numbers = Numbers { offsets: true, ..self.layout.numbers };
        QRow { layout: self.layout.with(numbers), ..self }
    }

    /// For filters with [zero points](Filter::zero_points), which must have them then.
    pub fn with_zero_points(self) -> QRow {
        let numbers = Numbers { zeros: true, ..self.layout.numbers };
        QRow { layout: self.layout.with(numbers), ..self }
    }

    fn with_epilogue(isa: Isa, [k, n]: [usize; 2], x_zero_point: u8, out: Epilogue) -> QRow {
        assert!(n.checked_mul(out.size()).is_some_and(|l| isize::try_from(l).is_ok()), "output too large");
        let kernels = [false, true].map(|has_min| ladder(isa, has_min).map(|l| l.row));
        let numbers = Numbers { offsets: false, zeros: false, sums: isa.level() == Level::Avx2 };
        QRow { isa, kernels, out, layout: Layout::new(k, n, x_zero_point, numbers) }
    }

    /// What runs, for people: operation, tile, instruction set (`gemv 1x64 avx512vnni`).
    pub fn kernel(&self) -> &'static str {
        ladder(self.isa, false).map_or("gemv 1x1 scalar", |l| l.row_name)
    }

    /// Bytes of one output: 1, or 4 for f32.
    pub fn output_size(&self) -> usize {
        self.out.size()
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        self.layout.id
    }

    /// Bytes of the packed weights (a multiple of 64).
    pub fn packed_len(&self) -> usize {
        self.layout.packed_len
    }

    /// True if `packed` was packed for this layout, shape and zero point: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        self.layout.has_min(packed).is_some()
    }

    /// Packs weights `[n][k]`. The share of the input's zero point is folded into the bias here, with wrapping arithmetic.
    ///
    /// Panics if a slice has another length.
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        self.layout.pack(filter, packed);
    }

    /// How many units of [`width`](Self::width) output channels there are; the last may be less.
    pub fn units(&self) -> usize {
        self.layout.n.div_ceil(UNIT)
    }

    /// Output channels of a unit.
    pub fn width(&self) -> usize {
        UNIT
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        0
    }

    /// Computes some units of the output channels; `y` starts at the first of them. `x`: the row and
    /// [`SLACK`](crate::SLACK) bytes behind it.
    ///
    /// Panics if a slice is too short or `packed` is not [accepted](Self::accepts).
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], units: Range<usize>, _scratch: &mut [u8]) {
        let Layout { k, n, panel_len, numbers, .. } = self.layout;
        let has_min = self.layout.has_min(packed).expect("the weights are packed for this product");
        assert!(x.len() >= k + SLACK, "the input has slack behind it");
        let first = units.start * UNIT;
        let columns = n.min(units.end.saturating_mul(UNIT)).saturating_sub(first);
        assert!(y.len() >= columns * self.out.size(), "the output has room");
        let Some(kernel) = self.kernels[usize::from(has_min)] else {
            return self.plain(packed, x, y, first..first + columns);
        };
        let panel = units.start * BAND;
        let bands = Bands {
            x: x.as_ptr(),
            k,
            weights: packed.as_ptr().wrapping_add(HEADER + panel * panel_len),
            panels: self.layout.panels().saturating_sub(panel),
            numbers,
            y: y.as_mut_ptr(),
            columns,
            out: &self.out,
        };
        // SAFETY: `isa` proves the instruction set. The row has slack behind it, which is more than a quad; the packed
        // bytes are as long as the layout, whose bands from a unit on follow each other; `y` has room for `columns`
        // outputs, those of all panels from there on or of so many units, which are whole bands.
        unsafe { kernel(&bands) };
    }

    /// Where there are no micro-kernels: what `scalar::qconv` says of a convolution, over these packed weights.
    fn plain(&self, packed: &[u8], x: &[u8], y: &mut [u8], channels: Range<usize>) {
        let numbers = self.layout.numbers;
        let word = |at: usize| -> [u8; 4] { std::array::from_fn(|i| packed[at + i]) };
        for (channel, y) in channels.zip(y.chunks_exact_mut(self.out.size())) {
            let place = self.layout.place(channel);
            let zero = if numbers.zeros { i32::from_le_bytes(word(place.zero)) } else { 0 };
            let mut acc = i32::from_le_bytes(word(place.bias));
            for (i, &a) in x[..self.layout.k].iter().enumerate() {
                let w = packed[place.lines + i / 4 * place.line_step + i % 4] as i8;
                acc = acc.wrapping_add(i32::from(a).wrapping_mul(i32::from(w).wrapping_add(zero)));
            }
            let offset = numbers.offsets.then(|| f32::from_le_bytes(word(place.offset)));
            let real = scaled(acc, f32::from_le_bytes(word(place.multiplier)), offset);
            match self.out {
                Epilogue::Bytes(out) => y[0] = out.apply(real),
                Epilogue::Reals(out) => y.copy_from_slice(&out.apply(real).to_ne_bytes()),
                Epilogue::Dynamic(_) => panic!("outputs are bytes or reals"),
            }
        }
    }
}
