//! Owners and modes of the members of a tar or a zip.

use super::inside::{self, Archive};
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "archive-owners", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    const OF_OWNERS: [Kind; 3] = [Kind::Uid, Kind::Gid, Kind::Mode];
    let content = place.content()?;
    let (what, fix) = match inside::archive(content)? {
        Archive::Tar => ("tar", "Pack with `tar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX`."),
        Archive::Zip => {
            ("zip (a jar, a wheel)", "Give the files their modes before they are packed: `chmod -R u=rwX,go=rX DIR`.")
        }
        Archive::Ar => return None,
    };
    let is_told = content.parts.iter().any(|part| OF_OWNERS.contains(&part.kind));
    if !is_told && !OF_OWNERS.iter().any(|kind| content.more_kinds.contains_key(kind)) {
        return None;
    }
    let explanation =
        format!("The members of a {what} have the owners or the modes that the files had for whoever packed them.");
    let kinds = [Kind::Uid, Kind::Gid, Kind::Mode, Kind::Mtime, Kind::Record, Kind::Order];
    Some(Claim::new(Confidence::High, &explanation).fix(fix).whole_if(inside::is_only(place, content, &kinds)))
}
