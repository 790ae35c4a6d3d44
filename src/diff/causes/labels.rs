//! Labels.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "labels", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Config
        || !place.pointer().starts_with("/config/Labels")
        || place.pointer().ends_with("io.buildah.version")
    {
        return None;
    }
    let explanation = "Labels differ: whoever builds gives them, at times with the time of the run.";
    let fix = "Give both builds the same `--label`; take times and revisions from the commit, not from the run (`org.opencontainers.image.created` is the epoch).";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
