//! Other versions of Debian packages.

use super::around::Manager;
use super::packages::Packages;
use super::{Cause, Claim, Place};

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
    let packages = Packages {
        manager: Manager::Dpkg,
        lists: LISTS,
        files: FILES,
        explanation: "Other versions of packages were installed: the archive moved between the two builds.",
        fix: "Install from an archive that does not move, such as snapshot.debian.org at a fixed time (`Acquire::Check-Valid-Until false`), or name versions: `apt-get install NAME=VERSION`.",
    };
    packages.explain(place)
}
