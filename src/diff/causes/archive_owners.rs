//! Owners and modes of the members of a tar.

use super::inside::{self, Archive};
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "archive-owners", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content().filter(|content| inside::archive(content) == Some(Archive::Tar))?;
    if !content.parts.iter().any(|part| matches!(part.kind, Kind::Uid | Kind::Gid | Kind::Mode)) {
        return None;
    }
    let explanation = "The members of a tar have the owners or the modes that the files had for whoever packed them.";
    let fix = "Pack with `tar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX`.";
    let kinds = [Kind::Uid, Kind::Gid, Kind::Mode, Kind::Mtime, Kind::Record, Kind::Order];
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(inside::is_only(place, content, &kinds)))
}
