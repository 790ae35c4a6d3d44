//! The auxiliary cache of ldconfig.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "ldconfig-cache", explain };

const PATHS: &[&str] = &["var/cache/ldconfig/aux-cache"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The auxiliary cache of ldconfig holds inode numbers and times.";
    let fix = "End the RUN with `&& rm -f /var/cache/ldconfig/aux-cache`: ldconfig only saves time by it.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
