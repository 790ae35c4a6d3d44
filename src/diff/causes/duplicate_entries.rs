//! Paths that a layer holds twice.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "duplicate-entries", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Missing || place.entry?.occurrence == 0 {
        return None;
    }
    let explanation =
        "One layer holds a path twice, the other one once: the tool that wrote it appended instead of replacing.";
    let fix = "Build both with the same BuildKit; a layer that another tool wrote can be flattened by `COPY --from` of its files.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
