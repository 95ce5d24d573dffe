//! The command `ottava`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ottava::cli::main()
}
