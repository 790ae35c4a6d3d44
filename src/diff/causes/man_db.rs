//! The index of manual pages.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "man-db", explain };

const PATHS: &[&str] = &["var/cache/man", "var/cache/man/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The index of manual pages holds the times of their files.";
    let fix = "Leave manual pages out (`path-exclude=/usr/share/man/*` for dpkg), or end the RUN with `&& rm -rf \
         /var/cache/man`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
