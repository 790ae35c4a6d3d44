//! Files from servers.

use super::step::Step;
use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "add-url", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_file =
        matches!(place.difference.kind, Kind::Content | Kind::Missing | Kind::Mtime | Kind::Link | Kind::Type);
    if place.level != Level::Entry || !is_file || !matches!(place.step(), Step::Remote { .. }) {
        return None;
    }
    if place.difference.kind == Kind::Mtime && super::mtime::kind(place) != Some(super::mtime::Why::Older) {
        return None;
    }
    let explanation = "ADD fetched a file or a repository from a server, which gave another one on the other side.";
    let fix = "Say which file it has to be: `ADD --checksum=sha256:… URL`, for a repository `URL#COMMIT`; and keep a copy of what moves.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
