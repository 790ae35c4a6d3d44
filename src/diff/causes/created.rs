//! Dates in the config.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// When the image and its steps were made.
pub const CAUSE: Cause = Cause { id: "created", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let pointer = place.pointer();
    let is_date = pointer == "/created" || (pointer.starts_with("/history/") && pointer.ends_with("/created"));
    if place.level != Level::Config || place.difference.kind != Kind::Value || !is_date {
        return None;
    }
    Some(Claim {
        confidence: Confidence::High,
        is_whole: true,
        explanation: "The dates in the config are those of two builds: no epoch was given, or two different ones."
            .to_owned(),
        fix: Some("Build both with the same `--source-date-epoch`.".to_owned()),
    })
}
