//! Broken models of other kinds, as strangers send them: whatever they are, they are no `.8va` file.

mod format_support;

use format_support::read;
use ottava::format::{self, FormatError};
use std::path::PathBuf;

/// The folder of broken models, if the test material is there.
fn material() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let shared = std::env::var_os("OTTAVA_SHARED").map_or(PathBuf::from(beside), PathBuf::from);
    Some(shared.join("models/malformed")).filter(|f| f.is_dir())
}

#[test]
fn format_refuses_models_of_other_kinds() {
    let Some(folder) = material() else {
        eprintln!("skipped: no test material beside the repository or at $OTTAVA_SHARED");
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file that can be read");
        assert!(!format::is_8va(&bytes), "{}", path.display());
        let error = read(&bytes).expect_err("not a .8va file");
        let other = matches!(error, FormatError::Magic { .. } | FormatError::TooShort { .. });
        assert!(other, "{}: {error}", path.display());
        seen += 1;
    }
    assert!(seen > 0, "the folder of broken models is empty");
}
