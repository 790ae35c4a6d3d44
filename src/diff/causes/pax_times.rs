//! Times of access and of change.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "pax-times", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || !matches!(place.difference.kind, Kind::Atime | Kind::Ctime) {
        return None;
    }
    let explanation = "Entries carry when they were read, or when their inode was changed: no build can repeat that.";
    let fix = "Rewrite timestamps (`rewrite-timestamp=true`, what `repro build` does), or write archives without these: `tar --format=ustar`, `--pax-option=delete=atime,delete=ctime`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
