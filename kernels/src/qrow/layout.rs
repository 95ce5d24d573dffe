//! The packed weights of one row: what a product reads lies in the order in which it is read.
//!
//! ```text
//! header | band | band | ...                                            (all little endian)
//! band:   biases of its panels | sums | zero points | first lines of its panels | second lines | ...
//!         | multipliers | offsets
//! line:   16 output channels x 4 successive inputs, i8
//! ```
//!
//! Of each panel of 16 output channels there are the biases (i32), sums of weights (i32), the weights' zero points with the
//! other sign (i32), multipliers and offsets (f32); the last panel is filled up with zeros, and so are inputs to a multiple
//! of 4. The bias has `-x_zero_point * sum(w - weight zero point)` folded in. A band holds [`BAND`] panels, and what is
//! left over is a band of two, one of one, or both.
//!
//! Weights come from caches that are far, which give what follows each other faster than anything else: with headers of
//! panels in between, of which a half is not read, products take a tenth longer. So there is nothing that is not read:
//! layouts are 0x300, with 1 added if there are offsets, 2 if there are zero points, 4 if there are sums (for instruction
//! sets that multiply signed by signed and read activations as `a - 128`). Flag 1: some weight is -128.

use super::header::Header;
use crate::Filter;
use crate::qconv::layout::{COLUMNS, FLAG_HAS_MIN, HEADER, LINE, MAGIC, QUAD};

/// The most panels of a band.
pub(crate) const BAND: usize = 4;
/// Bytes of 16 numbers.
pub(crate) const NUMBERS: usize = 4 * COLUMNS;

/// Panels of the band that starts where so many are left (not 0).
pub(crate) fn band(left: usize) -> usize {
    match left {
        BAND.. => BAND,
        2.. => 2,
        _ => 1,
    }
}

/// Which numbers there are of each output channel besides bias and multiplier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// What is added to scaled sums.
    pub offsets: bool,
    /// Zero points of the weights.
    pub zeros: bool,
    /// Sums of the weights.
    pub sums: bool,
}

impl Numbers {
    /// Rows of numbers in front of the lines of a band.
    pub fn before(self) -> usize {
        1 + usize::from(self.sums) + usize::from(self.zeros)
    }

    /// And behind them.
    pub fn behind(self) -> usize {
        1 + usize::from(self.offsets)
    }
}

/// How the weights of one product are packed.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Names the layout.
    pub id: u32,
    header: Header,
    pub k: usize,
    pub n: usize,
    x_zero_point: u8,
    pub numbers: Numbers,
    /// Bytes of a panel.
    pub panel_len: usize,
    pub packed_len: usize,
}

impl Layout {
    /// Panics if the packed weights would not fit memory.
    pub fn new(k: usize, n: usize, x_zero_point: u8, numbers: Numbers) -> Layout {
        let rows = numbers.before() + numbers.behind();
        let lines = k.div_ceil(QUAD).checked_mul(LINE);
        let panel_len = lines.and_then(|lines| lines.checked_add(rows * NUMBERS));
        let lens = panel_len
            .and_then(|panel| Some((panel, n.div_ceil(COLUMNS).checked_mul(panel)?.checked_add(HEADER)?)));
        let Some((panel_len, packed_len)) = lens.filter(|(_, len)| isize::try_from(*len).is_ok()) else {
            panic!("weights too large: {n} x {k}");
        };
        let Numbers { offsets, zeros, sums } = numbers;
        let id = 0x300 + u32::from(offsets) + 2 * u32::from(zeros) + 4 * u32::from(sums);
        let header = Header::new(MAGIC, id, [k, n], x_zero_point);
        Layout { id, header, k, n, x_zero_point, numbers, panel_len, packed_len }
    }

    /// The same layout with other numbers.
    pub fn with(&self, numbers: Numbers) -> Layout {
        Layout::new(self.k, self.n, self.x_zero_point, numbers)
    }

    /// Panels of 16 output channels.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(COLUMNS)
    }

    /// Whether some weight may be -128; `None` if packed bytes are of another layout, shape or length.
    pub fn has_min(&self, packed: &[u8]) -> Option<bool> {
        let flags = self.header.flags(packed).filter(|flags| flags & !FLAG_HAS_MIN == 0)?;
        (packed.len() >= self.packed_len).then_some(flags != 0)
    }

    /// Packs weights `[n][k]`. Panics if a slice has another length (zero points and biases may be none), or if there are
    /// zero points and the layout has none.
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        let Filter { weights, zero_points, multiplier, offset, .. } = *filter;
        let Layout { k, n, .. } = *self;
        filter.check([n, k], self.numbers.offsets);
        assert!(zero_points.is_empty() || self.numbers.zeros, "only layouts with zero points take any");
        assert_eq!(packed.len(), self.packed_len, "packed has room for the weights");
        packed.fill(0);
        self.header.write(u32::from(weights.contains(&i8::MIN)) * FLAG_HAS_MIN, packed);
        for channel in 0..n {
            let place = self.place(channel);
            let weights = &weights[channel * k..][..k];
            let [sum, bias] = filter.sum_and_bias(channel, k, self.x_zero_point);
            put(packed, place.bias, bias.to_le_bytes());
            put(packed, place.multiplier, multiplier[channel].to_le_bytes());
            if let Some(offset) = offset.get(channel) {
                put(packed, place.offset, offset.to_le_bytes());
            }
            if self.numbers.sums {
                put(packed, place.sum, sum.to_le_bytes());
            }
            if self.numbers.zeros {
                put(packed, place.zero, (-i32::from(filter.zero_point(channel))).to_le_bytes());
            }
            for (quad, weights) in weights.chunks(QUAD).enumerate() {
                let line = &mut packed[place.lines + quad * place.line_step..];
                line.iter_mut().zip(weights).for_each(|(to, &w)| *to = w as u8);
            }
        }
    }

    /// Where an output channel lies.
    pub fn place(&self, channel: usize) -> Place {
        let (panel, column) = (channel / COLUMNS, channel % COLUMNS);
        let mut first = panel / BAND * BAND;
        let mut wide = band(self.panels() - first);
        while panel >= first + wide {
            first += wide;
            wide = band(self.panels() - first);
        }
        let row = |rows: usize| rows * wide * NUMBERS;
        let (start, v) = (HEADER + first * self.panel_len, panel - first);
        let lines = start + row(self.numbers.before());
        let multipliers = lines + wide * self.k.div_ceil(QUAD) * LINE;
        let number = v * NUMBERS + 4 * column;
        Place {
            bias: start + number,
            sum: start + row(1) + number,
            zero: start + row(self.numbers.before() - 1) + number,
            lines: lines + v * LINE + QUAD * column,
            line_step: wide * LINE,
            multiplier: multipliers + number,
            offset: multipliers + row(1) + number,
        }
    }
}

/// Where in the packed bytes an output channel lies. What the layout has no [`Numbers`] of lies nowhere.
pub(super) struct Place {
    pub bias: usize,
    pub sum: usize,
    pub zero: usize,
    /// Its bytes in the first line of its panel.
    pub lines: usize,
    /// From there to those in the next line.
    pub line_step: usize,
    pub multiplier: usize,
    pub offset: usize,
}

/// Writes a number.
pub(super) fn put(bytes: &mut [u8], at: usize, word: [u8; 4]) {
    bytes[at..][..4].copy_from_slice(&word);
}
