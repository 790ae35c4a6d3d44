//! Files of the context that differ.

use super::step::Step;
use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "context-file", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_contents = matches!(place.difference.kind, Kind::Content | Kind::Missing | Kind::Link | Kind::Type);
    // Whether a file can be executed is all that git keeps of a mode.
    let is_executable = || place.modes().is_some_and(|(a, b)| (a ^ b) & 0o100 != 0);
    if place.level != Level::Entry || !(is_contents || place.difference.kind == Kind::Mode && is_executable()) {
        return None;
    }
    let confidence = match place.step() {
        Step::Context => Confidence::High,
        // The history does not tell a COPY of the context from one of a stage.
        Step::Copied => Confidence::Low,
        _ => return None,
    };
    let explanation = "Files of the context differ: the two builds were not given the same source, or something that was generated beside \
                       it was copied, too.";
    let fix = "Build from a fresh clone of one commit, and name what is generated in `.dockerignore`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
