//! `repro doctor`

use clap::Args;

use super::format::Format;
use super::print;
use crate::doctor::examine;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::report::doctor::render_doctor;
use crate::runtime::interrupt::Interrupt;

/// The arguments of `repro doctor`.
#[derive(Debug, Args)]
pub struct DoctorCommand {
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl DoctorCommand {
    /// Looks at the machine, and fails where no runtime works.
    pub async fn run(&self, environment: &Environment, interrupt: &Interrupt) -> Result<ExitStatus, Failure> {
        let findings = tokio::select! {
            findings = examine(environment, interrupt) => findings,
            interruption = interrupt.wait() => {
                return Err(Failure { status: interruption.status(), message: "stopped".to_owned(), hint: None });
            }
        };
        print(&self.format.render(&findings, render_doctor)?)?;
        Ok(if findings.runtimes.is_empty() { ExitStatus::Unknown } else { ExitStatus::Success })
    }
}
