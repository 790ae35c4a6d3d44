//! The archive of locales.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "locale-archive", explain };

const PATHS: &[&str] = &["usr/lib/locale/locale-archive*"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The archive of locales was put together in another order, or from other locales.";
    let fix = "Generate the locales in one call of `locale-gen` or `localedef`, in a fixed order; or use `localedef \
         --no-archive`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
