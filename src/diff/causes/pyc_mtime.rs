//! The time of the source in compiled Python.

use super::inside::has;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "pyc-mtime", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content().filter(|content| content.format == Format::Pyc)?;
    // One side by time, the other one by hash: only one of them was given an epoch.
    if !has(content, "source mtime") && !has(content, "flags") {
        return None;
    }
    let explanation = "Byte code of Python holds the time of its source in its header.";
    let fix = "Give the RUN an epoch: with `ARG SOURCE_DATE_EPOCH` before it Python writes the hash of the source instead \
               (`compileall --invalidation-mode unchecked-hash` does so without), or write none: `ENV PYTHONDONTWRITEBYTECODE=1`, \
               `pip install --no-compile`.";
    let is_whole = !has(content, "code") && !has(content, "source size") && !has(content, "magic");
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}
