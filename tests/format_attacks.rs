//! Ways in which other loaders were broken, one test each: a valid file with one lie in it, checksum made right
//! again, must be refused for that lie and nothing else. Whatever is accepted is the one encoding of its graph.

mod format_support;

use format_support::*;
use ottava::Limits;
use ottava::format::{self, FormatError as E};
use ottava::graph::*;
use std::sync::Arc;

/// The sample with these bytes put into a section.
fn patched(kind: u32, at: usize, field: &[u8]) -> Vec<u8> {
    altered(|p| p.part(kind).put(at, field))
}

/// The sample with its sections changed.
fn altered(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts::of(&packed_file());
    change(&mut parts);
    parts.file()
}

/// The sample with these bytes put anywhere; only length and checksum follow.
fn stamped(at: usize, field: &[u8]) -> Vec<u8> {
    let mut file = packed_file();
    put(&mut file, at, field);
    format::reseal(&mut file);
    file
}

/// Where the line of a section starts in the section table of the sample.
fn line(kind: u32) -> usize {
    HEADER + (kind as usize - 1) * LINE
}

/// Where a section of the sample starts.
fn section(kind: u32) -> usize {
    u64_at(&packed_file(), line(kind) + 8) as usize
}

macro_rules! refused {
    ($file:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = refusal(&$file);
        assert!(matches!(error, $pattern $(if $guard)?), "{error:?}");
    }};
}

/// Refused by the graph's own rules with a message that contains the text.
fn refused_by_graph(file: &[u8], text: &str) {
    let error = refusal(file);
    assert!(matches!(error, E::Graph(_)) && error.to_string().contains(text), "{error:?}");
}

// Sizes.

#[test]
fn product_of_dimensions_overflows() {
    let huge = (1i64 << 40).to_le_bytes();
    // Of a value: x is [batch, 4, 4, 1].
    refused!(patched(INTS, 8, &[huge, huge].concat()), E::ShapeOverflow { .. });
    // Of a constant: w is [2, 3, 3, 1].
    refused!(patched(INTS, 4 * 8, &[huge, huge].concat()), E::ShapeOverflow { .. });
}

#[test]
fn bytes_of_a_tensor_overflow() {
    // b, four bytes each; x, one byte each, of a batch.
    refused!(patched(INTS, 8 * 8, &i64::MAX.to_le_bytes()), E::ShapeOverflow { .. });
    refused!(patched(INTS, 8, &(i64::MAX / 2).to_le_bytes()), E::ShapeOverflow { .. });
}

#[test]
fn product_of_dimensions_overflows_before_a_zero() {
    let dims = [1i64 << 40, 1 << 40, 0].map(i64::to_le_bytes).concat();
    refused!(patched(INTS, 8, &dims), E::ShapeOverflow { .. });
}

#[test]
fn rank_too_high() {
    refused!(patched(TENSORS, 1, &[9]), E::Rank { rank: 9, max: 8, .. });
    refused!(patched(TENSORS, 1, &[255]), E::Rank { rank: 255, .. });
}

#[test]
fn negative_dimension_names_no_free_dimension() {
    refused!(patched(INTS, 0, &(-2i64).to_le_bytes()), E::Dim { axis: 0, value: -2, free: 1, .. });
    refused!(patched(INTS, 0, &i64::MIN.to_le_bytes()), E::Dim { .. });
}

#[test]
fn free_dimension_of_a_constant() {
    refused!(patched(INTS, 8 * 8, &(-1i64).to_le_bytes()), E::ShapeOverflow { .. });
}

// Places.

#[test]
fn data_past_the_end() {
    // `scales`, the last constant, says that it has 1000 elements.
    let file = altered(|p| {
        p.part(INTS).put(31 * 8, &1000i64.to_le_bytes());
        p.part(TENSORS).put(10 * TENSOR + 24, &4000u64.to_le_bytes());
    });
    refused!(file, E::DataEnd { len: 4000, .. });
}

