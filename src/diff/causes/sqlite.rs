//! SQLite databases.

use super::{Cause, Claim, Place, path};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "sqlite", explain };

const JOURNALS: &[&str] = &["**/*-wal", "**/*-shm", "**/*-journal"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_database = place.content().is_some_and(|content| content.format == Format::Sqlite);
    let is_journal = || place.content_differs() && path::fits(place.path(), JOURNALS).is_some();
    if !is_database && !is_journal() {
        return None;
    }
    let explanation = "A SQLite database was written while the image was built: its rows hold times or random numbers, or its pages and its \
                       counter of changes tell in which order it was written.";
    let fix = "Make the database at the start of the container, or write no times into it and end with `VACUUM` and \
               `PRAGMA journal_mode=DELETE`.";
    let confidence = if is_database { Confidence::High } else { Confidence::Medium };
    Some(Claim::new(confidence, explanation).fix(fix))
}
