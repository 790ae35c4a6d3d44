//! The time of the build in a text.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "embedded-time", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if super::inside::program_with(place, &[Word::Time, Word::Epoch]) {
        return None;
    }
    let lines = place.lines()?;
    let mut moved = lines.moved(Word::Time).chain(lines.moved(Word::Epoch)).peekable();
    moved.peek()?;
    // A day alone may be that of a release; nobody writes the second of one.
    let is_exact = moved.any(|(_, a, _)| a.contains(&b':') || a.len() >= 10 && a.iter().all(u8::is_ascii_digit));
    let explanation = "The time of the build was written into a file.";
    let fix = "Write the epoch instead: `ARG SOURCE_DATE_EPOCH` before the RUN, and `date -u -d \"@$SOURCE_DATE_EPOCH\"` in it; many \
               tools take SOURCE_DATE_EPOCH from the environment by themselves. Or leave the time out.";
    let confidence = if is_exact { Confidence::High } else { Confidence::Medium };
    Some(Claim::new(confidence, explanation).fix(fix).whole_if(place.all_words_known()))
}
