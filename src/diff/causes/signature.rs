//! Signatures of what differs itself.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "signature", explain };

const PATHS: &[&str] =
    &["**/*.asc", "**/*.sig", "**/*.gpg", "**/*.minisig", "**/META-INF/*.RSA", "**/META-INF/*.SF", "**/META-INF/*.DSA"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    place.content_at(PATHS)?;
    let explanation = "A signature differs: it holds the time of signing, and follows from what was signed.";
    let fix = "Sign outside of the image, or copy the signature that was made once.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
