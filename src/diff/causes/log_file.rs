//! Logs.

use super::words::Word;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "log-file", explain };

const PATHS: &[&str] = &["var/log/**"];
const NAMED_SO: &[&str] = &["**/*.log", "**/*.log.*", "**/log/*", "**/logs/*"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = if let Some(confidence) = place.content_at(PATHS) {
        confidence
    } else {
        place.content_at(NAMED_SO)?;
        // What is called a log, and has times in its lines, is one.
        let has_times = place
            .lines()
            .is_some_and(|lines| [Word::Time, Word::Epoch, Word::Duration].into_iter().any(|word| lines.has(word)));
        if has_times && path::fits(place.path(), NAMED_SO).is_some() { Confidence::High } else { Confidence::Low }
    };
    let explanation = "A log of the build is in the image: it tells when things happened, and how long they took.";
    let fix = "Remove it in the RUN that writes it, or write it to standard output.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
