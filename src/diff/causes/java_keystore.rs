//! Key stores of Java.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "java-keystore", explain };

const PATHS: &[&str] = &[
    "etc/ssl/certs/java/cacerts",
    "etc/pki/java/cacerts",
    "etc/pki/ca-trust/extracted/java/cacerts",
    "**/jre/lib/security/cacerts",
    "**/lib/security/cacerts",
    "**/*.jks",
    "**/*.p12",
    "**/*.keystore",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A key store holds when each of its entries was added, and a random salt.";
    let fix = "Make the key store once and COPY it, or let it be made at the start of the container.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
