//! Times of the members of an `ar` archive.

use super::inside::{self, Archive};
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "ar-times", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    const KINDS: &[Kind] = &[Kind::Mtime, Kind::Uid, Kind::Gid, Kind::Mode];
    let content = place.content().filter(|content| inside::archive(content) == Some(Archive::Ar))?;
    if !content.parts.iter().any(|part| part.kind == Kind::Mtime) {
        return None;
    }
    let explanation = "The members of an `ar` archive (a static library, a Debian package) have the times of files that were just made.";
    let fix = "Pack static libraries with `ar D` (`ARFLAGS=rcD`), and Debian packages with `ARG SOURCE_DATE_EPOCH` before the RUN: dpkg-deb takes it.";
    Some(
        Claim::new(Confidence::High, explanation)
            .fix(fix)
            .whole_if(inside::is_only(place, content, KINDS) || place.path().ends_with(b".deb")),
    )
}