#[test]
fn offset_and_length_wrap() {
    let record = TENSOR + 16;
    refused!(patched(TENSORS, record, &(u64::MAX - 63).to_le_bytes()), E::DataGap { .. });
    refused!(patched(TENSORS, record + 8, &u64::MAX.to_le_bytes()), E::DataSize { .. });
    refused!(stamped(line(DATA) + 16, &u64::MAX.to_le_bytes()), E::SectionEnd { .. });
    refused!(stamped(line(DATA) + 8, &(u64::MAX - 63).to_le_bytes()), E::SectionPlace { .. });
    refused!(patched(PACKED, 16, &u64::MAX.to_le_bytes()), E::DataEnd { .. });
}

#[test]
fn data_not_aligned() {
    let w = section(TENSORS) + TENSOR + 16;
    let offset = u64_at(&packed_file(), w);
    refused!(stamped(w, &(offset + 8).to_le_bytes()), E::DataAlignment { .. });
}

#[test]
fn data_overlaps() {
    let b = section(TENSORS) + 2 * TENSOR + 16;
    let offset = u64_at(&packed_file(), b);
    refused!(stamped(b, &(offset - 64).to_le_bytes()), E::DataOverlap { .. });
    refused!(stamped(b, &0u64.to_le_bytes()), E::DataOverlap { offset: 0, .. });
}

#[test]
fn data_leaves_a_gap() {
    let b = section(TENSORS) + 2 * TENSOR + 16;
    let offset = u64_at(&packed_file(), b);
    refused!(stamped(b, &(offset + 64).to_le_bytes()), E::DataGap { .. });
}

#[test]
fn data_of_nobody() {
    refused!(altered(|p| p.part(DATA).bytes.push(0)), E::DataLeft { left: 1, .. });
    refused!(altered(|p| p.part(PACKED).bytes.push(0)), E::DataLeft { left: 1, .. });
}

#[test]
fn bytes_hidden_between_constants() {
    // w has 18 bytes.
    refused!(patched(DATA, 18, &[1]), E::NotZero { .. });
}

#[test]
fn bytes_hidden_between_sections() {
    let file = packed_file();
    let end = section(STRINGS) + u64_at(&file, line(STRINGS) + 16) as usize;
    assert_ne!(end % 64, 0);
    refused!(stamped(end, &[1]), E::NotZero { offset, .. } if offset == end);
}

#[test]
fn bytes_hidden_in_reserved_fields() {
    refused!(stamped(header::RESERVED + 7, &[1]), E::NotZero { .. });
    refused!(stamped(line(WORDS) + 28, &[1]), E::NotZero { .. });
    refused!(patched(TENSORS, 12, &[1]), E::NotZero { .. });
    refused!(patched(NODES, 12, &[1]), E::NotZero { .. });
    // Fields that a value does not use.
    refused!(patched(TENSORS, 16, &[64]), E::ConstantFlag { .. });
    refused!(patched(TENSORS, 24, &[1]), E::ConstantFlag { .. });
    refused!(patched(TENSORS, 4 * TENSOR + 3, &[1]), E::QuantKind { .. });
}

#[test]
fn two_files_in_one() {
    let mut file = packed_file();
    let len = file.len();
    file[len - 1] = b'P';
    format::reseal(&mut file);
    refused!(file, E::NotZero { offset, .. } if offset == len - 1);
    let mut file = packed_file();
    file.extend([0; 64]);
    refused!(file, E::Length { .. });
    format::reseal(&mut file);
    refused!(file, E::Tail { .. });
    let mut file = vec![0; 64];
    file.extend(packed_file());
    refused!(file, E::Magic { .. });
}

#[test]
fn sections_overlap_or_leave_a_gap() {
    let at = section(NODES) as u64;
    refused!(stamped(line(NODES) + 8, &(at - 64).to_le_bytes()), E::SectionPlace { .. });
    refused!(stamped(line(NODES) + 8, &(at + 64).to_le_bytes()), E::SectionPlace { .. });
    refused!(stamped(line(NODES) + 8, &(at + 1).to_le_bytes()), E::SectionPlace { .. });
}

#[test]
fn sections_out_of_order_missing_or_twice() {
    refused!(altered(|p| p.sections.swap(2, 3)), E::SectionOrder { .. });
    refused!(stamped(line(WORDS), &STRINGS.to_le_bytes()), E::SectionOrder { .. });
    refused!(altered(|p| p.sections.retain(|s| s.kind != IDS)), E::SectionMissing { section: "IDS" });
    refused!(stamped(header::SECTIONS, &[0]), E::SectionMissing { .. });
    refused!(stamped(header::SECTIONS, &[10]), E::SectionPlace { .. });
}

