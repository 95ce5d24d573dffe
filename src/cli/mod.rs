//! The command `ottava`: one file per subcommand.
//!
//! Exit status: 0 done, 1 refused or failed (one message on standard error), 2 usage.

mod bench;
mod calibrate;
mod compare;
mod convert;
mod cpu;
mod demo;
mod failure;
mod inspect;
mod model;
mod options;
mod output;
mod quantize;
mod random;
mod run;
mod show;
mod verify;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// 8-bit neural networks on CPUs at the edge: the same bits everywhere, from one memory-mapped file.
#[derive(Parser)]
#[command(version, after_help = "New here? Run `ottava demo`.", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Quantize(quantize::Quantize),
    Convert(convert::Convert),
    Run(run::Run),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Compare(compare::Compare),
    Cpu(cpu::Cpu),
    Verify(verify::Verify),
}

/// The whole command: reads the arguments, does what they say, tells what went wrong.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(c) => c.execute(),
        Command::Quantize(c) => c.execute(),
        Command::Convert(c) => c.execute(),
        Command::Run(c) => c.execute(),
        Command::Bench(c) => c.execute(),
        Command::Inspect(c) => c.execute(),
        Command::Compare(c) => c.execute(),
        Command::Cpu(c) => c.execute(),
        Command::Verify(c) => c.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::FAILURE
        }
    }
}
