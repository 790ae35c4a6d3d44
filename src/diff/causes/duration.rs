//! How long something took.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "duration", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let mut moved = lines.moved(Word::Duration).peekable();
    moved.peek()?;
    // `timeout = 30s` is a setting; nobody sets 0.123 s.
    let is_measured = moved.all(|(_, a, b)| a.contains(&b'.') || b.contains(&b'.'));
    let confidence = if is_measured { Confidence::High } else { Confidence::Low };
    let explanation = "How long a step took was written into a file.";
    let fix = "Leave the report of the run out of the image, or tell the tool to print no times.";
    Some(Claim::new(confidence, explanation).fix(fix).whole_if(place.all_words_known()))
}
