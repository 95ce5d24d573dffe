//! A run allocates nothing. One test alone in its binary, so that nobody else allocates meanwhile.

mod common;

use common::integer::one_of_everything;
use ottava::{Model, SessionOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

#[test]
fn run_allocates_nothing() {
    assert!(allocations(|| drop(vec![1u8; 100])) > 0, "the counter counts");
    let model = Model::from_graph(one_of_everything(96)).unwrap();
    for isa in ottava_kernels::Isa::available() {
        let mut session = model.session(&SessionOptions { isa, ..Default::default() }).unwrap();
        session
            .input_mut::<f32>(0)
            .unwrap()
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
        let count = allocations(|| {
            for _ in 0..3 {
                session.run().unwrap();
            }
        });
        assert_eq!(count, 0, "one thread, {isa}");
    }
    // Handing a run over to the pool goes through a queue that grows by a block of 63 places now and then; nothing
    // else may allocate.
    let mut session = model.session(&SessionOptions { threads: 2, ..Default::default() }).unwrap();
    session.run().unwrap();
    let count = allocations(|| {
        for _ in 0..630 {
            session.run().unwrap();
        }
    });
    assert!(count <= 22, "two threads: {count} allocations in 630 runs");
}
