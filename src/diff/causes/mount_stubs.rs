//! What mounts leave behind where nothing was before.

use super::{Cause, Claim, Level, Place};
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "mount-stubs", explain };

const STUBS: [&[u8]; 9] = [
    b"etc/resolv.conf",
    b"etc/hosts",
    b"etc/hostname",
    b"etc/mtab",
    b".dockerenv",
    b"dev",
    b"proc",
    b"run/secrets",
    b"run/.containerenv",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Missing {
        return None;
    }
    let entry = place.entry?;
    let facts = entry.a.as_ref().or(entry.b.as_ref())?;
    let is_empty = facts.size == 0 && matches!(facts.kind, EntryType::File | EntryType::Directory);
    let path = place.path();
    let is_target = || place.mount_targets().any(|target| target.as_bytes() == path);
    if !is_empty || !(STUBS.contains(&path) || is_target()) {
        return None;
    }
    let explanation = "An empty file or directory is where something was mounted while RUN ran: one builder leaves it behind, another \
                       one removes it.";
    let fix =
        "Let the base have the file or directory, so that no builder has to make it: add it in an instruction before.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
