//! A repository.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "git-directory", explain };

const PATHS: &[&str] = &["**/.git", "**/.git/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The repository itself is in the image: its index, logs and packs differ from clone to clone.";
    let fix = "Write `.git` into `.dockerignore`; for what is cloned in RUN, remove `.git` in the same RUN.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
