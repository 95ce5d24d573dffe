//! Standard output and standard error. Nothing here panics when the reader goes away.

use super::failure::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// Writes a text and a line end.
pub(super) fn say(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes one JSON object. Numbers that are infinite or undefined become `null`.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::Output(e.into()))?;
    say(text)
}

/// Tells what went wrong, on standard error.
pub(super) fn complain(failure: &Failure) {
    // If not even this can be written, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "error: {failure}");
}

/// A progress bar on standard error; nothing is drawn if that is no terminal.
pub(super) fn progress(what: &'static str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(steps as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
