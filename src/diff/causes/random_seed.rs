//! A seed for random numbers.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "random-seed", explain };

const PATHS: &[&str] = &[
    "var/lib/systemd/random-seed",
    "var/lib/urandom/random-seed",
    "var/lib/random-seed",
    "var/lib/systemd/credential.secret",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A seed for random numbers was made while the image was built.";
    let fix = "Remove it in the same RUN: it is made at the first start.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
