//! Key rings of GnuPG.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "gpg-home", explain };

const PATHS: &[&str] = &[
    "**/.gnupg",
    "**/.gnupg/**",
    "etc/pacman.d/gnupg",
    "etc/pacman.d/gnupg/**",
    "etc/apt/trusted.gpg~",
    "**/trustdb.gpg",
    "**/pubring.kbx",
    "**/random_seed",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation =
        "A key ring of GnuPG holds times, random numbers, or keys that were made while the image was built.";
    let fix = "Use a directory of its own for GnuPG and remove it in the same RUN: `export GNUPGHOME=$(mktemp -d) && … && \
         gpgconf --kill all && rm -rf \"$GNUPGHOME\"`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
