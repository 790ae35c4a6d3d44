//! The time of the build in a program.

use super::inside::{changes_code, program_with};
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "compiler-date", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !program_with(place, &[Word::Time, Word::Epoch]) {
        return None;
    }
    let explanation = "The time of the build was compiled into a program (`__DATE__` and `__TIME__`, or a value that the build passes on).";
    let fix = "Give the RUN an epoch: with `ARG SOURCE_DATE_EPOCH` before it gcc and clang write that; take the time out of \
               `-ldflags \"-X main.date=…\"` and the like, or write the epoch there. `-Werror=date-time` finds such places in C.";
    let is_whole = place.all_words_known() || !place.content().is_some_and(changes_code);
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}
