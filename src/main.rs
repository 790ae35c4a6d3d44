//! The command `repro`: see the library for everything that it does.

use std::process::ExitCode;

use clap::Parser as _;
use repro::cli::{Cli, run};
use repro::failure::ExitStatus;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; everything else is wrong usage.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success };
            let _ = error.print();
            return status.into();
        }
    };
    repro::logging::start(cli.verbose);
    run(&cli).into()
}
