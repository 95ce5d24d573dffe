//! Graphs to write, and a way to take files apart and put them together wrongly. The offsets here are those of
//! `docs/format.md`, written down a second time: that keeps the page and the code honest.
#![allow(dead_code, unused_imports, unused_macros)] // Each test program uses its own part of this.

use ottava::Limits;
use ottava::format::{self, FormatError, Loaded, PackedSection};
use ottava::graph::*;
use std::sync::Arc;

pub const STRINGS: u32 = 1;
pub const WORDS: u32 = 2;
pub const TENSORS: u32 = 3;
pub const NODES: u32 = 4;
pub const ATTRS: u32 = 5;
pub const IDS: u32 = 6;
pub const INTS: u32 = 7;
pub const FLOATS: u32 = 8;
pub const ZERO_POINTS: u32 = 9;
pub const DATA: u32 = 10;
pub const PACKED: u32 = 11;

pub const HEADER: usize = 64;
pub const LINE: usize = 32;
pub const TAIL: usize = 64;
pub const TENSOR: usize = 32;
pub const NODE: usize = 16;
pub const ATTR: usize = 16;
pub const PACKED_RECORD: usize = 24;

/// Fields of the header.
pub mod header {
    pub const CHECKSUM: usize = 8;
    pub const VERSION: usize = 16;
    pub const SECTIONS: usize = 20;
    pub const FEATURES: usize = 24;
    pub const FILE_LEN: usize = 32;
    pub const FREE_DIMS: usize = 40;
    pub const INPUTS: usize = 44;
    pub const OUTPUTS: usize = 48;
    pub const METADATA: usize = 52;
    pub const RESERVED: usize = 56;
}

fn node(name: &str, op: impl Into<Op>, inputs: &[Option<u32>], outputs: &[u32]) -> Node {
    Node {
        name: name.to_string(),
        op: op.into(),
        inputs: inputs.iter().map(|i| i.map(TensorId)).collect(),
        outputs: outputs.iter().map(|&i| TensorId(i)).collect(),
    }
}

/// A network that uses every kind of record: all kinds of attribute, all kinds of quantization, optional
/// inputs, a node with two outputs, a free dimension, metadata, an empty constant and one of bools.
///
/// Tensors: 0 `x`, 1 `w`, 2 `b`, 3 `y`, 4 `sizes`, 5 `big`, 6 `left`, 7 `right`, 8 `mask`, 9 `picked`,
/// 10 `scales`. Nodes: 0 conv, 1 resize, 2 split, 3 where.
pub fn sample() -> Graph {
    let batch = Dim::Free(0);
    let nhwc = |h: usize, w: usize, c: usize| Shape(vec![batch, h.into(), w.into(), c.into()]);
    let weights: Vec<i8> = (0..18).map(|i| i * 7 - 60).collect();
    let tensors = vec![
        Tensor::value("x", DType::U8, nhwc(4, 4, 1)).with_quant(Quant::per_tensor(0.5, 128)),
        Tensor::constant("w", DType::I8, &[2, 3, 3, 1], Data::from_slice(&weights))
            .with_quant(Quant { zero_point: vec![0, 1], ..Quant::per_channel(0, vec![0.25, 0.125]) }),
        Tensor::constant("b", DType::I32, &[2], Data::from_slice(&[1000i32, -7]))
            .with_quant(Quant::per_channel(0, vec![0.125, 0.0625])),
        Tensor::value("y", DType::U8, nhwc(2, 2, 2)).with_quant(Quant::per_tensor(1.5, 3)),
        Tensor::constant("sizes", DType::I64, &[4], Data::from_slice(&[1i64, 4, 4, 2])),
        Tensor::value("big", DType::U8, nhwc(4, 4, 2)).with_quant(Quant::per_tensor(1.5, 3)),
        Tensor::value("left", DType::U8, nhwc(4, 4, 1)).with_quant(Quant::per_tensor(1.5, 3)),
        Tensor::value("right", DType::U8, nhwc(4, 4, 1)).with_quant(Quant::per_tensor(1.5, 3)),
        Tensor::constant("mask", DType::Bool, &[4], Data::from_slice(&[1u8, 0, 0, 1])),
        Tensor::value("picked", DType::U8, nhwc(4, 4, 1)).with_quant(Quant::per_tensor(1.5, 3)),
        Tensor::constant("scales", DType::F32, &[0], Data::from_slice::<f32>(&[])),
    ];
    let conv = Conv { strides: [1, 1], pads: [0; 4], dilations: [1, 1], groups: 1, clamp: Clamp::RELU };
    let resize =
        Resize { mode: ResizeMode::Nearest, coord: ResizeCoord::Asymmetric, nearest: NearestMode::Floor };
    Graph {
        name: "sample".into(),
        tensors,
        nodes: vec![
            node("conv", conv, &[Some(0), Some(1), Some(2)], &[3]),
            node("resize", resize, &[Some(3), None, Some(4), Some(10)], &[5]),
            node("split", Split { axis: 3, sizes: vec![1, 1] }, &[Some(5)], &[6, 7]),
            node("where", Where {}, &[Some(8), Some(6), Some(7)], &[9]),
        ],
        inputs: vec![TensorId(0)],
        outputs: vec![TensorId(9), TensorId(3)],
        dims: vec!["batch".into()],
        metadata: vec![("author".into(), "nobody".into()), ("note".into(), String::new())],
        states: vec![],
    }
}

