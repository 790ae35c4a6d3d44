//! What dnf and yum keep.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "dnf-history", explain };

const PATHS: &[&str] = &[
    "var/lib/dnf",
    "var/lib/dnf/**",
    "var/lib/yum/**",
    "var/cache/dnf/**",
    "var/cache/yum/**",
    "var/cache/libdnf5/**",
    "usr/lib/sysimage/libdnf5/**",
    "var/log/dnf*",
    "var/log/yum.log",
    "var/log/hawkey.log",
    "var/lib/zypp/**",
    "var/cache/zypp/**",
    "var/log/zypp/**",
    "var/log/zypper.log",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "dnf, yum or zypper keep a history, logs and a cache of their own, with times.";
    let fix = "End the RUN with `&& dnf clean all && rm -rf /var/lib/dnf/history* /var/log/dnf* /var/log/hawkey.log \
         /var/cache/dnf`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
