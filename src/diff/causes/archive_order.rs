//! The order of the members of an archive.

use super::inside;
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "archive-order", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content().filter(|content| inside::archive(content).is_some())?;
    if !content.parts.iter().any(|part| part.kind == Kind::Order) {
        return None;
    }
    let explanation = "The members of an archive come in another order: that in which a directory was read.";
    let fix = "Sort them: `tar --sort=name`, `find … | LC_ALL=C sort | zip -X -@`, sorted lists in build scripts; in Maven plugins that know `project.build.outputTimestamp` do.";
    let kinds = [Kind::Order, Kind::Mtime, Kind::Record];
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(inside::is_only(place, content, &kinds)))
}
