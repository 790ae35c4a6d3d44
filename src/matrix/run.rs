//! Builds the cells of a matrix, as many at a time as there are places, and writes down how each ended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use chrono::{SecondsFormat, Utc};

use super::cell::Cell;
use super::drive::Driver;
use super::file::Matrix;
use super::history::{CellRecord, DifferenceRecord, RecheckRecord};
use super::schedule::Place;
use super::source::Source;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::kept::place::WorkPlace;
use crate::runtime::interrupt::{Interrupt, Interruption};

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The run's name.
    pub run: String,
    /// How many cells the history is told of that it did not know the run to have.
    pub added: usize,
    /// How many cells the run has in all.
    pub planned: usize,
    /// Those of them that have ended before, with what they gave.
    pub earlier: Vec<(Cell, Option<Digest>)>,
    /// The cells that are to be built.
    pub cells: Vec<Cell>,
    /// What their images are built from.
    pub sources: BTreeMap<String, Source>,
    /// The history.
    pub history: PathBuf,
    /// Where archives stay, by their digest, and what was said by builds that did not end well.
    pub keep: Option<PathBuf>,
    /// The earlier run that is built again, with the digest that each cell gave.
    pub again: Option<Again>,
    /// This program.
    pub program: PathBuf,
}

/// An earlier run that is built again.
#[derive(Debug, Clone)]
pub struct Again {
    /// Which one.
    pub record: RecheckRecord,
    /// What its cells gave.
    pub digests: BTreeMap<Cell, Digest>,
}

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A cell begins.
    Started {
        /// The cell.
        cell: &'a Cell,
        /// Where.
        place: &'a Place,
    },
    /// A cell ended.
    Ended {
        /// How.
        record: &'a CellRecord<'static>,
        /// How many have.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// A cell is tried again.
    Again {
        /// The cell.
        cell: &'a Cell,
        /// Why.
        why: &'a str,
    },
    /// A daemon does not answer.
    Silent {
        /// Where it is.
        address: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A daemon answers again.
    Answers {
        /// Where it is.
        address: &'a str,
    },
    /// The files of an image were changed while its cells were built.
    Changed {
        /// The image.
        image: &'a str,
    },
    /// Two digests were compared.
    Compared {
        /// What came out.
        difference: &'a DifferenceRecord,
    },
}

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The history cannot be written: what is built now would be forgotten.
    #[error("cannot write the history `{path}`", path = path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no place for archives.
    #[error("there is no place for archives")]
    Place(#[source] io::Error),
    /// An archive cannot be kept.
    #[error("cannot keep an archive in `{path}`", path = path.display())]
    Keep {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The user wanted to stop.
    #[error("stopped: {done} of {total} cells have ended")]
    Stopped {
        /// How the program ends.
        interruption: Interruption,
        /// How many cells have ended.
        done: usize,
        /// Of how many.
        total: usize,
        /// Whether it built an earlier run again.
        again: bool,
    },
}

impl Diagnose for RunError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::History { .. } | Self::Place(_) | Self::Keep { .. } => ExitStatus::Unknown,
            Self::Stopped { interruption, .. } => interruption.status(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::History { .. } => "look at the directory and at the free space there; `--resume` goes on",
                Self::Keep { .. } => "look at the permissions and the free space there (`df`); `--resume` goes on",
                Self::Place(_) => "look at the permissions and the free space of XDG_STATE_HOME (`df`)",
                Self::Stopped { again: true, .. } => "the same command begins a new one",
                Self::Stopped { .. } => "the same command with `--resume` builds the rest",
            }
            .to_owned(),
        )
    }
}

/// Now, as it stands in a history: to the millisecond, since runs that follow each other within a second have an order, too.
#[must_use]
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Builds what is asked for. One bad cell stops no other.
pub async fn run(
    matrix: &Matrix,
    request: &Request,
    environment: &Environment,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&Event<'_>),
) -> Result<(), RunError> {
    let place = WorkPlace::make(environment).map_err(RunError::Place)?;
    if let Some(keep) = &request.keep {
        fs::create_dir_all(keep).map_err(RunError::Place)?;
    }
    Driver::new(matrix, request, (environment, place.path()), tell)?.drive(interrupt).await
}
