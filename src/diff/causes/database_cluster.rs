//! Files of a database server.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "database-cluster", explain };

const PATHS: &[&str] = &[
    "var/lib/postgresql/**",
    "var/lib/mysql/**",
    "var/lib/mariadb/**",
    "var/lib/mongodb/**",
    "var/lib/redis/**",
    "var/lib/ldap/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A database server made its files while the image was built: they hold an identifier of the cluster and \
         times.";
    let fix = "Let the database be made at the first start of the container, from a script, not in RUN.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
