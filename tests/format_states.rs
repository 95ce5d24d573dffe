//! States in a file: what they must be, and lies about them.

mod format_support;

use format_support::*;
use ottava::format::{self, FormatError as E};
use ottava::graph::*;

/// Inputs 0 `a` (f32), 1 `b` (f32), 2 `n` (i32); outputs the same; tensors 3 to 5 are their copies, 6 is a constant.
fn stateful() -> Graph {
    let value = |name: &str, dtype| Tensor::value(name, dtype, Shape::fixed(&[2]));
    let copy = |name: &str, from: u32| Node {
        name: name.into(),
        op: Transpose { perm: vec![0] }.into(),
        inputs: vec![Some(TensorId(from))],
        outputs: vec![TensorId(from + 3)],
    };
    Graph {
        name: "stateful".into(),
        tensors: vec![
            value("a", DType::F32),
            value("b", DType::F32),
            value("n", DType::I32),
            value("a'", DType::F32),
            value("b'", DType::F32),
            value("n'", DType::I32),
            Tensor::constant("start", DType::F32, &[2], Data::from_slice(&[1f32, 2.0])),
        ],
        nodes: vec![copy("ca", 0), copy("cb", 1), copy("cn", 2)],
        inputs: (0..3).map(TensorId).collect(),
        outputs: (3..6).map(TensorId).collect(),
        states: vec![
            State { input: 0, output: 1, initial: Some(TensorId(6)) },
            State { input: 2, output: 2, initial: None },
        ],
        ..Graph::default()
    }
}

const STATES: u32 = 12;

fn altered(change: impl FnOnce(&mut Part)) -> Vec<u8> {
    let mut parts = Parts::of(&format::write(&stateful(), &[]).expect("well formed"));
    change(parts.part(STATES));
    parts.file()
}

fn patched(at: usize, value: u32) -> Vec<u8> {
    altered(|p| p.put(at, &value.to_le_bytes()))
}

#[test]
fn states_come_back() {
    let file = format::write(&stateful(), &[]).expect("well formed");
    assert_eq!(read(&file).expect("well formed").graph, stateful());
    assert_canonical(&file);
    assert_eq!(altered(|_| {}), file);
    assert_eq!(u32_at(&Parts::of(&file).part(STATES).bytes, 12), 0);
}

#[test]
fn files_without_states_have_no_section() {
    let graph = Graph { states: vec![], ..stateful() };
    let unused = format::write(&graph, &[]).expect_err("nobody needs `start`");
    assert!(matches!(unused, E::UnusedTensor { .. }));
    let mut parts = Parts::of(&format::write(&smallest(), &[]).expect("well formed"));
    assert!(parts.sections.iter().all(|s| s.kind != STATES));
    parts.sections.push(Part { kind: STATES, flags: 1, count: 0, offset: 0, bytes: vec![] });
    refused!(parts.file(), E::SectionSize { section: "STATES", .. });
}

#[test]
fn counts_that_lie() {
    refused!(altered(|p| p.count = 3), E::SectionSize { .. });
    refused!(altered(|p| p.count = u32::MAX), E::SectionSize { .. });
    refused!(altered(|p| p.count = 1), E::SectionSize { .. });
    refused!(altered(|p| p.flags = 0), E::SectionFlags { .. });
    refused!(patched(12, 1), E::NotZero { .. });
}

#[test]
fn indices_of_nothing() {
    for at in [0, 4] {
        for bad in [3, u32::MAX] {
            refused_by_graph(&patched(at, bad), "but 3 inputs and 3 outputs");
        }
    }
    for bad in [7, u32::MAX - 1] {
        refused_by_graph(&patched(8, bad), "is no constant");
    }
    refused_by_graph(&patched(8, 1), "is no constant");
}

#[test]
fn inputs_and_outputs_have_one_state() {
    refused_by_graph(&patched(16, 0), "two states of 'a'");
    refused_by_graph(&altered(|p| p.bytes.rotate_left(16)), "out of order");
    let graph = Graph {
        states: vec![
            State { input: 0, output: 1, initial: None },
            State { input: 1, output: 1, initial: None },
        ],
        ..stateful()
    };
    assert!(graph.validate().unwrap_err().to_string().contains("two states that take"));
}

#[test]
fn types_and_shapes_agree() {
    refused_by_graph(&patched(4, 2), "another type");
    refused_by_graph(&patched(24, 6), "another type");
    let mut graph = stateful();
    graph.tensors[4].shape = Shape::fixed(&[3]);
    assert!(graph.validate().unwrap_err().to_string().contains("another type, shape"));
    let mut graph = stateful();
    graph.tensors[6] = Tensor::constant("start", DType::F32, &[1], Data::from_slice(&[1f32]));
    assert!(graph.validate().unwrap_err().to_string().contains("its initial value"));
}
