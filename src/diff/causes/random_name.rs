//! Names that are new in each build.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "random-name", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.difference.kind != Kind::Missing {
        return None;
    }
    let words = place.around.name_words(place.path());
    // A checksum in a name is that of the content, which differs for a reason of its own; a time is told as such.
    if words.is_empty()
        || !words.iter().all(|word| matches!(word, Word::Random | Word::Uuid | Word::Temporary | Word::Container))
    {
        return None;
    }
    let entry = place.entry?;
    if entry.content.is_some() && place.is_named_by_hash() {
        return None;
    }
    let is_hash = place.is_named_by_hash();
    if is_hash && entry.a.as_ref().or(entry.b.as_ref()).is_some_and(|facts| facts.size > 0) {
        return None;
    }
    let explanation = "A file or a directory has a name that is made up anew in each build.";
    let fix = "Give it a fixed name (`mktemp` only for what is removed in the same RUN), or one that is derived from its content.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
