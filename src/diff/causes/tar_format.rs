//! The form of tar.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "tar-format", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || !matches!(place.difference.kind, Kind::TarFormat | Kind::Spelling | Kind::Tail) {
        return None;
    }
    let explanation = "The same entries were written in another form of tar, by another tool or another version of it.";
    let fix = "Build both with the same BuildKit; layers that passed through `docker save` or another tool may have been packed anew.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
