//! Reading takes memory in proportion to a file's records and names, whatever its counts say; constants cost
//! nothing. The one test has this program to itself: the allocator counts for the whole process.

mod format_support;

use format_support::*;
use ottava::Limits;
use ottava::format;
use ottava::graph::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of memory per byte of the file without its constants, as `docs/format.md` promises.
const FACTOR: usize = 16;
/// Bytes of memory on top.
const CONSTANT: usize = 4096;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `ptr` came from the system's allocator.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Most bytes allocated at one time while the file was read, and whether it was accepted.
fn peak_of_reading(file: &[u8]) -> (usize, bool) {
    let storage = Arc::new(AlignedBytes::copy_of(file));
    let limits = Limits::default();
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let accepted = format::read(storage, &limits).is_ok();
    (PEAK.load(Relaxed) - before, accepted)
}

fn assert_bounded(what: &str, file: &[u8], constants: usize) -> bool {
    let (peak, accepted) = peak_of_reading(file);
    let bound = FACTOR * (file.len() - constants) + CONSTANT;
    assert!(
        peak <= bound,
        "{what}: {peak} bytes to read a file of {} with {constants} of constants",
        file.len()
    );
    accepted
}

/// A chain of as many nodes as there are tensors behind the first, with the shortest names there are.
fn chain(count: u32, op: Op) -> Graph {
    let mut graph = smallest();
    graph.tensors[0].name = "0".into();
    for i in 0..count {
        graph.tensors.push(Tensor::value(format!("{:x}", i + 1), DType::F32, Shape::default()));
        graph.nodes.push(Node {
            name: "n".into(),
            op: op.clone(),
            inputs: vec![Some(TensorId(i))],
            outputs: vec![TensorId(i + 1)],
        });
    }
    graph
}

/// A graph with many of something, valid and as dense as the format allows.
fn dense() -> Vec<(&'static str, Graph)> {
    let mut dims = smallest();
    dims.dims = (0..50_000).map(|i| format!("{i:x}")).collect();
    let mut metadata = smallest();
    metadata.metadata = (0..50_000).map(|i| (format!("{i:x}"), String::new())).collect();
    let mut inputs = smallest();
    for i in 0..50_000 {
        inputs.tensors.push(Tensor::value(format!("{i:x}"), DType::F32, Shape::default()));
        inputs.inputs.push(TensorId(i + 1));
    }
    let mut outputs = smallest();
    outputs.outputs = vec![TensorId(0); 50_000];
    let mut read_often = chain(1, Where {}.into());
    read_often.nodes[0].inputs = vec![Some(TensorId(0)); 50_000];
    vec![
        ("free dimensions", dims),
        ("metadata", metadata),
        ("inputs", inputs),
        ("outputs", outputs),
        ("inputs of a node", read_often),
        ("nodes", chain(50_000, Cast {}.into())),
        ("nodes with lists", chain(20_000, Squeeze { axes: vec![1; 3] }.into())),
    ]
}

#[test]
fn memory_is_bounded_by_the_file() {
    for (what, graph) in dense() {
        let file = format::write(&graph, &[]).expect("well formed");
        assert!(assert_bounded(what, &file, 0), "{what}: refused");
    }

    let weights = 32 << 20;
    let mut graph = smallest();
    graph.tensors.push(Tensor::constant("w", DType::U8, &[weights], Data::from_bytes(&vec![1; weights])));
    graph.outputs.push(TensorId(1));
    let file = format::write(&graph, &[]).expect("well formed");
    assert!(assert_bounded("constants", &file, weights));

    // Nodes that share the longest word there can be, and claim as many attributes as there can be.
    let mut parts = Parts::of(&format::write(&chain(1000, Cast {}.into()), &[]).expect("well formed"));
    let words = parts.part(WORDS);
    (words.count, words.bytes) = (1, [255u32.to_le_bytes().to_vec(), vec![b'a'; 255]].concat());
    let attr = [0u32.to_le_bytes(), 5u32.to_le_bytes(), [0; 4], [0; 4]].concat();
    let attrs = parts.part(ATTRS);
    (attrs.count, attrs.bytes) = (64_000, attr.repeat(64_000));
    for i in 0..1000 {
        parts.part(NODES).put(i * NODE + 2, &64u16.to_le_bytes());
    }
    assert_bounded("shared words", &parts.file(), 0);

    // Nodes and nothing else: the records that take the least of a file for what they become.
    let cast = [23u16.to_le_bytes().to_vec(), vec![0; 14]].concat();
    let mut parts = Parts::of(&format::write(&smallest(), &[]).expect("well formed"));
    let strings = parts.part(STRINGS);
    let (ends, text) = ((1..=50_003u32).flat_map(u32::to_le_bytes), vec![b'n'; 50_003]);
    (strings.count, strings.bytes) = (50_003, ends.chain(text).collect());
    let nodes = parts.part(NODES);
    (nodes.count, nodes.bytes) = (50_000, cast.repeat(50_000));
    assert_bounded("nodes without tensors", &parts.file(), 0);

    // Every field of a small file says the most that it can say.
    let file = packed_file();
    for at in (0..file.len() - 8).step_by(2) {
        for most in [u64::MAX, i64::MAX as u64, u32::MAX as u64, 1 << 31, 1 << 24] {
            let mut file = file.clone();
            put(&mut file, at, &most.to_le_bytes());
            format::reseal(&mut file);
            assert_bounded("a field at its most", &file, 0);
        }
    }
}
