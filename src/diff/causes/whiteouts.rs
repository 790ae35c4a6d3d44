//! Whiteouts: what a layer takes away.

use super::{Cause, Claim, Level, Place};
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "whiteouts", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let entry = place.entry?;
    let is_whiteout = |kind| matches!(kind, EntryType::Whiteout | EntryType::OpaqueWhiteout);
    let facts = [entry.a.as_ref(), entry.b.as_ref()];
    let is_one = facts.iter().flatten().any(|facts| is_whiteout(facts.kind));
    if place.level != Level::Entry || !matches!(place.difference.kind, Kind::Missing | Kind::Type) || !is_one {
        return None;
    }
    let explanation = "One image takes a file of a lower layer away, or tells it in another way: a step removed something on one side only, \
                       or another snapshotter wrote the layer.";
    let fix = "Remove files in the RUN that makes them, so that no layer has to take them away; build both on the overlay snapshotter.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
