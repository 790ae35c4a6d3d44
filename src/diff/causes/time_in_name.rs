//! Names that hold the time of the build.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "time-in-name", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let words = place.around.name_words(place.path());
    let is_time = |word: &Word| matches!(word, Word::Time | Word::Epoch);
    if place.difference.kind != Kind::Missing || words.is_empty() || !words.iter().all(is_time) {
        return None;
    }
    let explanation = "A file or a directory has the time of the build in its name.";
    let fix = "Give it a fixed name, or one with the epoch: `ARG SOURCE_DATE_EPOCH`, `date -u -d \"@$SOURCE_DATE_EPOCH\" +%Y%m%d`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
