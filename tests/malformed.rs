//! Broken models as strangers send them: a clear error or a right network, never a panic, never much memory.
//! One test alone in its binary, since it counts every byte that is allocated.

mod common;

use common::shared;
use ottava::import::{self, ImportOptions};
use ottava::{Limits, Model, SessionOptions, format, optimize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Peak;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static GLOBAL: Peak = Peak;

/// Memory beyond a file's own size that importing it may take: the file, its decoded form, its graph and the
/// passes' copies are each about as large as the file; the rest is tables and messages.
const CONSTANT: usize = 1 << 20;

/// What a session of a damaged model may ask for.
fn small() -> Limits {
    Limits { arena_bytes: 64 << 20, macs: 1 << 32, ..Limits::default() }
}

fn import_and_run(path: &std::path::Path) -> ottava::Result<()> {
    let graph = import::load(path, &ImportOptions::default())?;
    let model = Model::from_graph(optimize::float(graph)?)?;
    let mut session = model.session(&SessionOptions { limits: small(), ..Default::default() })?;
    session.run()
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn broken_models_are_refused_within_bounds() {
    let mut refused = 0;
    for entry in std::fs::read_dir(shared("models/malformed")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let size = std::fs::metadata(&path).unwrap().len() as usize;

        let before = NOW.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        let imported = import::load(&path, &ImportOptions::default()).map(|_| ());
        let taken = PEAK.load(Ordering::SeqCst) - before;
        assert!(taken <= 8 * size + CONSTANT, "{name}: {size} bytes took {taken} bytes of memory");

        let bytes = std::fs::read(&path).unwrap();
        assert!(format::read_bytes(bytes, &Limits::default()).is_err(), "{name} is no .8va file");

        if let Err(e) = imported.and_then(|()| import_and_run(&path)) {
            let message = e.to_string();
            assert!(message.len() > 20, "{name}: the error should say more than '{message}'");
            refused += 1;
        } else {
            assert!(name.contains("_flip_"), "{name} should be refused");
        }
    }
    assert!(refused > 60, "{refused} broken models were refused");
}
