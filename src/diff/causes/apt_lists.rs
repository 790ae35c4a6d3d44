//! apt's knowledge of the archive.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "apt-lists", explain };

const PATHS: &[&str] =
    &["var/lib/apt/lists", "var/lib/apt/lists/**", "var/lib/apt/periodic/**", "var/lib/apt/mirrors/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "apt keeps the lists of the archive, which is signed anew several times a day.";
    let fix = "End the RUN that calls `apt-get update` with `&& rm -rf /var/lib/apt/lists/*`; to get the same packages as \
         well, use a snapshot of the archive (snapshot.debian.org) instead of one that moves.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
