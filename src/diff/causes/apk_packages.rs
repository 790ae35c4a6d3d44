//! Other versions of Alpine packages.

use super::around::Manager;
use super::packages::Packages;
use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "apk-packages", explain };

/// Where the list of packages stands.
const LISTS: &[&str] =
    &["lib/apk/db/installed", "lib/apk/db/scripts.tar*", "lib/apk/db/triggers", "etc/apk/world", "usr/lib/apk/db/**"];
/// Where files of packages are.
const FILES: &[&str] = &["usr/**", "etc/**", "lib/**", "bin/**", "sbin/**", "var/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let packages = Packages {
        manager: Manager::Apk,
        lists: LISTS,
        files: FILES,
        explanation: "Other versions of packages were installed: the repository moved between the two builds.",
        fix: "Name versions (`apk add NAME=VERSION`), and keep a mirror of the packages: the repositories keep only the newest.",
    };
    packages.explain(place)
}
