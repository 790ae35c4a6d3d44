//! The database of rpm.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "rpm-database", explain };

const PATHS: &[&str] =
    &["var/lib/rpm", "var/lib/rpm/**", "usr/lib/sysimage/rpm", "usr/lib/sysimage/rpm/**", "**/.rpmdb", "**/.rpmdb/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation =
        "rpm's database holds when each package was installed, and the pages of the database come in another order.";
    let fix = "Where nothing in the image asks rpm later, end the RUN with `&& rm -rf /var/lib/rpm /usr/lib/sysimage/rpm`; \
         else rebuild the database with an rpm that honours SOURCE_DATE_EPOCH (`ARG SOURCE_DATE_EPOCH`, rpm 4.20 or \
         later) and remove its journals.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
