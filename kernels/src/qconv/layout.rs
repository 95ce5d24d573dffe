//! The packed weights `K4N16`, the same for every instruction set but for how many panels lie in a band.
//!
//! ```text
//! header 64 bytes | band | band | ...                                   (all little endian)
//! header: magic "8vaK4N16" | layout id u32 | flags u32 | groups u32 | oc u32 | taps u32 | tap bytes u32 |
//!         x zero point u32 | zeros
//! band:   headers of its panels | first lines of its panels | second lines of its panels | ...
//! panel:  header | lines of 64 bytes
//! header: bias i32 x 16 | multiplier f32 x 16 | sum of weights i32 x 16 | -weight zero point i32 x 16
//! line:   16 output channels x 4 successive input bytes of a tap, i8
//! ```
//!
//! A panel holds 16 output channels of one group (the last panel of a group is filled up with zeros). A band holds the
//! panels that a micro-kernel takes at once, so that it reads one run of bytes from first to last: processors fetch
//! such a run ahead, several at once they do not (a product of one row took half as long again). The panels of a group
//! are shared out equally among the fewest bands. A panel's lines go through the taps in kernel order, each tap filled
//! up with zeros to a multiple of 4 bytes. The bias has `-x_zero_point * sum(w - weight zero point)` folded in. The sum
//! of weights is there for instruction sets that multiply signed by signed and read activations as `a - 128`. One line
//! is one 512-bit register, two 256-bit or four 128-bit ones.
//!
//! Layout 3 has a tap per kernel position, layout 4 a tap per kernel row (few channels). Layouts 19 and 20 are the
//! same for inputs whose zero point comes with them: the bias is an f32 and nothing is folded into it. These have one
//! panel in a band; each more that a band may have adds 32. With 8 added there are 16 f32 for each panel behind the
//! last band, group by group: what is added to the products of its channels' sums with the multipliers. Flag 1: some
//! weight is -128, whose negation does not fit i8. Flag 2: some weight zero point is not 0.

use super::geometry::{Geometry, Parts};
use crate::Filter;

/// Bytes in front of the first panel.
pub(crate) const HEADER: usize = 64;
/// Output channels of a panel.
pub(crate) const COLUMNS: usize = 16;
/// Bytes of the header of a panel.
pub(crate) const PANEL_HEADER: usize = 4 * ROW;
/// Bytes of a line.
pub(crate) const LINE: usize = 64;
/// Input bytes that one line covers.
pub(crate) const QUAD: usize = 4;
/// Where in its header the multipliers start.
pub(crate) const MULTIPLIERS: usize = ROW;
/// Where in its header the sums of weights start.
pub(crate) const SUMS: usize = 2 * ROW;
/// Where in its header the weights' zero points start, with the other sign.
pub(crate) const ZEROS: usize = 3 * ROW;

/// Bytes of the offsets of a panel.
pub(crate) const OFFSETS: usize = ROW;

const ROW: usize = 4 * COLUMNS;
/// What packed weights start with, those of [one row](crate::qrow) as well.
pub(crate) const MAGIC: [u8; 8] = *b"8vaK4N16";
const FLAGS: std::ops::Range<usize> = 12..16;
/// Some weight is -128.
pub(crate) const FLAG_HAS_MIN: u32 = 1;
/// Some weight zero point is not 0.
const FLAG_HAS_ZEROS: u32 = 2;

/// How the weights of one convolution are packed.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    id: u32,
    groups: usize,
    group_oc: usize,
    bands: Parts,
    /// Taps of a window.
    pub taps: usize,
    /// Bytes of a tap.
    pub tap_len: usize,
    x_zero_point: u8,
    /// There is an offset for every channel.
    offsets: bool,
    /// What packed bytes start with, flags 0.
    header: [u8; HEADER],
}

impl Layout {
    /// With at most `band` (not 0) panels in a band. Panics if the packed weights would not fit memory.
    pub fn new(g: &Geometry, x_zero_point: u8, band: usize) -> Layout {
        let group_oc = g.oc / g.groups;
        let panels = group_oc.div_ceil(COLUMNS);
        let band = band.min(panels.max(1));
        let mut layout = Layout {
            id: if g.tap_columns() > 1 { 4 } else { 3 } + 32 * (band as u32 - 1),
            groups: g.groups,
            group_oc,
            bands: Parts::at_most(band, panels),
            taps: g.taps().iter().product(),
            tap_len: g.tap_len(),
            x_zero_point,
            offsets: false,
            header: [0; HEADER],
        };
        let lines = layout.taps.checked_mul(layout.quads()).and_then(|l| l.checked_mul(LINE));
        let panel = lines.and_then(|l| l.checked_add(PANEL_HEADER + ROW));
        let panels = layout.panels().checked_mul(layout.groups);
        let len = panel.zip(panels).and_then(|(len, n)| len.checked_mul(n));
        assert!(len.is_some_and(|l| l < isize::MAX as usize - HEADER), "weights too large: {layout:?}");
        layout.header = layout.header();
        layout
    }

