//! Caches of fontconfig.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "font-cache", explain };

const PATHS: &[&str] = &[
    "var/cache/fontconfig/**",
    "**/.cache/fontconfig/**",
    "**/.fontconfig/**",
    "usr/share/fonts/**/.uuid",
    "usr/local/share/fonts/**/.uuid",
    "usr/lib/fontconfig/cache/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "fontconfig keeps the times of directories in its caches.";
    let fix = "Give the RUN an epoch (`ARG SOURCE_DATE_EPOCH` before it), or end it with `&& rm -rf \
         /var/cache/fontconfig`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
