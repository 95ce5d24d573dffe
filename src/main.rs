//! The command `ottava`.
fn main() {}
