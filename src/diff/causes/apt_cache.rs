//! apt's binary caches.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "apt-cache", explain };

const PATHS: &[&str] = &["var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "apt keeps binary caches of what it has read, with the times of the files.";
    let fix = "End the RUN that calls apt with `&& rm -rf /var/cache/apt/*.bin` (`apt-get clean` removes them, too).";
    Some(Claim::new(confidence, explanation).fix(fix))
}
