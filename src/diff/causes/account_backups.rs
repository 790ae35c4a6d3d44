//! Copies of /etc/passwd and the like before the last change.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "account-backups", explain };

const PATHS: &[&str] =
    &["etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/.pwd.lock"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The tools that change users keep a copy of the files as they were before.";
    let fix = "End the RUN that adds users with `&& rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
