//! Times of the members of a tar.

use super::inside::{self, Archive};
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "tar-times", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    const KINDS: &[Kind] = &[Kind::Mtime, Kind::Record];
    let content = place.content().filter(|content| inside::archive(content) == Some(Archive::Tar))?;
    if !content.parts.iter().any(|part| part.kind == Kind::Mtime) {
        return None;
    }
    let explanation = "The members of a tar have the times of files that were just made.";
    let fix = "Pack with `tar --sort=name --mtime=\"@$SOURCE_DATE_EPOCH\" --owner=0 --group=0 --numeric-owner`, with `ARG SOURCE_DATE_EPOCH` before the RUN.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(inside::is_only(place, content, KINDS)))
}
