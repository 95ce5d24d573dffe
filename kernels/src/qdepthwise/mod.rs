//! Integer depthwise convolution: every output channel reads its own input channel.
//!
//! Packed weights start with a header of 64 bytes, little endian: magic `8vaDepth`, then as u64 layout id, channels,
//! kernel height, kernel width, zero point and parts of a weight, then zeros. What follows is up to the layout.
//!
//! Weights with zero points are `weight - zero_point`, up to 9 bits wide. Kernels that multiply bytes take such a
//! weight as a sum of parts of 8 bits, each of which meets the same activations.

use crate::shape::assert_window;
use crate::{ConvShape, Filter, Isa, Output, SLACK, scalar};
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "x86_64")]
mod blocked;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vectors;
#[cfg(target_arch = "x86_64")]
mod windows;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512vnni::Avx512Vnni;
#[cfg(target_arch = "x86_64")]
use avxvnni::AvxVnni;

/// Bytes in front of what a layout packs.
const HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"8vaDepth";

/// An integer depthwise convolution with everything decided but the data.
#[derive(Clone, Debug)]
pub struct QDepthwise {
    pub(crate) shape: ConvShape,
    pub(crate) x_zero_point: u8,
    pub(crate) out: Output,
    pub(crate) y_stride: usize,
    /// Sums of this many i8 make every weight.
    pub(crate) parts: usize,
    /// Filters have an offset for every channel.
    pub(crate) offsets: bool,
    variant: Variant,
}

/// Which code runs, and with it how the weights are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Variant {
    fn new(isa: Isa) -> Variant {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            crate::isa::Level::Avx2 => Variant::Avx2,
            #[cfg(target_arch = "x86_64")]
            crate::isa::Level::AvxVnni => Variant::AvxVnni,
            #[cfg(target_arch = "x86_64")]
            crate::isa::Level::Avx512Vnni => Variant::Avx512Vnni,
            _ => Variant::Scalar,
        }
    }
}

impl QDepthwise {
    /// `x_zero_point` fills the border. `y_stride` >= `shape.oc`: bytes between output pixels (a concatenation's
    /// part is written in place).
    ///
    /// Panics if the shape is not depthwise or has a stride, dilation or kernel of 0, or output pixels
    /// overlap, or the range of the output is empty.
    pub fn new(isa: Isa, shape: ConvShape, x_zero_point: u8, out: Output, y_stride: usize) -> QDepthwise {
        assert!(shape.groups == shape.c && shape.c == shape.oc, "not depthwise");
        assert_window(shape.kernel, shape.strides, shape.dilations);
        assert!(y_stride >= shape.oc, "output pixels overlap");
        assert!(out.min <= out.max, "the range of the output is empty");
        QDepthwise {
            shape,
            x_zero_point,
            out,
            y_stride,
            parts: 1,
            offsets: false,
            variant: Variant::new(isa),
        }
    }

    /// For weights that are up to `farthest` away from their zero points (of at most 255). Without this all must be
    /// -128..=127 with it.
    pub fn with_wide_weights(self, farthest: u16) -> QDepthwise {
        QDepthwise { parts: usize::from(farthest).div_ceil(127).max(1), ..self }
    }

    /// For filters with [offsets](Filter::offset), which must have them then.
    pub fn with_offsets(self) -> QDepthwise {
        QDepthwise { offsets: true, ..self }
    }

