//! Any bytes, checksum made right: refused, or the one encoding of what they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottava::Limits;
use ottava::format;
use ottava::graph::AlignedBytes;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let mut file = AlignedBytes::copy_of(data);
    // Otherwise the checksum would refuse nearly everything and nothing behind it would be tried.
    format::reseal(file.as_mut());
    let file = Arc::new(file);
    if let Ok(loaded) = format::read(file.clone(), &Limits::default()) {
        loaded.graph.validate().expect("what is read is valid");
        if loaded.skipped.is_empty() {
            let again = format::write(&loaded.graph, &loaded.packed).expect("what is read can be written");
            assert!(again == (*file).as_ref(), "two encodings of one graph");
        }
    }
});