#[test]
fn section_of_broken_records() {
    refused!(altered(|p| p.part(TENSORS).bytes.push(0)), E::SectionSize { section: "TENSORS", .. });
    refused!(altered(|p| p.part(NODES).count += 1), E::SectionSize { section: "NODES", .. });
    refused!(altered(|p| p.part(IDS).count = u32::MAX), E::SectionSize { section: "IDS", .. });
    refused!(altered(|p| p.part(STRINGS).count = u32::MAX), E::SectionSize { .. });
    refused!(altered(|p| p.part(PACKED).count = u32::MAX), E::SectionSize { .. });
    refused!(altered(|p| p.part(DATA).count = 1), E::SectionSize { section: "DATA", .. });
    refused!(altered(|p| p.part(PACKED).count = 0), E::SectionSize { section: "PACKED", .. });
}

// Names.

/// The sample with one name of STRINGS replaced by another of the same length.
fn renamed(from: &str, to: &[u8]) -> Vec<u8> {
    altered(|p| {
        let strings = p.part(STRINGS);
        let text = &mut strings.bytes[strings.count as usize * 4..];
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).expect("the name is there");
        put(text, at, to);
    })
}

#[test]
fn duplicate_names() {
    refused_by_graph(&renamed("right", b"sizes"), "same name");
    let twice = |graph: &mut Graph| {
        graph.dims.push("seq".into());
        graph.metadata[1].0 = "writer".into();
    };
    let file = |from: &str, to: &str| {
        let mut graph = sample();
        twice(&mut graph);
        let mut parts = Parts::of(&format::write(&graph, &[]).expect("well formed"));
        let strings = parts.part(STRINGS);
        let text = &mut strings.bytes[strings.count as usize * 4..];
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).expect("the name is there");
        put(text, at, to.as_bytes());
        parts.file()
    };
    refused!(file("writer", "author"), E::Duplicate { what: "metadata key", .. });
    // "batch" and "seq" become "bat" and "bat" once the end of the first moves: one name, two dimensions.
    refused!(
        altered(|p| {
            put(&mut p.header, header::FREE_DIMS, &2u32.to_le_bytes());
            let strings = p.part(STRINGS);
            let ends = strings.count as usize * 4;
            let batch_end = u32_at(&strings.bytes, 4);
            for i in 2..strings.count as usize {
                let end = u32_at(&strings.bytes, i * 4) + 5;
                strings.put(i * 4, &end.to_le_bytes());
            }
            let text_at = ends + batch_end as usize;
            strings.bytes.splice(text_at..text_at, *b"batch");
            strings.bytes.splice(8..8, (batch_end + 5).to_le_bytes());
            strings.count += 1;
        }),
        E::Duplicate { what: "free dimension", .. }
    );
}

#[test]
fn names_not_utf8() {
    refused!(renamed("right", b"ri\xffht"), E::Utf8 { .. });
    // A character cut in two by the end of a string.
    refused!(renamed("leftright", "lef\u{e9}ight".as_bytes()), E::Utf8 { .. });
    refused!(patched_word("clamp", b"cl\xc3mp"), E::Utf8 { .. });
}

#[test]
fn names_with_nul() {
    refused!(renamed("right", b"ri\0ht"), E::Name { fault: "contains NUL", .. });
    refused!(renamed("nobody", b"nob\0dy"), E::Name { fault: "has a value that contains NUL", .. });
}

#[test]
fn names_empty_or_too_long() {
    // "split" is empty, the name after it longer.
    let shifted = |by: u32| {
        altered(|p| {
            let strings = p.part(STRINGS);
            let end = u32_at(&strings.bytes, 15 * 4);
            strings.put(15 * 4, &(end - by).to_le_bytes());
        })
    };
    refused!(shifted(5), E::Name { fault: "is empty", .. });
    refused!(shifted(6), E::StringEnd { .. });
    let long = "n".repeat(65_536);
    let file = altered(|p| {
        let strings = p.part(STRINGS);
        for i in 0..strings.count as usize {
            let end = u32_at(&strings.bytes, i * 4) + 65_536;
            strings.put(i * 4, &end.to_le_bytes());
        }
        let text = strings.count as usize * 4;
        strings.bytes.splice(text..text, long.bytes());
    });
    refused!(file, E::Name { fault: "is too long", .. });
}

