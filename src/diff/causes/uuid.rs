//! A UUID.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "uuid", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.lines()?.has(Word::Uuid) {
        return None;
    }
    let explanation = "A UUID was made while the image was built. All containers of the image have the same one.";
    let fix = "Make it at the start of the container, or write a fixed one (`uuidgen --sha1` derives one from a name).";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(place.all_words_known()))
}
