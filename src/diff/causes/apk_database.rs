//! apk's database.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "apk-database", explain };

const PATHS: &[&str] = &[
    "lib/apk/db/installed",
    "lib/apk/db/scripts.tar*",
    "lib/apk/db/triggers",
    "lib/apk/db/lock",
    "lib/apk/exec/**",
    "etc/apk/world",
    "var/cache/apk/**",
    "var/log/apk.log",
    "usr/lib/apk/db/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "apk's database holds the times of scripts, the version that it made up for a virtual package, or its cache \
         was kept.";
    let fix = "Use `apk add --no-cache`, give virtual packages a version (`--virtual .build-deps=1`), and build with an \
         epoch that RUN sees (`ARG SOURCE_DATE_EPOCH`).";
    Some(Claim::new(confidence, explanation).fix(fix))
}
