//! What is left in directories for temporary files.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "temporary-files", explain };

const PATHS: &[&str] = &["tmp/**", "var/tmp/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "Temporary files were left behind: nobody fixes what is in them, or how they are called.";
    let fix = "Remove them in the same RUN, or keep them out of the image with `--mount=type=tmpfs,target=/tmp`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
