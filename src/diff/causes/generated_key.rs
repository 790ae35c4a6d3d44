//! Keys and certificates that were made while the image was built.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "generated-key", explain };

const BEGINNINGS: [&[u8]; 4] = [b"-----BEGIN ", b"---- BEGIN ", b"ssh-rsa AAAA", b"ssh-ed25519 AAAA"];
const PATHS: &[&str] =
    &["etc/ssl/private/*", "etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/pki/tls/private/*", "**/dhparam*.pem"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let begins = |line: &[u8]| BEGINNINGS.iter().any(|beginning| line.starts_with(beginning));
    let in_text = place.content_differs() && place.text().iter().any(|line| line.bytes.get(1..).is_some_and(begins));
    let confidence = if in_text { Confidence::High } else { place.content_at(PATHS)? };
    let explanation = "A key or a certificate was made while the image was built. Whoever has the image has it.";
    let fix = "Make it at the start of the container, or give it as a secret; a certificate for tests can be made once and copied.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
