//! What moved the digest of an image from one release of BuildKit to another, with every option of the exporter said.
//!
//! Digests hold within a version. This table says which Dockerfiles they do not hold for between two; `make versions` holds
//! it against real builds. What only moves with options that this program always says, or never gives, is not in it.

use super::Version;
use crate::dockerfile::{Dockerfile, Instruction};

/// A release that gives some Dockerfiles another digest than the one before.
#[derive(Debug)]
pub struct Change {
    /// The first release that has it.
    pub version: Version,
    /// What is different, as a sentence without its full stop.
    pub what: &'static str,
    /// Where it was made.
    pub reference: &'static str,
    /// The instructions that show it.
    touches: fn(&Instruction) -> bool,
}

impl Change {
    /// Whether a Dockerfile has an instruction that shows it. What is done with the result of a stage is not looked at.
    #[must_use]
    pub fn touches(&self, dockerfile: &Dockerfile) -> bool {
        dockerfile.instructions.iter().any(self.touches)
    }
}

/// The changes, the oldest first.
pub const CHANGES: [Change; 0] = [];

/// What moved after one version, up to another.
pub fn changes_between(from: Version, to: Version) -> impl Iterator<Item = &'static Change> {
    let (from, to) = (from.min(to), from.max(to));
    CHANGES.iter().filter(move |change| from < change.version && change.version <= to)
}
