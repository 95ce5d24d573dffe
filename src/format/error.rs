//! Why bytes are refused: one variant per cause.

use crate::graph::{GraphError, OpError};
use std::fmt;

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The record: section, index and, once it is known, the name.
    pub record: String,
    /// Offset of the record from the start of the file.
    pub offset: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.record, self.offset)
    }
}

/// Why bytes are not a usable `.8va` file, or why a graph can't be written as one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The storage does not start at a multiple of 64.
    #[error("the bytes start at an address that is no multiple of 64: read them into graph::AlignedBytes")]
    StorageAlignment,
    /// A bound of [`Limits`](crate::Limits) is exceeded.
    #[error("{what}: {value}, more than {max}; if you trust the file, raise Limits::{limit}")]
    Limit {
        /// The field of `Limits`.
        limit: &'static str,
        /// What was counted.
        what: String,
        /// How many there are.
        value: u64,
        /// How many there may be.
        max: u64,
    },
    /// Not even header and tail fit.
    #[error("{len} bytes, the smallest file has {least}: it is cut off or something else")]
    TooShort {
        /// Bytes there are.
        len: usize,
        /// Bytes there must be.
        least: usize,
    },
    /// Another kind of file.
    #[error("it starts with {found:02x?} instead of the magic bytes: it is another kind of file")]
    Magic {
        /// The first bytes.
        found: [u8; 8],
    },
    /// Another version of the format.
    #[error(
        "format version {found}, this program reads {known}: update the program or convert the model again"
    )]
    Version {
        /// In the file.
        found: u32,
        /// By this code.
        known: u32,
    },
    /// Bytes are missing or too many.
    #[error("the header says {stated} bytes, there are {actual}: get the file again")]
    Length {
        /// In the header.
        stated: u64,
        /// There are.
        actual: usize,
    },
    /// Bytes have changed since the file was written.
    #[error("checksum {computed:#018x} instead of {stated:#018x}: the file is damaged, get it again")]
    Checksum {
        /// In the header.
        stated: u64,
        /// Of the bytes.
        computed: u64,
    },
    /// The file needs something that this version lacks.
    #[error("it needs features {unknown:#x} that this program does not know: update the program")]
    Features {
        /// The bits that are unknown.
        unknown: u64,
    },
    /// A reserved field or padding is not zero.
    #[error("{what} at byte {offset} is not zero: the file is damaged or hides something")]
    NotZero {
        /// The field or gap.
        what: &'static str,
        /// Of the first byte that should be zero, or of its record.
        offset: usize,
    },
    /// The section table does not fit.
    #[error("the table of {sections} sections does not fit into {len} bytes")]
    SectionTable {
        /// In the header.
        sections: u32,
        /// Bytes of the file.
        len: usize,
    },
    /// Kinds of section are not strictly ascending.
    #[error("{at}: kind {kind} after kind {before}; each kind stands once, in ascending order")]
    SectionOrder {
        /// The line of the section table.
        at: Place,
        /// Its kind.
        kind: u32,
        /// The kind before it.
        before: u32,
    },
    /// A section that must be understood is not known.
    #[error("{at}: section kind {kind} is required and unknown: update the program")]
    SectionUnknown {
        /// The line of the section table.
        at: Place,
        /// Its kind.
        kind: u32,
    },
    /// A section's flags are not those of its kind.
    #[error("{at}: flags {flags:#x} are not those of section kind {kind}")]
    SectionFlags {
        /// The line of the section table.
        at: Place,
        /// Its kind.
        kind: u32,
        /// Its flags.
        flags: u32,
    },
    /// A section does not start where it must.
    #[error("{at}: it starts at byte {found} instead of {wanted}: sections would overlap or leave a gap")]
    SectionPlace {
        /// The line of the section table.
        at: Place,
        /// Its offset.
        found: u64,
        /// The only offset it may have.
        wanted: usize,
    },
    /// A section ends behind the file.
    #[error("{at}: {len} bytes reach past the end of the file")]
    SectionEnd {
        /// The line of the section table.
        at: Place,
        /// Its length.
        len: u64,
    },
    /// A section's length and number of records contradict each other.
    #[error("section {section}: {len} bytes do not hold {count} records")]
    SectionSize {
        /// The kind.
        section: &'static str,
        /// Its length.
        len: usize,
        /// Its number of records.
        count: u32,
    },
    /// A section that every file has is not there.
    #[error("section {section} is missing")]
    SectionMissing {
        /// The kind.
        section: &'static str,
    },
    /// There is something behind the last section and its padding.
    #[error("the file goes on to byte {len} although its last section asks for {wanted}")]
    Tail {
        /// Bytes of the file.
        len: usize,
        /// Bytes it should have.
        wanted: usize,
    },
    /// The ends of strings don't ascend, or not to the end of the section.
    #[error("{at}: it ends at {end}, which is not within its section or before its start")]
    StringEnd {
        /// The string.
        at: Place,
        /// Its end, counted from the first byte of text.
        end: u32,
    },
    /// Bytes behind the last string.
    #[error("section {section}: {left} bytes of text belong to no string")]
    StringsLeft {
        /// The kind.
        section: &'static str,
        /// How many.
        left: usize,
    },
    /// Text is not UTF-8.
    #[error("{at}: not UTF-8")]
    Utf8 {
        /// The string.
        at: Place,
    },
    /// Words are not in strictly ascending order of their bytes.
    #[error("{at}: words stand in ascending order, each once")]
    WordOrder {
        /// The string.
        at: Place,
    },
    /// A word that nothing refers to.
    #[error("word {index} is used by no attribute")]
    WordUnused {
        /// Its index.
        index: usize,
    },
    /// A word is not there.
    #[error("{at}: refers to word {index}, there are {count}")]
    WordIndex {
        /// The attribute.
        at: Place,
        /// What it refers to.
        index: u64,
        /// How many there are.
        count: usize,
    },
    /// A record asks for more values than its section has left.
    #[error("{at}: needs {wanted} values of section {section}, {left} are left")]
    PoolShort {
        /// Who asks.
        at: Place,
        /// The section.
        section: &'static str,
        /// How many it asks for.
        wanted: u64,
        /// How many there are.
        left: usize,
    },
    /// Values that no record asks for.
    #[error("section {section}: {left} values belong to no record")]
    PoolLeft {
        /// The section.
        section: &'static str,
        /// How many.
        left: usize,
    },
    /// An element type is unknown.
    #[error("{at}: element type {code} is unknown: the file is damaged or newer than this program")]
    DType {
        /// The tensor.
        at: Place,
        /// The code.
        code: u8,
    },
    /// An element type that is reserved for packed integers.
    #[error("{at}: packed {bits} elements (type {code}) are reserved for later: update the program")]
    ReservedDType {
        /// The tensor.
        at: Place,
        /// The code.
        code: u8,
        /// Its meaning.
        bits: &'static str,
    },
    /// A tensor has more dimensions than any may have.
    #[error("{at}: {rank} dimensions, no tensor has more than {max}")]
    Rank {
        /// The tensor.
        at: Place,
        /// How many.
        rank: usize,
        /// How many there may be.
        max: usize,
    },
    /// A dimension is negative, but names no free dimension.
    #[error("{at}: dimension {axis} is {value}; there are {free} free dimensions")]
    Dim {
        /// The tensor.
        at: Place,
        /// Which one.
        axis: usize,
        /// Its code.
        value: i64,
        /// How many free dimensions the file names.
        free: usize,
    },
    /// The product of a tensor's dimensions does not fit.
    #[error("{tensor}: the product of its dimensions overflows")]
    ShapeOverflow {
        /// Its name.
        tensor: String,
    },
    /// A zero point per index, all of them 0: then none are stored.
    #[error(
        "{at}: stores zero points that are all 0, as files of early builds do; convert or quantize the model again"
    )]
    NeedlessZeroPoints {
        /// Where.
        at: Place,
    },
    /// Quantization fields that mean nothing.
    #[error("{at}: quantization kind {kind} with axis {axis} and {channels} channels means nothing")]
    QuantKind {
        /// The tensor.
        at: Place,
        /// The kind.
        kind: u8,
        /// The axis.
        axis: u8,
        /// The number of scales.
        channels: u32,
    },
    /// A yes-or-no field is neither, or contradicts its neighbours.
    #[error("{at}: constant = {value} with {len} bytes at {offset} means nothing")]
    ConstantFlag {
        /// The tensor.
        at: Place,
        /// The field.
        value: u32,
        /// Where its data is said to be.
        offset: u64,
        /// How long it is said to be.
        len: u64,
    },
    /// Data does not start at a multiple of 64.
    #[error("{at}: its data starts at byte {offset}, no multiple of 64")]
    DataAlignment {
        /// Whose data.
        at: Place,
        /// Where it starts.
        offset: u64,
    },
    /// Data starts before the end of the data before it.
    #[error("{at}: its data starts at byte {offset}, before {wanted}: it overlaps what is before it")]
    DataOverlap {
        /// Whose data.
        at: Place,
        /// Where it starts.
        offset: u64,
        /// Where it should.
        wanted: usize,
    },
    /// Data starts behind a gap.
    #[error("{at}: its data starts at byte {offset} instead of {wanted}: bytes between belong to nothing")]
    DataGap {
        /// Whose data.
        at: Place,
        /// Where it starts.
        offset: u64,
        /// Where it should.
        wanted: usize,
    },
    /// Data reaches past its section.
    #[error("{at}: {len} bytes of data at byte {offset} reach past the end of their section at {end}")]
    DataEnd {
        /// Whose data.
        at: Place,
        /// Where it starts.
        offset: u64,
        /// How long it is.
        len: u64,
        /// Where the section ends.
        end: usize,
    },
    /// Data that belongs to nothing.
    #[error("section {section}: {left} bytes at its end belong to nothing")]
    DataLeft {
        /// The section.
        section: &'static str,
        /// How many.
        left: usize,
    },
    /// A constant has another number of bytes than its shape asks for.
    #[error("{at}: {len} bytes of data, shape and element type ask for {wanted}")]
    DataSize {
        /// The tensor.
        at: Place,
        /// There are.
        len: u64,
        /// There should be.
        wanted: usize,
    },
    /// A bool constant holds something else than 0 and 1.
    #[error("tensor '{tensor}': element {index} is {value}, bools are 0 or 1")]
    BoolValue {
        /// Its name.
        tensor: String,
        /// Which element.
        index: usize,
        /// Its byte.
        value: u8,
    },
    /// A tensor that nothing refers to.
    #[error("tensor '{tensor}' is no input, no output and used by no node: leave it out (Graph::sweep does)")]
    UnusedTensor {
        /// Its name.
        tensor: String,
    },
    /// A name is empty, too long, or contains NUL.
    #[error("the name of {what} {fault}")]
    Name {
        /// What is named.
        what: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A name that must be unique is there twice.
    #[error("{what} '{name}' is there twice")]
    Duplicate {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A node has too many attributes.
    #[error("{at}: {count} attributes, no operator has more than {max}")]
    AttrCount {
        /// The node.
        at: Place,
        /// How many.
        count: u16,
        /// How many there may be.
        max: u16,
    },
    /// An attribute is of an unknown kind, or its value is out of the range of its kind.
    #[error("{at}: attribute kind {kind} with value {value:#x} means nothing")]
    AttrKind {
        /// The attribute.
        at: Place,
        /// The kind.
        kind: u32,
        /// The value.
        value: u64,
    },
    /// An attribute's float is not a number.
    #[error("node '{node}': attribute {attr} is NaN")]
    AttrNan {
        /// The node.
        node: String,
        /// The attribute.
        attr: String,
    },
    /// An attribute's text is too long or contains NUL.
    #[error("node '{node}': the text of attribute {attr} {fault}; it may have 65535 bytes, none of them NUL")]
    AttrText {
        /// The node.
        node: String,
        /// The attribute.
        attr: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A text outside the words has another length than its record says, or one that a word could have.
    #[error("{at}: a text of {len} bytes, said to have {value}; texts of up to 255 bytes are words")]
    LongText {
        /// The node.
        at: Place,
        /// What the record says.
        value: u64,
        /// Bytes that the text has.
        len: usize,
    },
    /// Attributes are not exactly those of the operator, in their order.
    #[error("{at}: {op} has the attributes {wanted}, in this order and no others")]
    AttrList {
        /// The node.
        at: Place,
        /// The operator.
        op: &'static str,
        /// Their names.
        wanted: String,
    },
    /// Code and attributes make no operator.
    #[error("{at}: {source}")]
    Op {
        /// The node.
        at: Place,
        /// Why not.
        source: OpError,
    },
    /// Packed weights belong to no node.
    #[error("packed weights {index}: node {node} does not exist, there are {nodes}")]
    PackedNode {
        /// Which of the packed weights.
        index: usize,
        /// The node they name.
        node: u64,
        /// How many there are.
        nodes: usize,
    },
    /// Packed weights are not in ascending order of node and layout, or there twice.
    #[error("packed weights {index}: node {node} with layout {layout} is out of order or there twice")]
    PackedOrder {
        /// Which of the packed weights.
        index: usize,
        /// Their node.
        node: usize,
        /// Their layout.
        layout: u32,
    },
    /// A graph has more of something than the file's fields can count.
    #[error("{what}: {value} are more than a .8va file can count")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        value: usize,
    },
    /// The graph is not well formed.
    #[error("{0}")]
    Graph(#[from] GraphError),
}
