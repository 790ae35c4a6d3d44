//! The setgid bit of directories.

use super::{Cause, Claim, Level, Place};
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "setgid", explain };

pub(super) const SETGID: i64 = 0o2000;

/// The modes of both sides.
#[must_use]
pub(super) fn modes(place: &Place<'_>) -> Option<(i64, i64)> {
    let entry = place.entry?;
    Some((entry.a.as_ref()?.mode, entry.b.as_ref()?.mode))
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mode {
        return None;
    }
    let (a, b) = modes(place)?;
    let is_directory = place.entry?.a.as_ref()?.kind == EntryType::Directory;
    if (a ^ b) & SETGID == 0 || !is_directory || place.step().is_run() {
        return None;
    }
    let explanation = "Directories have the setgid bit on one side (`drwxr-sr-x`): new directories inherit it from the directory that the \
                       source was checked out into.";
    let fix = "Set the modes where the directory is copied: `COPY --chmod=755`; or build with `--context-modes git`, which gives every \
               directory the mode 755.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if((a ^ b) & 0o5700 == 0))
}
