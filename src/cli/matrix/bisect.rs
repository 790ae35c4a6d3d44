//! `repro matrix bisect`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::config::unknown;
use crate::cli::format::Format;
use crate::cli::{print, with_tokio};
use crate::failure::{ExitStatus, Failure};
use crate::image::escape::escape;
use crate::matrix::bisect::{Found, Search, bisect};
use crate::matrix::cell::Cell;
use crate::matrix::file::Matrix;
use crate::plan::Platform;
use crate::report::matrix::{difference_in_words, write_difference};

/// The arguments of `repro matrix bisect`.
#[derive(Debug, Args)]
pub struct BisectCommand {
    /// The matrix
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The image [default: the only one of the matrix]
    #[arg(long, value_name = "NAME")]
    image: Option<String>,

    /// Search among these BuildKits of the matrix [default: all that it names for the image]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    buildkit: Vec<String>,

    /// Build on this runtime [default: the first of the image's cells]
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,

    /// Build for this platform [default: the first of the image's cells]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Build with all of them: this finds changes that were taken back later
    #[arg(long)]
    linear: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl BisectCommand {
    /// Searches, and prints what was found.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let matrix = Matrix::load(&self.file)?;
        let search = self.search(&matrix)?;
        let found = with_tokio(async |environment, interrupt| {
            let mut number = 0;
            let mut tell = |buildkit: &str, digest: &_| {
                number += 1;
                eprintln!("build {number}: {buildkit} gave {digest}");
            };
            Ok(bisect(&matrix, &search, environment, interrupt, &mut tell).await?)
        })?;
        print(&self.format.render(&found, render)?)?;
        Ok(if found.changes.is_empty() { ExitStatus::Success } else { ExitStatus::Different })
    }

    fn search(&self, matrix: &Matrix) -> Result<Search, Failure> {
        let image = match (&self.image, matrix.images.as_slice()) {
            (Some(name), _) => matrix.image(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let names: Vec<&str> = matrix.images.iter().map(|image| image.name.as_str()).collect();
        let image = image.ok_or_else(|| {
            Failure::usage("which image is searched?", format!("give `--image` with one of {}", names.join(", ")))
        })?;
        let wanted = |cell: &&Cell| {
            cell.image == image.name
                && cell.runtime != "remote"
                && self.runtime.as_ref().is_none_or(|runtime| *runtime == cell.runtime)
                && self.platform.as_ref().is_none_or(|platform| platform.to_string() == cell.platform)
        };
        let cells: Vec<&Cell> = matrix.cells.iter().filter(wanted).collect();
        let cell = cells.iter().find(|cell| !cell.rootless).or(cells.first()).ok_or_else(|| {
            let hint = "a search needs a runtime with a state of its own; `repro matrix cells` lists what there is";
            Failure::usage(format!("the matrix has no such cell of `{}`", image.name), hint)
        })?;
        let mut buildkits: Vec<String> = if self.buildkit.is_empty() {
            cells.iter().map(|cell| cell.buildkit.clone()).collect()
        } else {
            self.buildkit.clone()
        };
        for name in &buildkits {
            if !matrix.buildkits.contains_key(name) {
                let hint = "name its image by digest in the table [buildkit]";
                return Err(Failure::usage(format!("the matrix has no BuildKit `{name}`"), hint));
            }
        }
        let version = |name: &String| matrix.buildkits.get(name).and_then(|buildkit| buildkit.version);
        if let Some(name) = buildkits.iter().find(|name| version(name).is_none()) {
            let hint = "call it by its version, such as \"v0.19.0\"";
            return Err(Failure::usage(format!("the age of BuildKit `{name}` is not known"), hint));
        }
        buildkits.sort_by_key(version);
        buildkits.dedup();
        let program = std::env::current_exe().map_err(|error| unknown("where this program is", &error))?;
        Ok(Search { cell: (*cell).clone(), buildkits, linear: self.linear, program })
    }
}

fn render(found: &Found) -> String {
    let mut out = String::new();
    for built in &found.built {
        let digest = built.digest.as_ref().map_or_else(|| "not built".to_owned(), ToString::to_string);
        let _ = writeln!(out, "{:<12} {digest}", escape(&built.buildkit));
    }
    let _ = writeln!(out, "\n{} builds of `{}` for {}", found.builds, escape(&found.image), escape(&found.platform));
    for change in &found.changes {
        let why = difference_in_words(&change.difference);
        let _ = writeln!(out, "{} is the first that gives another digest than {}: {why}", change.first, change.before);
        write_difference(&mut out, &change.difference);
    }
    if found.changes.is_empty() {
        out.push_str("no change was found\n");
    }
    for note in &found.notes {
        let _ = writeln!(out, "note: {}", escape(note));
    }
    out
}
