//! Numbers of owners.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "owner", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || !matches!(place.difference.kind, Kind::Uid | Kind::Gid) {
        return None;
    }
    let explanation =
        "Files belong to another user or group: of whoever packed an archive, or one whose number was not fixed.";
    let fix = "Give the number: `COPY --chown=0:0`, `useradd --uid 1000`, `groupadd --gid 1000`; pack archives with `tar --owner=0 --group=0 --numeric-owner`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
