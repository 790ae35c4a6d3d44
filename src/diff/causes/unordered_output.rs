//! The same lines or words in another order.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "unordered-output", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    if !lines.is_shuffled() {
        return None;
    }
    let confidence = if lines.is_cut { Confidence::Medium } else { Confidence::High };
    let explanation = "The same lines or words stand in another order: that of a directory, of a hash table with a random seed, or of \
                       threads that raced.";
    let fix = "Sort before writing: `LC_ALL=C sort`, `sorted(…)`, `sort_keys=True`, `find … | LC_ALL=C sort`; Python orders sets alike \
               with `ENV PYTHONHASHSEED=0`; parallel steps with `-j1`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