    /// The same layout with biases in f32.
    pub fn with_real_bias(mut self) -> Layout {
        self.id += 16;
        self.header = self.header();
        self
    }

    /// The same layout with an offset for every channel.
    pub fn with_offsets(mut self) -> Layout {
        self.id += 8;
        self.offsets = true;
        self.header = self.header();
        self
    }

    /// Weights of one output channel (modulo 2^32, as all sums are).
    pub fn products(&self) -> i32 {
        self.taps.wrapping_mul(self.tap_len) as i32
    }

    /// Names the layout.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Panels of one group.
    pub fn panels(&self) -> usize {
        self.group_oc.div_ceil(COLUMNS)
    }

    /// The panels of one group in bands.
    pub fn bands(&self) -> &Parts {
        &self.bands
    }

    /// Lines of one tap.
    pub fn quads(&self) -> usize {
        self.tap_len.div_ceil(QUAD)
    }

    /// Bytes of a panel, its header included.
    pub fn panel_len(&self) -> usize {
        PANEL_HEADER + self.taps * self.quads() * LINE
    }

    /// Where in the panels a band of a group starts; behind its last one, the next group.
    pub fn start(&self, group: usize, band: usize) -> usize {
        (group * self.panels() + self.bands.range(band).start) * self.panel_len()
    }

    /// Bytes of header, panels and offsets.
    pub fn packed_len(&self) -> usize {
        self.panels_end() + if self.offsets { self.groups * self.panels() * ROW } else { 0 }
    }

    /// Bytes of header and panels.
    fn panels_end(&self) -> usize {
        HEADER + self.groups * self.panels() * self.panel_len()
    }

    fn header(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        let words = [
            self.id,
            0,
            self.groups as u32,
            (self.groups * self.group_oc) as u32,
            self.taps as u32,
            self.tap_len as u32,
            u32::from(self.x_zero_point),
        ];
        for (to, word) in header[8..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        header
    }

    /// Flags in front of packed bytes; `None` if they are of another layout, shape or length.
    fn flags(&self, packed: &[u8]) -> Option<u32> {
        if packed.len() < self.packed_len() {
            return None;
        }
        let flags = u32::from_le_bytes(packed[FLAGS].try_into().ok()?);
        let same = packed[..FLAGS.start] == self.header[..FLAGS.start]
            && packed[FLAGS.end..HEADER] == self.header[FLAGS.end..];
        (same && flags & !(FLAG_HAS_MIN | FLAG_HAS_ZEROS) == 0).then_some(flags)
    }

    /// True if the packed bytes are of this layout and shape.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        self.flags(packed).is_some()
    }

    /// Looks into packed bytes. Panics if they are of another layout, shape or length.
    pub fn view<'a>(&'a self, packed: &'a [u8]) -> Packed<'a> {
        let flags = self.flags(packed).expect("the weights are packed for this convolution");
        Packed {
            layout: self,
            panels: &packed[HEADER..self.panels_end()],
            offsets: &packed[self.panels_end()..self.packed_len()],
            has_min: flags & FLAG_HAS_MIN != 0,
            has_zeros: flags & FLAG_HAS_ZEROS != 0,
        }
    }

