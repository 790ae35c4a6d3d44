//! The report of `repro push`.

use std::io::{self, Write};

use serde::Serialize;

use crate::digest::Digest;
use crate::push::Pushed;

/// The version of the schema, docs/schema/push.v1.json.
const SCHEMA: &str = "repro.push.v1";

/// What was pushed where.
#[derive(Debug, Clone, Serialize)]
pub struct PushReport {
    schema: &'static str,
    /// The digest that each reference shows now.
    digest: Digest,
    /// Each place.
    references: Vec<ReferenceReport>,
}

/// One place.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceReport {
    /// Registry, repository, the tag if there is one, and the digest.
    reference: String,
    /// What the tag named before; null where there is none, or it was not there.
    previous: Option<Digest>,
    /// Whether it names something else now than before.
    changed: bool,
    /// Blobs that were sent.
    sent: usize,
    /// Their size.
    sent_bytes: u64,
    /// Blobs that came from another repository of the registry.
    mounted: usize,
    /// Blobs that were there.
    present: usize,
}

impl PushReport {
    /// A report without any place yet.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self { schema: SCHEMA, digest, references: Vec::new() }
    }

    /// Adds what became of one place, by its name without the digest.
    pub fn add(&mut self, name: &str, pushed: &Pushed) {
        self.references.push(ReferenceReport {
            reference: format!("{name}@{}", self.digest),
            previous: pushed.previous.clone(),
            changed: pushed.previous.as_ref() != Some(&self.digest),
            sent: pushed.sent,
            sent_bytes: pushed.sent_bytes,
            mounted: pushed.mounted,
            present: pushed.present,
        });
    }
}

/// For people, and for a script that reads lines: each place as it can be pulled from.
pub fn write_push(out: &mut impl Write, report: &PushReport) -> io::Result<()> {
    for one in &report.references {
        writeln!(out, "{}", one.reference)?;
    }
    Ok(())
}
