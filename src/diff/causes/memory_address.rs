//! Where something lay in memory.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "memory-address", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.lines()?.has(Word::Address) {
        return None;
    }
    let explanation = "An address in memory was written into a file: it is another one in every run.";
    let fix = "Print a name instead of the object; sort and count by names, not by addresses.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(place.all_words_known()))
}
