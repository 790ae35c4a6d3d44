//! The name of a temporary directory.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "temporary-path", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.lines()?.has(Word::Temporary) || super::inside::program_with(place, &[Word::Temporary]) {
        return None;
    }
    let explanation = "The name of a temporary directory, which is new in every build, was written into a file.";
    let fix = "Work in a directory with a fixed name, such as `mkdir /tmp/work`, instead of one from `mktemp`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(place.all_words_known()))
}
