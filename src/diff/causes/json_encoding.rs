//! The same values in other bytes.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "json-encoding", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.difference.kind != crate::diff::model::Kind::Encoding {
        return None;
    }
    let explanation = "A document has the same values in other bytes: another program wrote it, with other white space or another order.";
    let fix = "Copy images by digest with a tool that does not rewrite documents; build both with the same BuildKit.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
