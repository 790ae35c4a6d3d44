//! `repro man`: the manual, one page a command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, print};
use crate::failure::{ExitStatus, Failure};

/// The arguments of `repro man`.
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The directory for the pages, made where it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl ManCommand {
    /// Writes the pages and prints their paths.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let wrong = |path: &Path, error: io::Error| Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot write `{}`: {error}", path.display()),
            hint: Some("give a directory that you may write to".to_owned()),
        };
        fs::create_dir_all(&self.directory).map_err(|error| wrong(&self.directory, error))?;
        let mut written = Vec::new();
        for (name, page) in pages().map_err(|error| wrong(&self.directory, error))? {
            let path = self.directory.join(name);
            fs::write(&path, page).map_err(|error| wrong(&path, error))?;
            written.extend_from_slice(path.as_os_str().as_encoded_bytes());
            written.push(b'\n');
        }
        print(&written)?;
        Ok(ExitStatus::Success)
    }
}

/// The pages by their file names. They hold no date: the same program writes the same bytes.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command();
    // Gives every subcommand its full name and the flags that it shares with all.
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    // A date that is empty would be left out, and what follows would stand in its place.
    let man = Man::new(command.clone()).date(" ").source(format!("repro {}", env!("CARGO_PKG_VERSION")));
    man.manual("User Commands").render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| collect(command, pages))
}
