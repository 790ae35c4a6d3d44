//! Annotations.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "annotations", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_annotation = place.pointer().contains("/annotations")
        && (super::rewrite_annotation::CAUSE.explain)(place).is_none()
        && (super::media_types::CAUSE.explain)(place).is_none();
    if !is_annotation
        || place.pointer().contains(super::rewrite_annotation::KEY)
        || !matches!(place.level, Level::Index | Level::Manifest | Level::Layer)
    {
        return None;
    }
    let explanation = "Annotations differ: whoever builds gives them.";
    let fix = "Give both builds the same `--annotation`; take times and revisions from the commit, not from the run.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
