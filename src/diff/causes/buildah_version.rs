//! The version of Buildah.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "buildah-version", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Config || !place.pointer().ends_with("io.buildah.version") {
        return None;
    }
    let explanation =
        "Buildah writes its version into the image: the sides were built by two versions of it, or by other tools.";
    let fix = "Build both with the same version, or with `--identity-label=false`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
