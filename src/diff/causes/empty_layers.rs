//! Steps that leave a layer on one side only.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "empty-layers", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Config
        || !place.pointer().starts_with("/history/")
        || !place.pointer().ends_with("/empty_layer")
    {
        return None;
    }
    let explanation = "A step left a layer on one side and none on the other: steps that change nothing are told in two ways when a cache was imported.";
    let fix = "Build both without an imported cache (`--no-cache`), or with the same one.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
