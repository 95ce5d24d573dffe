//! Ways in which other loaders were broken, sizes and places: a valid file with one lie in it, checksum made right again,
//! must be refused for that lie and nothing else.

mod format_support;

use format_support::*;
use ottava::Limits;
use ottava::format::{self, FormatError as E};
use ottava::graph::*;
use std::sync::Arc;

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
