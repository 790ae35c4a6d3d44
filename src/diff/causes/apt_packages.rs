//! Other versions of Debian packages.

use super::around::Manager;
use super::step::Step;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "apt-packages", explain };

/// Where the list of packages stands.
const LISTS: &[&str] =
    &["var/lib/dpkg/status", "var/lib/dpkg/status-old", "var/lib/dpkg/status.d/*", "var/lib/dpkg/available"];
/// Where files of packages are.
const FILES: &[&str] = &[
    "usr/**",
    "etc/**",
    "lib/**",
    "bin/**",
    "sbin/**",
    "lib64/**",
    "opt/**",
    "var/lib/**",
    "var/cache/**",
    "var/log/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.content_differs() || !place.around.has_packages(Manager::Dpkg) || place.step() == Step::Context {
        return None;
    }
    let explanation = "Other versions of packages were installed: the archive moved between the two builds.";
    let fix = "Install from an archive that does not move, such as snapshot.debian.org at a fixed time (`Acquire::Check-Valid-Until false`), or name versions: `apt-get install NAME=VERSION`.";
    if path::fits(place.path(), LISTS).is_some() {
        return Some(Claim::new(Confidence::High, explanation).fix(fix));
    }
    // Its files differ as well: each of them need not have a cause of its own.
    path::fits(place.path(), FILES)?;
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).consequence())
}