#[test]
fn ends_of_names() {
    refused!(patched(STRINGS, 0, &u32::MAX.to_le_bytes()), E::StringEnd { .. });
    refused!(altered(|p| p.part(STRINGS).bytes.push(b'x')), E::StringsLeft { left: 1, .. });
    refused!(altered(|p| p.part(STRINGS).bytes.truncate(100)), E::Utf8 { .. } | E::StringEnd { .. });
}

/// The sample with one of WORDS replaced by another of the same length.
fn patched_word(from: &str, to: &[u8]) -> Vec<u8> {
    altered(|p| {
        let words = p.part(WORDS);
        let text = &mut words.bytes[words.count as usize * 4..];
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).expect("the word is there");
        put(text, at, to);
    })
}

#[test]
fn words_out_of_order_unused_or_missing() {
    refused!(patched_word("clamp", b"zzzzz"), E::WordOrder { .. });
    refused!(patched_word("asymmetricaxis", b"asymmetricasym"), E::Op { .. } | E::WordOrder { .. });
    refused!(patched(ATTRS, 0, &u32::MAX.to_le_bytes()), E::WordIndex { .. });
    // A word more at the end.
    let file = altered(|p| {
        let words = p.part(WORDS);
        let ends = words.count as usize * 4;
        let end = (words.bytes.len() - ends) as u32 + 1;
        words.bytes.splice(ends..ends, end.to_le_bytes());
        words.bytes.push(b'z');
        words.count += 1;
    });
    refused!(file, E::WordUnused { .. });
}

// Indices. IDS: 0 input | 1, 2 outputs | 3..6 and 6 conv | 7..11 and 11 resize | 12 and 13, 14 split | ...

fn with_id(at: usize, id: u32) -> Vec<u8> {
    patched(IDS, at * 4, &id.to_le_bytes())
}

#[test]
fn indices_out_of_range() {
    refused_by_graph(&with_id(0, 11), "input 11");
    refused_by_graph(&with_id(1, u32::MAX), "output 4294967295");
    refused_by_graph(&with_id(3, 11), "input tensor 11 does not exist");
    refused_by_graph(&with_id(6, u32::MAX), "output tensor 4294967295 does not exist");
}

#[test]
fn tensor_produced_twice() {
    refused_by_graph(&with_id(14, 6), "already there");
    refused_by_graph(&with_id(11, 3), "already there");
    // An input that is a constant, a constant that is computed.
    refused_by_graph(&with_id(0, 1), "constant");
    refused_by_graph(&with_id(6, 1), "already there");
}

#[test]
fn tensor_of_no_use() {
    // Resize does not read `scales` any more.
    refused!(with_id(10, u32::MAX), E::UnusedTensor { ref tensor } if tensor == "scales");
}

#[test]
fn node_reads_itself_or_what_comes_later() {
    refused_by_graph(&with_id(3, 3), "nothing before it computes");
    refused_by_graph(&with_id(3, 9), "nothing before it computes");
}

#[test]
fn graph_or_node_without_output() {
    let file = altered(|p| {
        put(&mut p.header, header::INPUTS, &3u32.to_le_bytes());
        put(&mut p.header, header::OUTPUTS, &0u32.to_le_bytes());
    });
    assert!(matches!(refusal(&file), E::Graph(_)));
    let file = altered(|p| {
        p.part(NODES).put(4, &4u32.to_le_bytes());
        p.part(NODES).put(8, &0u32.to_le_bytes());
    });
    refused_by_graph(&file, "has no output");
}

#[test]
fn a_long_chain_does_not_recurse() {
    let count = 100_000;
    let mut graph = smallest();
    for i in 0..count {
        graph.tensors.push(Tensor::value(format!("t{i}"), DType::F32, Shape::fixed(&[1])));
        graph.nodes.push(Node {
            name: "flatten".into(),
            op: Flatten { axis: 0 }.into(),
            inputs: vec![Some(TensorId(i))],
            outputs: vec![TensorId(i + 1)],
        });
    }
    graph.outputs = vec![TensorId(count)];
    let file = format::write(&graph, &[]).expect("written");
    assert_eq!(read(&file).expect("accepted").graph, graph);
}

