//! Names of owners.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "owner-names", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || !matches!(place.difference.kind, Kind::Uname | Kind::Gname) {
        return None;
    }
    let explanation =
        "The names of owners stand in one archive, or are other ones there: the tool that wrote the layer put them in.";
    let fix = "Build both with the same builder; BuildKit writes no names.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
