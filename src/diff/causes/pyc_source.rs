//! Compiled Python of a source that differs itself.

use super::inside::has;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "pyc-source", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content().filter(|content| content.format == Format::Pyc)?;
    if !has(content, "source hash") && !has(content, "source size") && !place.around.has_source_of(place.path()) {
        return None;
    }
    let explanation = "Byte code of Python differs because its source does.";
    Some(Claim::new(Confidence::High, explanation).consequence().whole_if(!has(content, "magic")))
}