// Counts.

#[test]
fn counts_beyond_the_file() {
    let most = u32::MAX.to_le_bytes();
    for at in [header::FREE_DIMS, header::METADATA] {
        refused!(stamped(at, &most), E::PoolShort { section: "STRINGS", .. } | E::Dim { .. });
    }
    for at in [header::INPUTS, header::OUTPUTS] {
        refused!(stamped(at, &most), E::PoolShort { section: "IDS", .. });
    }
    refused!(stamped(header::SECTIONS, &most), E::SectionTable { .. });
    refused!(patched(NODES, 4, &most), E::PoolShort { section: "IDS", .. });
    refused!(patched(NODES, 8, &most), E::PoolShort { section: "IDS", .. });
    refused!(patched(NODES, 2, &[64, 0]), E::PoolShort { section: "ATTRS", .. });
    refused!(patched(NODES, 2, &[65, 0]), E::AttrCount { count: 65, .. });
    // strides, a list of integers, and clamp, a list of floats.
    refused!(patched(ATTRS, 8, &u64::MAX.to_le_bytes()), E::PoolShort { section: "INTS", .. });
    refused!(patched(ATTRS, 4 * ATTR + 8, &u64::MAX.to_le_bytes()), E::PoolShort { section: "FLOATS", .. });
    refused!(patched(TENSORS, TENSOR + 4, &most), E::PoolShort { section: "FLOATS", .. });
}

#[test]
fn values_that_nobody_takes() {
    let more = |kind, bytes: &[u8]| {
        altered(|p| {
            p.part(kind).bytes.extend(bytes);
            p.part(kind).count += 1;
        })
    };
    refused!(more(IDS, &[0; 4]), E::PoolLeft { section: "IDS", left: 1 });
    refused!(more(INTS, &[0; 8]), E::PoolLeft { section: "INTS", left: 1 });
    refused!(more(FLOATS, &[0; 4]), E::PoolLeft { section: "FLOATS", left: 1 });
    refused!(more(ZERO_POINTS, &[0; 4]), E::PoolLeft { section: "ZERO_POINTS", left: 1 });
    refused!(more(ATTRS, &[0; 16]), E::PoolLeft { section: "ATTRS", left: 1 });
    refused!(stamped(header::METADATA, &[1]), E::PoolLeft { section: "STRINGS", left: 2 });
}

#[test]
fn limits_name_what_raises_them() {
    let refusal = |limits: Limits| {
        let storage = Arc::new(AlignedBytes::copy_of(&sample_file()));
        format::read(storage, &limits).expect_err("over a limit").to_string()
    };
    let default = Limits::default();
    let message = refusal(Limits { tensors: 10, ..default.clone() });
    assert!(message.contains("11") && message.contains("10") && message.contains("Limits::tensors"));
    assert!(refusal(Limits { nodes: 3, ..default.clone() }).contains("Limits::nodes"));
    assert!(refusal(Limits { rank: 3, ..default.clone() }).contains("Limits::rank"));
    assert!(refusal(Limits { file_bytes: 99, ..default }).contains("Limits::file_bytes"));
}

// Codes.

#[test]
fn element_type_contradicts_the_data() {
    // w becomes i16.
    refused!(patched(TENSORS, TENSOR, &[DType::I16 as u8]), E::DataSize { len: 18, wanted: 36, .. });
}

#[test]
fn bool_that_is_neither() {
    let mask = u64_at(&packed_file(), section(TENSORS) + 8 * TENSOR + 16) as usize;
    refused!(stamped(mask + 3, &[2]), E::BoolValue { index: 3, value: 2, .. });
}

#[test]
fn unknown_codes() {
    refused!(patched(TENSORS, 0, &[0]), E::DType { code: 0, .. });
    refused!(patched(TENSORS, 0, &[9]), E::DType { code: 9, .. });
    for code in [16, 17, 18] {
        refused!(patched(TENSORS, 0, &[code]), E::ReservedDType { code: c, .. } if c == code);
    }
    refused!(patched(NODES, 0, &[0, 0]), E::Op { source: OpError::Code(0), .. });
    refused!(patched(NODES, 0, &[255, 255]), E::Op { source: OpError::Code(65535), .. });
    refused!(patched(ATTRS, 4, &[0]), E::AttrKind { kind: 0, .. });
    refused!(patched(ATTRS, 4, &[6]), E::AttrKind { kind: 6, .. });
    refused!(patched(TENSORS, 2, &[3]), E::QuantKind { kind: 3, .. });
    refused!(patched(TENSORS, 8, &[2]), E::ConstantFlag { value: 2, .. });
}

