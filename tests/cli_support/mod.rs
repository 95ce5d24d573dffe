//! Running the command as people and scripts do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;
use std::process::Command;

/// What a call of the command came to.
pub struct Outcome {
    /// Exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Outcome {
    /// True if the command was refused properly: exit status 1, and one message that contains `why`.
    pub fn refused(&self, why: &str) -> bool {
        let told = self.err.starts_with("error: ") && self.err.contains(why);
        self.code == Some(1) && told && !self.err.contains("panicked")
    }
}

/// Runs `ottava` with these arguments.
pub fn ottava(args: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_ottava")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A path in a fresh folder of this process.
pub fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ottava-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// The network that is built into the command.
pub fn network() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/assets/mnist_cnn.onnx")
}