/// Packed weights for [`sample`].
pub fn sample_packed() -> Vec<PackedSection> {
    let section = |node, layout, bytes: &[u8]| PackedSection { node, layout, data: Data::from_bytes(bytes) };
    vec![section(0, 3, &[1; 70]), section(0, 9, &[2; 64]), section(3, 1, &[3; 5])]
}

/// The file of [`sample`] without packed weights.
pub fn sample_file() -> Vec<u8> {
    format::write(&sample(), &[]).expect("the sample is well formed")
}

/// The file of [`sample`] with packed weights.
pub fn packed_file() -> Vec<u8> {
    format::write(&sample(), &sample_packed()).expect("the sample is well formed")
}

/// The smallest network: its one input is its output.
pub fn smallest() -> Graph {
    Graph {
        name: "id".into(),
        tensors: vec![Tensor::value("x", DType::F32, Shape::fixed(&[1]))],
        inputs: vec![TensorId(0)],
        outputs: vec![TensorId(0)],
        ..Graph::default()
    }
}

/// Reads bytes under the default limits.
pub fn read(bytes: &[u8]) -> Result<Loaded, FormatError> {
    format::read(Arc::new(AlignedBytes::copy_of(bytes)), &Limits::default())
}

/// The error of bytes that must be refused.
pub fn refusal(bytes: &[u8]) -> FormatError {
    match read(bytes) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.graph),
        Err(e) => e,
    }
}

/// If bytes are accepted, they must be the one encoding of what they say.
pub fn assert_canonical(bytes: &[u8]) {
    if let Ok(loaded) = read(bytes)
        && loaded.skipped.is_empty()
    {
        let again = format::write(&loaded.graph, &loaded.packed).expect("what was read can be written");
        assert!(again == bytes, "two encodings of {:?}", loaded.graph);
    }
}

/// Overwrites a field.
pub fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// A file taken apart. Put together again, sections stand where they must and offsets of data follow, so that
/// one fault at a time can be made.
pub struct Parts {
    pub header: Vec<u8>,
    pub sections: Vec<Part>,
}

/// One section.
pub struct Part {
    pub kind: u32,
    pub flags: u32,
    pub count: u32,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Part {
    pub fn put(&mut self, at: usize, field: &[u8]) {
        put(&mut self.bytes, at, field);
    }

    /// In a section of strings, puts text in the place of text of the same length.
    pub fn reword(&mut self, from: &str, to: &[u8]) {
        let text = &mut self.bytes[self.count as usize * 4..];
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).expect("the text is there");
        put(text, at, to);
    }
}

impl Parts {
    pub fn of(file: &[u8]) -> Parts {
        let count = u32_at(file, header::SECTIONS) as usize;
        let sections = (0..count).map(|i| {
            let line = HEADER + i * LINE;
            let (offset, len) = (u64_at(file, line + 8), u64_at(file, line + 16));
            Part {
                kind: u32_at(file, line),
                flags: u32_at(file, line + 4),
                count: u32_at(file, line + 24),
                offset,
                bytes: file[offset as usize..(offset + len) as usize].to_vec(),
            }
        });
        Parts { header: file[..HEADER].to_vec(), sections: sections.collect() }
    }

