//! What several test files need.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod integer;
pub mod nets;
pub mod parts;
pub mod recurrent;
pub mod session;
pub mod shapes;
#[cfg(feature = "import")]
pub mod stored;

use std::path::PathBuf;

/// A path in the shared test material. Tests that call this carry `#[cfg_attr(not(shared), ignore)]`.
pub fn shared(path: &str) -> PathBuf {
    let dir = std::env::var_os("OTTAVA_SHARED").map(PathBuf::from);
    dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared")).join(path)
}
