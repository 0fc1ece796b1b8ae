//! The command line: what an operator asks before a configuration is deployed.
//!
//! Every answer comes from [`tse_route::config`] and [`tse_route::engine`]; here are only files, text and
//! arithmetic around them. Results go to the standard output, all else to the standard error. Only
//! `release` and `weights` change anything, and only weights.

pub mod api;
mod args;
mod cases;
mod check;
mod decision;
mod diagnostic;
mod explain;
mod files;
pub mod import;
mod output;
#[cfg(feature = "release")]
mod release;
mod request;
mod simulate;
mod source;
#[cfg(feature = "release")]
mod weights;
mod witness;
mod world;

#[cfg(feature = "release")]
pub use release::{Ruling, Trial};

use args::{Args, Command};
use clap::{CommandFactory as _, Parser as _};
use std::io::Write as _;
use std::process::ExitCode;

/// How a command can fail.
#[derive(Debug)]
enum Failure {
    /// Faults were found, and have been shown.
    Faults,
    /// It ended otherwise than well, as has been shown: the exit code.
    #[cfg(feature = "release")]
    Ended(u8),
    /// The command could not do its work: wrong usage, or a file that cannot be read.
    Usage(String),
    /// Whoever reads the output has left.
    Output(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Faults) => ExitCode::from(1),
        #[cfg(feature = "release")]
        Err(Failure::Ended(code)) => ExitCode::from(code),
        Err(Failure::Usage(message)) => {
            let _ = writeln!(anstream::stderr(), "{}: {message}", output::error_word());
            ExitCode::from(2)
        }
        // As in `tse-route … | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => {
            let _ = writeln!(anstream::stderr(), "{}: {error}", output::error_word());
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        #[cfg(feature = "release")]
        Command::Release(args) => release::run_command(&args.command),
        #[cfg(feature = "release")]
        Command::Weights(args) if args.file.starts_with("http") && args.file.contains("://") => {
            release::weights_behind(&args)
        }
        #[cfg(feature = "release")]
        Command::Weights(args) => weights::run(&args),
        Command::Schema { kong } => {
            let schema =
                if kong { tse_route::config::kong_meta() } else { tse_route::config::schema() };
            output::json(&schema)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "tse-route", &mut script);
            output::text(&script)
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

/// The manual page of the program, or of one of its commands.
fn man(name: Option<&str>) -> Result<(), Failure> {
    let mut program = Args::command();
    program.build();
    let command = match name {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::Usage(format!("there is no command {name}")))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::text(&page)
}