#[test]
fn another_version_or_feature() {
    refused!(stamped(header::VERSION, &[2]), E::Version { found: 2, known: 1 });
    refused!(stamped(header::VERSION, &[0]), E::Version { found: 0, .. });
    for bit in 0..64 {
        let features = 1u64 << bit;
        refused!(stamped(header::FEATURES, &features.to_le_bytes()), E::Features { unknown } if unknown == features);
    }
}

/// The sample with one more section, of a kind that is not known.
fn extended(flags: u32) -> Vec<u8> {
    altered(|p| p.sections.push(Part { kind: 77, flags, count: 5, offset: 0, bytes: vec![1; 7] }))
}

#[test]
fn unknown_required_section() {
    refused!(extended(1), E::SectionUnknown { kind: 77, .. });
    refused!(extended(2), E::SectionFlags { kind: 77, flags: 2, .. });
    refused!(stamped(line(NODES) + 4, &[0]), E::SectionFlags { kind: NODES, .. });
}

#[test]
fn unknown_optional_section_is_skipped() {
    let loaded = read(&extended(0)).expect("accepted");
    assert_eq!(loaded.skipped, [77]);
    assert_eq!(loaded.graph, sample());
}

// Attributes.

#[test]
fn attributes_of_the_wrong_kind_or_range() {
    // groups = -1, strides as long as pads, clamp upside down, mode of another enum.
    let groups = 3 * ATTR;
    refused!(patched(ATTRS, groups + 8, &(-1i64).to_le_bytes()), E::Op { source: OpError::Kind { .. }, .. });
    refused!(patched(ATTRS, groups + 4, &[2]), E::Op { source: OpError::Kind { attr: "groups", .. }, .. });
    refused!(patched(ATTRS, groups + 4, &[3]), E::Op { .. });
    refused!(patched(ATTRS, 8, &[1]), E::Op { source: OpError::Kind { attr: "strides", .. }, .. });
    let clamp = [1.0f32, 0.0].map(f32::to_le_bytes).concat();
    refused!(patched(FLOATS, 10 * 4, &clamp), E::Op { source: OpError::Kind { attr: "clamp", .. }, .. });
    refused!(patched_word("nearest", b"nearesu"), E::Op { .. } | E::WordOrder { .. });
}

#[test]
fn float_attribute_with_spare_bits() {
    let file = altered(|p| p.part(ATTRS).put(3 * ATTR + 4, &[[2, 0, 0, 0], [1; 4], [1; 4]].concat()));
    refused!(file, E::AttrKind { kind: 2, .. });
}

#[test]
fn attribute_that_is_not_a_number() {
    refused!(patched(FLOATS, 10 * 4, &f32::NAN.to_le_bytes()), E::AttrNan { .. });
}

#[test]
fn attributes_missing_too_many_or_out_of_order() {
    // Flatten with split's attributes: axis and one more.
    refused!(patched(NODES, 2 * NODE, &[16, 0]), E::AttrList { op: "Flatten", .. });
    refused!(patched(NODES, 2 * NODE, &[17, 0]), E::Op { source: OpError::Missing { attr: "perm", .. }, .. });
    let swapped = altered(|p| {
        let attrs = p.part(ATTRS);
        let (axis, sizes) = (8 * ATTR, 9 * ATTR);
        let first = attrs.bytes[axis..sizes].to_vec();
        attrs.bytes.copy_within(sizes..sizes + ATTR, axis);
        attrs.put(sizes, &first);
    });
    refused!(swapped, E::AttrList { op: "Split", .. });
}

// Quantization.

