//! Extended attributes.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "xattrs", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_attribute = ["SCHILY.xattr.", "LIBARCHIVE.xattr.", "SCHILY.acl.", "RHT.security."]
        .iter()
        .any(|start| place.pointer().starts_with(start));
    if place.level != Level::Entry || place.difference.kind != Kind::Record || !is_attribute {
        return None;
    }
    let explanation = "Extended attributes differ: capabilities, labels of SELinux, or what a tool wrote there; not every file system and \
                       builder keeps them.";
    let fix = "Set capabilities in RUN (`setcap`), and no attributes that hold times; keep labels of the building machine out (`label=disable`).";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
