//! A run allocates nothing. One test alone in its binary, so that nobody else allocates meanwhile.

mod common;

use common::integer::one_of_everything;
use common::recurrent;
use common::shapes::sequence_network;
use npyz::npz::NpzArchive;
use ottava::graph::{Binary, BinaryKind, Clamp, DType, GraphBuilder, Shape};
use ottava::import::{ImportOptions, tflite};
use ottava::{Model, SessionOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

/// Of all threads.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Allocated now, by all threads.
static BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Of this thread: the test harness has one of its own, which may still be busy when the test starts.
    static OWN_ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    OWN_ALLOCATIONS.set(OWN_ALLOCATIONS.get() + 1);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        BYTES.fetch_add(new_size.wrapping_sub(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// What `counter` grows by during `work`.
fn allocations(counter: impl Fn() -> usize, work: impl FnOnce()) -> usize {
    let before = counter();
    work();
    counter() - before
}

#[test]
fn run_allocates_nothing() {
    let own = || OWN_ALLOCATIONS.get();
    let all = || ALLOCATIONS.load(Ordering::SeqCst);
    let allocate = || drop(std::hint::black_box(vec![1u8; 100]));
    assert!(allocations(own, allocate) > 0 && allocations(all, allocate) > 0, "the counters count");
    let everything = Model::from_graph(one_of_everything(96)).unwrap();
    check(&everything);
    let mut b = GraphBuilder::new("sum");
    let x = b.input("x", DType::F32, Shape::fixed(&[100]));
    let sum = b.input("sum", DType::F32, Shape::fixed(&[100]));
    let next = b.node("add", Binary { kind: BinaryKind::Add, clamp: Clamp::NONE }, &[x, sum]).unwrap();
    b.state(sum, next, None);
    check(&Model::from_graph(b.finish(&[]).unwrap()).unwrap());
    for layer in recurrent::layers() {
        check(&Model::from_graph(layer.graph(7, 2)).unwrap());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/int16.npz");
    let file = NpzArchive::open(path).unwrap().by_name("enhance/model").unwrap().unwrap().into_vec().unwrap();
    let wide = tflite::from_bytes(&file, &ImportOptions::default()).unwrap();
    check(&Model::from_graph(wide).unwrap());
    passes_allocate_nothing();
    shapes_that_are_known_allocate_nothing();
    memory_does_not_grow_with_the_number_of_shapes();
}

fn passes_allocate_nothing() {
    let mut b = GraphBuilder::new("sum");
    let x = b.input("x", DType::F32, Shape::fixed(&[5, 100]));
    let sum = b.node("add", Binary { kind: BinaryKind::Add, clamp: Clamp::NONE }, &[x, x]).unwrap();
    let model = Model::from_graph(b.finish(&[sum]).unwrap()).unwrap();
    let mut session = model.session(&SessionOptions { cache_bytes: 1, ..Default::default() }).unwrap();
    assert_eq!(session.passes(), 5);
    assert_eq!(allocations(|| OWN_ALLOCATIONS.get(), || session.run().unwrap()), 0);
}

fn shapes_that_are_known_allocate_nothing() {
    let model = Model::from_graph(sequence_network()).unwrap();
    let mut session = model.session(&SessionOptions { plans: 3, ..Default::default() }).unwrap();
    let shapes = [[1, 4, 5], [2, 9, 5], [3, 1, 5]];
    let mut turn = || {
        for x in &shapes {
            session.reshape(&[("x", x)]).unwrap();
            session.run().unwrap();
        }
    };
    turn();
    assert_eq!(allocations(|| OWN_ALLOCATIONS.get(), turn), 0);
}

fn memory_does_not_grow_with_the_number_of_shapes() {
    let model = Model::from_graph(sequence_network()).unwrap();
    let mut session = model.session(&SessionOptions { plans: 2, ..Default::default() }).unwrap();
    let mut run = |length: usize| {
        session.reshape(&[("x", &[1, length, 5])]).unwrap();
        session.run().unwrap();
        BYTES.load(Ordering::SeqCst)
    };
    let full = (1..=100).map(&mut run).last().unwrap();
    let later = (1..=100).rev().cycle().take(500).map(&mut run).max().unwrap();
    assert!(later <= full + (full >> 3), "{later} bytes after many shapes, {full} after the largest");
}

/// Runs of this network allocate nothing.
fn check(model: &Model) {
    let own = || OWN_ALLOCATIONS.get();
    let all = || ALLOCATIONS.load(Ordering::SeqCst);
    for isa in ottava_kernels::Isa::available() {
        let mut session = model.session(&SessionOptions { isa, ..Default::default() }).unwrap();
        session
            .input_mut::<f32>(0)
            .unwrap()
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
        let count = allocations(own, || {
            for _ in 0..3 {
                session.run().unwrap();
            }
        });
        assert_eq!(count, 0, "one thread, {isa}");
    }
    let mut session = model.session(&SessionOptions { threads: 2, ..Default::default() }).unwrap();
    session.run().unwrap();
    let mut count = || {
        allocations(all, || {
            for _ in 0..300 {
                session.run().unwrap();
            }
        })
    };
    // The second thread may still be starting at first.
    assert!((0..5).any(|_| count() == 0), "two threads");
}
