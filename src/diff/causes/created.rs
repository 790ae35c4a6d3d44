//! Dates in the config that no epoch holds still.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "created", explain };

/// Whether the difference is one of dates of the config.
#[must_use]
pub(super) fn is_date(place: &Place<'_>) -> bool {
    let pointer = place.pointer();
    let is_date = pointer == "/created" || (pointer.starts_with("/history/") && pointer.ends_with("/created"));
    place.level == Level::Config && place.difference.kind == Kind::Value && is_date
}

/// The epochs of both sides, where both were built with one and they differ: BuildKit writes the time itself with a fraction.
#[must_use]
pub(super) fn epochs(place: &Place<'_>) -> Option<(i64, i64)> {
    let platform = place.platform?;
    let (a, b) = (seconds(platform.a.as_ref()?.created.as_ref()?)?, seconds(platform.b.as_ref()?.created.as_ref()?)?);
    (a != b).then_some((a, b))
}

/// The seconds since 1970 of a date that has no fraction.
#[must_use]
pub(super) fn seconds(date: &Text) -> Option<i64> {
    let text = date.as_str().filter(|text| !text.contains('.'))?;
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|date| date.timestamp())
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !is_date(place) || epochs(place).is_some() {
        return None;
    }
    let explanation = "The dates in the config are those of the build: no epoch was given, on one side at least.";
    let fix = "Give the epoch: `--source-date-epoch` (in BuildKit `build-arg:SOURCE_DATE_EPOCH`).";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
