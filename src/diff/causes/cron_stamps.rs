//! Stamps of periodic jobs.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "cron-stamps", explain };

const PATHS: &[&str] = &[
    "var/lib/systemd/timers/**",
    "var/spool/anacron/**",
    "var/lib/logrotate/**",
    "var/lib/logrotate.status",
    "var/lib/update-notifier/**",
    "var/lib/ntp/**",
    "var/lib/systemd/timesync/**",
    "var/lib/mlocate/**",
    "var/lib/plocate/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A periodic job noted when it ran.";
    let fix = "Remove its stamp in the same RUN.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
