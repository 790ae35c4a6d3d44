//! The order of entries.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "entry-order", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Layer || !matches!(place.difference.kind, Kind::Order) {
        return None;
    }
    let explanation = "The entries of a layer come in another order: that of a directory on the file system that it was made on, or of another tool.";
    let fix = "Build both with the same BuildKit and snapshotter; pack archives with `tar --sort=name`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
