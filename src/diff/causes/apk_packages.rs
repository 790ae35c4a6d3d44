//! Other versions of Alpine packages.

use super::around::Manager;
use super::step::Step;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "apk-packages", explain };

/// Where the list of packages stands.
const LISTS: &[&str] =
    &["lib/apk/db/installed", "lib/apk/db/scripts.tar*", "lib/apk/db/triggers", "etc/apk/world", "usr/lib/apk/db/**"];
/// Where files of packages are.
const FILES: &[&str] = &["usr/**", "etc/**", "lib/**", "bin/**", "sbin/**", "var/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.content_differs() || !place.around.has_packages(Manager::Apk) || place.step() == Step::Context {
        return None;
    }
    let explanation = "Other versions of packages were installed: the repository moved between the two builds.";
    let fix = "Name versions (`apk add NAME=VERSION`), and keep a mirror of the packages: the repositories keep only the newest.";
    if path::fits(place.path(), LISTS).is_some() {
        return Some(Claim::new(Confidence::High, explanation).fix(fix));
    }
    // Its files differ as well: each of them need not have a cause of its own.
    path::fits(place.path(), FILES)?;
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).consequence())
}
