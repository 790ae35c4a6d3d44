//! The mount point of /sys that a rootful BuildKit leaves behind, and a rootless one does not.

use super::{Cause, Claim, Level, Place};
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "sys-stub", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let facts = place.entry.and_then(|entry| entry.a.as_ref().or(entry.b.as_ref()));
    let is_directory = facts.is_some_and(|facts| facts.kind == EntryType::Directory);
    if place.level != Level::Entry || place.difference.kind != Kind::Missing || place.path() != b"sys" || !is_directory
    {
        return None;
    }
    let explanation = "One image was built by a rootful BuildKit, which leaves an empty directory /sys in the layer of the first RUN of a \
                       base that has none; the other one by a rootless BuildKit (moby/buildkit#6686).";
    let fix =
        "Give the base a /sys, before the first RUN: `COPY` an empty directory there, or use a base that has one.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
