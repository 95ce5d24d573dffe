//! Tells the tests whether the shared test material is there, so that tests which need it count as ignored, not
//! as passed, where it is missing. The crate itself does not depend on it.

use std::path::PathBuf;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(shared)");
    println!("cargo::rerun-if-env-changed=OTTAVA_SHARED");
    let named = std::env::var_os("OTTAVA_SHARED").map(PathBuf::from);
    let beside = std::env::var_os("CARGO_MANIFEST_DIR").map(|d| PathBuf::from(d).join("../shared"));
    if let Some(dir) = named.or(beside).filter(|d| d.join("models").is_dir()) {
        println!("cargo::rerun-if-changed={}", dir.join("models").display());
        println!("cargo::rustc-cfg=shared");
    }
}
