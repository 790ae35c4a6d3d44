//! The cache of libraries.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "ld-so-cache", explain };

const PATHS: &[&str] = &["etc/ld.so.cache"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The cache of libraries differs, as the libraries on both sides are other ones, or another ldconfig wrote \
         it.";
    let fix = "Look at the libraries that differ first; pin the packages that bring them.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
