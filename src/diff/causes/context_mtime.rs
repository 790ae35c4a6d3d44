//! Files of the context that are older than the epoch.

use super::{Cause, Claim, Level, Place, mtime};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "context-mtime", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mtime || !place.step().is_input() {
        return None;
    }
    if mtime::kind(place)? != mtime::Why::Older {
        return None;
    }
    let explanation = "Files of the context, or out of an archive, are older than the epoch. Rewriting leaves such times alone, and another \
                       checkout has other ones.";
    let fix = "Build with an epoch that is not later than the files (`--source-date-epoch 0` always is), or give the files one time before \
               the build: `find . -exec touch -d @EPOCH {} +`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
