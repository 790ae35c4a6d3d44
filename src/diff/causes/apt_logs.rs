//! Logs of apt and dpkg.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "apt-logs", explain };

const PATHS: &[&str] = &[
    "var/log/dpkg.log*",
    "var/log/alternatives.log*",
    "var/log/bootstrap.log",
    "var/log/apt",
    "var/log/apt/**",
    "var/log/unattended-upgrades/**",
    "var/log/aptitude*",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "apt and dpkg log what they did, and when.";
    let fix = "End the RUN that installs packages with `&& rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log \
         /var/log/bootstrap.log`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