#[test]
fn scales_that_are_none() {
    for scale in [f32::NAN, f32::INFINITY, 0.0, -0.0, -1.0, 1e-40] {
        // Of x, and the second one of w.
        refused_by_graph(&patched(FLOATS, 0, &scale.to_le_bytes()), "scale");
        refused_by_graph(&patched(FLOATS, 8, &scale.to_le_bytes()), "scale");
    }
}

#[test]
fn zero_points_out_of_range() {
    refused_by_graph(&patched(ZERO_POINTS, 0, &256i32.to_le_bytes()), "zero point");
    refused_by_graph(&patched(ZERO_POINTS, 0, &(-1i32).to_le_bytes()), "zero point");
    refused_by_graph(&patched(ZERO_POINTS, 4, &128i32.to_le_bytes()), "zero point");
    refused_by_graph(&patched(ZERO_POINTS, 4 * 4, &1i32.to_le_bytes()), "zero point");
}

#[test]
fn quantization_of_the_wrong_axis() {
    refused_by_graph(&patched(TENSORS, TENSOR + 3, &[4]), "axis 4");
    refused_by_graph(&patched(TENSORS, TENSOR + 3, &[255]), "axis 255");
    refused_by_graph(&patched(TENSORS, TENSOR + 3, &[1]), "instead of 3");
    // x along the free dimension.
    refused_by_graph(&patched(TENSORS, 2, &[2]), "free");
}

#[test]
fn wrong_number_of_scales() {
    refused!(patched(TENSORS, 4, &[2]), E::QuantKind { channels: 2, .. });
    refused!(patched(TENSORS, 4, &[0]), E::QuantKind { channels: 0, .. });
    assert!(read(&patched(TENSORS, TENSOR + 4, &[1])).is_err());
}

#[test]
fn floats_can_not_be_quantized() {
    // `sizes`, i64.
    let file = altered(|p| {
        p.part(TENSORS).put(4 * TENSOR + 2, &[1, 0, 1]);
        for (kind, value) in [(FLOATS, 1f32.to_le_bytes()), (ZERO_POINTS, 0i32.to_le_bytes())] {
            // Behind the parameters of x, w, b and y.
            p.part(kind).bytes.splice(6 * 4..6 * 4, value);
            p.part(kind).count += 1;
        }
    });
    refused_by_graph(&file, "can't be quantized");
}

// Packed weights.

#[test]
fn packed_weights_of_no_node() {
    refused!(patched(PACKED, 2 * PACKED_RECORD, &[4]), E::PackedNode { node: 4, nodes: 4, .. });
}

#[test]
fn packed_weights_out_of_order_or_twice() {
    refused!(patched(PACKED, 4, &[9]), E::PackedOrder { index: 1, .. });
    refused!(patched(PACKED, 4, &[10]), E::PackedOrder { index: 1, .. });
}

#[test]
fn packed_weights_misplaced() {
    let start = u64_at(&packed_file(), section(PACKED) + 8);
    refused!(patched(PACKED, 8, &(start + 1).to_le_bytes()), E::DataAlignment { .. });
    refused!(patched(PACKED, 8, &(start + 64).to_le_bytes()), E::DataGap { .. });
    refused!(patched(PACKED, 8, &(start - 64).to_le_bytes()), E::DataOverlap { .. });
}

// The file as a whole.

#[test]
fn checksum_is_held_against_the_bytes() {
    let mut file = packed_file();
    let last = file.len() - 1;
    file[last] = 1;
    refused!(file, E::Checksum { .. });
    let mut file = packed_file();
    file[header::CHECKSUM] ^= 1;
    refused!(file, E::Checksum { .. });
}

#[test]
fn another_kind_of_file() {
    refused!(vec![0; 4096], E::Magic { .. });
    refused!(b"PK\x03\x04".repeat(100), E::Magic { .. });
    refused!(Vec::new(), E::TooShort { len: 0, .. });
}

#[test]
fn storage_not_aligned() {
    struct Shifted(AlignedBytes);
    impl AsRef<[u8]> for Shifted {
        fn as_ref(&self) -> &[u8] {
            &self.0.as_ref()[1..]
        }
    }
    let mut bytes = vec![0];
    bytes.extend(sample_file());
    let storage = Arc::new(Shifted(AlignedBytes::copy_of(&bytes)));
    let error = format::read(storage, &Limits::default()).expect_err("not aligned");
    assert_eq!(error, E::StorageAlignment);
}