    /// Packs weights `[oc][taps][tap bytes]`. Panics if a slice has another length (zero points and biases may be
    /// none).
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        let Filter { weights, zero_points, multiplier, offset, .. } = *filter;
        let (oc, k) = (self.groups * self.group_oc, self.taps * self.tap_len);
        filter.check([oc, k], self.offsets);
        assert_eq!(packed.len(), self.packed_len(), "packed has room for the weights");
        packed.fill(0);
        let has_min = weights.contains(&i8::MIN);
        packed[..HEADER].copy_from_slice(&self.header);
        let has_zeros = zero_points.iter().any(|&z| z != 0);
        let flags = u32::from(has_min) * FLAG_HAS_MIN + u32::from(has_zeros) * FLAG_HAS_ZEROS;
        packed[FLAGS].copy_from_slice(&flags.to_le_bytes());
        for channel in 0..oc {
            let Place { header, lines, line_step, offset: at } = self.place(channel);
            if let Some(offset) = offset.get(channel) {
                packed[self.panels_end() + at..][..4].copy_from_slice(&offset.to_le_bytes());
            }
            let panels = &mut packed[HEADER..];
            let weights = &weights[channel * k..][..k];
            let zero = i32::from(filter.zero_point(channel));
            let [sum, bias] = filter.sum_and_bias(channel, k, self.x_zero_point);
            panels[header..][..4].copy_from_slice(&bias.to_le_bytes());
            panels[MULTIPLIERS + header..][..4].copy_from_slice(&multiplier[channel].to_le_bytes());
            panels[SUMS + header..][..4].copy_from_slice(&sum.to_le_bytes());
            panels[ZEROS + header..][..4].copy_from_slice(&(-zero).to_le_bytes());
            let mut line = lines;
            for weights in weights.chunks_exact(self.tap_len.max(1)) {
                let (quads, rest) = weights.as_chunks::<QUAD>();
                for quad in quads {
                    panels[line..][..QUAD].copy_from_slice(&quad.map(|w| w as u8));
                    line += line_step;
                }
                if !rest.is_empty() {
                    for (to, &w) in panels[line..].iter_mut().zip(rest) {
                        *to = w as u8;
                    }
                    line += line_step;
                }
            }
        }
    }

    /// Where an output channel lies in the panels.
    fn place(&self, channel: usize) -> Place {
        let (group, channel) = (channel / self.group_oc, channel % self.group_oc);
        let (panel, column) = (channel / COLUMNS, channel % COLUMNS);
        let band = self.bands.containing(panel);
        let start = (group * self.panels() + band.start) * self.panel_len();
        Place {
            header: start + (panel - band.start) * PANEL_HEADER + 4 * column,
            lines: start + band.len() * PANEL_HEADER + (panel - band.start) * LINE + QUAD * column,
            line_step: band.len() * LINE,
            offset: (group * self.panels() + panel) * ROW + 4 * column,
        }
    }
}

/// Where in the panels an output channel lies.
struct Place {
    /// Its first number in the header of its panel.
    header: usize,
    /// Its bytes in the first line of its panel.
    lines: usize,
    /// From there to those in the next line.
    line_step: usize,
    /// Its offset, counted from the first one.
    offset: usize,
}

/// Packed weights that were found to fit their layout.
pub(crate) struct Packed<'a> {
    layout: &'a Layout,
    /// All panels of all groups.
    pub panels: &'a [u8],
    /// The offsets of all panels, [`OFFSETS`] bytes each; none of layouts without them.
    pub offsets: &'a [u8],
    /// Some weight may be -128.
    pub has_min: bool,
    /// Some weight zero point may be other than 0.
    pub has_zeros: bool,
}

impl Packed<'_> {
    /// Bias of an output channel, the input's zero point folded in.
    pub fn bias(&self, channel: usize) -> i32 {
        i32::from_le_bytes(self.word(channel, 0))
    }

    /// Multiplier of an output channel.
    pub fn multiplier(&self, channel: usize) -> f32 {
        f32::from_le_bytes(self.word(channel, MULTIPLIERS))
    }

    /// What is added to the scaled sum of an output channel.
    pub fn offset(&self, channel: usize) -> Option<f32> {
        let at = self.layout.place(channel).offset;
        self.offsets.get(at..)?.first_chunk().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// Sum of the weights of an output channel, less its zero point.
    pub fn sum(&self, channel: usize) -> i32 {
        let zeros = i32::from_le_bytes(self.word(channel, ZEROS)).wrapping_mul(self.layout.products());
        i32::from_le_bytes(self.word(channel, SUMS)).wrapping_add(zeros)
    }

    /// Weight of an output channel for byte `i` of a tap, less its zero point.
    pub fn weight(&self, channel: usize, tap: usize, i: usize) -> i32 {
        let place = self.layout.place(channel);
        let line = tap * self.layout.quads() + i / QUAD;
        let at = place.lines + line * place.line_step + i % QUAD;
        i32::from(self.panels[at] as i8).wrapping_add(i32::from_le_bytes(self.word(channel, ZEROS)))
    }

    fn word(&self, channel: usize, at: usize) -> [u8; 4] {
        let start = self.layout.place(channel).header + at;
        std::array::from_fn(|i| self.panels[start + i])
    }
}
