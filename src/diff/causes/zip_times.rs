//! Times of the entries of a zip.

use super::inside::{self, Archive};
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "zip-times", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    const KINDS: &[Kind] = &[Kind::Mtime, Kind::Record, Kind::Mode];
    let content = place.content().filter(|content| inside::archive(content) == Some(Archive::Zip))?;
    if !content.parts.iter().any(|part| part.kind == Kind::Mtime) {
        return None;
    }
    let explanation = "The entries of a zip (a jar, a wheel) have the times of files that were just made.";
    let fix = "Give the packer an epoch: `ARG SOURCE_DATE_EPOCH` before the RUN (setuptools, Gradle and newer tools take it), in Maven `project.build.outputTimestamp` with plugins that know it (maven-jar-plugin 3.2, maven-shade-plugin 3.2.3 and later), `jar --date`, `zip -X` after `find . -exec touch -d \"@$SOURCE_DATE_EPOCH\" {} +`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(inside::is_only(place, content, KINDS)))
}