    pub fn part(&mut self, kind: u32) -> &mut Part {
        self.sections.iter_mut().find(|s| s.kind == kind).expect("the section is there")
    }

    pub fn file(mut self) -> Vec<u8> {
        put(&mut self.header, header::SECTIONS, &(self.sections.len() as u32).to_le_bytes());
        let mut at = HEADER + self.sections.len() * LINE;
        let mut shifts = Vec::new();
        for s in &mut self.sections {
            at = at.next_multiple_of(64);
            shifts.push((s.kind, (at as u64).wrapping_sub(s.offset)));
            s.offset = at as u64;
            at += s.bytes.len();
        }
        let shift = |kind| shifts.iter().find(|s| s.0 == kind).map_or(0, |s| s.1);
        let (data, packed) = (shift(DATA), shift(PACKED));
        for s in &mut self.sections {
            let (size, field, by) = match s.kind {
                TENSORS => (TENSOR, 16, data),
                PACKED => (PACKED_RECORD, 8, packed),
                _ => continue,
            };
            for i in 0..(s.count as usize).min(s.bytes.len() / size) {
                let at = i * size + field;
                if u64_at(&s.bytes, at) != 0 {
                    let moved = u64_at(&s.bytes, at).wrapping_add(by);
                    s.put(at, &moved.to_le_bytes());
                }
            }
        }
        let mut file = self.header;
        for s in &self.sections {
            for field in [s.kind, s.flags] {
                file.extend(field.to_le_bytes());
            }
            for field in [s.offset, s.bytes.len() as u64] {
                file.extend(field.to_le_bytes());
            }
            file.extend(s.count.to_le_bytes());
            file.extend([0; 4]);
        }
        for s in &self.sections {
            file.resize(s.offset as usize, 0);
            file.extend(&s.bytes);
        }
        file.resize(file.len().next_multiple_of(64) + TAIL, 0);
        format::reseal(&mut file);
        file
    }
}

/// The sample with these bytes put into a section.
pub fn patched(kind: u32, at: usize, field: &[u8]) -> Vec<u8> {
    altered(|p| p.part(kind).put(at, field))
}

/// The sample with its sections changed.
pub fn altered(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts::of(&packed_file());
    change(&mut parts);
    parts.file()
}

/// The sample with these bytes put anywhere; only length and checksum follow.
pub fn stamped(at: usize, field: &[u8]) -> Vec<u8> {
    let mut file = packed_file();
    put(&mut file, at, field);
    format::reseal(&mut file);
    file
}

/// Where the line of a section starts in the section table of the sample.
pub fn line(kind: u32) -> usize {
    HEADER + (kind as usize - 1) * LINE
}

/// Where a section of the sample starts.
pub fn section(kind: u32) -> usize {
    u64_at(&packed_file(), line(kind) + 8) as usize
}

/// Refused with this variant.
macro_rules! refused {
    ($file:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = refusal(&$file);
        assert!(matches!(error, $pattern $(if $guard)?), "{error:?}");
    }};
}

pub(crate) use refused;

/// Refused by the graph's own rules with a message that contains the text.
pub fn refused_by_graph(file: &[u8], text: &str) {
    let error = refusal(file);
    assert!(matches!(error, FormatError::Graph(_)) && error.to_string().contains(text), "{error:?}");
}

/// The sample with one of STRINGS replaced by another of the same length.
pub fn renamed(from: &str, to: &[u8]) -> Vec<u8> {
    altered(|p| p.part(STRINGS).reword(from, to))
}

/// The sample with one of WORDS replaced by another of the same length.
pub fn patched_word(from: &str, to: &[u8]) -> Vec<u8> {
    altered(|p| p.part(WORDS).reword(from, to))
}

/// A graph whose one node has a text of this length.
pub fn texted(len: usize) -> Graph {
    let op = Custom { name: "op".into(), parameters: "p".repeat(len) };
    Graph {
        name: "texted".into(),
        tensors: ["x", "y"].map(|name| Tensor::value(name, DType::F32, Shape::fixed(&[1]))).to_vec(),
        nodes: vec![node("node", op, &[Some(0)], &[1])],
        inputs: vec![TensorId(0)],
        outputs: vec![TensorId(1)],
        ..Graph::default()
    }
}
