//! What pacman keeps.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "pacman-database", explain };

const PATHS: &[&str] = &["var/lib/pacman/**", "var/cache/pacman/**", "var/log/pacman.log"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "pacman keeps when each package was installed, a log and the lists of the archive.";
    let fix = "Install from a dated archive, and end the RUN with `&& rm -rf /var/lib/pacman/sync /var/cache/pacman \
         /var/log/pacman.log`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
