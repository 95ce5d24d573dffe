//! The records of a `.8va` file, byte for byte. `docs/format.md` says what each field means.
//!
//! All records are little endian and free of implicit padding, so that a slice of the file is a slice of records.

use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("the .8va reader takes records and weights in place and needs a little-endian target");

/// First bytes of every file. The high bit, CR LF and ^Z expose transfers that alter bytes.
pub(super) const MAGIC: [u8; 8] = *b"\x898va\r\n\x1a\n";
/// The only version this code reads and writes.
pub(super) const VERSION: u32 = 1;
/// Sections and constants start at multiples of this: a cache line, the widest vector.
pub(super) const ALIGN: usize = 64;
/// Zero bytes behind the last section, so that a kernel's last vector load stays inside the file.
pub(super) const TAIL: usize = 64;
/// Required-feature bits that this code understands.
pub(super) const KNOWN_FEATURES: u64 = 0;
/// Offset of the first byte that the checksum covers: everything behind magic and checksum.
pub(super) const CHECKED_FROM: usize = 16;
/// Longest name in bytes.
pub(super) const MAX_NAME: usize = 65_535;
/// Longest attribute name or attribute text in bytes: short, because many nodes may share one.
pub(super) const MAX_WORD: usize = 255;
/// Most attributes of one node.
pub(super) const MAX_ATTRS: u16 = 64;
/// Stands for an optional input that is left out.
pub(super) const ABSENT: u32 = u32::MAX;
/// Element type codes kept for packed 4-, 3- and 2-bit integers.
pub(super) const RESERVED_DTYPES: [(u8, &str); 3] = [(16, "4-bit"), (17, "3-bit"), (18, "2-bit")];

/// The first 64 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub magic: [u8; 8],
    pub checksum: u64,
    pub version: u32,
    pub sections: u32,
    pub features: u64,
    pub file_len: u64,
    pub free_dims: u32,
    pub inputs: u32,
    pub outputs: u32,
    pub metadata: u32,
    pub reserved: u64,
}

/// One line of the section table, which follows the header.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct SectionRecord {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub len: u64,
    pub count: u32,
    pub reserved: u32,
}

impl SectionRecord {
    /// A reader that does not know the section must refuse the file.
    pub const REQUIRED: u32 = 1;
}

/// A tensor. Its dimensions are the next `rank` INTS, its scales and zero points the next `channels` of theirs.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct TensorRecord {
    pub dtype: u8,
    pub rank: u8,
    pub quant: u8,
    pub axis: u8,
    pub channels: u32,
    pub constant: u32,
    pub reserved: u32,
    pub offset: u64,
    pub len: u64,
}

impl TensorRecord {
    /// `quant`: the integers stand for nothing but themselves.
    pub const PLAIN: u8 = 0;
    /// `quant`: one scale.
    pub const PER_TENSOR: u8 = 1;
    /// `quant`: one scale and zero point per index of dimension `axis`.
    pub const PER_AXIS: u8 = 2;
    /// `quant`: one scale per index of dimension `axis`; all zero points are 0 and not stored.
    pub const SYMMETRIC: u8 = 3;
}

/// A node. Its tensors are the next `inputs + outputs` IDS, its attributes the next `attrs` ATTRS.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct NodeRecord {
    pub op: u16,
    pub attrs: u16,
    pub inputs: u32,
    pub outputs: u32,
    pub reserved: u32,
}

/// An attribute: `value` holds an integer, the bits of a float, a word, or the length of a list or text.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct AttrRecord {
    pub name: u32,
    pub kind: u32,
    pub value: u64,
}

impl AttrRecord {
    pub const INT: u32 = 1;
    pub const FLOAT: u32 = 2;
    pub const INTS: u32 = 3;
    pub const FLOATS: u32 = 4;
    pub const TEXT: u32 = 5;
    /// A text that is too long for a word: the next of STRINGS.
    pub const LONG_TEXT: u32 = 6;
}

/// Where the packed weights of a node lie.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PackedRecord {
    pub node: u32,
    pub layout: u32,
    pub offset: u64,
    pub len: u64,
}

/// An input that an output of the run before feeds.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct StateRecord {
    pub input: u32,
    pub output: u32,
    /// A constant, or [`ABSENT`]: zeros.
    pub initial: u32,
    pub reserved: u32,
}

/// The kinds of section, in the order in which they stand in a file.
macro_rules! sections {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// A kind of section that this code knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Section { $($name = $code,)* }

        impl Section {
            pub const ALL: &'static [Section] = &[$(Section::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Section::$name => $text,)* }
            }
        }
    };
}

sections! {
    Strings = 1, "STRINGS";
    Words = 2, "WORDS";
    Tensors = 3, "TENSORS";
    Nodes = 4, "NODES";
    Attrs = 5, "ATTRS";
    Ids = 6, "IDS";
    Ints = 7, "INTS";
    Floats = 8, "FLOATS";
    ZeroPoints = 9, "ZERO_POINTS";
    Data = 10, "DATA";
    Packed = 11, "PACKED";
    States = 12, "STATES";
}

impl Section {
    pub fn from_code(code: u32) -> Option<Section> {
        Section::ALL.iter().copied().find(|s| *s as u32 == code)
    }

    pub const fn flags(self) -> u32 {
        match self {
            Section::Packed => 0,
            _ => SectionRecord::REQUIRED,
        }
    }

    /// True for sections that a file without entries for them has as well.
    pub const fn always(self) -> bool {
        !matches!(self, Section::Packed | Section::States)
    }

    /// Position in tables that have one entry per kind.
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

/// The next multiple of [`ALIGN`], unless it overflows.
pub(super) fn align_up(n: usize) -> Option<usize> {
    n.checked_next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_their_documented_sizes() {
        assert_eq!(size_of::<Header>(), 64);
        assert_eq!(size_of::<SectionRecord>(), 32);
        assert_eq!(size_of::<TensorRecord>(), 32);
        assert_eq!(size_of::<NodeRecord>(), 16);
        assert_eq!(size_of::<AttrRecord>(), 16);
        assert_eq!(size_of::<PackedRecord>(), 24);
        assert_eq!(size_of::<StateRecord>(), 16);
    }
}
