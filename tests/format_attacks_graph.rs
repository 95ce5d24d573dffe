//! Ways in which other loaders were broken, names, indices and codes: a valid file with one lie in it, checksum made right again,
//! must be refused for that lie and nothing else.

mod format_support;

use format_support::*;
use ottava::format::{self, FormatError as E};
use ottava::graph::*;

// Names.

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
        parts.part(STRINGS).reword(from, to.as_bytes());
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

/// Texts that are no words say their length, and are too long for words.
#[test]
fn long_texts() {
    let file = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::of(&format::write(&texted(300), &[]).expect("well formed"));
        change(&mut parts);
        parts.file()
    };
    assert!(read(&file(&|_| {})).is_ok());
    for value in [0, 255, 299, 301, u64::MAX] {
        let change = |p: &mut Parts| p.part(ATTRS).put(ATTR + 8, &value.to_le_bytes());
        refused!(file(&change), E::LongText { len: 300, value: v, .. } if v == value);
    }
    // A short text outside the words would be a second form of it.
    let short = |p: &mut Parts| {
        let strings = p.part(STRINGS);
        let (last, text) = ((strings.count as usize - 1) * 4, strings.bytes.len() - 50);
        let end = u32_at(&strings.bytes, last) - 50;
        strings.put(last, &end.to_le_bytes());
        strings.bytes.truncate(text);
        p.part(ATTRS).put(ATTR + 8, &250u64.to_le_bytes());
    };
    refused!(file(&short), E::LongText { len: 250, value: 250, .. });
    // As a word it would be too long; as a string that is not there it is missed.
    refused!(file(&|p| p.part(ATTRS).put(ATTR + 4, &[5])), E::WordIndex { .. });
    refused!(file(&|p| p.part(ATTRS).put(4, &[6])), E::LongText { .. });
    refused!(patched(ATTRS, 4, &[6]), E::LongText { .. });
}

#[test]
fn unknown_codes() {
    refused!(patched(TENSORS, 0, &[0]), E::DType { code: 0, .. });
    refused!(patched(TENSORS, 0, &[11]), E::DType { code: 11, .. });
    refused_by_graph(&patched(TENSORS, 0, &[10]), "is bf16, which");
    for code in [16, 17, 18] {
        refused!(patched(TENSORS, 0, &[code]), E::ReservedDType { code: c, .. } if c == code);
    }
    refused!(patched(NODES, 0, &[0, 0]), E::Op { source: OpError::Code(0), .. });
    refused!(patched(NODES, 0, &[255, 255]), E::Op { source: OpError::Code(65535), .. });
    refused!(patched(ATTRS, 4, &[0]), E::AttrKind { kind: 0, .. });
    refused!(patched(ATTRS, 4, &[7]), E::AttrKind { kind: 7, .. });
    refused!(patched(TENSORS, 2, &[4]), E::QuantKind { kind: 4, .. });
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
    // y as i32.
    refused_by_graph(&patched(TENSORS, 3 * TENSOR, &[6]), "zero point");
}

#[test]
fn zero_points_that_are_all_zero() {
    refused!(patched(ZERO_POINTS, 2 * 4, &0i32.to_le_bytes()), E::NeedlessZeroPoints { .. });
    // Those of the next tensors move up.
    refused!(patched(TENSORS, TENSOR + 2, &[3]), E::PoolLeft { section: "ZERO_POINTS", left: 2 });
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
