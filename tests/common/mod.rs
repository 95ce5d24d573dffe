//! What integration tests have in common.

use std::path::PathBuf;

/// A file or folder of the test material, which is not part of the repository: below `$OTTAVA_SHARED`, or
/// `../shared` beside the repository. `None`, said loudly, where it is missing.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("OTTAVA_SHARED") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("IGNORED: {} is missing; set OTTAVA_SHARED to the folder of test material", found.display());
    None
}
