//! Caches of icons, types and schemas.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "desktop-cache", explain };

const PATHS: &[&str] = &[
    "usr/share/icons/**/icon-theme.cache",
    "usr/share/mime/mime.cache",
    "usr/share/applications/mimeinfo.cache",
    "usr/lib/**/gdk-pixbuf-2.0/*/loaders.cache",
    "usr/lib/**/gtk-*/*/immodules.cache",
    "usr/share/glib-2.0/schemas/gschemas.compiled",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A cache of icons, types or modules holds times, or the order in which a directory was read.";
    let fix = "Remove it at the end of the RUN where nothing needs it; it is only for speed.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
