//! `repro completions`: what a shell needs to complete the words of the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Cli, print};
use crate::failure::{ExitStatus, Failure};

/// The arguments of `repro completions`.
#[derive(Debug, Args)]
pub struct CompletionsCommand {
    /// The shell that the script is for
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints the script.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "repro", &mut script);
        print(&script)?;
        Ok(ExitStatus::Success)
    }
}
