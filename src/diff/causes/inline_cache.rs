//! A cache within the config.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "inline-cache", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Config || !place.pointer().starts_with("/moby.buildkit.") {
        return None;
    }
    let explanation = "The config holds a cache or notes of BuildKit (`cache-to=type=inline`, buildinfo), on one side only or in another state.";
    let fix = "Keep the cache apart from the image: `--cache-to type=registry,ref=…` instead of `type=inline`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
