//! Files that ask for too much, or are something else.

use crate::build::*;
use ottava::import::onnx::from_bytes;
use ottava::import::{ImportError, ImportOptions, load};
use ottava::{Error, Limits};

fn refused(bytes: &[u8]) -> String {
    from_bytes(bytes, &ImportOptions::default()).expect_err("no model").to_string()
}

#[test]
fn files_of_other_kinds_are_named() {
    assert!(refused(b"").contains("empty file"));
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").contains("git lfs pull"));
    assert!(refused(b"<!DOCTYPE html>\n<html></html>").contains("web page"));
    assert!(refused(b"just some words about a model").contains("plain text"));
    assert!(refused(b"PK\x03\x04aaaaaaaa").contains("zip archive"));
    assert!(refused(b"\x08\x08").contains("no graph"));
}

#[test]
fn every_cut_of_a_model_is_refused_or_a_model() {
    let model = Builder::new(13).input("x", &[1, 2, 6, 6]).constant(counting("w", &[4, 2, 3, 3]));
    let bytes = model.node("Conv", "x w", "y", &[int_list("pads", &[1, 1, 1, 1])]).output("y").bytes();
    for end in 0..bytes.len() {
        // Fields may come in any order, so a cut between two of them can leave a model.
        if let Ok(graph) = from_bytes(&bytes[..end], &ImportOptions::default()) {
            assert_eq!(graph.validate(), Ok(()), "cut at {end}");
        }
    }
}

#[test]
fn every_changed_byte_is_refused_or_a_model() {
    let model = Builder::new(13)
        .input("x", &[1, 2, 6])
        .constant(counting("w", &[4, 2, 3]))
        .constant(ints("s", &[1, -1]));
    let model = model.node("Conv", "x w", "c", &[text("auto_pad", "SAME_UPPER"), int_list("strides", &[2])]);
    let bytes = model
        .node("Reshape", "c s", "r", &[])
        .node("Softmax", "r", "y", &[int("axis", 1)])
        .output("y")
        .bytes();
    for at in 0..bytes.len() {
        for change in [0x01, 0x04, 0x20, 0x7f, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            if let Ok(graph) = from_bytes(bytes, &ImportOptions::default()) {
                assert_eq!(graph.validate(), Ok(()), "byte {at} ^ {change}");
            }
        }
    }
}

#[test]
fn counts_are_limited_before_anything_is_decoded() {
    let limits = Limits { nodes: 10, tensors: 10, ..Limits::default() };
    let options = ImportOptions { limits, ..ImportOptions::default() };
    let limit = |bytes: Vec<u8>| match from_bytes(bytes, &options) {
        Err(ImportError::Limit { what, found, .. }) => (what, found),
        other => panic!("{other:?}"),
    };
    let graph = |field: &[u8], times: usize| {
        let inside = field.repeat(times);
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(inside.len() as u64, &mut bytes);
        [bytes, inside].concat()
    };
    assert_eq!(limit(graph(&[0x0a, 0], 1000)), ("nodes", 1000));
    assert_eq!(limit(graph(&[0x2a, 0], 1000)), ("constants, inputs and outputs", 1000));
    // A node with many attributes.
    let node = [vec![0x0a, 127], [0x2a, 0].repeat(63), vec![0]].concat();
    assert!(matches!(from_bytes(graph(&node, 1), &options), Err(ImportError::Damaged { .. })));
    let node = [vec![0x0a, 126], [0x2a, 0].repeat(63)].concat();
    assert_eq!(
        limit(graph(&node, 9)),
        ("attributes, names and dimensions", 9 * 63 + 1),
        "the graph is a part, too"
    );
}

#[test]
fn one_weight_in_many_orders_is_no_bomb() {
    // 4 MB of weights, reordered by each of 100 nodes in its own way.
    let mut model = Builder::new(13).input("x", &[1]).constant(counting("w", &[1 << 20]));
    for i in 0..100 {
        let rows = 1i64 << (i % 20);
        model = model.constant(ints(&format!("s{i}"), &[rows, (1 << 20) / rows]));
        model = model.node("Reshape", &format!("w s{i}"), &format!("r{i}"), &[]);
        model = model.node("Transpose", &format!("r{i}"), &format!("t{i}"), &[]).output(&format!("t{i}"));
    }
    assert!(model.refusal().contains("many times as large as the file"));
}

#[test]
fn large_files_are_not_read() {
    let path = std::env::temp_dir().join(format!("ottava-large-{}.onnx", std::process::id()));
    std::fs::write(&path, vec![8u8; 1000]).expect("a file");
    let mut options = ImportOptions::default();
    options.limits.file_bytes = 999;
    let result = load(&path, &options);
    std::fs::remove_file(&path).expect("the file");
    assert!(matches!(result, Err(Error::Import(ImportError::Limit { limit: 999, .. }))), "{result:?}");
    assert!(matches!(load("/nowhere/at/all.onnx", &options), Err(Error::Io { .. })));
}