    /// What runs, for people: operation, instruction set.
    pub fn kernel(&self) -> &'static str {
        match self.variant {
            Variant::Scalar => "depthwise scalar",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => "depthwise avx2",
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => "depthwise avxvnni",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => "depthwise avx512vnni",
        }
    }

    /// Names the packed layout: packed bytes of equal layout and shape are interchangeable.
    pub fn layout(&self) -> u32 {
        let layout = match self.variant {
            Variant::Scalar => 0x200,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => 0x210 + blocked::form::<Avx2>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => 0x230 + blocked::form::<AvxVnni>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => 0x220 + blocked::form::<Avx512Vnni>(self),
        };
        layout + if self.offsets { 8 } else { 0 }
    }

    /// Bytes of the packed weights (a multiple of 64).
    pub fn packed_len(&self) -> usize {
        let len = match self.variant {
            Variant::Scalar => scalar::qdepthwise::packed_len(self),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => blocked::packed_len::<Avx2>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => blocked::packed_len::<AvxVnni>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => blocked::packed_len::<Avx512Vnni>(self),
        };
        HEADER + len
    }

    fn header(&self) -> [u8; HEADER] {
        let [kh, kw] = self.shape.kernel;
        let fields = [self.layout() as usize, self.shape.c, kh, kw, self.x_zero_point.into(), self.parts];
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        for (to, field) in header[8..].chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&(field as u64).to_le_bytes());
        }
        header
    }

    /// True if `packed` was packed for this layout, shape and zero point: what [`run`](Self::run) asserts.
    pub fn accepts(&self, packed: &[u8]) -> bool {
        packed.len() >= self.packed_len() && packed.starts_with(&self.header())
    }

    /// Packs weights `[c][kh][kw]`. The share of the input's zero point is folded into the bias here, with wrapping
    /// arithmetic.
    ///
    /// Panics if a slice is too short, or a weight farther from its zero point than was
    /// [said](Self::with_wide_weights).
    pub fn pack(&self, filter: &Filter<'_>, packed: &mut [u8]) {
        let offsets = if self.offsets { self.shape.c } else { 0 };
        assert_eq!(filter.offset.len(), offsets, "there is an offset for every channel or none");
        let (header, packed) = packed[..self.packed_len()].split_at_mut(HEADER);
        header.copy_from_slice(&self.header());
        match self.variant {
            Variant::Scalar => scalar::qdepthwise::pack(self, filter, packed),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => blocked::pack::<Avx2>(self, filter, packed),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => blocked::pack::<AvxVnni>(self, filter, packed),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => blocked::pack::<Avx512Vnni>(self, filter, packed),
        }
    }

    /// Bytes of scratch that one call of `run` needs.
    pub fn scratch_len(&self) -> usize {
        match self.variant {
            Variant::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => blocked::scratch_len::<Avx2>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => blocked::scratch_len::<AvxVnni>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => blocked::scratch_len::<Avx512Vnni>(self),
        }
    }

    /// Parts of threads best start at rows that are multiples of this.
    pub fn grain(&self) -> usize {
        match self.variant {
            Variant::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => blocked::grain::<Avx2>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => blocked::grain::<AvxVnni>(self),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => blocked::grain::<Avx512Vnni>(self),
        }
    }

    /// Computes output rows `rows` of `n * oh`. `x`: the whole input and [`SLACK`] bytes behind it. `y` starts at
    /// the first of these rows.
    ///
    /// Panics if a slice is too short or `packed` is not [accepted](Self::accepts).
    pub fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]) {
        let s = &self.shape;
        assert!(rows.end <= s.n * s.oh, "no such output rows");
        assert!(x.len() >= s.x_len() + SLACK, "the input is too short");
        assert!(self.accepts(packed), "these weights were packed for something else");
        let packed = &packed[HEADER..];
        assert!(scratch.len() >= self.scratch_len(), "the scratch is too short");
        let pixels = rows.len() * s.ow;
        if pixels == 0 || s.c == 0 {
            return;
        }
        assert!(y.len() >= (pixels - 1) * self.y_stride + s.c, "the output is too short");
        match self.variant {
            Variant::Scalar => scalar::qdepthwise::run(self, packed, x, y, rows),
            // SAFETY: the variant was chosen by an `Isa` of this level, and the slices have just been checked.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => unsafe { avx2::run(self, packed, x, y, rows, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => unsafe { avxvnni::run(self, packed, x, y, rows, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => unsafe { avx512vnni::run(self, packed, x, y, rows, scratch) },
        }
    }

    /// Weight `tap` of a channel, less its zero point.
    pub(crate) fn weight(&self, filter: &Filter<'_>, c: usize, tap: usize) -> i16 {
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        let weight = i16::from(filter.weights[c * taps + tap]) - filter.zero_point(c);
        let most = 127 * self.parts as i16;
        assert!(
            (-most - 1..=most).contains(&weight),
            "a weight is farther from its zero point than was said"
        );
        weight
    }

    /// The bias with the zero point's share: `bias[c] - x_zero_point * sum of w`.
    pub(crate) fn folded_bias(&self, filter: &Filter<'_>, c: usize) -> i32 {
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        let weights = (0..taps).map(|tap| i32::from(self.weight(filter, c, tap)));
        let given = if filter.bias.is_empty() { 0 } else { filter.bias[c] };
        given.wrapping_sub(i32::from(self.x_zero_point).wrapping_mul(weights.fold(0, i32::wrapping_add)))
    }
}
