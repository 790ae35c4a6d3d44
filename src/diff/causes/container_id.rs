//! The id of a container.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "container-id", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.lines()?.has(Word::Container) {
        return None;
    }
    let explanation = "The id of the container or of the step that ran was written into a file.";
    let fix = "Leave out what tells of the machine that builds: cgroups, mounts, the host name.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(place.all_words_known()))
}
