//! Random numbers in a text.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "random-token", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.lines()?.has(Word::Random) {
        return None;
    }
    let explanation = "Random letters and digits were written into a file: a key, a token or a name that was made up while the image was built.";
    let fix = "Make it at the start of the container, or give it as a secret; a name can be derived from the content that it stands for.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(place.all_words_known()))
}
