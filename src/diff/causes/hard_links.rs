//! Hard links on one side, copies on the other.

use super::{Cause, Claim, Level, Place};
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "hard-links", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let entry = place.entry?;
    let (a, b) = (entry.a.as_ref()?, entry.b.as_ref()?);
    let is_link = |kind: EntryType| kind == EntryType::HardLink;
    let one_is_file = a.kind == EntryType::File || b.kind == EntryType::File;
    let differs = is_link(a.kind) != is_link(b.kind) && one_is_file;
    let other_name = is_link(a.kind) && is_link(b.kind) && place.difference.kind == Kind::Link;
    if place.level != Level::Entry
        || !(differs && matches!(place.difference.kind, Kind::Type | Kind::Content | Kind::Link) || other_name)
    {
        return None;
    }
    let explanation = "A file is a hard link to another one in one image, and a copy of its own in the other, or the links were told in \
                       another order: file systems and snapshotters differ in what they can link.";
    let fix = "Copy instead of linking (`cp --remove-destination`, `UV_LINK_MODE=copy`, `pnpm --package-import-method copy`), and build \
               both on the overlay snapshotter.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
